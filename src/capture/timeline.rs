//! What happened to a captured table as a whole: changes of its columns, TRUNCATE, and gaps in
//! which changes may have gone unnoticed.

use super::lives::tenant_parameter;
use super::target::oid_parameter;
use crate::access::SYSTEM_TENANT;
use crate::db::{self, Mode};
use crate::error::Error;
use crate::value::JsonbOut;
use activity_log_core::capture::replay::{ColumnChange, Step};
use activity_log_core::jsonb::{Jsonb, to_json};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::{Uuid, pg_sys};

/// The events of a table, oldest first.
pub(super) struct Timeline(Vec<Entry>);

struct Entry {
    event_id: [u8; 16],
    recorded_at: i64,
    what: What,
}

enum What {
    Altered(ColumnChange),
    Truncated,
    Gap,
}

impl Timeline {
    /// What the log says of a table to readers of one tenant, or of all.
    pub(super) fn of(tenant_id: Option<&[u8; 16]>, object_type: &str) -> Result<Self, Error> {
        const PLACE: &str = "events";
        let entries = db::query(
            Mode::Read,
            include_str!("../../sql/query/capture_timeline.sql"),
            &[
                tenant_parameter(tenant_id),
                db::uuid(&SYSTEM_TENANT),
                db::text(Some(object_type)),
            ],
            |row| {
                let recorded_at: TimestampWithTimeZone = row.must(2, PLACE)?;
                let action: String = row.must(3, PLACE)?;
                let metadata: JsonbOut = row.must(4, PLACE)?;
                Ok(Entry {
                    event_id: *row.must::<Uuid>(1, PLACE)?.as_bytes(),
                    recorded_at: i64::from(recorded_at),
                    what: what(&action, &metadata),
                })
            },
        )?;
        Ok(Self(entries))
    }

    /// When all rows came to their end.
    pub(super) fn truncations(&self) -> Vec<([u8; 16], i64)> {
        let entries = self.0.iter();
        entries
            .filter(|entry| matches!(entry.what, What::Truncated))
            .map(|entry| (entry.event_id, entry.recorded_at))
            .collect()
    }

    /// The steps after an event, until a time.
    pub(super) fn steps(
        &self,
        after: [u8; 16],
        until: i64,
    ) -> impl Iterator<Item = ([u8; 16], Step<'_>)> {
        self.0
            .iter()
            .filter(move |entry| entry.event_id > after && entry.recorded_at <= until)
            .map(|entry| {
                let step = match &entry.what {
                    What::Altered(change) => Step::Altered(change),
                    What::Truncated => Step::Truncated,
                    What::Gap => Step::Gap,
                };
                (entry.event_id, step)
            })
    }

    /// Turns the columns of now into those of a time.
    pub(super) fn undo_after(&self, at: i64, columns: &mut Vec<String>) {
        for entry in self.0.iter().rev().filter(|entry| entry.recorded_at > at) {
            if let What::Altered(change) = &entry.what {
                change.undo(columns);
            }
        }
    }

    /// The first event after a time beyond which old values tell nothing of the time before.
    pub(super) fn first_break_after(&self, at: i64) -> Option<[u8; 16]> {
        let first = self.0.iter().find(|entry| entry.recorded_at > at);
        first.map(|entry| entry.event_id)
    }
}

fn what(action: &str, metadata: &JsonbOut) -> What {
    let metadata = Jsonb::new(&metadata.0)
        .ok()
        .and_then(|document| serde_json::from_str(&to_json(document.root())).ok())
        .unwrap_or(serde_json::Value::Null);
    match action {
        "activity.capture.schema_changed" => What::Altered(column_change(&metadata)),
        // Which rows were in a partition that was emptied, the log does not say.
        _ if action.ends_with(".truncated") && metadata.get("partition").is_none() => {
            What::Truncated
        }
        // A statement that was summed up, or a time without capture.
        _ => What::Gap,
    }
}

fn column_change(metadata: &serde_json::Value) -> ColumnChange {
    let list = |name: &str| metadata.get(name).and_then(serde_json::Value::as_array);
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let texts = |name: &str| list(name).into_iter().flatten().filter_map(text).collect();
    ColumnChange {
        added: texts("added"),
        dropped: texts("dropped"),
        renamed: list("renamed")
            .into_iter()
            .flatten()
            .filter_map(|entry| Some((text(entry.get("from")?)?, text(entry.get("to")?)?)))
            .collect(),
        retyped: list("retyped")
            .into_iter()
            .flatten()
            .filter_map(|entry| text(entry.get("column")?))
            .collect(),
    }
}

/// The columns of a table that its rows hold.
pub(super) fn stored_columns(relation: pg_sys::Oid) -> Result<Vec<String>, Error> {
    db::query(
        Mode::Read,
        "SELECT attname::text FROM pg_catalog.pg_attribute \
         WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND attgenerated <> 'v' ORDER BY attnum",
        &[oid_parameter(relation)],
        |row| row.must(1, "pg_attribute"),
    )
}
