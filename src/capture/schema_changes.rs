//! Event triggers: captured tables through DDL.
//!
//! They run for whoever runs the DDL, with the log's own rights, and never make it fail: what goes
//! wrong here is a warning. In a copy of the database, and in the middle of a restore, they do
//! nothing.

#![allow(unsafe_code)]

use super::attach::forget;
use super::attachment::Attachment;
use super::command::converted_columns;
use super::condition::{self, After, Place};
use super::{partitions, shape, triggers};
use crate::db::{self, Failure, Mode, Relation, c_function};
use crate::error::{self, Error};
use pgrx::{PgSqlErrorCode, Uuid, pg_guard, pg_sys};

/// After a command that makes or alters something.
unsafe fn on_schema_change(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the server hands over valid call information.
    let command = unsafe {
        check_call(fcinfo);
        (*(*fcinfo).context.cast::<pg_sys::EventTriggerData>()).parsetree
    };
    tolerate(|| {
        // SAFETY: the command is the one that the event trigger fires for.
        let converted = unsafe { converted_columns(command) };
        let concerned = db::query(
            Mode::Write,
            include_str!("../../sql/query/schema_change.sql"),
            &[],
            |row| {
                Ok((
                    row.must::<Uuid>(1, "captures")?,
                    row.must::<bool>(2, "captures")?,
                ))
            },
        )?;
        concerned.into_iter().try_for_each(|(id, is_altered)| {
            let converted = if is_altered { &converted[..] } else { &[] };
            look_at(id, After::Change, converted)
        })
    });
    pg_sys::Datum::from(0usize)
}

/// After something was dropped, by whatever command.
unsafe fn on_drop(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: as above.
    unsafe { check_call(fcinfo) };
    tolerate(|| {
        let concerned = db::query(
            Mode::Write,
            include_str!("../../sql/query/dropped.sql"),
            &[],
            |row| {
                Ok((
                    row.must::<Uuid>(1, "captures")?,
                    row.must::<bool>(2, "captures")?,
                ))
            },
        )?;
        concerned.into_iter().try_for_each(|(id, is_gone)| {
            if is_gone {
                Attachment::by_id(id)?.map_or(Ok(()), |a| forget(&a, "table dropped"))
            } else {
                look_at(id, After::Drop, &[])
            }
        })
    });
    pg_sys::Datum::from(0usize)
}

/// Brings a capture into step with its table, some of whose columns have got other values.
fn look_at(id: Uuid, after: After, converted: &[String]) -> Result<(), Error> {
    let Some(mut attachment) = Attachment::by_id(id)? else {
        return Ok(());
    };
    let Some(relation) = attachment.relation else {
        return Ok(());
    };
    shape::follow(&attachment, relation, Place::Home, converted)?;
    partitions::follow(&attachment, relation, Place::Home)?;
    condition::follow(&mut attachment, relation, after)
}

/// Does the work where there is any, and turns what it raises into a warning.
fn tolerate(work: impl FnOnce() -> Result<(), Error>) {
    if triggers::is_at_work() || db::find(Relation::Captures).is_none() {
        return;
    }
    let done = db::in_subtransaction(|| {
        let has_captures = db::value::<bool>(
            Mode::Write,
            "SELECT EXISTS (SELECT FROM activity.captures)",
            &[],
        )?;
        if has_captures == Some(true) {
            work()
        } else {
            Ok(())
        }
    });
    if let Err(failure) = done {
        warn(&failure);
    }
}

fn warn(failure: &Failure) {
    let code = match failure {
        Failure::Refused(error) => error.report().code,
        Failure::Raised { code } => *code,
    };
    error::warning(
        PgSqlErrorCode::ERRCODE_WARNING,
        format!(
            "activity_log could not follow this change of a table: SQLSTATE {}",
            error::sqlstate(code)
        ),
        "SELECT activity.setup(); brings the captured tables into order.",
    );
}

/// Raises where an event trigger function is called as an ordinary one.
///
/// # Safety
/// `fcinfo` is the call information the server handed to the function.
unsafe fn check_call(fcinfo: pg_sys::FunctionCallInfo) {
    // SAFETY: promised by the caller; the context is a node, whose tag says what it is.
    let is_event = unsafe {
        let context = (*fcinfo).context;
        !context.is_null() && (*context).type_ == pg_sys::NodeTag::T_EventTriggerData
    };
    if !is_event {
        error::raise(Error::NotItsEventTrigger);
    }
}

c_function!(
    activity_on_schema_change,
    pg_finfo_activity_on_schema_change,
    on_schema_change
);
c_function!(activity_on_drop, pg_finfo_activity_on_drop, on_drop);
