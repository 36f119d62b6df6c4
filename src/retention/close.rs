//! Closing partitions whose time is over: from then on their range of occurrence is known.

use super::ledger;
use super::partition::{self, Partition};
use crate::clock::now;
use crate::db::{self, Mode};
use crate::error::Error;
use pgrx::prelude::TimestampWithTimeZone;
use pgrx::spi::quote_literal;

/// Closes a partition. The lock waits for whoever still writes into it; nobody else wants one that
/// conflicts. Should an event come later all the same (a superuser may insert what he likes), the
/// trigger opens the partition again.
pub fn close(name: &str, partition: &Partition) -> Result<serde_json::Value, Error> {
    let table = partition::name(partition)?;
    db::run(
        &format!("LOCK TABLE ONLY {table} IN SHARE ROW EXCLUSIVE MODE"),
        &[],
    )?;
    watch(&table)?;
    let (rows, oldest, newest) = survey(&table)?;
    // Nothing changes here any more: one vacuum freezes it, and later ones find nothing to do.
    db::run(
        &format!(
            "ALTER TABLE {table} SET (autovacuum_freeze_min_age = 0, autovacuum_freeze_table_age = 0, \
             autovacuum_vacuum_insert_threshold = 0, autovacuum_vacuum_insert_scale_factor = 0)"
        ),
        &[],
    )?;
    db::run(&format!("ANALYZE {table}"), &[])?;
    ledger::enter(name, partition.lower, partition.upper)?;
    db::run(
        "UPDATE activity.partition_ranges SET state = 'closed', closed_at = $2, rows = $3, oldest = $4, newest = $5, \
             lower_bound = $6, upper_bound = $7, bytes = pg_catalog.pg_table_size(CAST($8 AS regclass)) \
         WHERE partition = $1",
        &[
            db::text(Some(name)),
            db::time(now()),
            db::bigint(rows),
            time(oldest),
            time(newest),
            db::time(partition.lower),
            db::time(partition.upper),
            db::text(Some(&table)),
        ],
    )?;
    Ok(serde_json::json!({"rows": rows}))
}

/// Puts the trigger on it that notices a later event.
pub fn watch(table: &str) -> Result<(), Error> {
    let is_watched = db::value::<bool>(
        Mode::ReadLatest,
        &format!(
            "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'reopened' AND tgrelid = {}::regclass)",
            quote_literal(table)
        ),
        &[],
    )?;
    if is_watched == Some(true) {
        return Ok(());
    }
    db::run(
        &format!(
            "CREATE TRIGGER reopened BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION activity._reopened()"
        ),
        &[],
    )?;
    db::run(
        &format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER reopened"),
        &[],
    )
    .map(|_| ())
}

type Survey = (i64, Option<i64>, Option<i64>);

fn survey(table: &str) -> Result<Survey, Error> {
    let rows = db::query(
        Mode::ReadLatest,
        &format!("SELECT count(*), min(occurred_at), max(occurred_at) FROM ONLY {table}"),
        &[],
        |row| {
            let time = |at| row.get::<TimestampWithTimeZone>(at).map(i64::from);
            Ok((row.must(1, "events")?, time(2), time(3)))
        },
    )?;
    rows.into_iter()
        .next()
        .ok_or(Error::Internal { place: "events" })
}

fn time(at: Option<i64>) -> db::Parameter {
    at.map_or((pgrx::pg_sys::TIMESTAMPTZOID, None), db::time)
}
