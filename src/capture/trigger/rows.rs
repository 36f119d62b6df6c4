//! The rows of a transition table.

#![allow(unsafe_code)]

use super::row::Row;
use pgrx::pg_sys;

/// A transition table that is there.
pub(super) struct Rows {
    store: *mut pg_sys::Tuplestorestate,
    columns: pg_sys::TupleDesc,
}

impl Rows {
    /// # Safety
    /// `store` is NULL, or a transition table with rows of these columns that outlives the result.
    pub(super) unsafe fn of(
        store: *mut pg_sys::Tuplestorestate,
        columns: pg_sys::TupleDesc,
    ) -> Option<Self> {
        (!store.is_null()).then_some(Self { store, columns })
    }

    pub(super) fn count(&self) -> i64 {
        // SAFETY: the store is valid.
        unsafe { pg_sys::tuplestore_tuple_count(self.store) }
    }

    /// Reads the rows from the first on, with a place of its own in the store: it is shared with
    /// other triggers.
    pub(super) fn read(&self) -> Reader {
        // SAFETY: the store and the descriptor are valid; the slot is dropped with the reader.
        unsafe {
            let place =
                pg_sys::tuplestore_alloc_read_pointer(self.store, pg_sys::EXEC_FLAG_REWIND as i32);
            pg_sys::tuplestore_select_read_pointer(self.store, place);
            pg_sys::tuplestore_rescan(self.store);
            Reader {
                store: self.store,
                place,
                slot: pg_sys::MakeSingleTupleTableSlot(
                    self.columns,
                    &raw const pg_sys::TTSOpsMinimalTuple,
                ),
            }
        }
    }
}

/// A reading of a transition table.
pub(super) struct Reader {
    store: *mut pg_sys::Tuplestorestate,
    place: i32,
    slot: *mut pg_sys::TupleTableSlot,
}

impl Reader {
    /// The next row, which stays until the one after it is asked for.
    pub(super) fn next(&mut self) -> Option<Row<'_>> {
        // SAFETY: store and slot are valid; what the slot holds lives until the next call, which
        // the borrow of `self` keeps away.
        unsafe {
            pg_sys::tuplestore_select_read_pointer(self.store, self.place);
            pg_sys::tuplestore_gettupleslot(self.store, true, false, self.slot)
                .then(|| Row::in_slot(self.slot))
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // After an error the server frees the slot with its memory.
        if !std::thread::panicking() {
            // SAFETY: the slot was made by this reader.
            unsafe { pg_sys::ExecDropSingleTupleTableSlot(self.slot) };
        }
    }
}
