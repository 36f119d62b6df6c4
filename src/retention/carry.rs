//! Carrying rows over: a partition goes, and some of its rows have to stay.
//!
//! They can't go into another partition, since each keeps its `recorded_at`. So a new partition
//! with the same bounds takes them, and is put in the place of the old one.

#![allow(unsafe_code)]

use super::hold;
use super::partition::{self, Partition};
use crate::archive;
use crate::db::{self, Failure, Mode, Parameter, Relation};
use crate::error::Error;
use activity_log_core::retention::kept_name;
use pgrx::{PgSqlErrorCode, pg_sys};
use std::time::Duration;

/// Longest wait for the lock that writers would queue up behind.
const LOCK_TIMEOUT: &std::ffi::CStr = c"40ms";
/// How often that lock is asked for, and the pause in between, in which writers go on.
const ATTEMPTS: usize = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// The partition that holds what was carried over.
#[derive(Clone, Debug)]
pub struct Carried {
    /// Its name, without schema.
    pub name: String,
    pub rows: u64,
}

/// Puts a partition that has only the rows which have to stay in the place of `partition`, which
/// is a table of its own afterwards and may be dropped. It may be detached already. `None` where
/// no row has to stay; then nothing was changed.
///
/// `condition` is SQL over the alias `e`, as [`hold::HELD`] is. Everything happens in the caller's
/// transaction, so a crash leaves either the old partition with all rows or the new one. Holds stay
/// as they are until its end.
///
/// # Errors
/// [`Error::IsolationLevel`] where the transaction would copy what it saw at its beginning. The
/// server raises 55P03 where somebody else's lock on the log did not go away in time.
pub fn carry_over(
    partition: &Partition,
    condition: &str,
    parameters: &[Parameter],
) -> Result<Option<Carried>, Error> {
    db::require_read_committed()?;
    hold::lock()?;
    // SAFETY: any relation may be locked; the server releases the lock. It holds off whoever would
    // change a row while it is copied.
    unsafe { pg_sys::LockRelationOid(partition.relation, pg_sys::ShareRowExclusiveLock as i32) };
    let old = partition::name(partition)?;
    let stays = db::value::<bool>(
        Mode::Write,
        &format!("SELECT EXISTS (SELECT FROM ONLY {old} e WHERE {condition})"),
        parameters,
    )?;
    if stays != Some(true) {
        return Ok(None);
    }
    let name = free_name(partition)?;
    make(&name, partition)?;
    let rows = copy(partition.relation, &old, &name, condition, parameters)?;
    exchange(partition, &old, &name)?;
    Ok(Some(Carried { name, rows }))
}

fn free_name(partition: &Partition) -> Result<String, Error> {
    let old =
        db::relation_name(partition.relation).ok_or(Error::Internal { place: "partition" })?;
    let taken = db::query(
        Mode::Write,
        // A name that was in use before still stands in the ledger.
        "SELECT relname::text FROM pg_catalog.pg_class WHERE relnamespace = 'activity'::regnamespace \
         UNION SELECT partition FROM activity.partition_ranges",
        &[],
        |row| row.must::<String>(1, "pg_class"),
    )?;
    Ok(kept_name(&old, |name| {
        taken.iter().any(|known| known == name)
    }))
}

/// A table like a partition, with its guard and indexes, so that attaching it builds nothing.
fn make(name: &str, partition: &Partition) -> Result<(), Error> {
    let known = db::relations_of_schema()?;
    let table = table(name);
    let (from, to) = partition::bound_literals(partition)?;
    for step in [
        format!(
            "CREATE TABLE {table} (LIKE activity.events INCLUDING DEFAULTS INCLUDING CONSTRAINTS \
             INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING INDEXES, \
             CONSTRAINT bounds CHECK (recorded_at >= {from} AND recorded_at < {to}))"
        ),
        format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"),
        format!(
            "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} \
             FOR EACH STATEMENT EXECUTE FUNCTION activity._append_only()"
        ),
        format!("ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only"),
    ] {
        db::run(&step, &[])?;
    }
    db::revoke_default_grants(&known)
}

fn copy(
    relation: pg_sys::Oid,
    old: &str,
    name: &str,
    condition: &str,
    parameters: &[Parameter],
) -> Result<u64, Error> {
    let columns = archive::columns(relation)?;
    let columns: Vec<String> = columns
        .iter()
        .map(|column| pgrx::spi::quote_identifier(&column.name))
        .collect();
    let columns = columns.join(", ");
    let table = table(name);
    let rows = db::run(
        &format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM ONLY {old} e WHERE {condition}"
        ),
        parameters,
    )?;
    db::run(&format!("ANALYZE {table}"), &[])?;
    Ok(rows)
}

/// Puts the new partition into the place of the old one.
fn exchange(partition: &Partition, old: &str, name: &str) -> Result<(), Error> {
    for _ in 1..ATTEMPTS {
        match db::in_subtransaction(|| swap(partition, old, name)) {
            Ok(()) => return Ok(()),
            Err(Failure::Raised {
                code: PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
            }) => pause(),
            Err(Failure::Refused(error)) => return Err(error),
            Err(Failure::Raised { .. }) => break,
        }
    }
    // What stands in the way now is raised as the server says it.
    swap(partition, old, name)
}

fn swap(partition: &Partition, old: &str, name: &str) -> Result<(), Error> {
    let (from, to) = partition::bound_literals(partition)?;
    let table = table(name);
    db::as_owner(|| {
        db::set_option(c"lock_timeout", LOCK_TIMEOUT, db::Scope::Block);
        if is_attached(partition)? {
            db::run(&format!("ALTER TABLE activity.events DETACH PARTITION {old}"), &[])?;
        }
        db::run(
            &format!(
                "ALTER TABLE activity.events ATTACH PARTITION {table} FOR VALUES FROM ({from}) TO ({to})"
            ),
            &[],
        )?;
        db::run(&format!("ALTER TABLE {table} DROP CONSTRAINT bounds"), &[])
    })
    .map(|_| ())
}

fn is_attached(partition: &Partition) -> Result<bool, Error> {
    let parameter = |oid| (pg_sys::OIDOID, Some(pg_sys::Datum::from(oid)));
    let attached = db::value::<bool>(
        Mode::Write,
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhrelid = $1 AND inhparent = $2)",
        &[
            parameter(partition.relation),
            parameter(db::oid(Relation::Events)?),
        ],
    )?;
    Ok(attached == Some(true))
}

fn table(name: &str) -> String {
    pgrx::spi::quote_qualified_identifier("activity", name)
}

fn pause() {
    std::thread::sleep(PAUSE);
    pgrx::check_for_interrupts!();
}
