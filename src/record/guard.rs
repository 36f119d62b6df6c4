//! The log is append only, for its owner too.

#![allow(unsafe_code)]

use crate::db::{self, c_function};
use crate::error::{self, Error};
use pgrx::{pg_guard, pg_sys};

/// Fired before any UPDATE, DELETE or TRUNCATE of the log or one of its partitions.
unsafe fn append_only(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: `trigger_relation` checks that the server calls this as a trigger.
    let relation = unsafe { db::trigger_relation(fcinfo) };
    error::raise(Error::AppendOnly {
        relation: db::relation_name(relation).unwrap_or_default(),
    })
}

c_function!(
    activity_append_only,
    pg_finfo_activity_append_only,
    append_only
);
