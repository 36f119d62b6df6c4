//! `activity.partition_ranges`: what retention has written down of each partition.

use super::partition::{from_utc, to_utc};
use crate::archive::Archived;
use crate::clock::now;
use crate::db::{self, Mode};
use crate::error::Error;
use chrono::{DateTime, Utc};
use pgrx::prelude::TimestampWithTimeZone;
use pgrx::{IntoDatum, pg_sys};
use std::collections::HashMap;

/// A row of `activity.partition_ranges`.
pub struct Entry {
    pub state: String,
    pub is_closed: bool,
    /// Under which rules and when retention looked at it last, without having something left to do.
    pub swept: Option<(String, DateTime<Utc>)>,
    pub is_archived: bool,
    pub lower: i64,
    pub upper: i64,
    pub are_keys_purged: bool,
}

/// Every entry, by the name of the partition.
pub fn entries() -> Result<HashMap<String, Entry>, Error> {
    let rows = db::query(
        Mode::ReadLatest,
        "SELECT partition, state, closed_at IS NOT NULL, swept_policies, swept_at, archived_at IS NOT NULL, \
                lower_bound, upper_bound, keys_purged_at IS NOT NULL FROM activity.partition_ranges",
        &[],
        |row| {
            let place = "partition_ranges";
            let time = |at| row.get::<TimestampWithTimeZone>(at).map(i64::from);
            Ok((
                row.must::<String>(1, place)?,
                Entry {
                    state: row.must(2, place)?,
                    is_closed: row.must(3, place)?,
                    swept: row.get::<String>(4).zip(time(5).and_then(to_utc)),
                    is_archived: row.must(6, place)?,
                    lower: time(7).ok_or(Error::Internal { place })?,
                    upper: time(8).ok_or(Error::Internal { place })?,
                    are_keys_purged: row.must(9, place)?,
                },
            ))
        },
    )?;
    Ok(rows.into_iter().collect())
}

/// Makes sure that a partition has a row. That of an earlier one of the same name, which was dropped,
/// makes room for it.
pub fn enter(name: &str, lower: i64, upper: i64) -> Result<(), Error> {
    db::run(
        "DELETE FROM activity.partition_ranges WHERE partition = $1 AND state = 'dropped'",
        &[db::text(Some(name))],
    )?;
    db::run(
        "INSERT INTO activity.partition_ranges (partition, lower_bound, upper_bound, state) \
         VALUES ($1, $2, $3, 'open') ON CONFLICT (partition) DO NOTHING",
        &[db::text(Some(name)), db::time(lower), db::time(upper)],
    )
    .map(|_| ())
}

/// Writes down that there is nothing left to do under these rules.
pub fn set_swept(name: &str, digest: &str, is_held: bool) -> Result<(), Error> {
    db::run(
        "UPDATE activity.partition_ranges SET swept_policies = $2, swept_at = $3, \
             held_since = CASE WHEN $4 <> 0 THEN coalesce(held_since, $3) END \
         WHERE partition = $1",
        &[
            db::text(Some(name)),
            db::text(Some(digest)),
            db::time(now()),
            db::int(i32::from(is_held)),
        ],
    )
    .map(|_| ())
}

/// Writes down how far a partition is on its way out.
pub fn set_state(name: &str, state: &str) -> Result<(), Error> {
    db::run(
        "UPDATE activity.partition_ranges SET state = $2, \
             detached_at = CASE WHEN $2 = 'detached' THEN $3 WHEN $2 = 'dropped' THEN detached_at END, \
             dropped_at = CASE WHEN $2 = 'dropped' THEN $3 END, \
             keys_purged_at = NULL \
         WHERE partition = $1",
        &[db::text(Some(name)), db::text(Some(state)), db::time(now())],
    )
    .map(|_| ())
}

/// Writes down where the archive of a partition lies that was written and verified.
pub fn set_archived(
    name: &str,
    archived: &Archived,
    keep_until: Option<DateTime<Utc>>,
) -> Result<(), Error> {
    let place = "archive";
    let rows = i64::try_from(archived.rows).map_err(|_| Error::Internal { place })?;
    let keep_until = keep_until.map(from_utc);
    db::run(
        "UPDATE activity.partition_ranges SET archive_file = $2, archive_manifest = $3, archive_sha256 = $4, \
             archive_rows = $5, archive_tenants = CAST($6 AS uuid[]), archive_keep_until = $7, archived_at = $8 \
         WHERE partition = $1",
        &[
            db::text(Some(name)),
            db::text(Some(&archived.file)),
            db::text(Some(&archived.manifest)),
            db::text(Some(&archived.sha256)),
            db::bigint(rows),
            (pg_sys::TEXTARRAYOID, archived.tenants.clone().into_datum()),
            keep_until.map_or((pg_sys::TIMESTAMPTZOID, None), db::time),
            db::time(now()),
        ],
    )
    .map(|_| ())
}
