//! Semantic rules: a transition of a captured row that is an event of its own.

#![allow(unsafe_code)]

use super::attach::one_of;
use super::attachment::Attachment;
use super::expression::{Expression, Terms, Wanted};
use super::target::{Target, oid_parameter};
use crate::access::Roles;
use crate::db::OwnedMemory;
use crate::db::{self, Mode, Relation, Row};
use crate::error::Error;
use crate::record;
use crate::registry;
use crate::value::{Regclass, given};
use activity_log_core::registry::action::is_reserved;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

/// What is done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Insert,
    Update,
    Delete,
}

impl Operation {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "insert" => Some(Self::Insert),
            "update" => Some(Self::Update),
            "delete" => Some(Self::Delete),
            _ => None,
        }
    }
}

/// A row of `activity.capture_rules`.
pub(super) struct Rule {
    pub(super) id: Uuid,
    pub(super) action: String,
    pub(super) operation: Operation,
    condition: String,
    metadata: Option<String>,
    /// The role whose rights the expressions run with.
    owner_role: String,
    /// Columns that must not get into the log.
    hidden: Vec<String>,
}

/// The expressions of a rule, over the rows of one relation.
pub(super) struct Expressions {
    pub(super) owner: pg_sys::Oid,
    pub(super) condition: Expression,
    pub(super) metadata: Option<Expression>,
    /// What the trees lie in: dropped after them.
    _memory: OwnedMemory,
}

const COLUMNS: &str = "r.rule_id, r.action, r.operation, r.when_condition, r.metadata_expression, r.owner_role, \
    c.excluded || c.redacted FROM activity.capture_rules r JOIN activity.captures c USING (capture_id)";

impl Rule {
    fn read(row: &Row) -> Result<Self, Error> {
        const PLACE: &str = "capture_rules";
        let operation: String = row.must(3, PLACE)?;
        let hidden: Vec<Option<String>> = row.must(7, PLACE)?;
        Ok(Self {
            id: row.must(1, PLACE)?,
            action: row.must(2, PLACE)?,
            operation: Operation::parse(&operation).ok_or(Error::Internal { place: PLACE })?,
            condition: row.must(4, PLACE)?,
            metadata: row.get(5),
            owner_role: row.must(6, PLACE)?,
            hidden: hidden.into_iter().flatten().collect(),
        })
    }

    /// The rules of a capture, as they are committed.
    pub(super) fn of(capture_id: &[u8; 16]) -> Result<Vec<Self>, Error> {
        let sql =
            format!("SELECT {COLUMNS} WHERE r.capture_id = $1 ORDER BY r.created_at, r.rule_id");
        db::query(Mode::ReadLatest, &sql, &[db::uuid(capture_id)], Self::read)
    }

    /// Takes the rule into use for rows of a relation: parses and checks its expressions.
    ///
    /// # Safety
    /// The relation is open.
    ///
    /// # Errors
    /// [`Error::BadExpression`]; what the server's parser says, it raises itself.
    pub(super) unsafe fn prepare(&self, relation: pg_sys::Relation) -> Result<Expressions, Error> {
        // SAFETY: the relation is open.
        let owner = unsafe { owner((*relation).rd_id) }?;
        if db::role_name(owner) != self.owner_role {
            return Err(Error::BadExpression {
                argument: "when_condition",
                problem: "the table has another owner than when the rule was made",
            });
        }
        let terms = Terms {
            owner,
            has_old: self.operation != Operation::Insert,
            has_new: self.operation != Operation::Delete,
            hidden: &self.hidden,
        };
        let memory = OwnedMemory::lasting(c"activity_log rule");
        let read = |text: &str, wanted| {
            // SAFETY: promised by the caller.
            memory.within(|| unsafe { Expression::read(text, wanted, relation, &terms) })
        };
        Ok(Expressions {
            owner,
            condition: read(&self.condition, Wanted::Condition)?,
            metadata: self
                .metadata
                .as_deref()
                .map(|text| read(text, Wanted::Metadata))
                .transpose()?,
            _memory: memory,
        })
    }
}

/// The owner of a table, or of the partitioned table that it belongs to.
fn owner(relation: pg_sys::Oid) -> Result<pg_sys::Oid, Error> {
    let owner = db::value::<pg_sys::Oid>(
        Mode::ReadLatest,
        "SELECT relowner FROM pg_catalog.pg_class WHERE oid = coalesce(pg_catalog.pg_partition_root($1::regclass), $1)",
        &[oid_parameter(relation)],
    )?;
    owner.ok_or(Error::Internal { place: "pg_class" })
}

/// Records an event of its own whenever a row makes a transition; the rule's id.
#[pg_extern(volatile, parallel_unsafe)]
fn on_change(
    target: default!(Option<Regclass>, "NULL"),
    action: default!(Option<&str>, "NULL"),
    when_condition: default!(Option<&str>, "NULL"),
    metadata: default!(Option<&str>, "NULL"),
    operation: default!(Option<&str>, "'update'"),
) -> Result<Uuid, ErrorReport> {
    db::oid(Relation::Captures)?;
    let target = Target::seen(target)?;
    target.must_be_owned()?;
    let attachment = Attachment::must_be_of(&target)?;
    let action = given(action).ok_or(Error::Missing { argument: "action" })?;
    if is_reserved(action) {
        return Err(Error::invalid("action", "the namespace activity is the log's own").into());
    }
    registry::check_registered(action)?;
    let condition = given(when_condition).ok_or(Error::Missing {
        argument: "when_condition",
    })?;
    let operation = one_of("operation", operation, &["update", "insert", "delete"])?;
    let rule = Rule {
        id: Uuid::from_bytes([0; 16]),
        action: action.to_owned(),
        operation: Operation::parse(operation).ok_or(Error::Internal { place: "operation" })?,
        condition: condition.to_owned(),
        metadata: given(metadata).map(str::to_owned),
        owner_role: db::role_name(owner(target.oid)?),
        hidden: [&attachment.excluded[..], &attachment.redacted[..]].concat(),
    };
    check(&rule, target.oid)?;
    Ok(insert(&rule, operation, &attachment)?)
}

/// Takes a rule into use and forgets it again.
pub(super) fn check(rule: &Rule, relation: pg_sys::Oid) -> Result<(), Error> {
    // SAFETY: the relation is closed again, or by the abort of the transaction.
    unsafe {
        let open = pg_sys::relation_open(relation, pg_sys::AccessShareLock as i32);
        let checked = rule.prepare(open).map(|_| ());
        pg_sys::relation_close(open, pg_sys::NoLock as i32);
        checked
    }
}

fn insert(rule: &Rule, operation: &str, attachment: &Attachment) -> Result<Uuid, Error> {
    let id = db::value::<Uuid>(
        Mode::Write,
        "INSERT INTO activity.capture_rules (rule_id, capture_id, action, operation, when_condition, \
             metadata_expression, owner_role, created_by) \
         VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, $6, $7) RETURNING rule_id",
        &[
            db::uuid(attachment.id.as_bytes()),
            db::text(Some(&rule.action)),
            db::text(Some(operation)),
            db::text(Some(&rule.condition)),
            db::text(rule.metadata.as_deref()),
            db::text(Some(&rule.owner_role)),
            db::text(Some(&db::role_name(Roles::current().session))),
        ],
    )?
    .ok_or(Error::Internal {
        place: "capture_rules",
    })?;
    record::write_system_event(
        "activity.capture.rule_added",
        &serde_json::json!({
            "rule_id": id.to_string(),
            "object_type": attachment.object_type,
            "action": rule.action,
            "operation": operation,
        }),
    )?;
    Ok(id)
}

/// Ends a rule; its id.
#[pg_extern(volatile, parallel_unsafe)]
fn drop_rule(id: default!(Option<Uuid>, "NULL")) -> Result<Uuid, ErrorReport> {
    db::oid(Relation::Captures)?;
    let id = id.ok_or(Error::Missing { argument: "id" })?;
    let dropped = db::query(
        Mode::Write,
        "DELETE FROM activity.capture_rules r USING activity.captures c \
         WHERE r.rule_id = $1 AND c.capture_id = r.capture_id RETURNING r.action, c.object_type",
        &[db::uuid(id.as_bytes())],
        |row| {
            Ok((
                row.must::<String>(1, "capture_rules")?,
                row.must::<String>(2, "captures")?,
            ))
        },
    )?;
    let Some((action, object_type)) = dropped.into_iter().next() else {
        return Err(Error::Unknown {
            what: "this rule",
            hint: "SELECT * FROM activity.capture_rules; lists them.",
        }
        .into());
    };
    record::write_system_event(
        "activity.capture.rule_dropped",
        &serde_json::json!({"rule_id": id.to_string(), "object_type": object_type, "action": action}),
    )?;
    Ok(id)
}
