//! The partitions of a captured table: which came and went since the last look.
//!
//! Rows come and go with a partition that is attached, detached or dropped, and no trigger sees
//! them. Which rows those were the log can't say, so such an event leaves all rows in doubt.

use super::attachment::Attachment;
use super::condition::Place;
use super::target::oid_parameter;
use crate::db::{self, Mode};
use crate::error::Error;
use crate::record;
use pgrx::pg_sys;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Partitions of all levels: the name of each by its OID.
pub(super) type Partitions = BTreeMap<u32, String>;

/// Compares the partitions of a table with what is remembered of them. What differs is remembered
/// anew, and is an event.
pub(super) fn follow(
    attachment: &Attachment,
    relation: pg_sys::Oid,
    place: Place,
) -> Result<(), Error> {
    let now = of(relation)?;
    if now == attachment.partitions {
        return Ok(());
    }
    db::run(
        "UPDATE activity.captures SET partitions = $2 WHERE capture_id = $1",
        &[db::uuid(attachment.id.as_bytes()), parameter(&now)?],
    )?;
    // In a copy all of them have other OIDs.
    let known = &attachment.partitions;
    if place == Place::Copy || now.keys().eq(known.keys()) {
        return Ok(());
    }
    let attached = beyond(&now, known);
    let (mut detached, mut dropped) = (Partitions::new(), Partitions::new());
    for (oid, name) in beyond(known, &now) {
        let gone = if exists(oid)? {
            &mut detached
        } else {
            &mut dropped
        };
        gone.insert(oid, name);
    }
    let may_hold_rows = !dropped.is_empty() || any_has_rows(&attached)? || any_has_rows(&detached)?;
    record::write_system_event(
        "activity.capture.partitions_changed",
        &json!({
            "capture_id": attachment.id.to_string(),
            "object_type": attachment.object_type,
            "attached": names(&attached),
            "detached": names(&detached),
            "dropped": names(&dropped),
            "may_hold_rows": may_hold_rows,
        }),
    )
}

/// The partitions that a table has.
pub(super) fn of(relation: pg_sys::Oid) -> Result<Partitions, Error> {
    let rows = db::query(
        Mode::Write,
        "SELECT c.oid, format('%I.%I', n.nspname, c.relname) \
         FROM pg_partition_tree($1::regclass) p JOIN pg_class c ON c.oid = p.relid \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid <> $1",
        &[oid_parameter(relation)],
        |row| {
            let oid: pg_sys::Oid = row.must(1, "pg_class")?;
            Ok((oid.to_u32(), row.must(2, "pg_class")?))
        },
    )?;
    Ok(rows.into_iter().collect())
}

/// Partitions as `activity.captures` keeps them: `{"oid": "schema.name"}`.
pub(super) fn parameter(partitions: &Partitions) -> Result<db::Parameter, Error> {
    let entries = partitions
        .iter()
        .map(|(oid, name)| (oid.to_string(), Value::from(name.as_str())));
    crate::value::container(&Value::Object(entries.collect())).map(|bytes| db::jsonb(&bytes))
}

/// Those of the first that the second has not.
fn beyond(first: &Partitions, second: &Partitions) -> Partitions {
    let news = first.iter().filter(|(oid, _)| !second.contains_key(oid));
    news.map(|(oid, name)| (*oid, name.clone())).collect()
}

fn names(partitions: &Partitions) -> Vec<&String> {
    partitions.values().collect()
}

fn exists(oid: u32) -> Result<bool, Error> {
    let found = db::value::<bool>(
        Mode::Write,
        "SELECT EXISTS (SELECT FROM pg_class WHERE oid = $1)",
        &[oid_parameter(pg_sys::Oid::from(oid))],
    )?;
    Ok(found == Some(true))
}

/// Whether any of them has pages, or lies elsewhere.
fn any_has_rows(partitions: &Partitions) -> Result<bool, Error> {
    for oid in partitions.keys() {
        let has_rows = db::value::<bool>(
            Mode::Write,
            "SELECT relkind <> 'p' AND (relkind <> 'r' OR pg_relation_size(oid) > 0) FROM pg_class WHERE oid = $1",
            &[oid_parameter(pg_sys::Oid::from(*oid))],
        )?;
        if has_rows == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
}
