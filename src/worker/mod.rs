//! The background processes of a preloaded server: one launcher, and one worker for each database
//! whose log is at home there. The worker rings after commits, writes the events of others, and
//! does the chores.

#![allow(unsafe_code)]

mod chores;
mod databases;
mod delivery;
mod doorbell;
mod launcher;
mod process;
pub mod status;
mod upkeep;

use crate::settings;
use crate::shared::{self, Counter, Database, Outcome, Shared};
use chores::Chores;
use doorbell::Doorbell;
use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::pg_sys;
use pgrx::prelude::*;
pub use process::{Failed, guarded, transaction};
use process::{check_signals, connect, exit, is_wanted_by_others, serve_signals};
use std::time::{Duration, Instant};
use upkeep::Upkeep;

/// How often the worker asks whether somebody wants the database to himself.
const GIVE_WAY_INTERVAL: Duration = Duration::from_millis(200);
/// How often it looks for what nobody wakes it for.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Asks for shared memory and for the launcher, where the library is being preloaded.
pub fn register() {
    // SAFETY: a variable of the process.
    if !unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        return;
    }
    shared::request();
    // SAFETY: a variable of the process. Nothing may write while pg_upgrade is at work.
    if unsafe { pg_sys::IsBinaryUpgrade } {
        return;
    }
    BackgroundWorkerBuilder::new("activity_log launcher")
        .set_library("activity_log")
        .set_function("activity_launcher_main")
        .enable_spi_access()
        .set_restart_time(Some(Duration::from_secs(5)))
        .load();
}

/// The launcher.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn activity_launcher_main(_argument: pg_sys::Datum) {
    serve_signals();
    connect(None);
    match shared::get() {
        Some(shared) => launcher::run(shared),
        None => exit(1),
    }
}

/// The worker of the database whose number is the argument.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn activity_worker_main(argument: pg_sys::Datum) {
    let oid = pg_sys::Oid::from(argument.value() as u32);
    serve_signals();
    connect(Some(oid));
    let Some(shared) = shared::get() else { exit(1) };
    let outcome = match begin() {
        Ok(database) => Worker::new(shared, database).run(),
        Err(outcome) => outcome,
    };
    if let Some(database) = shared.find(oid.to_u32()) {
        database.set_outcome(outcome);
    }
    shared.launcher.report(oid.to_u32(), outcome);
    exit(0);
}

/// Takes the database's part of shared memory, if the log is here and at home.
fn begin() -> Result<&'static Database, Outcome> {
    match upkeep::state() {
        Outcome::Running => {}
        other => return Err(other),
    }
    let database = shared::database().ok_or(Outcome::NoRoom)?;
    if !database.enter() {
        return Err(Outcome::Running);
    }
    process::leave_at_exit();
    Ok(database)
}

/// The worker of one database.
struct Worker {
    shared: &'static Shared,
    database: &'static Database,
    doorbell: Doorbell,
    upkeep: Upkeep,
    chores: Chores,
    last_round: Instant,
    next_look: Instant,
    failed_looks: u32,
}

impl Worker {
    fn new(shared: &'static Shared, database: &'static Database) -> Self {
        shared::add(Counter::WorkerStarts, 1);
        shared.queue.take_back(database.oid());
        shared.launcher.report(database.oid(), Outcome::Running);
        Self {
            shared,
            database,
            doorbell: Doorbell::default(),
            upkeep: Upkeep::default(),
            chores: Chores::new(),
            last_round: Instant::now(),
            next_look: Instant::now(),
            failed_looks: 0,
        }
    }

    /// Works until there is a reason to end.
    fn run(mut self) -> Outcome {
        process::prepare_session();
        self.upkeep.find_prepared(self.shared, self.database);
        loop {
            check_signals();
            if is_wanted_by_others(self.database.oid()) {
                return Outcome::GaveWay;
            }
            if let Err(outcome) = self.work() {
                return outcome;
            }
            process::idle(self.rest());
        }
    }

    fn work(&mut self) -> Result<(), Outcome> {
        let looks = Instant::now() >= self.next_look;
        if looks {
            self.look()?;
        }
        let may_ring = self.last_round.elapsed() >= interval();
        if looks || (self.database.is_woken() && may_ring) {
            self.round();
        }
        self.chores.run_due();
        Ok(())
    }

    /// Whether the log is still here and at home. If even that can't be found out, it is tried
    /// ever more slowly.
    fn look(&mut self) -> Result<(), Outcome> {
        self.failed_looks = match upkeep::state() {
            Outcome::Running => 0,
            Outcome::Unknown => (self.failed_looks + 1).min(7),
            other => return Err(other),
        };
        self.next_look = Instant::now() + LOOK_INTERVAL * 2u32.pow(self.failed_looks);
        Ok(())
    }

    /// Whoever waits for news is told first, since what is to be written may be held up.
    fn round(&mut self) {
        self.last_round = Instant::now();
        self.database.begin_round();
        shared::add(Counter::WorkerTicks, 1);
        self.tell();
        if delivery::deliver(self.shared, self.database) {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let begun = crate::clock::now();
        let ring = self.upkeep.ended(self.shared, self.database);
        self.doorbell.absorb(ring);
        self.doorbell.absorb(self.database.bells.drain());
        if self.doorbell.ring() {
            self.database.told_until(begun);
        }
    }

    /// How long there is nothing to do, unless somebody wakes us.
    fn rest(&self) -> Duration {
        if self.database.is_woken() {
            interval().saturating_sub(self.last_round.elapsed())
        } else {
            GIVE_WAY_INTERVAL
        }
    }
}

fn interval() -> Duration {
    Duration::from_millis(u64::from(settings::NOTIFY_INTERVAL.get().unsigned_abs()))
}
