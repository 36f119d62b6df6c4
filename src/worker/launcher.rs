//! Starts a worker for each database with a log at home. Nobody tells it which these are, so it
//! lets a worker look at every database once; after that set-up, take-over and writers say when
//! there is a reason to look again.

use super::databases::{self, Entry};
use super::process::{
    check_signals, idle, is_wanted_by_others, leave_launcher_at_exit, transaction,
};
use crate::error;
use crate::shared::{Outcome, Shared};
use pgrx::bgworkers::{BackgroundWorkerBuilder, BackgroundWorkerStatus, DynamicBackgroundWorker};
use pgrx::{IntoDatum, pg_sys};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// How often the list of databases is read.
const LIST_INTERVAL: Duration = Duration::from_secs(1);
/// How often somebody may want a database for himself, and workers may have ended unnoticed.
const ROUND: Duration = Duration::from_millis(200);
/// How long a worker may take to leave by itself when somebody wants its database; a busy one does
/// not notice.
const PATIENCE: Duration = Duration::from_millis(300);
/// A database that nobody wants any more gets its worker back after this.
const AFTER_GIVING_WAY: Duration = Duration::from_millis(500);
/// A worker that lasted so long had no trouble with its start.
const LASTED: Duration = Duration::from_secs(60);
/// A worker that has not said anything for so long keeps others from starting no longer.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A database and what is known of its worker.
struct Known {
    name: String,
    worker: Option<DynamicBackgroundWorker>,
    started: Instant,
    /// The worker runs, by whoever it was started.
    was_alive: bool,
    /// Since when somebody wants the database for himself.
    wanted_since: Option<Instant>,
    /// When to start a worker; `None` waits for a reason.
    next: Option<Instant>,
    failures: u32,
}

/// Never returns: signals end the process.
pub fn run(shared: &'static Shared) -> ! {
    shared.launcher.enter();
    leave_launcher_at_exit();
    let mut launcher = Launcher {
        shared,
        known: HashMap::new(),
        starting: None,
        listed: None,
        complained: false,
    };
    loop {
        check_signals();
        launcher.list();
        launcher.round();
        idle(ROUND);
    }
}

struct Launcher {
    shared: &'static Shared,
    known: HashMap<u32, Known>,
    /// The database whose worker has not said yet how it fares.
    starting: Option<u32>,
    listed: Option<Instant>,
    complained: bool,
}

impl Launcher {
    fn list(&mut self) {
        if self.listed.is_some_and(|at| at.elapsed() < LIST_INTERVAL) {
            return;
        }
        self.listed = Some(Instant::now());
        // Read before the list: who connects to a database after this finds it in the list.
        let parts: HashSet<u32> = self.shared.databases().map(|part| part.oid()).collect();
        match transaction(|| Ok(databases::connectable())) {
            Ok(entries) => self.compare(&entries, &parts),
            Err(failed) => failed.log("the databases could not be listed"),
        }
    }

    fn compare(&mut self, entries: &[Entry], parts: &HashSet<u32>) {
        let present: HashSet<u32> = entries.iter().map(|entry| entry.oid).collect();
        self.known.retain(|oid, _| present.contains(oid));
        for entry in entries {
            let known = self.known.entry(entry.oid).or_insert_with(Known::new);
            known.name.clone_from(&entry.name);
        }
        for oid in parts.difference(&present) {
            self.shared.queue.forget(*oid);
            self.shared.windows.forget(*oid);
            self.shared.prepared.forget(*oid);
            if let Some(part) = self.shared.find(*oid).filter(|part| part.worker() == 0) {
                part.release();
            }
        }
    }

    fn round(&mut self) {
        let oids: Vec<u32> = self.known.keys().copied().collect();
        for oid in oids {
            self.look_after(oid);
        }
    }

    fn look_after(&mut self, oid: u32) {
        self.hear(oid);
        let Some(known) = self.known.get_mut(&oid) else {
            return;
        };
        let part = self.shared.find(oid);
        let is_alive = known.is_alive() || part.is_some_and(|part| part.worker() != 0);
        if is_alive {
            known.was_alive = true;
            known.urge(is_wanted_by_others(oid));
            return;
        }
        known.wanted_since = None;
        if std::mem::take(&mut known.was_alive) {
            let outcome = match part.map(|part| part.outcome()) {
                None | Some(Outcome::Unknown) => self.shared.launcher.reported(oid),
                Some(outcome) => outcome,
            };
            known.ended(outcome);
            if let Some(part) = part {
                part.set_failures(known.failures);
            }
            self.starting = self.starting.filter(|starting| *starting != oid);
        }
        if part.is_some_and(|part| part.take_announcement()) {
            known.failures = 0;
            known.next = Some(Instant::now());
        }
        let is_due = known.next.is_some_and(|at| at <= Instant::now());
        if is_due && self.starting.is_none() && !is_wanted_by_others(oid) {
            self.start(oid);
        }
    }

    /// Whether the worker that was started last has said how it fares.
    fn hear(&mut self, oid: u32) {
        if self.starting != Some(oid) {
            return;
        }
        let has_said = self.shared.launcher.reported(oid) != Outcome::Unknown;
        let is_late = self
            .known
            .get(&oid)
            .is_none_or(|known| known.started.elapsed() > START_LIMIT);
        if has_said || is_late {
            self.starting = None;
        }
    }

    fn start(&mut self, oid: u32) {
        let Some(known) = self.known.get_mut(&oid) else {
            return;
        };
        self.shared.launcher.forget_report();
        if let Some(part) = self.shared.find(oid) {
            part.set_outcome(Outcome::Unknown);
        }
        // SAFETY: a variable of the process.
        let process = unsafe { pg_sys::MyProcPid };
        let worker =
            BackgroundWorkerBuilder::new(&format!("activity_log worker for {}", known.name))
                .set_type("activity_log worker")
                .set_library("activity_log")
                .set_function("activity_worker_main")
                .set_argument(pg_sys::Oid::from(oid).into_datum())
                .set_notify_pid(process)
                .enable_spi_access()
                .load_dynamic();
        known.next = None;
        known.started = Instant::now();
        if let Ok(worker) = worker {
            known.worker = Some(worker);
            known.was_alive = true;
            self.starting = Some(oid);
            self.complained = false;
        } else {
            known.fail();
            self.complain(oid);
        }
    }

    /// There is no place for another background worker.
    fn complain(&mut self, oid: u32) {
        if let Some(part) = self.shared.find(oid) {
            part.set_outcome(Outcome::NoWorkerSlot);
        }
        if !std::mem::replace(&mut self.complained, true) {
            error::log(
                "activity_log launcher: no place for another background worker: raise max_worker_processes"
                    .into(),
            );
        }
    }
}

impl Known {
    /// Nobody has looked at the database yet.
    fn new() -> Self {
        Self {
            name: String::new(),
            worker: None,
            started: Instant::now(),
            was_alive: false,
            wanted_since: None,
            next: Some(Instant::now()),
            failures: 0,
        }
    }

    /// Whether the worker that we have started is there, or about to be.
    fn is_alive(&mut self) -> bool {
        let is_alive = self.worker.as_ref().is_some_and(|worker| {
            matches!(
                worker.pid(),
                Ok(_) | Err(BackgroundWorkerStatus::NotYetStarted)
            )
        });
        if !is_alive {
            self.worker = None;
        }
        is_alive
    }

    /// Ends the worker, whatever it is doing, if it does not give way by itself.
    fn urge(&mut self, is_wanted: bool) {
        if !is_wanted {
            self.wanted_since = None;
            return;
        }
        let since = *self.wanted_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= PATIENCE
            && let Some(worker) = self.worker.take()
        {
            worker.terminate();
        }
    }

    fn ended(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::NotSetUp | Outcome::NotHome => self.next = None,
            Outcome::GaveWay => self.next = Some(Instant::now() + AFTER_GIVING_WAY),
            _ => {
                if self.started.elapsed() > LASTED {
                    self.failures = 0;
                }
                self.fail();
            }
        }
    }

    /// Tries again, ever more slowly.
    fn fail(&mut self) {
        let pause = Duration::from_secs(1) * 2u32.pow(self.failures.min(6));
        self.failures += 1;
        self.next = Some(Instant::now() + pause);
    }
}
