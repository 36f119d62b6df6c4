//! A row as a trigger gets it, and whether a column changed between two of them.

#![allow(unsafe_code)]

use super::form::Form;
use pgrx::pg_sys;

/// The values of a row, taken apart. A value that was not changed is not detoasted.
#[derive(Clone, Copy)]
pub(super) struct Row<'s> {
    values: &'s [pg_sys::Datum],
    nulls: &'s [bool],
}

impl Row<'_> {
    /// # Safety
    /// The slot holds a row, and keeps it for as long as the result is used.
    pub(super) unsafe fn in_slot(slot: *mut pg_sys::TupleTableSlot) -> Self {
        // SAFETY: promised by the caller; after this call both arrays have an entry per column.
        unsafe {
            pg_sys::slot_getallattrs(slot);
            let count = usize::try_from((*slot).tts_nvalid).unwrap_or(0);
            Self {
                values: std::slice::from_raw_parts((*slot).tts_values, count),
                nulls: std::slice::from_raw_parts((*slot).tts_isnull, count),
            }
        }
    }

    /// The values of all columns, and which of them are NULL.
    pub(super) fn parts(&self) -> (&[pg_sys::Datum], &[bool]) {
        (self.values, self.nulls)
    }

    /// The value at a place, from 0; `None` for NULL.
    pub(super) fn get(&self, index: usize) -> Option<pg_sys::Datum> {
        match self.nulls.get(index) {
            Some(false) => self.values.get(index).copied(),
            _ => None,
        }
    }
}

/// Whether two values of a column are stored as the same bytes. That is what an audit asks: the
/// numerics 1.0 and 1.00 are equal and yet not the same.
///
/// # Safety
/// Both are values of the form's type.
pub(super) unsafe fn is_same(
    form: &Form,
    old: Option<pg_sys::Datum>,
    new: Option<pg_sys::Datum>,
) -> bool {
    match (old, new) {
        (None, None) => true,
        (Some(old), Some(new)) => {
            // SAFETY: promised by the caller.
            form.is_by_value && old == new
                || !form.is_by_value && unsafe { is_same_image(form, old, new) }
        }
        _ => false,
    }
}

/// # Safety
/// Both are values of the form's type, which is passed by reference.
unsafe fn is_same_image(form: &Form, old: pg_sys::Datum, new: pg_sys::Datum) -> bool {
    let (old, new) = (old.cast_mut_ptr::<u8>(), new.cast_mut_ptr::<u8>());
    if old == new {
        return true;
    }
    // SAFETY: a type has a fixed length, is a varlena, or is a NUL-terminated string.
    unsafe {
        match usize::try_from(form.length) {
            Ok(length) => {
                std::slice::from_raw_parts(old, length) == std::slice::from_raw_parts(new, length)
            }
            Err(_) if form.is_varlena() => is_same_varlena(old.cast(), new.cast()),
            Err(_) => std::ffi::CStr::from_ptr(old.cast()) == std::ffi::CStr::from_ptr(new.cast()),
        }
    }
}

/// # Safety
/// Both are varlenas.
unsafe fn is_same_varlena(old: *mut pg_sys::varlena, new: *mut pg_sys::varlena) -> bool {
    // SAFETY: promised by the caller; a value is detoasted only if what is stored of the two
    // differs while their lengths do not.
    unsafe {
        let stored = |varlena: *mut pg_sys::varlena| {
            std::slice::from_raw_parts(varlena.cast::<u8>(), pgrx::varsize_any(varlena))
        };
        if stored(old) == stored(new) {
            return true;
        }
        let is_plain = |varlena| {
            pgrx::varatt_is_1b(varlena) && !pgrx::varatt_is_1b_e(varlena)
                || pgrx::varatt_is_4b_u(varlena)
        };
        let length = |varlena: *mut pg_sys::varlena| {
            pg_sys::toast_raw_datum_size(pg_sys::Datum::from(varlena))
        };
        if length(old) != length(new) {
            return false;
        }
        if is_plain(old) && is_plain(new) {
            return pgrx::varlena_to_byte_slice(old) == pgrx::varlena_to_byte_slice(new);
        }
        let whole = |varlena| pg_sys::pg_detoast_datum_packed(varlena);
        pgrx::varlena_to_byte_slice(whole(old)) == pgrx::varlena_to_byte_slice(whole(new))
    }
}
