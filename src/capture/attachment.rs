//! A captured table as `activity.captures` describes it, to those who change that.

use super::partitions::Partitions;
use super::target::{Target, oid_parameter};
use crate::db::{self, Mode, Relation, Row};
use crate::error::Error;
use activity_log_core::capture::columns::Column;
use pgrx::{IntoDatum, Uuid, pg_sys};

/// A capture and its table.
pub(super) struct Attachment {
    pub(super) id: Uuid,
    /// Where it is now; `None` if it is gone.
    pub(super) relation: Option<pg_sys::Oid>,
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) object_type: String,
    pub(super) tenant_column: Option<String>,
    pub(super) actor_column: Option<String>,
    pub(super) excluded: Vec<String>,
    pub(super) redacted: Vec<String>,
    pub(super) ignored: Vec<String>,
    pub(super) level: String,
    pub(super) replicated: bool,
    pub(super) is_intact: bool,
    /// The columns at the last look.
    pub(super) columns: Vec<Column>,
    /// The partitions at the last look.
    pub(super) partitions: Partitions,
}

const SELECT: &str = "SELECT c.capture_id, t.relation, c.schema_name, c.table_name, c.object_type, \
    c.tenant_column, c.actor_column, c.excluded, c.redacted, c.ignored, c.level, c.replicated, c.is_intact, \
    c.columns::text, c.column_types::text, c.partitions::text \
    FROM activity.captures c JOIN activity._captured_tables() t USING (capture_id)";

impl Attachment {
    fn read(row: &Row) -> Result<Self, Error> {
        const PLACE: &str = "captures";
        let columns: String = row.must(14, PLACE)?;
        let types: String = row.must(15, PLACE)?;
        let partitions: String = row.must(16, PLACE)?;
        Ok(Self {
            id: row.must(1, PLACE)?,
            relation: row.get(2),
            schema: row.must(3, PLACE)?,
            table: row.must(4, PLACE)?,
            object_type: row.must(5, PLACE)?,
            tenant_column: row.get(6),
            actor_column: row.get(7),
            excluded: names(row.must(8, PLACE)?),
            redacted: names(row.must(9, PLACE)?),
            ignored: names(row.must(10, PLACE)?),
            level: row.must(11, PLACE)?,
            replicated: row.must(12, PLACE)?,
            is_intact: row.must(13, PLACE)?,
            columns: columns_from_json(&columns, &types)?,
            partitions: serde_json::from_str(&partitions)
                .map_err(|_| Error::Internal { place: PLACE })?,
        })
    }

    /// Every capture.
    pub(super) fn all() -> Result<Vec<Self>, Error> {
        db::query(Mode::Write, SELECT, &[], Self::read)
    }

    /// A capture by its id.
    pub(super) fn by_id(id: Uuid) -> Result<Option<Self>, Error> {
        let sql = format!("{SELECT} WHERE c.capture_id = $1");
        Ok(db::query(Mode::Write, &sql, &[db::uuid(id.as_bytes())], Self::read)?.pop())
    }

    /// The capture of a table, if it is captured itself, not only through its parent.
    pub(super) fn of(relation: pg_sys::Oid) -> Result<Option<Self>, Error> {
        db::oid(Relation::Captures)?;
        let sql = format!("{SELECT} WHERE t.relation = $1");
        Ok(db::query(Mode::Write, &sql, &[oid_parameter(relation)], Self::read)?.pop())
    }

    /// The capture of a table that must have one.
    pub(super) fn must_be_of(target: &Target) -> Result<Self, Error> {
        Self::of(target.oid)?.ok_or(Error::Unknown {
            what: "the capture of this table",
            hint: "SELECT * FROM activity.coverage(); lists what is captured.",
        })
    }

    /// The level that the table should be captured at now: `row` or `statement`.
    pub(super) fn wanted_level(&self, relation: pg_sys::Oid) -> Result<String, Error> {
        let level = db::value(
            Mode::Write,
            "SELECT activity._wanted_level($1, $2)",
            &[db::text(Some(&self.level)), oid_parameter(relation)],
        )?;
        level.ok_or(Error::Internal {
            place: "capture level",
        })
    }
}

fn names(array: Vec<Option<String>>) -> Vec<String> {
    array.into_iter().flatten().collect()
}

/// A list of names as a parameter.
pub(super) fn names_parameter(names: &[String]) -> db::Parameter {
    (pg_sys::TEXTARRAYOID, names.to_vec().into_datum())
}

/// `{"name": attnum}` and `{"attnum": type}` of columns, as the table keeps them.
pub(super) fn columns_to_json(columns: &[Column]) -> Result<[db::Parameter; 2], Error> {
    let numbers: serde_json::Map<String, serde_json::Value> = columns
        .iter()
        .map(|column| (column.name.clone(), column.number.into()))
        .collect();
    let types: serde_json::Map<String, serde_json::Value> = columns
        .iter()
        .map(|column| (column.number.to_string(), column.kind.clone().into()))
        .collect();
    let parameter = |map| {
        crate::value::container(&serde_json::Value::Object(map)).map(|bytes| db::jsonb(&bytes))
    };
    Ok([parameter(numbers)?, parameter(types)?])
}

fn columns_from_json(numbers: &str, types: &str) -> Result<Vec<Column>, Error> {
    let place = |_| Error::Internal { place: "captures" };
    let numbers: std::collections::BTreeMap<String, i16> =
        serde_json::from_str(numbers).map_err(place)?;
    let types: std::collections::BTreeMap<String, String> =
        serde_json::from_str(types).map_err(place)?;
    Ok(numbers
        .into_iter()
        .map(|(name, number)| Column {
            kind: types.get(&number.to_string()).cloned().unwrap_or_default(),
            name,
            number,
        })
        .collect())
}
