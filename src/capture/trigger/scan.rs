//! A table's rows as they lie there, read without a planner: planning a query on somebody's table
//! runs code of theirs (expressions of indexes, foreign tables), with the rights of who asks.

#![allow(unsafe_code)]

use super::row::Row;
use crate::error::Error;
use pgrx::pg_sys;

/// Hands every row of one heap to `each`, not those of its children. What is committed at this
/// moment counts, and what the transaction itself has written.
///
/// # Safety
/// The relation is open and locked, and has storage of its own.
pub(super) unsafe fn for_each_row(
    relation: pg_sys::Relation,
    each: &mut dyn FnMut(&Row<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    // SAFETY: promised by the caller; what is opened here is closed here, and an error in between
    // is cleaned up by the abort of the transaction.
    unsafe {
        let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
        let slot = pg_sys::table_slot_create(relation, std::ptr::null_mut());
        let scan = pg_sys::table_beginscan(relation, snapshot, 0, std::ptr::null_mut());
        let mut outcome = Ok(());
        while outcome.is_ok()
            && pg_sys::table_scan_getnextslot(
                scan,
                pg_sys::ScanDirection::ForwardScanDirection,
                slot,
            )
        {
            pgrx::check_for_interrupts!();
            outcome = each(&Row::in_slot(slot));
        }
        pg_sys::table_endscan(scan);
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::UnregisterSnapshot(snapshot);
        outcome
    }
}
