//! Event triggers: captured tables through DDL.
//!
//! They run for whoever runs the DDL, with the log's own rights, and never make it fail: what goes
//! wrong here is a warning. In a copy of the database, and in the middle of a restore, they do
//! nothing.

#![allow(unsafe_code)]

use super::attach::forget;
use super::attachment::Attachment;
use super::condition::{self, After, Place};
use super::target::oid_parameter;
use super::{partitions, shape, triggers};
use crate::db::{self, Failure, Mode, Relation, c_function};
use crate::error::{self, Error};
use pgrx::{PgList, PgSqlErrorCode, Uuid, pg_guard, pg_sys};
use std::cell::RefCell;
use std::ffi::CStr;

thread_local! {
    /// Tables whose rows the running command writes anew, and the columns it computes for them.
    static REWRITTEN: RefCell<Vec<(pg_sys::Oid, Vec<String>)>> = const { RefCell::new(Vec::new()) };
}

/// Before the rows of a table are written anew, for whatever reason.
unsafe fn on_table_rewrite(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the server hands over valid call information, which `check_call` makes sure of.
    let columns = unsafe {
        check_call(fcinfo);
        computed_columns((*(*fcinfo).context.cast::<pg_sys::EventTriggerData>()).parsetree)
    };
    if columns.is_empty() {
        return pg_sys::Datum::from(0usize);
    }
    tolerate(|| {
        let table = db::value::<pg_sys::Oid>(
            Mode::Write,
            "SELECT pg_event_trigger_table_rewrite_oid()",
            &[],
        )?;
        REWRITTEN.with_borrow_mut(|tables| tables.extend(table.map(|table| (table, columns))));
        Ok(())
    });
    pg_sys::Datum::from(0usize)
}

/// After a command that makes or alters something.
unsafe fn on_schema_change(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the server hands over valid call information.
    unsafe { check_call(fcinfo) };
    tolerate(|| {
        let concerned = db::query(
            Mode::Write,
            include_str!("../../sql/query/schema_change.sql"),
            &[],
            |row| row.must::<Uuid>(1, "captures"),
        )?;
        let rewritten = REWRITTEN.take();
        concerned
            .into_iter()
            .try_for_each(|id| look_at(id, After::Change, &rewritten))
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

/// The columns that a command gives other values, perhaps under the type they had.
///
/// # Safety
/// The node is a statement, or NULL.
unsafe fn computed_columns(statement: *mut pg_sys::Node) -> Vec<String> {
    // SAFETY: every statement begins with its tag, which tells what it is; the commands of ALTER
    // TABLE are of one kind, and their names end with a NUL.
    unsafe {
        if statement.is_null() || (*statement).type_ != pg_sys::NodeTag::T_AlterTableStmt {
            return Vec::new();
        }
        let commands = (*statement.cast::<pg_sys::AlterTableStmt>()).cmds;
        PgList::<pg_sys::AlterTableCmd>::from_pg(commands)
            .iter_ptr()
            .filter(|command| computes((**command).subtype) && !(**command).name.is_null())
            .map(|command| {
                CStr::from_ptr((*command).name)
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    }
}

/// Whether such a part of ALTER TABLE gives a column other values.
fn computes(part: pg_sys::AlterTableType::Type) -> bool {
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    if part == pg_sys::AlterTableType::AT_SetExpression {
        return true;
    }
    part == pg_sys::AlterTableType::AT_AlterColumnType
}

/// Brings a capture into step with its table.
fn look_at(id: Uuid, after: After, rewritten: &[(pg_sys::Oid, Vec<String>)]) -> Result<(), Error> {
    let Some(mut attachment) = Attachment::by_id(id)? else {
        return Ok(());
    };
    let Some(relation) = attachment.relation else {
        return Ok(());
    };
    let computed = computed_of(relation, rewritten)?;
    shape::follow(&attachment, relation, Place::Home, &computed)?;
    partitions::follow(&attachment, relation, Place::Home)?;
    condition::follow(&mut attachment, relation, after)
}

/// The columns of a table, or of its partitions, that were computed anew.
fn computed_of(
    relation: pg_sys::Oid,
    rewritten: &[(pg_sys::Oid, Vec<String>)],
) -> Result<Vec<String>, Error> {
    let mut computed = Vec::new();
    for (table, columns) in rewritten {
        let is_part = db::value::<bool>(
            Mode::Write,
            "SELECT $1 = $2 OR $1 IN (SELECT relid FROM pg_partition_ancestors($2::regclass))",
            &[oid_parameter(relation), oid_parameter(*table)],
        )?;
        if is_part == Some(true) {
            computed.extend_from_slice(columns);
        }
    }
    Ok(computed)
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
c_function!(
    activity_on_table_rewrite,
    pg_finfo_activity_on_table_rewrite,
    on_table_rewrite
);
c_function!(activity_on_drop, pg_finfo_activity_on_drop, on_drop);
