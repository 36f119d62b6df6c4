//! The session around a statement: its user, its settings, its subtransactions.

#![allow(unsafe_code)]

use crate::error::Error;
use pgrx::{PgSqlErrorCode, PgTryBuilder, pg_sys};
use std::ffi::CStr;
use std::time::Duration;

/// Runs `work` as the bootstrap superuser, who owns the log, with `search_path` pinned.
///
/// Who the caller is stays visible in the session and outer user. An error restores both through
/// the server's abort.
pub fn as_owner<R>(work: impl FnOnce() -> R) -> R {
    let mut caller = pg_sys::InvalidOid;
    let mut context = 0;
    // SAFETY: user and settings are restored below, or by the abort of the (sub)transaction when
    // `work` raises, exactly as for a SECURITY DEFINER function with a SET clause.
    let nesting = unsafe {
        pg_sys::GetUserIdAndSecContext(&raw mut caller, &raw mut context);
        pg_sys::SetUserIdAndSecContext(
            pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID),
            context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32,
        );
        pg_sys::NewGUCNestLevel()
    };
    set_option(c"search_path", c"pg_catalog, pg_temp", Scope::Block);
    let result = work();
    // SAFETY: as above.
    unsafe {
        pg_sys::AtEOXact_GUC(true, nesting);
        pg_sys::SetUserIdAndSecContext(caller, context);
    }
    result
}

/// Runs `work` with the rights of a role and no more: nothing in it can take on another role, or
/// leave a setting behind in the session. With `runs_code` it finds names in the catalog only;
/// without, nothing of it may be code of users, which could look names up and change settings.
///
/// An error restores everything through the server's abort.
pub fn as_restricted<R>(role: pg_sys::Oid, runs_code: bool, work: impl FnOnce() -> R) -> R {
    let mut caller = pg_sys::InvalidOid;
    let mut context = 0;
    // SAFETY: as for `as_owner`.
    let nesting = unsafe {
        pg_sys::GetUserIdAndSecContext(&raw mut caller, &raw mut context);
        pg_sys::SetUserIdAndSecContext(
            role,
            context
                | (pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION)
                    as i32,
        );
        runs_code.then(|| pg_sys::NewGUCNestLevel())
    };
    if runs_code {
        set_option(c"search_path", c"pg_catalog, pg_temp", Scope::Block);
    }
    let result = work();
    // SAFETY: as above.
    unsafe {
        if let Some(nesting) = nesting {
            // As at an abort: what a function has set for the session would stay otherwise.
            pg_sys::AtEOXact_GUC(false, nesting);
        }
        pg_sys::SetUserIdAndSecContext(caller, context);
    }
    result
}

/// How long a setting lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Session,
    Transaction,
    /// Until the settings' nesting level that is open ends.
    Block,
}

/// Sets an option as any user may.
pub fn set_option(name: &CStr, value: &CStr, scope: Scope) {
    let action = match scope {
        Scope::Session => pg_sys::GucAction::GUC_ACTION_SET,
        Scope::Transaction => pg_sys::GucAction::GUC_ACTION_LOCAL,
        Scope::Block => pg_sys::GucAction::GUC_ACTION_SAVE,
    };
    // SAFETY: name and value are NUL-terminated; a refused value raises.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            action,
            true,
            0,
            false,
        );
    }
}

/// Runs `work` with these settings; an error restores them through the server's abort.
pub fn with_options<R>(options: &[(&CStr, &CStr)], work: impl FnOnce() -> R) -> R {
    // SAFETY: the level is closed below, or by the abort of the (sub)transaction.
    let nesting = unsafe { pg_sys::NewGUCNestLevel() };
    for (name, value) in options {
        set_option(name, value, Scope::Block);
    }
    let result = work();
    // SAFETY: as above.
    unsafe { pg_sys::AtEOXact_GUC(true, nesting) };
    result
}

/// Runs `work` in a subtransaction; what it raises is rolled back and returned.
///
/// Cancellation, shutdown and serialization failures are passed on: nobody may swallow them.
///
/// # Errors
/// The SQLSTATE and message of what was raised, or the error that `work` returned.
pub fn in_subtransaction<R>(work: impl FnOnce() -> Result<R, Error>) -> Result<R, Failure> {
    contained(work, must_pass)
}

/// As [`in_subtransaction`], for work that is tried again later whatever went wrong: only
/// cancellation and shutdown are passed on.
///
/// # Errors
/// As for [`in_subtransaction`].
pub fn attempt<R>(work: impl FnOnce() -> Result<R, Error>) -> Result<R, Failure> {
    contained(work, |code| crate::error::sqlstate(code).starts_with("57"))
}

fn contained<R>(
    work: impl FnOnce() -> Result<R, Error>,
    must_pass: fn(PgSqlErrorCode) -> bool,
) -> Result<R, Failure> {
    // SAFETY: the memory context and resource owner are restored on both paths, as PL/pgSQL does
    // for an EXCEPTION block.
    let (context, owner) = unsafe {
        let saved = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(saved.0);
        saved
    };
    let work = std::panic::AssertUnwindSafe(work);
    let outcome = PgTryBuilder::new(|| {
        let work = work;
        (work.0)().map_err(|error| Caught::Tolerated(Failure::Refused(error)))
    })
    .catch_others(|caught| Err(sort(caught, must_pass)))
    .execute();
    // SAFETY: as above.
    unsafe {
        if outcome.is_ok() {
            pg_sys::ReleaseCurrentSubTransaction();
        } else {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
    }
    // Passed on only now, or the session would be left inside the subtransaction.
    outcome.map_err(|caught| match caught {
        Caught::Tolerated(failure) => failure,
        Caught::Passed(error) => error.rethrow(),
    })
}

/// What was caught in a subtransaction.
enum Caught {
    Tolerated(Failure),
    Passed(pg_sys::panic::CaughtError),
}

fn sort(caught: pg_sys::panic::CaughtError, must_pass: fn(PgSqlErrorCode) -> bool) -> Caught {
    match caught {
        pg_sys::panic::CaughtError::PostgresError(raised)
        | pg_sys::panic::CaughtError::ErrorReport(raised)
            if !must_pass(raised.sql_error_code()) =>
        {
            Caught::Tolerated(Failure::Raised {
                code: raised.sql_error_code(),
            })
        }
        other => Caught::Passed(other),
    }
}

/// Why a subtransaction was rolled back.
#[derive(Debug)]
pub enum Failure {
    /// The work returned an error of ours.
    Refused(Error),
    /// The server raised an error. Its message may quote data, so only the code is kept.
    Raised { code: PgSqlErrorCode },
}

/// Errors that end the statement whatever `activity.on_error` says: the transaction can't go on,
/// somebody wants it to stop, or data is damaged. XX000 is not among them, because pgrx turns every
/// code it does not know into it.
fn must_pass(code: PgSqlErrorCode) -> bool {
    let state = crate::error::sqlstate(code);
    matches!(&state[..2], "40" | "57" | "58") || matches!(&state[..], "XX001" | "XX002")
}

/// Refuses a transaction whose statements see what was there when it began: whoever locks something
/// and then looks at it must see what the ones before have left.
///
/// # Errors
/// [`Error::IsolationLevel`].
pub fn require_read_committed() -> Result<(), Error> {
    // SAFETY: reads a variable of the transaction.
    let level = unsafe { pg_sys::XactIsoLevel };
    if level <= pg_sys::XACT_READ_COMMITTED as i32 {
        Ok(())
    } else {
        Err(Error::IsolationLevel)
    }
}

/// Runs `work`; where the server raises an error that concerns it, `observe` is told of its code
/// on the way. By then the transaction has failed, and nothing may be looked up.
pub fn observed<R>(work: impl FnOnce() -> R, observe: impl FnOnce(PgSqlErrorCode)) -> R {
    use pg_sys::panic::CaughtError;
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) => {
            if let Some(CaughtError::PostgresError(raised)) = payload.downcast_ref::<CaughtError>()
                && !must_pass(raised.sql_error_code())
            {
                observe(raised.sql_error_code());
            }
            std::panic::resume_unwind(payload)
        }
    }
}

/// Raises 25006 on a standby.
pub fn refuse_in_recovery(command: &CStr) {
    // SAFETY: raises with the server's own message and code.
    unsafe { pg_sys::PreventCommandDuringRecovery(command.as_ptr()) };
}

/// Unpredictable bytes.
pub fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0u8; N];
    // SAFETY: the buffer has N bytes.
    let filled = unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), N) };
    if filled {
        Ok(bytes)
    } else {
        Err(Error::Internal {
            place: "random numbers",
        })
    }
}

/// The server's data directory.
pub fn data_directory() -> String {
    // SAFETY: the server sets the variable at start and never changes it.
    unsafe { CStr::from_ptr(pg_sys::DataDir) }
        .to_string_lossy()
        .into_owned()
}

/// Waits until this process is woken, or the time is over.
pub fn wait_latch(limit: Duration) {
    let events = pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    let milliseconds = limit.as_millis().clamp(1, 3_600_000) as std::ffi::c_long;
    // SAFETY: the latch is the process's own.
    unsafe {
        let latch = pg_sys::MyLatch;
        pg_sys::WaitLatch(
            latch,
            events as i32,
            milliseconds,
            pg_sys::PG_WAIT_EXTENSION,
        );
        pg_sys::ResetLatch(latch);
    }
}
