//! Locks of the log that no SQL function can take: whoever can log in may call
//! `pg_advisory_lock()`, and would stop everybody else with a number that he knows.

#![allow(unsafe_code)]

use crate::home;
use pgrx::pg_sys;

/// What only one session at a time may do in a database.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Exclusive {
    Setup = 1,
    Maintenance = 2,
}

/// Tells these locks from those of `pg_advisory_lock()`, which have 1 and 2 here, and from those of
/// consumers.
const KIND: u16 = 0x62;
/// The lock method of advisory locks.
const USER_METHOD: u8 = 2;
const MODE: i32 = pg_sys::ExclusiveLock as i32;

impl Exclusive {
    fn tag(self) -> pg_sys::LOCKTAG {
        pg_sys::LOCKTAG {
            locktag_field1: home::database_oid().to_u32(),
            locktag_field2: 0,
            locktag_field3: self as u32,
            locktag_field4: KIND,
            locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
            locktag_lockmethodid: USER_METHOD,
        }
    }

    /// Waits for the lock and holds it until the transaction ends. What the last holder has
    /// committed is then seen, also by look-ups that found nothing before.
    pub fn wait(self) {
        let tag = self.tag();
        // SAFETY: the tag lives during the call.
        unsafe { pg_sys::LockAcquire(&raw const tag, MODE, false, false) };
        super::accept_changes();
    }

    /// Holds the lock until [`Self::release`], or the end of the session; `false` if another
    /// session has it. One release is enough, however often it was taken.
    pub fn try_hold(self) -> bool {
        use pg_sys::LockAcquireResult::{LOCKACQUIRE_ALREADY_HELD, LOCKACQUIRE_NOT_AVAIL};
        let tag = self.tag();
        // SAFETY: as above; a lock that is held already is counted once more, which is taken back.
        unsafe {
            match pg_sys::LockAcquire(&raw const tag, MODE, true, true) {
                LOCKACQUIRE_NOT_AVAIL => return false,
                LOCKACQUIRE_ALREADY_HELD => {
                    pg_sys::LockRelease(&raw const tag, MODE, true);
                }
                _ => {}
            }
        }
        true
    }

    /// Lets go of the lock that this session holds.
    pub fn release(self) {
        let tag = self.tag();
        // SAFETY: as above.
        unsafe { pg_sys::LockRelease(&raw const tag, MODE, true) };
    }
}
