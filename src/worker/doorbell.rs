//! Tells listeners of new events: all tenants with news in one transaction.

use super::process::transaction;
use crate::db::{self, Scope};
use crate::notify;
use crate::shared::{self, Counter, Ring};
use activity_log_core::notify::{ALL_TENANTS, EVERYBODY, channel};
use std::time::{Duration, Instant};

const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Whom to tell. What could not be sent is kept and tried again, ever more slowly.
#[derive(Default)]
pub struct Doorbell {
    ring: Ring,
    failures: u32,
    not_before: Option<Instant>,
}

impl Doorbell {
    /// Adds tenants to tell.
    pub fn absorb(&mut self, ring: Ring) {
        if !ring.is_empty() {
            self.ring.absorb(ring);
        }
    }

    /// Tells them; `true` if nobody is left who has to be told.
    pub fn ring(&mut self) -> bool {
        if self.ring.is_empty() {
            return true;
        }
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        let sent = transaction(|| {
            // Nothing is lost with a notification that a crash swallows: readers look by cursor.
            db::set_option(c"synchronous_commit", c"off", Scope::Transaction);
            self.ring
                .tenants
                .iter()
                .for_each(|tenant| notify::ring(&channel(tenant)));
            notify::ring(ALL_TENANTS);
            if self.ring.everybody {
                notify::ring(EVERYBODY);
            }
            Ok(())
        });
        match sent {
            Ok(()) => {
                shared::add(Counter::DoorbellsByWorker, self.ring.tenants.len() as u64);
                *self = Self::default();
                true
            }
            Err(failed) => {
                failed.log("listeners could not be notified");
                self.failures += 1;
                let pause = Duration::from_millis(100) * 2u32.pow(self.failures.min(10));
                self.not_before = Some(Instant::now() + pause.min(LONGEST_PAUSE));
                false
            }
        }
    }
}
