//! What a session knows of a captured table: how it is captured, and how its columns are read.

#![allow(unsafe_code)]

use super::form::Form;
use crate::db::OwnedMemory;
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use crate::privacy::{self, MemberClass};
use crate::settings;
use pgrx::{Uuid, pg_sys};
use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::rc::Rc;

/// A column that may appear in the log.
pub(super) struct Column {
    /// Its place in a row, from 0.
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) form: Form,
    pub(super) is_redacted: bool,
    pub(super) is_ignored: bool,
    /// How values are scrubbed; `None` where they are not.
    pub(super) scrubbed_as: Option<MemberClass>,
}

/// Where the tenant of a row comes from.
pub(super) enum TenantSource {
    /// A column, and whose rows without a value are.
    Column {
        index: usize,
        form: Form,
        otherwise: Option<[u8; 16]>,
    },
    Fixed([u8; 16]),
    Context,
}

/// How a table is captured.
pub(super) struct Table {
    pub(super) capture_id: [u8; 16],
    pub(super) relation: pg_sys::Oid,
    /// Whether it is the table that was attached: a trigger can be copied to another.
    pub(super) is_captured: bool,
    pub(super) object_type: String,
    pub(super) action_prefix: String,
    pub(super) tenant: TenantSource,
    pub(super) must_have_tenant: bool,
    /// Place and form of the column that names who changed the row.
    pub(super) actor: Option<(usize, Form)>,
    /// The columns that are logged, in the order of the keys of a jsonb object.
    pub(super) columns: Vec<Column>,
    /// The columns of the key, in its order; empty where the table has none.
    pub(super) key: Vec<(usize, Form)>,
    pause: Option<Pause>,
    /// Whether values are printed as settings of the session say.
    pub(super) depends_on_settings: bool,
    at: Changes,
    /// What the forms point into: dropped after them.
    _memory: OwnedMemory,
}

struct Pause {
    until: Option<i64>,
}

/// The counts of changes that all that is known of a table depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Changes {
    captures: u64,
    tables: u64,
    redaction: u64,
}

impl Changes {
    fn current() -> Self {
        Self {
            captures: db::changes(Relation::Captures),
            tables: db::table_changes(),
            redaction: settings::redaction_changes(),
        }
    }
}

/// A session that works on very many tables, or on partitions without end, starts over.
const MAX_KEPT_TABLES: usize = 4_096;

type Tables = HashMap<(u32, [u8; 16]), Rc<Table>>;

thread_local! {
    /// Never dropped: at the end of the process the server's memory is gone before it.
    static TABLES: RefCell<ManuallyDrop<Option<Tables>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

impl Table {
    /// What is known of the table that a trigger of the capture fired for.
    ///
    /// # Safety
    /// The relation is open.
    ///
    /// # Errors
    /// [`Error::OrphanTrigger`] if there is no such capture, [`Error::NotSetUp`] before `setup()`.
    pub(super) unsafe fn of(
        relation: pg_sys::Relation,
        capture_id: [u8; 16],
    ) -> Result<Rc<Self>, Error> {
        // SAFETY: the relation is open.
        let oid = unsafe { (*relation).rd_id };
        let key = (oid.to_u32(), capture_id);
        let at = Changes::current();
        let kept = TABLES.with_borrow(|tables| {
            let table = tables.as_ref()?.get(&key)?;
            (table.at == at).then(|| Rc::clone(table))
        });
        if let Some(table) = kept {
            return Ok(table);
        }
        db::oid(Relation::Captures)?;
        db::watch_table(oid);
        // SAFETY: promised by the caller.
        let table = Rc::new(unsafe { Self::load(relation, capture_id, Changes::current()) }?);
        TABLES.with_borrow_mut(|tables| {
            let tables = tables.get_or_insert_default();
            if tables.len() >= MAX_KEPT_TABLES {
                tables.clear();
            }
            tables.insert(key, Rc::clone(&table));
        });
        Ok(table)
    }

    /// Whether nothing is captured at the moment.
    pub(super) fn is_paused(&self) -> bool {
        self.pause
            .as_ref()
            .is_some_and(|pause| pause.until.is_none_or(|until| until > crate::clock::now()))
    }

    /// # Safety
    /// The relation is open.
    unsafe fn load(
        relation: pg_sys::Relation,
        capture_id: [u8; 16],
        at: Changes,
    ) -> Result<Self, Error> {
        // SAFETY: the relation is open.
        let oid = unsafe { (*relation).rd_id };
        let capture = Capture::read(capture_id, oid)?;
        let treatments = Treatments::read(capture_id, oid)?;
        let memory = OwnedMemory::lasting(c"activity_log captured table");
        // SAFETY: the descriptor of an open relation is valid.
        let attributes = unsafe { Attributes::of(relation) };
        let key = attributes.key(oid, &memory)?;
        let tenant = match attributes.treated(&treatments.tenant, &memory) {
            Some((attribute, form)) => TenantSource::Column {
                index: attribute.index,
                form,
                otherwise: capture.tenant_id,
            },
            None => capture
                .tenant_id
                .map_or(TenantSource::Context, TenantSource::Fixed),
        };
        let columns = attributes.logged(&treatments, &key, capture.scrub, &memory)?;
        let depends_on_settings = columns.iter().any(|c| c.form.depends_on_settings())
            || key.iter().any(|(_, form)| form.depends_on_settings());
        Ok(Self {
            capture_id,
            relation: oid,
            is_captured: capture.is_of_table,
            object_type: capture.object_type,
            action_prefix: capture.action_prefix,
            tenant,
            must_have_tenant: capture.must_have_tenant,
            actor: attributes
                .treated(&treatments.actor, &memory)
                .map(|(attribute, form)| (attribute.index, form)),
            columns,
            key,
            pause: capture.pause,
            depends_on_settings,
            at,
            _memory: memory,
        })
    }
}

/// A row of `activity.captures`.
struct Capture {
    object_type: String,
    action_prefix: String,
    tenant_id: Option<[u8; 16]>,
    scrub: bool,
    must_have_tenant: bool,
    pause: Option<Pause>,
    is_of_table: bool,
}

impl Capture {
    /// In a restored copy tables have other OIDs until `migrate()`, so there their name has to do;
    /// at home only until the first look at a table that has come back.
    fn read(capture_id: [u8; 16], table: pg_sys::Oid) -> Result<Self, Error> {
        const PLACE: &str = "captures";
        db::query(
            Mode::ReadLatest,
            "SELECT object_type, action_prefix, tenant_id, scrub, on_missing_tenant = 'error', \
                    paused_at IS NOT NULL, paused_until, \
                    CASE WHEN activity._is_home() AND EXISTS (SELECT FROM pg_class k WHERE k.oid = c.relation) \
                         THEN c.relation = t.oid ELSE c.schema_name = n.nspname AND c.table_name = t.relname END \
             FROM activity.captures c, \
                  pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace \
             WHERE c.capture_id = $1 AND t.oid = coalesce(pg_partition_root($2), $2)",
            &[
                db::uuid(&capture_id),
                (pg_sys::REGCLASSOID, Some(pg_sys::Datum::from(table))),
            ],
            |row| {
                let is_paused: bool = row.must(6, PLACE)?;
                let until: Option<pgrx::datum::TimestampWithTimeZone> = row.get(7);
                Ok(Self {
                    object_type: row.must(1, PLACE)?,
                    action_prefix: row.must(2, PLACE)?,
                    tenant_id: row.get::<Uuid>(3).map(|id| *id.as_bytes()),
                    scrub: row.must(4, PLACE)?,
                    must_have_tenant: row.must(5, PLACE)?,
                    pause: is_paused.then(|| Pause {
                        until: until.map(i64::from),
                    }),
                    is_of_table: row.must(8, PLACE)?,
                })
            },
        )?
        .pop()
        .ok_or(Error::OrphanTrigger)
    }
}

/// The names of the columns that a capture treats in its own way.
#[derive(Default)]
struct Treatments {
    excluded: Vec<String>,
    redacted: Vec<String>,
    ignored: Vec<String>,
    tenant: Vec<String>,
    actor: Vec<String>,
}

impl Treatments {
    fn read(capture_id: [u8; 16], table: pg_sys::Oid) -> Result<Self, Error> {
        const PLACE: &str = "captures";
        let mut treatments = Self::default();
        db::query(
            Mode::ReadLatest,
            include_str!("../../../sql/query/capture_columns.sql"),
            &[
                db::uuid(&capture_id),
                (pg_sys::REGCLASSOID, Some(pg_sys::Datum::from(table))),
            ],
            |row| {
                let treatment: String = row.must(1, PLACE)?;
                let names = match treatment.as_str() {
                    "excluded" => &mut treatments.excluded,
                    "redacted" => &mut treatments.redacted,
                    "ignored" => &mut treatments.ignored,
                    "tenant" => &mut treatments.tenant,
                    _ => &mut treatments.actor,
                };
                names.push(row.must(2, PLACE)?);
                Ok(())
            },
        )?;
        Ok(treatments)
    }
}

/// The columns that a table has now.
struct Attributes(Vec<Attribute>);

struct Attribute {
    index: usize,
    name: String,
    type_oid: pg_sys::Oid,
}

impl Attributes {
    /// # Safety
    /// The relation is open.
    unsafe fn of(relation: pg_sys::Relation) -> Self {
        // SAFETY: the descriptor of an open relation is valid, and the index below its count.
        let attributes = unsafe {
            let columns = (*relation).rd_att;
            (0..usize::try_from((*columns).natts).unwrap_or(0))
                .map(|index| (index, db::attribute(columns, index)))
                .filter(|(_, attribute)| !attribute.attisdropped && is_stored(attribute))
                .map(|(index, attribute)| Attribute {
                    index,
                    name: db::name_text(&attribute.attname),
                    type_oid: attribute.atttypid,
                })
                .collect()
        };
        Self(attributes)
    }

    /// The first column with one of these names.
    fn treated(&self, names: &[String], memory: &OwnedMemory) -> Option<(&Attribute, Form)> {
        self.0
            .iter()
            .find(|attribute| names.contains(&attribute.name))
            .map(|attribute| (attribute, Form::of(attribute.type_oid, memory)))
    }

    /// The columns of the primary key, or of the key that tells rows apart in replication.
    fn key(&self, table: pg_sys::Oid, memory: &OwnedMemory) -> Result<Vec<(usize, Form)>, Error> {
        let numbers = db::query(
            Mode::ReadLatest,
            "SELECT k.attnum::int FROM (SELECT i.indkey FROM pg_index i \
               WHERE i.indrelid = $1 AND i.indisvalid AND (i.indisprimary OR i.indisreplident) \
               ORDER BY i.indisprimary DESC LIMIT 1) i, \
             LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, position) ORDER BY k.position",
            &[(pg_sys::OIDOID, Some(pg_sys::Datum::from(table)))],
            |row| row.must::<i32>(1, "pg_index"),
        )?;
        Ok(numbers
            .into_iter()
            .filter_map(|number| {
                let index = usize::try_from(number - 1).ok()?;
                let attribute = self.0.iter().find(|attribute| attribute.index == index)?;
                Some((index, Form::of(attribute.type_oid, memory)))
            })
            .collect())
    }

    /// The columns that are logged, in the order in which jsonb keeps its keys: with keys that
    /// come in order, no object has to be sorted.
    fn logged(
        &self,
        treatments: &Treatments,
        key: &[(usize, Form)],
        scrub: bool,
        memory: &OwnedMemory,
    ) -> Result<Vec<Column>, Error> {
        let mut columns = self
            .0
            .iter()
            .filter(|attribute| !treatments.excluded.contains(&attribute.name))
            .map(|attribute| {
                let form = Form::of(attribute.type_oid, memory);
                let is_key = key.iter().any(|(index, _)| *index == attribute.index);
                let is_scrubbed = scrub && !is_key && form.may_hold_secrets();
                Ok(Column {
                    index: attribute.index,
                    is_redacted: treatments.redacted.contains(&attribute.name),
                    is_ignored: treatments.ignored.contains(&attribute.name),
                    scrubbed_as: is_scrubbed
                        .then(|| privacy::classify(&attribute.name))
                        .transpose()?,
                    name: attribute.name.clone(),
                    form,
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        columns.sort_by(|a, b| (a.name.len(), &a.name).cmp(&(b.name.len(), &b.name)));
        Ok(columns)
    }
}

/// Whether rows hold the value of a column, and don't work it out when they are read.
fn is_stored(attribute: &pg_sys::FormData_pg_attribute) -> bool {
    const VIRTUAL: u8 = b'v';
    attribute.attgenerated as u8 != VIRTUAL
}
