//! How errors, warnings and lines of the server's log leave the extension.

// The environment and the server's variables can only be set in unsafe code.
#![allow(unsafe_code)]

use super::{Error, sqlstate};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode, pg_sys};

/// Raises the error. Only for places that can't return it, such as a trigger function.
pub fn raise(error: Error) -> ! {
    ErrorReport::from(error).report(PgLogLevel::ERROR);
    // `report(ERROR)` unwinds into the server's error handling and does not come back.
    unreachable!()
}

/// Sends the error as a warning: the statement goes on, and the event is recorded all the same.
pub fn warn(error: &Error) {
    ErrorReport::from(error.clone()).report(PgLogLevel::WARNING);
}

/// Sends the error as a warning: the statement goes on, but without the event.
pub fn warn_of_loss(error: &Error) {
    let report = error.report();
    let message = format!("event lost: {}", report.message);
    let mut warning =
        ErrorReport::new(report.code, message, "activity_log").set_hint(ON_ERROR_HINT);
    if let Some(detail) = report.detail {
        warning = warning.set_detail(detail);
    }
    warning.report(PgLogLevel::WARNING);
}

/// Sends a warning about an event that the server itself refused. Its message may quote data.
pub fn warn_of_refusal(code: PgSqlErrorCode) {
    let message = format!("event lost: the server raised SQLSTATE {}", sqlstate(code));
    warning(code, message, ON_ERROR_HINT);
}

const ON_ERROR_HINT: &str = "activity.on_error is warn, so the statement goes on.";

/// Sends a warning that has no error behind it.
pub fn warning(code: PgSqlErrorCode, message: String, hint: &str) {
    ErrorReport::new(code, message, "activity_log")
        .set_hint(hint)
        .report(PgLogLevel::WARNING);
}

/// Tells the client something that is no mistake.
pub fn notice(message: String, hint: &str) {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
        message,
        "activity_log",
    )
    .set_hint(hint)
    .report(PgLogLevel::NOTICE);
}

/// Writes a line into the server's log, never to the client.
///
/// The server would add the statement to it, which may hold a payload.
pub fn log(message: String) {
    // SAFETY: the variable is the process's own; a line in the log raises nothing that could
    // leave it unrestored.
    let statement = unsafe {
        let statement = pg_sys::debug_query_string;
        pg_sys::debug_query_string = std::ptr::null();
        statement
    };
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
        message,
        "activity_log",
    )
    .report(PgLogLevel::LOG_SERVER_ONLY);
    // SAFETY: as above.
    unsafe { pg_sys::debug_query_string = statement };
}

/// Keeps Rust's stack out of the DETAIL that a client would get if the server was started with
/// `RUST_BACKTRACE` set.
pub fn hide_backtraces() {
    // SAFETY: called from `_PG_init`, where a Postgres process has exactly one thread.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
}
