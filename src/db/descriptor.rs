//! Descriptors of rows: the columns of a relation or of a composite type.

#![allow(unsafe_code)]

use pgrx::pg_sys;
use std::ffi::CStr;

/// A column.
///
/// # Safety
/// The descriptor is valid and `index` below its number of columns.
pub unsafe fn attribute<'a>(
    columns: pg_sys::TupleDesc,
    index: usize,
) -> &'a pg_sys::FormData_pg_attribute {
    // SAFETY: promised by the caller.
    unsafe {
        #[cfg(feature = "pg18")]
        return &*pg_sys::TupleDescAttr(columns, index as i32);
        #[cfg(not(feature = "pg18"))]
        &(*columns).attrs.as_slice((*columns).natts as usize)[index]
    }
}

/// The text of a name.
pub fn name_text(name: &pg_sys::NameData) -> String {
    // SAFETY: the server closes every name with a NUL.
    unsafe { CStr::from_ptr(name.data.as_ptr()) }
        .to_string_lossy()
        .into_owned()
}

/// Gives a descriptor back that was looked up for a type.
///
/// # Safety
/// The descriptor comes from `lookup_rowtype_tupdesc` and is not used any more.
pub unsafe fn release_descriptor(columns: pg_sys::TupleDesc) {
    // SAFETY: promised by the caller; only descriptors that the server counts are counted down.
    unsafe {
        if (*columns).tdrefcount >= 0 {
            pg_sys::DecrTupleDescRefCount(columns);
        }
    }
}
