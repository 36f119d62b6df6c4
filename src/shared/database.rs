//! One database: its worker, who has news, what was counted.

use super::bells::Bells;
use super::counters::Counters;
use super::{set_latch, wake_launcher};
use crate::clock;
use pgrx::pg_sys;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicU32, Ordering, fence};

/// How the worker of a database fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Outcome {
    /// Nothing is known: not started yet, or it ended by an error.
    Unknown,
    /// It runs.
    Running,
    /// There is no log in the database.
    NotSetUp,
    /// The log is a copy.
    NotHome,
    /// It gave way to somebody who wants the database to himself.
    GaveWay,
    /// Every part of shared memory is another database's.
    NoRoom,
    /// Every place for background workers is taken.
    NoWorkerSlot,
}

impl Outcome {
    pub fn from_number(number: u32) -> Self {
        [
            Self::Running,
            Self::NotSetUp,
            Self::NotHome,
            Self::GaveWay,
            Self::NoRoom,
            Self::NoWorkerSlot,
        ]
        .into_iter()
        .find(|outcome| *outcome as u32 == number)
        .unwrap_or(Self::Unknown)
    }
}

/// System events of one database in one second, at most.
const EVENTS_PER_SECOND: u32 = 50;

#[repr(C)]
pub struct Database {
    oid: AtomicU32,
    worker: AtomicI32,
    latch: AtomicPtr<pg_sys::Latch>,
    outcome: AtomicU32,
    /// How often in a row the worker ended by an error.
    failures: AtomicU32,
    announced: AtomicBool,
    /// The worker has been woken and has not begun its round yet.
    woken: AtomicBool,
    /// When the oldest news came that nobody was told of, 0 if there is none.
    news_since: AtomicI64,
    last_tick: AtomicI64,
    second: AtomicI64,
    in_second: AtomicU32,
    /// Prepared transactions that have recorded something.
    pub prepared: AtomicU32,
    /// There was no place to note one of them.
    pub unnoted: AtomicBool,
    pub bells: Bells,
    pub counters: Counters,
}

impl Database {
    pub fn oid(&self) -> u32 {
        self.oid.load(Ordering::Acquire)
    }

    /// Takes a part that is free.
    pub(super) fn claim(&self, oid: u32) -> bool {
        self.oid
            .compare_exchange(0, oid, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Gives the part of a database that is gone to others.
    pub fn release(&self) {
        self.bells.drain();
        self.counters.clear();
        self.woken.store(false, Ordering::Relaxed);
        self.announced.store(false, Ordering::Relaxed);
        self.news_since.store(0, Ordering::Relaxed);
        self.last_tick.store(0, Ordering::Relaxed);
        self.prepared.store(0, Ordering::Relaxed);
        self.unnoted.store(false, Ordering::Relaxed);
        self.set_failures(0);
        self.set_outcome(Outcome::Unknown);
        self.oid.store(0, Ordering::Release);
    }

    /// Makes the present process the worker of the database; `false` if it has one.
    pub fn enter(&self) -> bool {
        // SAFETY: variables of the process.
        let (process, latch) = unsafe { (pg_sys::MyProcPid, pg_sys::MyLatch) };
        let entered = self
            .worker
            .compare_exchange(0, process, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if entered {
            self.latch.store(latch, Ordering::Release);
            self.set_outcome(Outcome::Running);
        }
        entered
    }

    /// Ends what [`Self::enter`] began.
    pub fn leave(&self) {
        self.latch.store(std::ptr::null_mut(), Ordering::Release);
        self.worker.store(0, Ordering::Release);
    }

    /// The process of the worker, 0 if there is none.
    pub fn worker(&self) -> i32 {
        self.worker.load(Ordering::Acquire)
    }

    pub fn outcome(&self) -> Outcome {
        Outcome::from_number(self.outcome.load(Ordering::Acquire))
    }

    pub fn set_outcome(&self, outcome: Outcome) {
        self.outcome.store(outcome as u32, Ordering::Release);
    }

    /// How often in a row the worker ended by an error.
    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    pub fn set_failures(&self, failures: u32) {
        self.failures.store(failures, Ordering::Relaxed);
    }

    /// Says that the database was set up or taken over, so a worker may start.
    pub fn announce(&self) {
        self.announced.store(true, Ordering::Release);
    }

    pub fn take_announcement(&self) -> bool {
        self.announced.swap(false, Ordering::AcqRel)
    }

    /// Whether somebody waits for the worker.
    pub fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    /// Tells the worker that there is something to do, once for each of its rounds, or the launcher
    /// that the worker is missing.
    pub fn wake(&self) {
        // What the worker is to find was stored before; see `begin_round`.
        fence(Ordering::SeqCst);
        if self.woken.load(Ordering::Relaxed) || self.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        let latch = self.latch.load(Ordering::Acquire);
        if latch.is_null() {
            wake_launcher();
        } else {
            // SAFETY: the worker stored its own latch.
            unsafe { set_latch(latch) };
        }
    }

    /// Notes that there is news, for the lag.
    pub fn note_news(&self) {
        if self.news_since.load(Ordering::Relaxed) == 0 {
            self.news_since.store(clock::now(), Ordering::Relaxed);
        }
    }

    /// When the oldest news came that nobody was told of.
    pub fn news_since(&self) -> Option<i64> {
        Some(self.news_since.load(Ordering::Relaxed)).filter(|at| *at != 0)
    }

    /// The worker begins a round: who stores something from now on wakes it again.
    pub fn begin_round(&self) {
        self.woken.store(false, Ordering::Release);
        fence(Ordering::SeqCst);
        self.last_tick.store(clock::now(), Ordering::Relaxed);
    }

    /// The worker has told everybody of what came before this moment.
    pub fn told_until(&self, begun: i64) {
        let since = self.news_since.load(Ordering::Relaxed);
        if since != 0 && since <= begun {
            self.news_since.store(0, Ordering::Relaxed);
        }
    }

    /// When the worker's last round began, 0 if there was none.
    pub fn last_tick(&self) -> i64 {
        self.last_tick.load(Ordering::Relaxed)
    }

    /// Whether one more system event may be sent in this second.
    pub fn admits_event(&self) -> bool {
        let now = clock::now() / 1_000_000;
        if self.second.swap(now, Ordering::Relaxed) != now {
            self.in_second.store(0, Ordering::Relaxed);
        }
        self.in_second.fetch_add(1, Ordering::Relaxed) < EVENTS_PER_SECOND
    }
}
