//! The worker as the driver of the maintenance: a slice of a run at a time, so that its other work
//! does not wait, and DETACH CONCURRENTLY by itself.

use super::maintain::{self, steps};
use super::run::{self, Outcome, Owner};
use super::{detach, ledger};
use crate::clock::now;
use crate::db::{self, Mode, Scope};
use crate::error::{Error, sqlstate};
use crate::settings::MAINTENANCE_INTERVAL;
use crate::shared;
use crate::worker::{Failed, guarded, transaction};
use pgrx::PgSqlErrorCode;
use pgrx::spi::quote_identifier;
use serde_json::json;
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// How long a slice of work may take before the worker looks after something else. One piece of
/// work is not divided.
const SLICE: Duration = Duration::from_millis(200);
/// How long a concurrent detach waits for old transactions. What it has not waited for by then is
/// pending, and brought to its end by a later run.
const PATIENCE: &std::ffi::CStr = c"1s";

const DETACH: &str = "detach";

thread_local! {
    static DRIVER: RefCell<Driver> = const { RefCell::new(Driver::Starting) };
}

/// What the worker is about to do.
#[derive(Clone)]
enum Driver {
    /// It has not looked yet when the last run was.
    Starting,
    /// The next run.
    Waiting { since: Instant, pause: Duration },
    /// A step of a run.
    Running {
        step: usize,
        is_first: bool,
        not_before: Instant,
    },
}

/// Whether a worker looks after this database.
pub fn is_running() -> bool {
    MAINTENANCE_INTERVAL.get() > 0
        && shared::database().is_some_and(|database| database.worker() != 0)
}

/// Does the next slice of work, if any is due.
///
/// # Errors
/// What stopped the run; the next one begins after the interval.
pub fn drive() -> Result<(), Error> {
    let begin = Instant::now();
    while begin.elapsed() < SLICE {
        let before = DRIVER.with_borrow(Clone::clone);
        let next = match &before {
            _ if MAINTENANCE_INTERVAL.get() == 0 => Driver::Starting,
            Driver::Starting => Driver::Waiting {
                since: begin,
                pause: first_pause()?,
            },
            Driver::Waiting { since, pause } if since.elapsed() >= *pause => start()?,
            Driver::Running {
                step,
                is_first,
                not_before,
            } if Instant::now() >= *not_before => advance(*step, *is_first)?,
            Driver::Waiting { .. } | Driver::Running { .. } => return Ok(()),
        };
        let is_idle = !matches!(next, Driver::Running { .. });
        DRIVER.set(next);
        if is_idle {
            return Ok(());
        }
    }
    Ok(())
}

fn interval() -> Duration {
    Duration::from_secs(u64::from(MAINTENANCE_INTERVAL.get().unsigned_abs()))
}

fn waiting() -> Driver {
    Driver::Waiting {
        since: Instant::now(),
        pause: interval(),
    }
}

/// A run that failed is over; the log of the server says why.
fn gone(failed: &Failed) -> Driver {
    failed.log("maintenance");
    run::abandon();
    waiting()
}

/// How long until the interval since the last run is over, whoever it was. A new log is left alone
/// for one.
fn first_pause() -> Result<Duration, Error> {
    let found = transaction(|| {
        db::value::<i64>(
            Mode::ReadLatest,
            "SELECT greatest(extract(epoch FROM clock_timestamp() - max(l.finished_at)), 0)::bigint \
             FROM activity.maintenance_log l WHERE l.step = 'run'",
            &[],
        )
    });
    let since_last = found.unwrap_or_default().map(i64::unsigned_abs);
    Ok(since_last.map_or(interval(), |seconds| {
        interval().saturating_sub(Duration::from_secs(seconds))
    }))
}

fn start() -> Result<Driver, Error> {
    Ok(match transaction(|| maintain::begin(Owner::Worker)) {
        Ok(None) => Driver::Running {
            step: 0,
            is_first: true,
            not_before: Instant::now(),
        },
        Ok(Some(_obstacle)) => waiting(),
        Err(failed) => gone(&failed),
    })
}

fn advance(step: usize, is_first: bool) -> Result<Driver, Error> {
    let Some(name) = steps().nth(step) else {
        return Ok(match transaction(run::end) {
            Ok(_) => waiting(),
            Err(failed) => gone(&failed),
        });
    };
    let outcome = if name == DETACH {
        detach_next(is_first)
    } else {
        transaction(|| maintain::advance(name, is_first))
    };
    Ok(match outcome {
        Ok(None) => Driver::Running {
            step: step + 1,
            is_first: true,
            not_before: Instant::now(),
        },
        Ok(Some(wait)) => Driver::Running {
            step,
            is_first: false,
            not_before: Instant::now() + Duration::from_secs_f64(wait),
        },
        Err(failed) => gone(&failed),
    })
}

/// Detaches the next partition that is to go: a command of its own, which waits for nobody's lock
/// while others wait behind it.
fn detach_next(is_first: bool) -> Result<Option<f64>, Failed> {
    let candidate = transaction(|| {
        if is_first {
            run::begin_step()?;
        }
        candidate()
    })?;
    let Some(name) = candidate else {
        transaction(|| run::log(DETACH, Outcome::Nothing, now(), &json!({})))?;
        return Ok(None);
    };
    let started_at = now();
    db::set_option(c"lock_timeout", PATIENCE, Scope::Session);
    let done = guarded(|| {
        db::execute_alone(&format!(
            "ALTER TABLE activity.events DETACH PARTITION activity.{} CONCURRENTLY",
            quote_identifier(&name)
        ))
    });
    db::set_option(c"lock_timeout", c"0", Scope::Session);
    transaction(|| report(&name, started_at, &done))?;
    Ok(Some(0.0))
}

/// The name of the next partition that is still to go. While one is pending no other can follow it.
fn candidate() -> Result<Option<String>, Error> {
    let is_pending = db::value::<bool>(
        Mode::ReadLatest,
        "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'activity.events'::regclass AND inhdetachpending)",
        &[],
    )?;
    if is_pending == Some(true) {
        return Ok(None);
    }
    while let Some((name, partition)) = detach::next()? {
        if detach::still_goes(&name, &partition)? {
            return Ok(Some(name));
        }
        ledger::set_state(&name, "closed")?;
    }
    Ok(None)
}

fn report(name: &str, started_at: i64, done: &Result<(), Failed>) -> Result<(), Error> {
    run::with(|run| {
        run.partition = Some(name.to_owned());
        run.skipped.insert(name.to_owned());
    })?;
    let (outcome, detail) = match done {
        Ok(()) => (Outcome::Done, json!({"how": "concurrently"})),
        Err(failed) => {
            let code = failed.code();
            let is_busy = code == PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE;
            let outcome = if is_busy {
                Outcome::GaveUp
            } else {
                Outcome::Failed
            };
            (outcome, json!({"sqlstate": sqlstate(code)}))
        }
    };
    run::log(DETACH, outcome, started_at, &detail)
}
