//! What `status()` says of the worker.

#![allow(unsafe_code)]

use crate::clock;
use crate::settings::{self, Notify};
use crate::shared::{self, Counter, Database, Outcome, Shared};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

type Line = (&'static str, String, bool, Option<&'static str>);

const PRELOAD: &str = "Add activity_log to shared_preload_libraries and restart: without the worker readers have to look for new events, and nothing survives a rollback.";

/// The worker, how readers are told, and what was dropped; for `status()`.
#[expect(
    clippy::type_complexity,
    reason = "pgrx reads the columns from the type"
)]
#[pg_extern(name = "_worker_status", stable, parallel_unsafe)]
fn worker_status() -> Result<
    TableIterator<
        'static,
        (
            name!(item, String),
            name!(value, String),
            name!(ok, bool),
            name!(advice, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let lines = match (shared::get(), shared::database()) {
        (Some(shared), Some(database)) => of_database(shared, database),
        (Some(_), None) => vec![(
            "state",
            "none".into(),
            false,
            Some("More than 64 databases of this server have a log: those beyond have no worker."),
        )],
        (None, _) => vec![
            ("state", "none".into(), false, Some(PRELOAD)),
            notification(false),
        ],
    };
    let rows = lines
        .into_iter()
        .map(|(item, value, ok, advice)| (item.to_owned(), value, ok, advice.map(str::to_owned)));
    Ok(TableIterator::new(rows))
}

fn notification(has_worker: bool) -> Line {
    match settings::NOTIFY.get() {
        Notify::Worker if has_worker => ("notification", "worker".into(), true, None),
        Notify::Worker => (
            "notification",
            "polling".into(),
            false,
            Some(
                "Readers are not told of new events. Preload the library, or set activity.notify = commit.",
            ),
        ),
        Notify::Commit => ("notification", "commit".into(), true, None),
        Notify::Off => ("notification", "off".into(), true, None),
    }
}

fn of_database(shared: &Shared, database: &Database) -> Vec<Line> {
    // SAFETY: reads the state of the server.
    let in_recovery = unsafe { pg_sys::RecoveryInProgress() };
    let mut lines = vec![state(shared, database, in_recovery), notification(true)];
    if database.worker() != 0 {
        lines.push(last_round(database));
    }
    let figures = database.counters.read();
    let dropped: u64 = [
        Counter::DroppedQueueFull,
        Counter::DroppedRateLimit,
        Counter::DroppedTooLarge,
        Counter::DroppedNoWorker,
        Counter::DroppedByError,
    ]
    .map(|counter| figures[counter as usize])
    .iter()
    .sum();
    lines.push((
        "events dropped",
        dropped.to_string(),
        dropped == 0,
        (dropped > 0)
            .then_some("activity.metrics() has the reasons: activity_log_durable_dropped_total."),
    ));
    lines
}

fn state(shared: &Shared, database: &Database, in_recovery: bool) -> Line {
    if database.worker() != 0 {
        let value = format!("running, process {}", database.worker());
        return ("state", value, true, None);
    }
    if in_recovery {
        return ("state", "waits for the end of recovery".into(), true, None);
    }
    let (value, advice) = match database.outcome() {
        Outcome::NotHome => (
            "stopped: restored copy",
            "SELECT activity.migrate() takes the log over.",
        ),
        Outcome::NoWorkerSlot => (
            "stopped: no place for another background worker",
            "Raise max_worker_processes and restart.",
        ),
        Outcome::NoRoom => (
            "stopped: too many databases",
            "At most 64 can have a worker.",
        ),
        _ if shared.launcher.process() == 0 => (
            "stopped: the launcher does not run",
            "The postmaster starts it again within 5 seconds; the server's log says why it ended.",
        ),
        _ if database.failures() == 0 => return ("state", "about to start".into(), true, None),
        _ => (
            "stopped by an error, will start again",
            "The server's log says why the worker ended.",
        ),
    };
    ("state", value.into(), false, Some(advice))
}

fn last_round(database: &Database) -> Line {
    let seconds = (clock::now() - database.last_tick()).max(0) / 1_000_000;
    let is_recent = seconds < 60;
    (
        "last round",
        format!("{seconds} s ago"),
        is_recent,
        (!is_recent).then_some("The worker is busy or waits for a lock: pg_stat_activity."),
    )
}
