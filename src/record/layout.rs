//! The columns of `activity.events`, and whether a partition has them and nothing besides that
//! only the executor knows how to handle.

#![allow(unsafe_code)]

use crate::db::{self, Relation};
use pgrx::pg_sys;
use std::cell::Cell;
use std::ffi::CStr;

/// A column of `activity.events`.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) type_oid: pg_sys::Oid,
    is_required: bool,
}

const fn required(name: &'static str, type_oid: pg_sys::Oid) -> Column {
    Column {
        name,
        type_oid,
        is_required: true,
    }
}

const fn optional(name: &'static str, type_oid: pg_sys::Oid) -> Column {
    Column {
        name,
        type_oid,
        is_required: false,
    }
}

/// The columns in their stored order.
pub(super) const COLUMNS: [Column; 21] = [
    required("recorded_at", pg_sys::TIMESTAMPTZOID),
    required("occurred_at", pg_sys::TIMESTAMPTZOID),
    required("xact", pg_sys::XID8OID),
    required("gen", pg_sys::INT4OID),
    optional("action_version", pg_sys::INT4OID),
    required("event_id", pg_sys::UUIDOID),
    required("tenant_id", pg_sys::UUIDOID),
    required("action", pg_sys::TEXTOID),
    required("status", pg_sys::TEXTOID),
    required("source", pg_sys::TEXTOID),
    optional("actor_type", pg_sys::TEXTOID),
    optional("actor_id", pg_sys::TEXTOID),
    optional("object_type", pg_sys::TEXTOID),
    optional("object_id", pg_sys::TEXTOID),
    optional("request_id", pg_sys::TEXTOID),
    optional("ip_hash", pg_sys::BYTEAOID),
    optional("ip_prefix", pg_sys::CIDROID),
    optional("user_agent", pg_sys::TEXTOID),
    optional("db_role", pg_sys::TEXTOID),
    required("metadata", pg_sys::JSONBOID),
    optional("changes", pg_sys::JSONBOID),
];

/// The values of an event, in the order of the columns.
pub(super) type Tuple = [Option<pg_sys::Datum>; COLUMNS.len()];

/// The constraints of our own, which every event fulfils because of its types.
const OWN_CHECKS: [&CStr; 2] = [c"events_status_check", c"events_source_check"];

thread_local! {
    /// Whether the partitioned table itself has no INSERT trigger, at a count of its changes.
    static ROOT_IS_PLAIN: Cell<(u64, bool)> = const { Cell::new((0, false)) };
}

/// # Safety
/// The root is locked.
pub(super) unsafe fn root_is_plain(root: pg_sys::Oid) -> bool {
    let at = db::changes(Relation::Events);
    let (seen, plain) = ROOT_IS_PLAIN.get();
    if seen == at {
        return plain;
    }
    // SAFETY: the lock is held already.
    let plain = unsafe {
        let relation = pg_sys::table_open(root, pg_sys::NoLock as i32);
        let plain = !has_insert_trigger(relation);
        pg_sys::table_close(relation, pg_sys::NoLock as i32);
        plain
    };
    ROOT_IS_PLAIN.set((at, plain));
    plain
}

/// Whether a partition is an ordinary heap with our columns and nothing that acts on INSERT.
///
/// # Safety
/// The relation is open.
pub(super) unsafe fn is_plain(relation: pg_sys::Relation) -> bool {
    // SAFETY: the descriptor of an open relation is valid; a missing constraint block is NULL.
    unsafe {
        let columns = (*relation).rd_att;
        let class = (*relation).rd_rel;
        (*columns).natts as usize == COLUMNS.len()
            && (*class).relkind == pg_sys::RELKIND_RELATION as std::ffi::c_char
            && (*class).relam == pg_sys::HEAP_TABLE_AM_OID
            && !has_insert_trigger(relation)
            && has_only_own_constraints(columns)
            && has_own_columns(columns)
    }
}

/// # Safety
/// The relation is open.
unsafe fn has_insert_trigger(relation: pg_sys::Relation) -> bool {
    // SAFETY: the trigger block is NULL or valid.
    unsafe {
        (*relation).trigdesc.as_ref().is_some_and(|triggers| {
            triggers.trig_insert_before_row
                || triggers.trig_insert_after_row
                || triggers.trig_insert_instead_row
                || triggers.trig_insert_before_statement
                || triggers.trig_insert_after_statement
                || triggers.trig_insert_new_table
        })
    }
}

/// # Safety
/// The descriptor is valid.
unsafe fn has_only_own_constraints(columns: pg_sys::TupleDesc) -> bool {
    // SAFETY: the constraint block is NULL or valid, with num_check entries.
    unsafe {
        (*columns).constr.as_ref().is_none_or(|constraints| {
            !has_generated_columns(constraints)
                && (0..usize::from(constraints.num_check)).all(|index| {
                    let name = CStr::from_ptr((*constraints.check.add(index)).ccname);
                    OWN_CHECKS.contains(&name)
                })
        })
    }
}

/// Whether a column's value is an expression, stored or worked out when it is read.
fn has_generated_columns(constraints: &pg_sys::TupleConstr) -> bool {
    #[cfg(feature = "pg18")]
    let has_virtual = constraints.has_generated_virtual;
    #[cfg(not(feature = "pg18"))]
    let has_virtual = false;
    constraints.has_generated_stored || has_virtual
}

/// # Safety
/// The descriptor has as many columns as ours.
unsafe fn has_own_columns(columns: pg_sys::TupleDesc) -> bool {
    COLUMNS.iter().enumerate().all(|(index, column)| {
        // SAFETY: index is below natts.
        let attribute = unsafe { db::attribute(columns, index) };
        attribute.atttypid == column.type_oid
            && !attribute.attisdropped
            && (column.is_required || !attribute.attnotnull)
    })
}
