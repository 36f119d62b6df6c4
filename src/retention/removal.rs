//! Dropping a partition that was detached, or attaching it again where a hold came in between.

use super::ledger::{self, Entry};
use super::maintain::Work;
use super::partition::{self, Partition};
use super::{detach, run};
use crate::db::{self, Mode};
use crate::error::Error;
use crate::record;
use pgrx::spi::quote_identifier;
use pgrx::{IntoDatum, pg_sys};
use serde_json::{Value, json};

/// Removes the next table that is no longer attached.
pub fn remove() -> Result<Work, Error> {
    for (name, entry) in ledger::entries()? {
        let is_leaving = matches!(entry.state.as_str(), "detaching" | "detached");
        if !is_leaving || run::with(|run| run.skipped.contains(&name))? {
            continue;
        }
        let Some(relation) = table(&name)? else {
            ledger::set_state(&name, "dropped")?;
            return Ok(Work::Did(json!({"was_dropped": true})));
        };
        if is_attached(relation)? {
            continue;
        }
        run::with(|run| run.partition = Some(name.clone()))?;
        let partition = Partition {
            relation,
            lower: entry.lower,
            upper: entry.upper,
        };
        return remove_table(&name, &entry, &partition).map(Work::Did);
    }
    Ok(Work::Finished)
}

/// A hold waits until this transaction has ended, and one that came before is seen.
fn remove_table(name: &str, entry: &Entry, partition: &Partition) -> Result<Value, Error> {
    if entry.state == "detaching" {
        ledger::set_state(name, "detached")?;
    }
    if !detach::still_goes(name, partition)? {
        attach(name, partition)?;
        return Ok(json!({"attached_again": true}));
    }
    drop_table(name)
}

/// Drops a table that is no longer attached, and tells what it was.
pub fn drop_table(name: &str) -> Result<Value, Error> {
    db::run(
        &format!("DROP TABLE activity.{}", quote_identifier(name)),
        &[],
    )?;
    ledger::set_state(name, "dropped")?;
    let record = db::value::<pgrx::JsonB>(
        Mode::ReadLatest,
        "SELECT jsonb_strip_nulls(jsonb_build_object('partition', r.partition, 'from', r.lower_bound, 'to', r.upper_bound, \
             'rows', r.rows, 'archive', r.archive_manifest, 'sha256', r.archive_sha256)) \
         FROM activity.partition_ranges r WHERE r.partition = $1",
        &[db::text(Some(name))],
    )?;
    let record = record.map_or_else(|| json!({}), |record| record.0);
    record::write_system_event("activity.partition.dropped", &record)?;
    Ok(record)
}

/// Puts a table back to where it was, with everything in it.
fn attach(name: &str, partition: &Partition) -> Result<(), Error> {
    let bounds = partition::bounds_of(partition).ok_or(Error::Internal { place: "bounds" })?;
    let (from, to) = (
        partition::literal(bounds.lower),
        partition::literal(bounds.upper),
    );
    db::run(
        &format!(
            "ALTER TABLE activity.events ATTACH PARTITION activity.{} FOR VALUES FROM ({from}) TO ({to})",
            quote_identifier(name)
        ),
        &[],
    )?;
    ledger::set_state(name, "closed")
}

fn table(name: &str) -> Result<Option<pg_sys::Oid>, Error> {
    db::value(
        Mode::ReadLatest,
        "SELECT oid FROM pg_class WHERE relname = $1 AND relnamespace = 'activity'::regnamespace AND relkind = 'r'",
        &[(pg_sys::TEXTOID, name.to_owned().into_datum())],
    )
}

/// Whether a table is a partition of something, also one on its way out.
fn is_attached(relation: pg_sys::Oid) -> Result<bool, Error> {
    let is_attached = db::value(
        Mode::ReadLatest,
        "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = $1)",
        &[(pg_sys::OIDOID, relation.into_datum())],
    )?;
    Ok(is_attached.unwrap_or(true))
}
