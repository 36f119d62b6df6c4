//! The databases of the cluster, as a process sees them that is connected to none.

use pgrx::{FromDatum, pg_sys};
use std::ffi::CStr;

/// A database that takes connections.
pub struct Entry {
    pub oid: u32,
    pub name: String,
}

/// Reads the shared catalog row by row: without a database there is no SQL. A transaction is open.
pub fn connectable() -> Vec<Entry> {
    let mut found = Vec::new();
    // SAFETY: an ordinary scan of a catalog, as autovacuum's launcher does; what it opens is
    // closed here, or by the abort of the transaction.
    unsafe {
        let lock = pg_sys::AccessShareLock as i32;
        let relation = pg_sys::table_open(pg_sys::DatabaseRelationId, lock);
        let scan = pg_sys::table_beginscan_catalog(relation, 0, std::ptr::null_mut());
        loop {
            let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                break;
            }
            found.extend(entry(tuple, (*relation).rd_att));
        }
        pg_sys::table_endscan(scan);
        pg_sys::table_close(relation, lock);
    }
    found
}

/// # Safety
/// A row of `pg_database` and its description.
unsafe fn entry(tuple: pg_sys::HeapTuple, columns: pg_sys::TupleDesc) -> Option<Entry> {
    // SAFETY: promised by the caller; the columns have these types.
    unsafe {
        let oid = column::<pg_sys::Oid>(tuple, columns, pg_sys::Anum_pg_database_oid)?;
        let allows = column::<bool>(tuple, columns, pg_sys::Anum_pg_database_datallowconn)?;
        // Less than -1 marks a database of which a drop was interrupted.
        let limit = column::<i32>(tuple, columns, pg_sys::Anum_pg_database_datconnlimit)?;
        let name = column::<&CStr>(tuple, columns, pg_sys::Anum_pg_database_datname)?;
        (allows && limit >= -1).then(|| Entry {
            oid: oid.to_u32(),
            name: name.to_string_lossy().into_owned(),
        })
    }
}

/// # Safety
/// A row, its description, and a column of it that holds a `T`.
unsafe fn column<T: FromDatum>(
    tuple: pg_sys::HeapTuple,
    columns: pg_sys::TupleDesc,
    number: u32,
) -> Option<T> {
    let mut is_null = false;
    // SAFETY: promised by the caller.
    unsafe {
        let datum = pg_sys::heap_getattr(tuple, number as i32, columns, &mut is_null);
        T::from_datum(datum, is_null)
    }
}
