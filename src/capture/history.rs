//! `object_history()`: everything that happened to one object, field by field.

use super::lives::{Bound, Lives, key_columns, tenant_parameter};
use super::timeline::Timeline;
use crate::access::{self, Purpose};
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use crate::read::{COLUMNS, EventRow};
use crate::value::{self, JsonbOut, given};
use activity_log_core::jsonb::{Jsonb, Value};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};
use std::collections::BTreeMap;

/// One field of an event: its name, what it was and what it became.
type Field = (Option<String>, Option<JsonbOut>, Option<JsonbOut>);

/// The events of an object, newest first, with a row for each field that changed; an event that
/// changed none has one row. An object whose key changed is followed back through its names.
#[expect(
    clippy::type_complexity,
    reason = "pgrx reads the columns from the type"
)]
#[pg_extern(stable, parallel_unsafe)]
fn object_history(
    object_type: default!(Option<&str>, "NULL"),
    object_id: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(event_id, Uuid),
            name!(tenant_id, Uuid),
            name!(recorded_at, TimestampWithTimeZone),
            name!(occurred_at, TimestampWithTimeZone),
            name!(action, String),
            name!(action_version, Option<i32>),
            name!(status, String),
            name!(source, String),
            name!(actor_type, Option<String>),
            name!(actor_id, Option<String>),
            name!(object_type, Option<String>),
            name!(object_id, Option<String>),
            name!(request_id, Option<String>),
            name!(ip_prefix, Option<String>),
            name!(user_agent, Option<String>),
            name!(db_role, Option<String>),
            name!(metadata, JsonbOut),
            name!(changes, Option<JsonbOut>),
            name!(field, Option<String>),
            name!(old, Option<JsonbOut>),
            name!(new, Option<JsonbOut>),
        ),
    >,
    ErrorReport,
> {
    db::oid(Relation::Captures)?;
    let object_type = given(object_type).ok_or(Error::Missing {
        argument: "object_type",
    })?;
    let object_id = given(object_id).ok_or(Error::Missing {
        argument: "object_id",
    })?;
    let tenant_id = access::readable_tenants()?;
    let rows = events(tenant_id, object_type, object_id)?
        .into_iter()
        .flat_map(|e| {
            fields(e.changes.as_ref())
                .into_iter()
                .map(move |(field, old, new)| {
                    (
                        e.event_id,
                        e.tenant_id,
                        e.recorded_at,
                        e.occurred_at,
                        e.action.clone(),
                        e.action_version,
                        e.status.clone(),
                        e.source.clone(),
                        e.actor_type.clone(),
                        e.actor_id.clone(),
                        e.object_type.clone(),
                        e.object_id.clone(),
                        e.request_id.clone(),
                        e.ip_prefix.clone(),
                        e.user_agent.clone(),
                        e.db_role.clone(),
                        e.metadata.clone(),
                        e.changes.clone(),
                        field,
                        old,
                        new,
                    )
                })
        });
    Ok(TableIterator::new(rows))
}

/// The events under the object's name, and those under the names it had before, newest first.
fn events(
    tenant_id: Option<[u8; 16]>,
    object_type: &str,
    object_id: &str,
) -> Result<Vec<EventRow>, Error> {
    let mut rows = events_of_name(tenant_id, object_type, object_id, &LAST)?;
    let Some(lives) = lives(tenant_id, object_type)? else {
        return Ok(rows);
    };
    let mut names = vec![(object_id.to_owned(), LAST)];
    while let Some((name, before)) = names.pop() {
        pgrx::check_for_interrupts!();
        let bound = Bound {
            before,
            ..Bound::at(i64::MAX)
        };
        for arrival in lives.arrivals(&name, bound)? {
            let earlier = Lives::name_before(&arrival);
            let until = following(arrival.event_id);
            rows.extend(events_of_name(tenant_id, object_type, earlier, &until)?);
            names.push((earlier.to_owned(), arrival.event_id));
        }
    }
    rows.sort_by_key(|row| std::cmp::Reverse(*row.event_id.as_bytes()));
    rows.dedup_by_key(|row| *row.event_id.as_bytes());
    Ok(rows)
}

/// After every id.
const LAST: [u8; 16] = [0xFF; 16];

/// The least id after another.
fn following(id: [u8; 16]) -> [u8; 16] {
    u128::from_be_bytes(id).saturating_add(1).to_be_bytes()
}

fn events_of_name(
    tenant_id: Option<[u8; 16]>,
    object_type: &str,
    object_id: &str,
    before: &[u8; 16],
) -> Result<Vec<EventRow>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM activity.events \
         WHERE ($1::uuid IS NULL OR tenant_id = $1) AND object_type = $2 AND object_id = $3 AND event_id < $4 \
         ORDER BY event_id DESC"
    );
    let parameters = [
        tenant_parameter(tenant_id.as_ref()),
        db::text(Some(object_type)),
        db::text(Some(object_id)),
        db::uuid(before),
    ];
    let mut rows = db::query(Mode::Read, &sql, &parameters, EventRow::read)?;
    if tenant_id.is_none() {
        let mut visible = Vec::with_capacity(rows.len());
        for row in rows {
            if access::may_reach(row.tenant_id.as_bytes(), Purpose::Read)? {
                visible.push(row);
            }
        }
        rows = visible;
    }
    Ok(rows)
}

/// The rows of the captured table with this object type; `None` if there is no such table now.
fn lives(tenant_id: Option<[u8; 16]>, object_type: &str) -> Result<Option<Lives>, Error> {
    let captured = db::query(
        Mode::Read,
        "SELECT c.action_prefix, t.relation FROM activity.captures c JOIN activity._captured_tables() t USING (capture_id) \
         WHERE c.object_type = $1 AND t.relation IS NOT NULL",
        &[db::text(Some(object_type))],
        |row| {
            Ok((
                row.must::<String>(1, "captures")?,
                row.must::<pg_sys::Oid>(2, "captures")?,
            ))
        },
    )?;
    let Some((action_prefix, relation)) = captured.into_iter().next() else {
        return Ok(None);
    };
    let key = key_columns(relation)?;
    let timeline = Timeline::of(tenant_id.as_ref(), object_type)?;
    Ok(Some(Lives {
        truncations: timeline.truncations(),
        tenant_id,
        object_type: object_type.to_owned(),
        action_prefix,
        key: key.into_iter().map(|column| column.name).collect(),
    }))
}

/// The fields that a change tells of, by name.
fn fields(changes: Option<&JsonbOut>) -> Vec<Field> {
    let mut fields: BTreeMap<String, (Option<JsonbOut>, Option<JsonbOut>)> = BTreeMap::new();
    let document = changes.and_then(|changes| Jsonb::new(&changes.0).ok());
    if let Some(Value::Object(changes)) = document.map(Jsonb::root) {
        for (name, value) in members(changes.get("old")) {
            fields.entry(name).or_default().0 = value;
        }
        for (name, value) in members(changes.get("new")) {
            fields.entry(name).or_default().1 = value;
        }
    }
    if fields.is_empty() {
        return vec![(None, None, None)];
    }
    fields
        .into_iter()
        .map(|(name, (old, new))| (Some(name), old, new))
        .collect()
}

fn members(image: Option<Value<'_>>) -> Vec<(String, Option<JsonbOut>)> {
    let Some(Value::Object(image)) = image else {
        return Vec::new();
    };
    image
        .iter()
        .map(|(name, value)| (name.to_owned(), value::document(value).map(JsonbOut)))
        .collect()
}
