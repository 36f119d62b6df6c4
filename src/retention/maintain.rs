//! The steps of `maintain()`. Each runs in a transaction of its own, which the caller commits: the
//! procedure `activity.maintain()`, or the worker.

#![allow(unsafe_code)]

use super::run::{self, Outcome, Owner};
use super::{detach, purge, removal, stages};
use crate::clock::now;
use crate::db::{self, Failure, Relation, Scope};
use crate::error::{Error, sqlstate};
use crate::setup;
use crate::value::JsonbOut;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::ffi::CStr;

/// What a piece of work has achieved.
pub enum Work {
    /// Nothing is left to do.
    Finished,
    /// Something was done, and there may be more.
    Did(Value),
    /// Nothing was done for one candidate, and there may be others.
    Passed,
}

/// A step: its name, how long it waits for a lock, and one piece of its work.
struct Step {
    name: &'static str,
    lock_timeout: &'static CStr,
    work: fn() -> Result<Work, Error>,
}

/// Waiting for a lock on the parent that stops writers is bounded by this.
pub const SHORT: &CStr = c"40ms";

const STEPS: [Step; 11] = [
    step("incarnation", c"2s", stages::persist_incarnation),
    step("make_ahead", c"2s", stages::make_ahead),
    step("finalize", c"2s", detach::finalize),
    step("close", c"2s", stages::close),
    step("expire", c"2s", stages::expire),
    step("detach", SHORT, detach::detach),
    step("drop", c"2s", removal::remove),
    step("purge_keys", c"2s", purge::keys),
    step("purge_archives", c"2s", purge::archives),
    step("purge_consumers", c"2s", purge::consumers),
    step("purge_log", c"2s", purge::log),
];

const fn step(
    name: &'static str,
    lock_timeout: &'static CStr,
    work: fn() -> Result<Work, Error>,
) -> Step {
    Step {
        name,
        lock_timeout,
        work,
    }
}

/// The names of the steps in their order.
pub fn steps() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|step| step.name)
}

/// How often a piece of work is tried that somebody stands in the way of.
const ATTEMPTS: u32 = 5;
/// The first wait between two tries, in seconds; each later one is twice as long.
const FIRST_WAIT: f64 = 0.1;

/// Why there is nothing to maintain here, if there is not.
pub fn obstacle() -> Result<Option<&'static str>, Error> {
    // SAFETY: reads the state of the server.
    if unsafe { pg_sys::RecoveryInProgress() } {
        return Ok(Some("this is a standby"));
    }
    if db::find(Relation::Log).is_none() || db::find(Relation::Events).is_none() {
        return Ok(Some("activity_log is not set up in this database"));
    }
    if db::find(Relation::PartitionRanges).is_none() {
        return Ok(Some(
            "older tables: SELECT activity.migrate() brings them up to date",
        ));
    }
    Ok((setup::at_home()? != Some(true))
        .then_some("restored copy: SELECT activity.migrate() takes it over"))
}

/// Begins a run, unless there is nothing to maintain here or another session is at it: then why.
#[pg_extern(name = "_begin_maintenance", volatile, parallel_unsafe)]
fn begin_maintenance() -> Result<Option<String>, ErrorReport> {
    // SAFETY: reads the state of the transaction.
    if unsafe { pg_sys::IsTransactionBlock() } {
        return Err(Error::InTransactionBlock.into());
    }
    Ok(begin(Owner::Procedure)?.map(str::to_owned))
}

/// Begins a run, or says why not.
pub fn begin(owner: Owner) -> Result<Option<&'static str>, Error> {
    if let Some(obstacle) = obstacle()? {
        return Ok(Some(obstacle));
    }
    Ok((!run::begin(owner)?).then_some("another session is at it"))
}

/// The steps of a run in their order.
#[pg_extern(name = "_maintenance_steps", immutable, parallel_safe)]
fn maintenance_steps() -> Vec<String> {
    steps().map(str::to_owned).collect()
}

/// Does a piece of a step's work, in the transaction of the caller, who commits it: after how many
/// seconds it wants to be called again, or NULL when the step is finished.
#[pg_extern(name = "_maintain_step", volatile, parallel_unsafe)]
fn maintain_step(step: Option<&str>, is_first: Option<bool>) -> Result<Option<f64>, ErrorReport> {
    let step = step.ok_or(Error::Missing { argument: "step" })?;
    Ok(advance(step, is_first.unwrap_or(true))?)
}

/// Ends the run; its summary.
#[pg_extern(name = "_end_maintenance", volatile, parallel_unsafe)]
fn end_maintenance() -> Result<JsonbOut, ErrorReport> {
    Ok(JsonbOut::from_json(&run::end()?)?)
}

/// Does a piece of a step's work; see [`maintain_step`].
pub fn advance(name: &str, is_first: bool) -> Result<Option<f64>, Error> {
    let step = STEPS
        .iter()
        .find(|step| step.name == name)
        .ok_or(Error::Internal { place: "step" })?;
    if is_first {
        run::begin_step()?;
    }
    let started_at = now();
    let outcome = db::attempt(|| {
        db::as_owner(|| {
            db::set_option(c"lock_timeout", step.lock_timeout, Scope::Block);
            (step.work)()
        })
    });
    match outcome {
        Ok(Work::Finished) => {
            run::with(|run| run.partition = None)?;
            run::log(name, Outcome::Nothing, started_at, &json!({}))?;
            Ok(None)
        }
        Ok(Work::Passed) => start_over(),
        Ok(Work::Did(detail)) => {
            run::log(name, Outcome::Done, started_at, &detail)?;
            start_over()
        }
        Err(failure) => failed(name, started_at, &failure),
    }
}

fn start_over() -> Result<Option<f64>, Error> {
    run::with(|run| {
        run.attempts = 0;
        run.partition = None;
    })?;
    Ok(Some(0.0))
}

/// Tries again later when somebody stood in the way; otherwise, or when that was in vain, leaves
/// this piece of work to the next run and goes on with the others.
fn failed(name: &str, started_at: i64, failure: &Failure) -> Result<Option<f64>, Error> {
    let is_busy = is_busy(failure);
    let attempts = run::with(|run| {
        run.attempts += 1;
        run.sweep = None;
        run.attempts
    })?;
    if is_busy && attempts < ATTEMPTS {
        return Ok(Some(FIRST_WAIT * f64::from(1u32 << (attempts - 1))));
    }
    let outcome = if is_busy {
        Outcome::GaveUp
    } else {
        Outcome::Failed
    };
    let mut detail = describe(failure);
    detail["attempts"] = json!(attempts);
    run::log(name, outcome, started_at, &detail)?;
    let goes_on = run::with(|run| match run.partition.take() {
        Some(partition) => run.skipped.insert(partition),
        None => false,
    })?;
    if goes_on { start_over() } else { Ok(None) }
}

/// Whether somebody holds a lock that the work needs.
fn is_busy(failure: &Failure) -> bool {
    let Failure::Raised { code } = failure else {
        return false;
    };
    matches!(
        code,
        PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE
            | PgSqlErrorCode::ERRCODE_T_R_DEADLOCK_DETECTED
            | PgSqlErrorCode::ERRCODE_OBJECT_IN_USE
    )
}

fn describe(failure: &Failure) -> Value {
    match failure {
        Failure::Refused(error) => error.to_json(),
        Failure::Raised { code } => json!({"sqlstate": sqlstate(*code)}),
    }
}
