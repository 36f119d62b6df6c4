//! Taking a partition out of the log without a stall.
//!
//! Every transaction that has recorded holds a lock on the parent until it ends, and a plain DETACH
//! that waits for it stops everybody behind it. So DETACH CONCURRENTLY is the way, which the server
//! allows neither in a function nor in a procedure: the worker runs it, or a job of pg_cron that is
//! this one statement. Without both, a plain DETACH waits for at most 40 ms at a time.

use super::maintain::Work;
use super::policy::Rules;
use super::stages::{Clock, find};
use super::{driver, expiry, hold, ledger, partition, schedule};
use crate::db::{self, Mode, Scope};
use crate::error::Error;
use activity_log_core::retention::Decision;
use pgrx::spi::quote_identifier;
use serde_json::json;

/// Partitions that are on their way out and not yet detached, and nobody is at it at this moment.
const PENDING: &str = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
    WHERE i.inhparent = 'activity.events'::regclass AND i.inhdetachpending \
    AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid() AND a.state = 'active' \
        AND a.datname = current_database() AND a.query ~* 'DETACH PARTITION.*CONCURRENTLY' \
        AND strpos(a.query, c.relname) > 0)";

/// Brings a DETACH CONCURRENTLY to its end that was interrupted half-way.
pub fn finalize() -> Result<Work, Error> {
    schedule::clear_detached()?;
    let pending = db::query(Mode::ReadLatest, PENDING, &[], |row| {
        row.must::<String>(1, "pg_inherits")
    })?;
    for name in pending {
        if super::run::with(|run| run.skipped.contains(&name))? {
            continue;
        }
        super::run::with(|run| run.partition = Some(name.clone()))?;
        db::run(
            &format!(
                "ALTER TABLE activity.events DETACH PARTITION activity.{} FINALIZE",
                quote_identifier(&name)
            ),
            &[],
        )?;
        return Ok(Work::Did(json!({})));
    }
    Ok(Work::Finished)
}

/// Takes out the next partition that retention has given up.
pub fn detach() -> Result<Work, Error> {
    let Some((name, partition)) = next()? else {
        return Ok(Work::Finished);
    };
    // Nobody may have been in the way; otherwise whoever can wait without a stall takes it over.
    let was_in_vain = super::run::with(|run| run.attempts > 0)?;
    if was_in_vain && driver::is_running() {
        super::run::with(|run| run.skipped.insert(name))?;
        return Ok(Work::Passed);
    }
    if was_in_vain && schedule::detaches()? {
        let job = schedule::detach(&name)?;
        super::run::with(|run| run.skipped.insert(name.clone()))?;
        return Ok(job.map_or(Work::Passed, |job| Work::Did(json!({"scheduled": job}))));
    }
    if !still_goes(&name, &partition)? {
        ledger::set_state(&name, "closed")?;
        return Ok(Work::Did(json!({"kept": true})));
    }
    // Writers wait until this is committed, so it does not wait for the disk. A crash that loses
    // it leaves the partition attached, and the next run detaches it.
    db::set_option(c"synchronous_commit", c"off", Scope::Transaction);
    db::run(
        &format!(
            "ALTER TABLE activity.events DETACH PARTITION activity.{}",
            quote_identifier(&name)
        ),
        &[],
    )?;
    ledger::set_state(&name, "detached")?;
    Ok(Work::Did(json!({"how": "plain"})))
}

/// The next attached partition that is marked for removal.
pub fn next() -> Result<Option<(String, partition::Partition)>, Error> {
    let entries = ledger::entries()?;
    find(|name, _| {
        entries
            .get(name)
            .is_some_and(|entry| entry.state == "detaching")
    })
}

/// Whether the partition is to be removed under the rules and holds of this moment, which stay as
/// they are until the end of the transaction.
pub fn still_goes(name: &str, partition: &partition::Partition) -> Result<bool, Error> {
    hold::lock()?;
    db::run(
        "LOCK TABLE activity.retention_policies, activity.actions IN SHARE MODE",
        &[],
    )?;
    let rules = Rules::read()?;
    let entries = ledger::entries()?;
    let entry = entries.get(name).ok_or(Error::Internal {
        place: "partition_ranges",
    })?;
    if entry
        .swept
        .as_ref()
        .is_some_and(|(digest, _)| *digest == rules.digest)
    {
        return Ok(true);
    }
    let clock = Clock::read()?;
    let exam = expiry::examine(&rules, partition, clock.now, clock.required_from, true)?;
    let goes = exam.decision == Decision::Drop && (exam.archive_to.is_none() || entry.is_archived);
    if goes {
        ledger::set_swept(name, &rules.digest, false)?;
    }
    Ok(goes)
}
