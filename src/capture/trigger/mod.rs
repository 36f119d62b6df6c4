//! The trigger functions: rows one by one, or those of a whole statement.
//!
//! A trigger names its capture. [`table`] keeps how that table is captured and read; [`row`] and
//! [`value`] take rows apart, [`image`] makes documents of them, and [`writer`] hands events in
//! batches to `record`, the one write path.

#![allow(unsafe_code)]

mod derived;
mod form;
mod image;
mod row;
mod rows;
mod scan;
mod settings;
mod summary;
mod table;
mod tenant;
mod truncate;
mod value;
mod writer;

use self::image::Change;
use self::row::Row;
use self::rows::Rows;
pub(super) use self::settings::printing;
use self::table::Table;
use self::writer::Writer;
use crate::db::{self, c_function};
use crate::error::{self, Error};
use crate::record;
use activity_log_core::context::parse_uuid;
use pgrx::{pg_guard, pg_sys};
use std::ffi::CStr;
use std::rc::Rc;

/// What happened to the rows that a trigger fires for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Insert,
    Update,
    Delete,
}

/// The part of a trigger's event that says when and for what it fires.
const FIRING: u32 = pg_sys::TRIGGER_EVENT_ROW | pg_sys::TRIGGER_EVENT_TIMINGMASK;
const AFTER_ROW: u32 = pg_sys::TRIGGER_EVENT_ROW | pg_sys::TRIGGER_EVENT_AFTER;
const AFTER_STATEMENT: u32 = pg_sys::TRIGGER_EVENT_AFTER;
const BEFORE_STATEMENT: u32 = pg_sys::TRIGGER_EVENT_BEFORE;

/// AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW.
unsafe fn capture_row(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the server hands over valid call information; the slots of a row trigger hold the
    // rows while the function runs.
    unsafe {
        run(fcinfo, AFTER_ROW, |trigger, table| {
            let row = |slot| Row::in_slot(slot);
            let change = match operation(trigger) {
                Operation::Insert => Change::Created(row((*trigger).tg_trigslot)),
                Operation::Delete => Change::Deleted(row((*trigger).tg_trigslot)),
                Operation::Update => Change::Updated {
                    old: row((*trigger).tg_trigslot),
                    new: row((*trigger).tg_newslot),
                },
            };
            let mut writer = Writer::new(table)?;
            writer.add(&change)?;
            writer.finish()
        })
    }
}

/// AFTER INSERT, UPDATE or DELETE FOR EACH STATEMENT, with the rows in transition tables.
unsafe fn capture_statement(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: as above; transition tables live as long as the statement.
    unsafe {
        run(fcinfo, AFTER_STATEMENT, |trigger, table| {
            let rows = Transitions::of(trigger)?;
            let limit = crate::settings::CAPTURE_ROW_LIMIT.get();
            let mut writer = if limit > 0 && rows.count() > i64::from(limit) {
                Writer::summing_up(table)?
            } else {
                Writer::new(table)?
            };
            rows.for_each(&mut |change| writer.add(change))?;
            writer.finish()
        })
    }
}

/// BEFORE TRUNCATE FOR EACH STATEMENT: the rows can still be counted.
unsafe fn capture_truncate(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: as above.
    unsafe {
        run(fcinfo, BEFORE_STATEMENT, |trigger, table| {
            truncate::write(&table, (*trigger).tg_relation)
        })
    }
}

/// What the names of our triggers begin with; they sort before all others.
const NAME: &[u8] = b"!activity_capture_";

/// Runs the capture that the trigger's argument names, unless it is paused. A trigger of another
/// name, or on another table, is somebody's own, and adds nothing to the log.
///
/// # Safety
/// `fcinfo` is the call information the server handed to a trigger function.
unsafe fn run(
    fcinfo: pg_sys::FunctionCallInfo,
    firing: u32,
    work: impl FnOnce(*mut pg_sys::TriggerData, Rc<Table>) -> Result<(), Error>,
) -> pg_sys::Datum {
    // SAFETY: promised by the caller; `trigger_relation` checks that this is a trigger.
    let outcome = unsafe {
        db::trigger_relation(fcinfo);
        let trigger = (*fcinfo).context.cast::<pg_sys::TriggerData>();
        record::tolerate(|| {
            if (*trigger).tg_event & FIRING != firing {
                return Err(Error::NotItsTrigger);
            }
            let table = Table::of((*trigger).tg_relation, capture_id((*trigger).tg_trigger)?)?;
            if !table.is_captured || !has_our_name(trigger) || table.is_paused() {
                return Ok(());
            }
            printing(table.depends_on_settings, || work(trigger, table))
        })
    };
    if let Err(error) = outcome {
        error::raise(error);
    }
    pg_sys::Datum::from(0usize)
}

/// Whether the trigger is named as ours are: its table has no second one of that name.
///
/// # Safety
/// The trigger data is valid.
unsafe fn has_our_name(trigger: *mut pg_sys::TriggerData) -> bool {
    // SAFETY: promised by the caller; names are NUL-terminated.
    let (event, name) = unsafe {
        (
            (*trigger).tg_event,
            CStr::from_ptr((*(*trigger).tg_trigger).tgname),
        )
    };
    let kind: &[u8] = match event & pg_sys::TRIGGER_EVENT_OPMASK {
        _ if event & pg_sys::TRIGGER_EVENT_ROW != 0 => b"row",
        pg_sys::TRIGGER_EVENT_INSERT => b"insert",
        pg_sys::TRIGGER_EVENT_DELETE => b"delete",
        pg_sys::TRIGGER_EVENT_UPDATE => b"update",
        _ => b"truncate",
    };
    name.to_bytes().strip_prefix(NAME) == Some(kind)
}

/// # Safety
/// The trigger is one that the server fires.
unsafe fn capture_id(trigger: *mut pg_sys::Trigger) -> Result<[u8; 16], Error> {
    // SAFETY: arguments of triggers are NUL-terminated strings.
    let argument = unsafe {
        ((*trigger).tgnargs > 0).then(|| CStr::from_ptr(*(*trigger).tgargs).to_str().ok())
    };
    argument
        .flatten()
        .and_then(parse_uuid)
        .ok_or(Error::OrphanTrigger)
}

/// # Safety
/// The trigger data is valid.
unsafe fn operation(trigger: *mut pg_sys::TriggerData) -> Operation {
    // SAFETY: promised by the caller.
    match unsafe { (*trigger).tg_event } & pg_sys::TRIGGER_EVENT_OPMASK {
        pg_sys::TRIGGER_EVENT_INSERT => Operation::Insert,
        pg_sys::TRIGGER_EVENT_DELETE => Operation::Delete,
        _ => Operation::Update,
    }
}

/// The transition tables of a statement.
struct Transitions {
    old: Option<Rows>,
    new: Option<Rows>,
}

impl Transitions {
    /// # Safety
    /// The trigger data is valid.
    unsafe fn of(trigger: *mut pg_sys::TriggerData) -> Result<Self, Error> {
        // SAFETY: both tables hold rows of the trigger's relation, or are not there.
        let transitions = unsafe {
            let columns = (*(*trigger).tg_relation).rd_att;
            Self {
                old: Rows::of((*trigger).tg_oldtable, columns),
                new: Rows::of((*trigger).tg_newtable, columns),
            }
        };
        // SAFETY: the trigger data is valid.
        let has_needed = match unsafe { operation(trigger) } {
            Operation::Insert => transitions.new.is_some(),
            Operation::Delete => transitions.old.is_some(),
            Operation::Update => transitions.old.is_some() && transitions.new.is_some(),
        };
        if has_needed {
            Ok(transitions)
        } else {
            Err(Error::NotItsTrigger)
        }
    }

    fn count(&self) -> i64 {
        let count = |rows: &Option<Rows>| rows.as_ref().map_or(0, Rows::count);
        count(&self.old).max(count(&self.new))
    }

    /// Hands every change to `each`. The n-th old row belongs to the n-th new row: the server
    /// keeps them in step, except where a row was moved to a partition that refused it.
    fn for_each(
        &self,
        each: &mut dyn FnMut(&Change<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) if old.count() == new.count() => {
                let (mut old, mut new) = (old.read(), new.read());
                while let (Some(old), Some(new)) = (old.next(), new.next()) {
                    each(&Change::Updated { old, new })?;
                }
            }
            (old, new) => {
                if let Some(old) = old {
                    let mut rows = old.read();
                    while let Some(row) = rows.next() {
                        each(&Change::Deleted(row))?;
                    }
                }
                if let Some(new) = new {
                    let mut rows = new.read();
                    while let Some(row) = rows.next() {
                        each(&Change::Created(row))?;
                    }
                }
            }
        }
        Ok(())
    }
}

c_function!(
    activity_capture_row,
    pg_finfo_activity_capture_row,
    capture_row
);
c_function!(
    activity_capture_statement,
    pg_finfo_activity_capture_statement,
    capture_statement
);
c_function!(
    activity_capture_truncate,
    pg_finfo_activity_capture_truncate,
    capture_truncate
);
