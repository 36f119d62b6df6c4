//! What has to be done from time to time, each chore by itself: one that fails is logged, tried
//! again ever more slowly, and keeps nothing else from being done.

use super::process::{guarded, transaction};
use super::upkeep;
use crate::error::Error;
use crate::home;
use std::time::{Duration, Instant};

/// How a chore is called.
#[derive(Clone, Copy)]
pub enum Run {
    /// In a transaction of its own.
    InTransaction(fn() -> Result<(), Error>),
    /// Outside any transaction: it begins its own, with `worker::transaction`, and may run
    /// commands that refuse to be part of one.
    Outside(fn() -> Result<(), Error>),
}

/// Something to be done from time to time.
pub struct Chore {
    /// What it is called in the server's log.
    pub name: &'static str,
    /// How often it is due. The first time is when the worker starts.
    pub interval: Duration,
    pub run: Run,
}

/// All chores, in the order in which they are done when several are due.
const CHORES: [Chore; 2] = [
    Chore {
        name: "incarnation",
        interval: Duration::from_secs(600),
        run: Run::InTransaction(home::ensure_incarnation),
    },
    Chore {
        name: "repeated events",
        interval: Duration::from_secs(1),
        run: Run::Outside(upkeep::close_windows),
    },
];

const FIRST_PAUSE: Duration = Duration::from_secs(1);

struct Schedule {
    due: Instant,
    failures: u32,
}

/// When each chore is due.
pub struct Chores([Schedule; CHORES.len()]);

impl Chores {
    /// All of them are due.
    pub fn new() -> Self {
        let due = Instant::now();
        Self(std::array::from_fn(|_| Schedule { due, failures: 0 }))
    }

    /// Does what is due.
    pub fn run_due(&mut self) {
        for (chore, schedule) in CHORES.iter().zip(&mut self.0) {
            if Instant::now() >= schedule.due {
                schedule.run(chore);
            }
        }
    }
}

impl Schedule {
    fn run(&mut self, chore: &Chore) {
        let done = match chore.run {
            Run::InTransaction(work) => transaction(work),
            Run::Outside(work) => guarded(work),
        };
        let pause = match done {
            Ok(()) => {
                self.failures = 0;
                chore.interval
            }
            Err(failed) => {
                failed.log(&format!("chore {}", chore.name));
                self.failures += 1;
                (FIRST_PAUSE * 2u32.pow(self.failures.min(12))).min(chore.interval)
            }
        };
        self.due = Instant::now() + pause;
    }
}
