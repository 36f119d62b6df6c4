//! The log is append only, for its owner too. Retention and erasure have a door.

#![allow(unsafe_code)]

use crate::db::{self, c_function};
use crate::error::{self, Error};
use pgrx::{pg_guard, pg_sys};
use std::cell::Cell;

/// What a statement of ours may do to one table of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Retention takes rows out.
    Delete,
    /// Erasure makes fields unreadable.
    Update,
}

thread_local! {
    /// The one table that may be changed at this moment, and how. It is memory of this backend:
    /// no setting, no statement and no role can open it.
    static DOOR: Cell<Option<(pg_sys::Oid, Change)>> = const { Cell::new(None) };
}

/// Closes the door again, also while an error unwinds the stack.
struct OpenDoor(Option<(pg_sys::Oid, Change)>);

impl Drop for OpenDoor {
    fn drop(&mut self) {
        DOOR.set(self.0);
    }
}

/// Runs one statement of ours that may change the rows of `table`: a partition, or a table that
/// was one. Every other table stays append only meanwhile, and so does this one for other changes.
pub fn through_door<R>(
    table: pg_sys::Oid,
    change: Change,
    statement: impl FnOnce() -> Result<R, Error>,
) -> Result<R, Error> {
    let _open = OpenDoor(DOOR.replace(Some((table, change))));
    statement()
}

/// Fired before any UPDATE, DELETE or TRUNCATE of the log or one of its partitions.
unsafe fn append_only(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: `trigger_relation` checks that the server calls this as a trigger; then the context
    // is trigger data.
    let (relation, event) = unsafe {
        let relation = db::trigger_relation(fcinfo);
        (
            relation,
            (*(*fcinfo).context.cast::<pg_sys::TriggerData>()).tg_event,
        )
    };
    let change = match event & pg_sys::TRIGGER_EVENT_OPMASK {
        pg_sys::TRIGGER_EVENT_DELETE => Some(Change::Delete),
        pg_sys::TRIGGER_EVENT_UPDATE => Some(Change::Update),
        _ => None,
    };
    if change.is_some_and(|change| DOOR.get() == Some((relation, change))) {
        return pg_sys::Datum::from(0usize);
    }
    error::raise(Error::AppendOnly {
        relation: db::relation_name(relation).unwrap_or_default(),
    })
}

c_function!(
    activity_append_only,
    pg_finfo_activity_append_only,
    append_only
);
