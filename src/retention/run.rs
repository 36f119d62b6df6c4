//! One run of the maintenance: who may do it, what it has done, and what stands in its way.

#![allow(unsafe_code)]

use super::sweep::Sweep;
use crate::clock::now;
use crate::db::{self, Exclusive};
use crate::error::Error;
use pgrx::{Uuid, pg_guard, pg_sys};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::HashSet;

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

/// How a step went for one partition, or altogether.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Nothing,
    GaveUp,
    Failed,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Nothing => "nothing",
            Self::GaveUp => "gave_up",
            Self::Failed => "failed",
        }
    }
}

/// A run that is under way in this session.
pub struct Run {
    id: [u8; 16],
    started_at: i64,
    /// How often the present piece of work was tried in vain.
    pub attempts: u32,
    /// What the present piece of work is about.
    pub partition: Option<String>,
    /// What the present step leaves to the next run.
    pub skipped: HashSet<String>,
    /// The removal of rows that is under way.
    pub sweep: Option<Sweep>,
    has_logged: bool,
    owner: Owner,
    summary: Map<String, Value>,
}

/// Who sees to it that a run ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The procedure: a transaction that fails ends the run.
    Procedure,
    /// The worker, of whose transactions others may fail in between.
    Worker,
}

/// Begins a run; `false` if another session is at it.
pub fn begin(owner: Owner) -> Result<bool, Error> {
    if !Exclusive::Maintenance.try_hold() {
        return Ok(false);
    }
    RUN.set(Some(Run {
        id: crate::db::random()?,
        started_at: now(),
        attempts: 0,
        partition: None,
        skipped: HashSet::new(),
        sweep: None,
        has_logged: false,
        owner,
        summary: Map::new(),
    }));
    Ok(true)
}

/// Ends the run; its summary.
pub fn end() -> Result<Value, Error> {
    let Some(run) = RUN.take() else {
        return Err(Error::Internal {
            place: "maintenance run",
        });
    };
    let troubles = ["gave_up", "failed"];
    let is_fine = !run
        .summary
        .values()
        .any(|step| troubles.iter().any(|trouble| step.get(trouble).is_some()));
    let outcome = if is_fine {
        Outcome::Done
    } else {
        Outcome::GaveUp
    };
    let mut summary = Map::from_iter([
        (
            "run_id".to_owned(),
            json!(Uuid::from_bytes(run.id).to_string()),
        ),
        ("ok".to_owned(), json!(is_fine)),
    ]);
    summary.extend(run.summary);
    let summary = Value::Object(summary);
    write(run.id, "run", None, run.started_at, outcome, &summary)?;
    Exclusive::Maintenance.release();
    Ok(summary)
}

/// Works with the run of this session.
pub fn with<R>(work: impl FnOnce(&mut Run) -> R) -> Result<R, Error> {
    RUN.with_borrow_mut(|run| run.as_mut().map(work))
        .ok_or(Error::Internal {
            place: "maintenance run",
        })
}

/// Begins a step.
pub fn begin_step() -> Result<(), Error> {
    with(|run| {
        run.attempts = 0;
        run.partition = None;
        run.skipped.clear();
        run.sweep = None;
        run.has_logged = false;
    })
}

/// Writes down how a piece of work of a step went.
pub fn log(step: &str, outcome: Outcome, started_at: i64, detail: &Value) -> Result<(), Error> {
    let (id, partition, is_repeated) = with(|run| {
        let is_repeated = outcome == Outcome::Nothing && run.has_logged;
        run.has_logged = true;
        run.count(step, outcome);
        (run.id, run.partition.clone(), is_repeated)
    })?;
    if is_repeated {
        return Ok(());
    }
    write(id, step, partition.as_deref(), started_at, outcome, detail)
}

impl Run {
    /// The summary names a step only when there was something to do.
    fn count(&mut self, step: &str, outcome: Outcome) {
        if outcome == Outcome::Nothing {
            return;
        }
        let entry = self.summary.entry(step).or_insert_with(|| json!({}));
        let count = entry
            .get(outcome.name())
            .and_then(Value::as_u64)
            .unwrap_or(0);
        entry[outcome.name()] = json!(count + 1);
    }
}

fn write(
    run: [u8; 16],
    step: &str,
    partition: Option<&str>,
    started_at: i64,
    outcome: Outcome,
    detail: &Value,
) -> Result<(), Error> {
    let detail = crate::value::container(detail)?;
    db::run(
        "INSERT INTO activity.maintenance_log (run_id, step, partition, started_at, finished_at, outcome, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[
            db::uuid(&run),
            db::text(Some(step)),
            db::text(partition),
            db::time(started_at),
            db::time(now()),
            db::text(Some(outcome.name())),
            db::jsonb(&detail),
        ],
    )
    .map(|_| ())
}

/// Sees to it that a run that fails does not keep its lock until the session ends.
pub fn watch_transactions() {
    // SAFETY: the callback stays valid for the life of the process.
    unsafe { pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut()) };
}

#[pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(
    event: pg_sys::XactEvent::Type,
    _argument: *mut std::ffi::c_void,
) {
    let ends = RUN.with_borrow(|run| {
        run.as_ref()
            .is_some_and(|run| run.owner == Owner::Procedure)
    });
    if ends && event == pg_sys::XactEvent::XACT_EVENT_ABORT {
        abandon();
    }
}

/// Ends a run that failed.
pub fn abandon() {
    if RUN.take().is_some() {
        Exclusive::Maintenance.release();
    }
}
