//! The identity and time of an event.

#![allow(unsafe_code)]

use crate::db;
use crate::error::Error;
use activity_log_core::record::{Clock, event_id};
use pgrx::pg_sys;
use std::cell::RefCell;

/// Microseconds between the server's epoch (2000) and that of Unix (1970).
pub const SERVER_EPOCH: i64 = 946_684_800_000_000;

/// An event's id and the time it carries.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    pub event_id: [u8; 16],
    /// Microseconds, in the server's count.
    pub recorded_at: i64,
}

thread_local! {
    static CLOCK: RefCell<Clock> = const { RefCell::new(Clock::new()) };
    static RANDOM: RefCell<Pool> = const { RefCell::new(Pool { process: 0, left: 0, bytes: [0; POOL] }) };
}

const POOL: usize = 512;

/// Random bytes drawn ahead: one call of the system serves many events.
struct Pool {
    /// The process that drew them: a child must not reuse its parent's.
    process: i32,
    left: usize,
    bytes: [u8; POOL],
}

impl Stamp {
    /// The next stamp of this backend: later than all before it, whatever the clock does.
    pub fn next() -> Result<Self, Error> {
        let recorded_at = CLOCK.with_borrow_mut(|clock| clock.tick(now()));
        let event_id = event_id(recorded_at.saturating_add(SERVER_EPOCH), random()?);
        Ok(Self {
            event_id,
            recorded_at,
        })
    }
}

/// The server's clock, in microseconds of its own count.
pub fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

fn random() -> Result<[u8; 8], Error> {
    RANDOM.with_borrow_mut(|pool| {
        // SAFETY: a variable of the process.
        let process = unsafe { pg_sys::MyProcPid };
        if pool.left < 8 || pool.process != process {
            *pool = Pool {
                process,
                left: POOL,
                bytes: db::random::<POOL>()?,
            };
        }
        pool.left -= 8;
        let mut drawn = [0u8; 8];
        drawn.copy_from_slice(&pool.bytes[pool.left..pool.left + 8]);
        Ok(drawn)
    })
}
