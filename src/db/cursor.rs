//! Results of any size in bounded memory.

#![allow(unsafe_code)]

use super::as_owner;
use super::statement::{LatestSnapshot, Row, SpiSession};
use crate::error::Error;
use pgrx::{PgMemoryContexts, pg_sys};
use std::ffi::{CStr, CString};

/// Rows fetched at once: few enough that large documents do not pile up.
const BATCH: usize = 200;

/// Runs a query without parameters as the owner of the log and hands each row to `each`. It sees
/// what is committed at this moment, also in a transaction with an older snapshot. A request to
/// cancel is heeded between batches.
///
/// # Errors
/// What `each` returns, which ends the loop.
pub fn stream(sql: &str, mut each: impl FnMut(&Row) -> Result<(), Error>) -> Result<(), Error> {
    let sql = CString::new(sql).map_err(|_| Error::Internal {
        place: "statement text",
    })?;
    as_owner(|| {
        let _latest = LatestSnapshot::push();
        let _session = SpiSession::open();
        let cursor = Cursor::open(&sql);
        while in_passing_memory(|| cursor.fetch(&mut each))? {
            pgrx::check_for_interrupts!();
        }
        Ok(())
    })
}

/// An open cursor, closed when dropped.
struct Cursor(pg_sys::Portal);

impl Cursor {
    fn open(sql: &CStr) -> Self {
        // SAFETY: a session is open and the statement has no parameter; failure raises.
        Self(unsafe {
            pg_sys::SPI_cursor_open_with_args(
                std::ptr::null(),
                sql.as_ptr(),
                0,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                std::ptr::null(),
                true,
                pg_sys::CURSOR_OPT_NO_SCROLL as i32,
            )
        })
    }

    /// Hands the next rows over; `false` when there were none.
    fn fetch(&self, each: &mut impl FnMut(&Row) -> Result<(), Error>) -> Result<bool, Error> {
        // SAFETY: the portal is open; its rows stay until the table is freed below.
        let (table, processed) = unsafe {
            pg_sys::SPI_cursor_fetch(self.0, true, BATCH as std::ffi::c_long);
            (pg_sys::SPI_tuptable, pg_sys::SPI_processed as usize)
        };
        for index in 0..processed {
            // SAFETY: the table has as many rows as were processed.
            let row = unsafe { Row::of(table, index) };
            each(&row)?;
        }
        // SAFETY: the rows are not used any more.
        unsafe { pg_sys::SPI_freetuptable(table) };
        Ok(processed > 0)
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        // After an error the server's own abort closes it.
        if !std::thread::panicking() {
            // SAFETY: the portal is open.
            unsafe { pg_sys::SPI_cursor_close(self.0) };
        }
    }
}

/// Runs `work` in a memory context of its own: what it leaves behind is freed.
pub fn in_passing_memory<R>(work: impl FnOnce() -> R) -> R {
    let mut memory = PgMemoryContexts::new("activity_log batch");
    // SAFETY: nothing that `work` returns points into the context: it copies what it keeps.
    unsafe { memory.switch_to(|_| work()) }
}
