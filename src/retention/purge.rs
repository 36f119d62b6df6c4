//! What goes after the events: their keys of idempotency, and old entries of the log of runs.

use super::maintain::Work;
use super::{ledger, partition, run};
use crate::db::{self, Relation};
use crate::error::Error;
use serde_json::json;

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
