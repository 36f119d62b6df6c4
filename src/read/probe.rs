//! The youngest event of a tenant in a partition, by one descent of the timeline index.
//!
//! A deep page lies in an old partition, while events that were recorded late may lie in any
//! younger one. Asking each of those with a statement would cost more than the page itself.

#![allow(unsafe_code)]

use crate::retention::Partition;
use crate::value;
use pgrx::pg_sys;

/// Columns of the timeline index, as positions in `activity.events`.
const TIMELINE: [i16; 4] = [7, 2, 6, 1];
/// Position of `occurred_at` in `activity.events`.
const OCCURRED_AT: i32 = 2;

/// When the tenant's youngest event in the partition occurred that is no younger than `limit`.
///
/// `None` if there is none. `limit` itself where the partition has another primary key than ours:
/// then only a statement can tell. The caller holds a lock on the parent.
pub fn youngest(partition: &Partition, tenant_id: &[u8; 16], limit: i64) -> Option<i64> {
    // SAFETY: the partition exists as long as the parent is locked; what is opened is closed, or
    // by the abort of the transaction if something raises.
    unsafe {
        let lock = pg_sys::AccessShareLock as i32;
        let table = pg_sys::table_open(partition.relation, lock);
        let found = if has_pages(table) {
            descend(table, tenant_id, limit)
        } else {
            None
        };
        pg_sys::table_close(table, pg_sys::NoLock as i32);
        found
    }
}

/// # Safety
/// The relation is open.
unsafe fn has_pages(table: pg_sys::Relation) -> bool {
    // SAFETY: promised by the caller.
    unsafe { pg_sys::RelationGetNumberOfBlocksInFork(table, pg_sys::ForkNumber::MAIN_FORKNUM) > 0 }
}

/// # Safety
/// The relation is an open partition of `activity.events`.
unsafe fn descend(table: pg_sys::Relation, tenant_id: &[u8; 16], limit: i64) -> Option<i64> {
    // SAFETY: promised by the caller; the index belongs to the table.
    unsafe {
        let index_oid = primary_key(table);
        if index_oid == pg_sys::InvalidOid {
            return Some(limit);
        }
        let index = pg_sys::index_open(index_oid, pg_sys::AccessShareLock as i32);
        let found = if is_timeline(index) {
            first(table, index, tenant_id, limit)
        } else {
            Some(limit)
        };
        pg_sys::index_close(index, pg_sys::NoLock as i32);
        found
    }
}

/// # Safety
/// The relation is open.
unsafe fn primary_key(table: pg_sys::Relation) -> pg_sys::Oid {
    // SAFETY: promised by the caller.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        return pg_sys::RelationGetPrimaryKeyIndex(table);
        #[cfg(feature = "pg18")]
        pg_sys::RelationGetPrimaryKeyIndex(table, false)
    }
}

/// # Safety
/// The index is open.
unsafe fn is_timeline(index: pg_sys::Relation) -> bool {
    // SAFETY: an open index has its pg_index row, with one key column per attribute.
    unsafe {
        let description = &*(*index).rd_index;
        let count = usize::try_from(description.indnkeyatts).unwrap_or(0);
        description.indkey.values.as_slice(count) == TIMELINE
    }
}

/// # Safety
/// The index is the timeline index of the table.
unsafe fn first(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    tenant_id: &[u8; 16],
    limit: i64,
) -> Option<i64> {
    // SAFETY: the keys fit the first two columns of the index; the slot is dropped after its value
    // was copied out.
    unsafe {
        let mut keys = [
            pg_sys::ScanKeyData::default(),
            pg_sys::ScanKeyData::default(),
        ];
        pg_sys::ScanKeyInit(
            &raw mut keys[0],
            1,
            pg_sys::BTEqualStrategyNumber as u16,
            pg_sys::Oid::from(pg_sys::F_UUID_EQ),
            value::uuid(tenant_id),
        );
        pg_sys::ScanKeyInit(
            &raw mut keys[1],
            2,
            pg_sys::BTLessEqualStrategyNumber as u16,
            pg_sys::Oid::from(pg_sys::F_TIMESTAMPTZ_LE),
            pg_sys::Datum::from(limit),
        );
        let scan = begin_index_scan(table, index, keys.len() as i32);
        pg_sys::index_rescan(
            scan,
            keys.as_mut_ptr(),
            keys.len() as i32,
            std::ptr::null_mut(),
            0,
        );
        let slot = pg_sys::table_slot_create(table, std::ptr::null_mut());
        let backward = pg_sys::ScanDirection::BackwardScanDirection;
        let found = pg_sys::index_getnext_slot(scan, backward, slot).then(|| {
            let mut is_null = false;
            pg_sys::slot_getattr(slot, OCCURRED_AT, &raw mut is_null).value() as i64
        });
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::index_endscan(scan);
        found
    }
}

/// Begins to walk an index, with the snapshot of the statement.
///
/// # Safety
/// Both relations are open and a snapshot is active.
pub unsafe fn begin_index_scan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    keys: i32,
) -> pg_sys::IndexScanDesc {
    // SAFETY: promised by the caller.
    unsafe {
        let snapshot = pg_sys::GetActiveSnapshot();
        #[cfg(not(feature = "pg18"))]
        return pg_sys::index_beginscan(table, index, snapshot, keys, 0);
        #[cfg(feature = "pg18")]
        pg_sys::index_beginscan(table, index, snapshot, std::ptr::null_mut(), keys, 0)
    }
}
