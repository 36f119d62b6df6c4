//! The launcher: the process that starts the workers of the databases.

use super::database::Outcome;
use super::set_latch;
use pgrx::pg_sys;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};

#[repr(C)]
pub struct Launcher {
    process: AtomicI32,
    latch: AtomicPtr<pg_sys::Latch>,
    /// How the worker fares that was started last: its database, and an [`Outcome`].
    report: AtomicU64,
}

impl Launcher {
    /// Makes the present process the launcher.
    pub fn enter(&self) {
        // SAFETY: variables of the process.
        let (process, latch) = unsafe { (pg_sys::MyProcPid, pg_sys::MyLatch) };
        self.process.store(process, Ordering::Release);
        self.latch.store(latch, Ordering::Release);
    }

    pub fn leave(&self) {
        self.latch.store(std::ptr::null_mut(), Ordering::Release);
        self.process.store(0, Ordering::Release);
    }

    /// The launcher's process, 0 if there is none.
    pub fn process(&self) -> i32 {
        self.process.load(Ordering::Acquire)
    }

    pub fn wake(&self) {
        // SAFETY: the launcher stored its own latch.
        unsafe { set_latch(self.latch.load(Ordering::Acquire)) };
    }

    /// A worker that has just been started says how it fares.
    pub fn report(&self, database: u32, outcome: Outcome) {
        let report = (u64::from(database) << 32) | outcome as u64;
        self.report.store(report, Ordering::Release);
        self.wake();
    }

    /// What the worker of a database has reported.
    pub fn reported(&self, database: u32) -> Outcome {
        let report = self.report.load(Ordering::Acquire);
        if report >> 32 == u64::from(database) {
            Outcome::from_number(report as u32)
        } else {
            Outcome::Unknown
        }
    }

    pub fn forget_report(&self) {
        self.report.store(0, Ordering::Release);
    }
}
