//! The server's clock.

#![allow(unsafe_code)]

use pgrx::pg_sys;

/// Microseconds between the server's epoch (2000) and that of Unix (1970).
pub const SERVER_EPOCH: i64 = 946_684_800_000_000;

/// The present time, in microseconds of the server's count.
pub fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}

/// A time in ISO 8601, in UTC, to the microsecond.
pub fn text(server_micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(server_micros.saturating_add(SERVER_EPOCH))
        .map_or_else(String::new, |time| {
            time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
        })
}
