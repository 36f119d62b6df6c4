//! One process at a time holds a consumer: an advisory lock of its session.

#![allow(unsafe_code)]

use crate::db::{self, Mode};
use crate::error::Error;
use crate::home;
use activity_log_core::stream::consumer::lock_key;
use pgrx::pg_sys;

/// Tells our locks from those of `pg_advisory_lock()`, which have 1 and 2 here.
const KIND: u16 = 0x61;
/// The lock method of advisory locks.
const USER_METHOD: u8 = 2;

/// Holds the consumer until the session ends.
///
/// # Errors
/// [`Error::ConsumerHeld`] if another session has it.
pub(super) fn take(name: &str) -> Result<(), Error> {
    acquire(name, true)
}

/// Holds the consumer until the transaction ends.
///
/// # Errors
/// [`Error::ConsumerHeld`] if another session has it.
pub(super) fn take_for_transaction(name: &str) -> Result<(), Error> {
    acquire(name, false)
}

fn acquire(name: &str, of_session: bool) -> Result<(), Error> {
    use pg_sys::LockAcquireResult::{LOCKACQUIRE_ALREADY_HELD, LOCKACQUIRE_NOT_AVAIL};
    let tag = tag(name);
    let mode = pg_sys::ExclusiveLock as i32;
    // SAFETY: the tag lives during both calls. A lock that is held already is counted once more,
    // which is taken back: one release has to be enough.
    unsafe {
        match pg_sys::LockAcquire(&raw const tag, mode, of_session, true) {
            LOCKACQUIRE_NOT_AVAIL => {
                return Err(Error::ConsumerHeld {
                    name: name.to_owned(),
                    process: holder(name)?,
                });
            }
            LOCKACQUIRE_ALREADY_HELD if of_session => {
                pg_sys::LockRelease(&raw const tag, mode, true);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The process that holds the consumer.
pub(super) fn holder(name: &str) -> Result<Option<i32>, Error> {
    let (high, low) = lock_key(name);
    db::value(
        Mode::ReadLatest,
        "SELECT pid FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND database = $1 \
         AND classid::bigint = $2 AND objid::bigint = $3 AND objsubid::int = $4",
        &[
            (
                pg_sys::OIDOID,
                Some(pg_sys::Datum::from(home::database_oid())),
            ),
            db::bigint(i64::from(high)),
            db::bigint(i64::from(low)),
            db::int(i32::from(KIND)),
        ],
    )
}

fn tag(name: &str) -> pg_sys::LOCKTAG {
    let (high, low) = lock_key(name);
    pg_sys::LOCKTAG {
        locktag_field1: home::database_oid().to_u32(),
        locktag_field2: high,
        locktag_field3: low,
        locktag_field4: KIND,
        locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
        locktag_lockmethodid: USER_METHOD,
    }
}
