//! The log is append only, for its owner too, but for a door that retention and erasure open.

#![allow(unsafe_code)]

use crate::db::{self, c_function};
use crate::error::{self, Error};
use pgrx::{pg_guard, pg_sys};
use std::cell::Cell;

thread_local! {
    /// Whether the statement that runs may change events. Only code of the extension can set it:
    /// a setting could be set by whoever wants through.
    static DOOR: Cell<bool> = const { Cell::new(false) };
}

/// Closes the door when dropped, also while an error unwinds.
struct OpenDoor {
    before: bool,
}

impl Drop for OpenDoor {
    fn drop(&mut self) {
        DOOR.set(self.before);
    }
}

/// Runs `work` with events open to UPDATE and DELETE by this session.
pub fn with_open_door<R>(work: impl FnOnce() -> R) -> R {
    let _open = OpenDoor {
        before: DOOR.replace(true),
    };
    work()
}

/// Fired before any UPDATE, DELETE or TRUNCATE of the log or one of its partitions.
unsafe fn append_only(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: `trigger_relation` checks that the server calls this as a trigger.
    let relation = unsafe { db::trigger_relation(fcinfo) };
    if DOOR.get() {
        // A trigger before a statement returns NULL, whatever it decides.
        return pg_sys::Datum::from(0usize);
    }
    error::raise(Error::AppendOnly {
        relation: db::relation_name(relation).unwrap_or_default(),
    })
}

c_function!(
    activity_append_only,
    pg_finfo_activity_append_only,
    append_only
);
