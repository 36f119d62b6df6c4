//! Walking an index of one partition, without planner and executor.
//!
//! A page of the stream asks every partition where it has something new, and most have nothing:
//! one descent of an index each. A statement for each would cost more than the page itself.

#![allow(unsafe_code)]

use crate::db;
use crate::error::Error;
use crate::read::{EventColumns, EventRow, begin_index_scan};
use crate::retention::Partition;
use pgrx::pg_sys;
use std::ffi::CStr;

/// A condition on a key column of the index: its number from 1, the strategy of the B-tree, the
/// function that compares, and the value.
pub(super) type Condition = (i16, u32, u32, pg_sys::Datum);

/// An index of a partition that is being walked in its order.
pub(super) struct IndexScan {
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    scan: pg_sys::IndexScanDesc,
    slot: *mut pg_sys::TupleTableSlot,
    columns: EventColumns,
}

impl IndexScan {
    /// Opens the index with these key columns; `None` if the partition is empty. The caller holds
    /// a lock on the parent. The first [`seek`](Self::seek) has as many conditions as every later.
    pub(super) fn open(
        partition: &Partition,
        key: &[&CStr],
        conditions: usize,
    ) -> Result<Option<Self>, Error> {
        // SAFETY: the partition exists as long as the parent is locked; what is opened here is
        // closed when the value is dropped, or by the abort of the transaction.
        unsafe {
            let lock = pg_sys::AccessShareLock as i32;
            let table = pg_sys::table_open(partition.relation, lock);
            if pg_sys::RelationGetNumberOfBlocksInFork(table, pg_sys::ForkNumber::MAIN_FORKNUM) == 0
            {
                pg_sys::table_close(table, pg_sys::NoLock as i32);
                return Ok(None);
            }
            let columns = EventColumns::of(table)?;
            let index = find_index(table, &columns, key).ok_or_else(|| missing_index(partition))?;
            Ok(Some(Self {
                table,
                index,
                scan: begin_index_scan(table, index, conditions as i32),
                slot: pg_sys::table_slot_create(table, std::ptr::null_mut()),
                columns,
            }))
        }
    }

    /// Goes to the first row that meets the conditions.
    pub(super) fn seek(&mut self, conditions: &[Condition]) {
        let mut keys: Vec<pg_sys::ScanKeyData> = conditions
            .iter()
            .map(|(column, strategy, function, value)| {
                let mut key = pg_sys::ScanKeyData::default();
                // SAFETY: the function compares the type of the column with that of the value.
                unsafe {
                    pg_sys::ScanKeyInit(
                        &raw mut key,
                        *column,
                        *strategy as u16,
                        pg_sys::Oid::from(*function),
                        *value,
                    );
                }
                key
            })
            .collect();
        // SAFETY: the scan is open for this number of keys, which it copies.
        unsafe {
            pg_sys::index_rescan(
                self.scan,
                keys.as_mut_ptr(),
                keys.len() as i32,
                std::ptr::null_mut(),
                0,
            );
        }
    }

    /// Whether there is a further row; it is the current one then.
    pub(super) fn advance(&mut self) -> bool {
        pgrx::check_for_interrupts!();
        let forward = pg_sys::ScanDirection::ForwardScanDirection;
        // SAFETY: the scan is open, and the slot fits its table.
        unsafe { pg_sys::index_getnext_slot(self.scan, forward, self.slot) }
    }

    /// Life, transaction and id of the current row.
    pub(super) fn key(&self) -> Result<(i32, u64, [u8; 16]), Error> {
        // SAFETY: the slot holds a row of the table that the columns were read from.
        unsafe { self.columns.key(self.slot) }
    }

    /// The current row's action.
    pub(super) fn action(&self) -> Result<String, Error> {
        // SAFETY: as for the key.
        unsafe { self.columns.action(self.slot) }
    }

    /// The current row's tenant.
    pub(super) fn tenant(&self) -> Result<[u8; 16], Error> {
        // SAFETY: as for the key.
        unsafe { self.columns.tenant(self.slot) }
    }

    /// When the current row was recorded.
    pub(super) fn recorded_at(&self) -> Result<i64, Error> {
        // SAFETY: as for the key.
        unsafe { self.columns.recorded_at(self.slot) }
    }

    /// The current row.
    pub(super) fn row(&self) -> Result<EventRow, Error> {
        // SAFETY: as for the key.
        unsafe { self.columns.row(self.slot) }
    }
}

impl Drop for IndexScan {
    fn drop(&mut self) {
        // After an error the server's own abort closes what is open.
        if std::thread::panicking() {
            return;
        }
        // SAFETY: all four were opened together and are closed once.
        unsafe {
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::index_endscan(self.scan);
            pg_sys::index_close(self.index, pg_sys::NoLock as i32);
            pg_sys::table_close(self.table, pg_sys::NoLock as i32);
        }
    }
}

fn missing_index(partition: &Partition) -> Error {
    Error::NoStreamIndex {
        partition: db::relation_name(partition.relation).unwrap_or_default(),
    }
}

/// The valid B-tree of the table with exactly these key columns, opened.
///
/// # Safety
/// The table is open and locked.
unsafe fn find_index(
    table: pg_sys::Relation,
    columns: &EventColumns,
    key: &[&CStr],
) -> Option<pg_sys::Relation> {
    let wanted: Vec<i16> = key.iter().map(|name| columns.number(name)).collect();
    // SAFETY: the list belongs to us; an index of a locked table can be opened.
    unsafe {
        let list = pg_sys::RelationGetIndexList(table);
        let count = if list.is_null() { 0 } else { (*list).length };
        let found = (0..count).find_map(|at| {
            let oid = pg_sys::list_nth_oid(list, at);
            let index = pg_sys::index_open(oid, pg_sys::AccessShareLock as i32);
            if is_walkable(index, &wanted) {
                return Some(index);
            }
            pg_sys::index_close(index, pg_sys::NoLock as i32);
            None
        });
        pg_sys::list_free(list);
        found
    }
}

/// # Safety
/// The index is open.
unsafe fn is_walkable(index: pg_sys::Relation, wanted: &[i16]) -> bool {
    // SAFETY: an open index has its pg_index row, with one entry per key column.
    unsafe {
        let description = &*(*index).rd_index;
        let count = usize::try_from(description.indnkeyatts).unwrap_or(0);
        description.indisvalid
            && (*index).rd_indpred.is_null()
            && (*(*index).rd_rel).relam == pg_sys::BTREE_AM_OID
            && description.indkey.values.as_slice(count) == wanted
    }
}
