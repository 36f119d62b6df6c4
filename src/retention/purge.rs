//! What goes after the events: their keys of idempotency, archives whose time is over, consumers that
//! nobody uses, and old entries of the log of runs.

use super::maintain::Work;
use super::{hold, ledger, partition, run};
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use crate::record;
use serde_json::json;
use std::fs;
use std::io::ErrorKind;

/// Rows that one transaction deletes.
const BATCH: i32 = 10_000;

/// Deletes keys whose events' partition is gone, in batches. Where rows were carried over, a
/// partition is still there for them, and the keys stay with it.
pub fn keys() -> Result<Work, Error> {
    let root = db::oid(Relation::Events)?;
    db::lock_shared(root);
    for (name, entry) in ledger::entries()? {
        let is_due = entry.state == "dropped" && !entry.are_keys_purged;
        if !is_due || partition::partition_at(root, entry.lower)?.is_some() {
            continue;
        }
        run::with(|run| run.partition = Some(name.clone()))?;
        let deleted = db::run(
            "DELETE FROM activity.idempotency_keys WHERE ctid = ANY (ARRAY( \
                 SELECT k.ctid FROM activity.idempotency_keys k \
                 WHERE k.recorded_at >= $1 AND k.recorded_at < $2 LIMIT $3))",
            &[db::time(entry.lower), db::time(entry.upper), db::int(BATCH)],
        )?;
        if deleted < BATCH.unsigned_abs().into() {
            db::run(
                "UPDATE activity.partition_ranges SET keys_purged_at = now() WHERE partition = $1",
                &[db::text(Some(&name))],
            )?;
        }
        return Ok(Work::Did(json!({"deleted": deleted})));
    }
    Ok(Work::Finished)
}

/// Deletes what is old in the log of runs: what found nothing to do after a week, the rest after
/// four hundred days.
pub fn log() -> Result<Work, Error> {
    let deleted = db::run(
        "DELETE FROM activity.maintenance_log WHERE ctid = ANY (ARRAY( \
             SELECT l.ctid FROM activity.maintenance_log l \
             WHERE l.started_at < now() - interval '400 days' \
                OR (l.started_at < now() - interval '7 days' AND (l.outcome = 'nothing' OR l.detail = '{}')) \
             LIMIT $1))",
        &[db::int(BATCH)],
    )?;
    Ok(match deleted {
        0 => Work::Finished,
        _ => Work::Did(json!({"deleted": deleted})),
    })
}

/// Archives that were what the events were kept in, and whose time is over. One that may hold
/// something that is under a legal hold stays.
const OLD_ARCHIVE: &str = "SELECT r.partition, r.archive_manifest, r.archive_file FROM activity.partition_ranges r \
    WHERE r.state = 'dropped' AND r.archived_at IS NOT NULL AND r.archive_keep_until < clock_timestamp() \
    AND NOT EXISTS (SELECT FROM activity.legal_holds h WHERE h.released_at IS NULL \
        AND (h.tenant_id IS NULL OR r.archive_tenants IS NULL OR h.tenant_id = ANY (r.archive_tenants)))";

/// Removes the next archive whose time is over.
pub fn archives() -> Result<Work, Error> {
    hold::lock()?;
    let old = db::query(Mode::ReadLatest, OLD_ARCHIVE, &[], |row| {
        let text = |at| row.must::<String>(at, "partition_ranges");
        Ok((text(1)?, [text(2)?, text(3)?]))
    })?;
    for (name, files) in old {
        if run::with(|run| run.skipped.contains(&name))? {
            continue;
        }
        run::with(|run| run.partition = Some(name.clone()))?;
        // The manifest first: without it there is no archive. A run that is interrupted here finds
        // the rest the next time.
        for file in &files {
            match fs::remove_file(file) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        db::run(
            "UPDATE activity.partition_ranges SET archived_at = NULL WHERE partition = $1",
            &[db::text(Some(&name))],
        )?;
        let detail = json!({"partition": name, "archive": files[0]});
        record::write_system_event("activity.archive.removed", &detail)?;
        return Ok(Work::Did(detail));
    }
    Ok(Work::Finished)
}

/// Removes durable consumers of the stream that have acknowledged nothing for a year.
pub fn consumers() -> Result<Work, Error> {
    if !db::exists("consumer_cursors")? {
        return Ok(Work::Finished);
    }
    let names = db::query(
        Mode::Write,
        "DELETE FROM activity.consumer_cursors \
         WHERE coalesce(acked_at, created_at) < now() - interval '1 year' RETURNING name",
        &[],
        |row| row.must::<String>(1, "consumer_cursors"),
    )?;
    if names.is_empty() {
        return Ok(Work::Finished);
    }
    let detail = json!({"consumers": names});
    record::write_system_event("activity.consumers.removed", &detail)?;
    Ok(Work::Did(detail))
}
