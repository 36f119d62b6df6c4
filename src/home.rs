//! Which log this is, and where it is at home: the cluster and the database that `setup()` or
//! `migrate()` ran in. Anywhere else it is a copy.

#![allow(unsafe_code)]

use crate::db::{self, Mode, Relation};
use crate::error::Error;
use pgrx::{Uuid, pg_sys};
use std::cell::Cell;

thread_local! {
    static LOG_ID: Cell<(u64, [u8; 16])> = const { Cell::new((0, [0; 16])) };
}

/// The identity of this log, which dump and restore keep.
pub fn log_id() -> Result<[u8; 16], Error> {
    db::oid(Relation::Log)?;
    let at = db::changes(Relation::Log);
    let (seen, log_id) = LOG_ID.get();
    if seen == at {
        return Ok(log_id);
    }
    let log_id = db::value::<Uuid>(Mode::ReadLatest, "SELECT log_id FROM activity.log", &[])?
        .ok_or(Error::NotSetUp)?;
    LOG_ID.set((at, *log_id.as_bytes()));
    Ok(*log_id.as_bytes())
}

/// The number of this life of the database. One that is not written down yet counts as the next,
/// which every session works out alike; `setup()` and `migrate()` write it down.
pub fn incarnation() -> Result<i32, Error> {
    db::value::<i32>(
        Mode::ReadLatest,
        "SELECT coalesce(max(gen) FILTER (WHERE system_identifier = $1 AND timeline = $2 AND database_oid = $3), \
                         max(gen) + 1, 1) FROM activity.incarnations",
        &incarnation_parameters(),
    )?
    .ok_or(Error::Internal { place: "incarnations" })
}

pub fn persist_incarnation() -> Result<(), Error> {
    db::run(
        "INSERT INTO activity.incarnations (gen, system_identifier, timeline, database_oid) \
         SELECT coalesce(max(gen), 0) + 1, $1, $2, $3 FROM activity.incarnations \
         ON CONFLICT (system_identifier, timeline, database_oid) DO NOTHING",
        &incarnation_parameters(),
    )
    .map(|_| ())
}

/// Writes the present incarnation down if that has not been done. Looking first spares every
/// session the notice that the table has changed.
pub fn ensure_incarnation() -> Result<(), Error> {
    db::oid(Relation::Incarnations)?;
    let is_known = db::value::<bool>(
        Mode::ReadLatest,
        "SELECT EXISTS (SELECT FROM activity.incarnations \
         WHERE system_identifier = $1 AND timeline = $2 AND database_oid = $3)",
        &incarnation_parameters(),
    )?;
    if is_known == Some(true) {
        Ok(())
    } else {
        persist_incarnation()
    }
}

fn incarnation_parameters() -> [db::Parameter; 3] {
    [
        db::text(Some(&system_identifier())),
        db::bigint(i64::from(timeline())),
        (pg_sys::OIDOID, Some(pg_sys::Datum::from(database_oid()))),
    ]
}

pub fn system_identifier() -> String {
    // SAFETY: reads a constant of the cluster.
    unsafe { pg_sys::GetSystemIdentifier() }.to_string()
}

pub fn database_oid() -> pg_sys::Oid {
    // SAFETY: a constant of the session.
    unsafe { pg_sys::MyDatabaseId }
}

/// The timeline that is written to. Called by writers only, so recovery is over.
fn timeline() -> u32 {
    // SAFETY: a session that writes runs after recovery, when the timeline no longer changes.
    #[cfg(not(feature = "pg14"))]
    unsafe {
        pg_sys::GetWALInsertionTimeLine()
    }
    // SAFETY: as above; this server keeps the timeline in a variable of each process.
    #[cfg(feature = "pg14")]
    unsafe {
        pg_sys::ThisTimeLineID
    }
}
