//! What a background process has to do besides its work: signals, transactions, giving way.

use crate::db::{self, Scope};
use crate::error::{self, Error, sqlstate};
use crate::shared::{self, Counter};
use pgrx::{PgSqlErrorCode, PgTryBuilder, check_for_interrupts, pg_guard, pg_sys};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

// The server's own handlers, as they are: pgrx wraps them into functions that are none.
unsafe extern "C-unwind" {
    fn die(signal: std::ffi::c_int);
    fn SignalHandlerForConfigReload(signal: std::ffi::c_int);
}

const SIGHUP: i32 = 1;
const SIGTERM: i32 = 15;

/// Lets SIGTERM end the process at its next chance, also in the middle of a statement, and SIGHUP
/// reload the configuration. The server's handlers serve the other signals.
pub(super) fn serve_signals() {
    // SAFETY: both handlers are made for this.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        {
            pg_sys::pqsignal(SIGTERM, Some(die));
            pg_sys::pqsignal(SIGHUP, Some(SignalHandlerForConfigReload));
        }
        #[cfg(feature = "pg18")]
        {
            pg_sys::pqsignal_be(SIGTERM, Some(die));
            pg_sys::pqsignal_be(SIGHUP, Some(SignalHandlerForConfigReload));
        }
        pg_sys::BackgroundWorkerUnblockSignals();
    }
}

/// Connects to a database as the bootstrap superuser, or to none, which suffices to read what the
/// whole cluster shares.
pub(super) fn connect(database: Option<pg_sys::Oid>) {
    let user = pg_sys::InvalidOid;
    // SAFETY: called once, at the start of the process.
    unsafe {
        match database {
            Some(oid) => pg_sys::BackgroundWorkerInitializeConnectionByOid(oid, user, 0),
            None => {
                pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0)
            }
        }
    }
}

/// Settings of the database that are meant for its users would get in the way.
pub(super) fn prepare_session() {
    for (name, value) in [
        (c"application_name", c"activity_log worker"),
        (c"statement_timeout", c"0"),
        (c"lock_timeout", c"0"),
        (c"default_transaction_read_only", c"off"),
        (c"default_transaction_isolation", c"read committed"),
        (c"client_min_messages", c"error"),
    ] {
        db::set_option(name, value, Scope::Session);
    }
}

/// Ends the process; code 1 lets the postmaster start the launcher again.
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: nothing is open.
    unsafe { pg_sys::proc_exit(code) };
    #[allow(
        unreachable_code,
        reason = "some versions declare that it does not return"
    )]
    {
        std::process::exit(code)
    }
}

unsafe extern "C-unwind" fn leave(_code: std::ffi::c_int, _argument: pg_sys::Datum) {
    if let Some(database) = shared::database() {
        database.leave();
    }
    if let Some(shared) = shared::get() {
        shared.launcher.wake();
    }
}

/// Lets go of the database's part of shared memory, however the process ends.
pub(super) fn leave_at_exit() {
    // SAFETY: the callback touches only shared memory.
    unsafe { pg_sys::before_shmem_exit(Some(leave), pg_sys::Datum::from(0usize)) };
}

/// Serves what signals have asked for: the end, a changed configuration, a barrier.
pub(super) fn check_signals() {
    // SAFETY: variables of the process that its signal handlers set.
    unsafe {
        if pg_sys::ConfigReloadPending != 0 {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
    check_for_interrupts!();
}

/// Waits for somebody to wake the process, shown as idle.
pub(super) fn idle(limit: Duration) {
    if limit.is_zero() {
        return;
    }
    // SAFETY: reports of the own process.
    unsafe {
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
    }
    db::wait_latch(limit);
    check_for_interrupts!();
}

/// Whether another session holds or waits for a lock on the database's own entry that excludes
/// connections: it drops, renames, moves or copies the database, and waits for us to leave.
pub(super) fn is_wanted_by_others(database: u32) -> bool {
    let tag = pg_sys::LOCKTAG {
        locktag_field1: 0,
        locktag_field2: pg_sys::DatabaseRelationId.to_u32(),
        locktag_field3: database,
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    };
    let mode = pg_sys::RowExclusiveLock as i32;
    // SAFETY: the lock that every new connection takes for a moment; it is not waited for, and
    // given back at once.
    unsafe {
        let taken = pg_sys::LockAcquire(&raw const tag, mode, true, true);
        if taken == pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL {
            return true;
        }
        pg_sys::LockRelease(&raw const tag, mode, true);
    }
    false
}

/// Why something that the worker tried was undone.
#[derive(Debug)]
pub enum Failed {
    /// Our own error.
    Refused(Error),
    /// The server's. Its message may quote data.
    Raised(PgSqlErrorCode),
}

impl Failed {
    pub fn code(&self) -> PgSqlErrorCode {
        match self {
            Self::Refused(error) => error.report().code,
            Self::Raised(code) => *code,
        }
    }

    /// Counts it and leaves a line in the server's log.
    pub fn log(&self, what: &str) {
        shared::add(Counter::WorkerErrors, 1);
        let code = sqlstate(self.code());
        let said = match self {
            Self::Refused(error) => error.report().message,
            Self::Raised(_) => "an error of the server".into(),
        };
        error::log(format!(
            "activity_log worker: {what}: SQLSTATE {code}: {said}"
        ));
    }
}

/// Runs work outside any transaction; if it fails, what it has left open is rolled back.
pub fn guarded<R>(work: impl FnOnce() -> Result<R, Error>) -> Result<R, Failed> {
    use pg_sys::panic::CaughtError;
    let work = AssertUnwindSafe(work);
    let outcome = PgTryBuilder::new(|| {
        let work = work;
        (work.0)().map_err(Failed::Refused)
    })
    .catch_others(|caught| match caught {
        CaughtError::PostgresError(raised)
        | CaughtError::ErrorReport(raised)
        | CaughtError::RustPanic {
            ereport: raised, ..
        } => Err(Failed::Raised(raised.sql_error_code())),
    })
    .execute();
    // SAFETY: outside a transaction the abort does nothing; otherwise it ends what failed.
    unsafe {
        if outcome.is_err() {
            pg_sys::AbortCurrentTransaction();
        }
        pg_sys::MemoryContextSwitchTo(pg_sys::TopMemoryContext);
    }
    outcome
}

/// Runs work in a transaction of its own.
pub fn transaction<R>(work: impl FnOnce() -> Result<R, Error>) -> Result<R, Failed> {
    guarded(|| {
        // SAFETY: no transaction is open; an error leads to its abort.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
            pg_sys::pgstat_report_activity(
                pg_sys::BackendState::STATE_RUNNING,
                c"activity_log worker".as_ptr(),
            );
        }
        let result = work()?;
        // SAFETY: the snapshot pushed above is the innermost.
        unsafe {
            pg_sys::PopActiveSnapshot();
            pg_sys::CommitTransactionCommand();
        }
        Ok(result)
    })
}

#[pg_guard]
unsafe extern "C-unwind" fn leave_launcher(_code: std::ffi::c_int, _argument: pg_sys::Datum) {
    if let Some(shared) = shared::get() {
        shared.launcher.leave();
    }
}

/// Lets go of the launcher's place, however the process ends.
pub(super) fn leave_launcher_at_exit() {
    // SAFETY: the callback touches only shared memory.
    unsafe { pg_sys::before_shmem_exit(Some(leave_launcher), pg_sys::Datum::from(0usize)) };
}
