//! SQL with parameters. Its text is constant or built from quoted identifiers; values travel as
//! parameters only.

#![allow(unsafe_code)]

use super::as_owner;
use crate::error::Error;
use pgrx::{FromDatum, IntoDatum, pg_sys};
use std::ffi::{CStr, CString};

/// What a statement may see and do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Reads with the snapshot of the calling query; forces no transaction id.
    Read,
    /// Reads what is committed at this moment, also in a transaction with an older snapshot: for
    /// caches that outlive the transaction.
    ReadLatest,
    /// Writes.
    Write,
}

/// A parameter: its type and its value, NULL if none.
pub type Parameter = (pg_sys::Oid, Option<pg_sys::Datum>);

/// A text parameter.
pub fn text(value: Option<&str>) -> Parameter {
    (
        pg_sys::TEXTOID,
        value.map(|text| crate::value::varlena(text.as_bytes())),
    )
}

/// A uuid parameter.
pub fn uuid(value: &[u8; 16]) -> Parameter {
    (pg_sys::UUIDOID, Some(crate::value::uuid(value)))
}

/// An integer parameter.
pub fn int(value: i32) -> Parameter {
    (pg_sys::INT4OID, Some(pg_sys::Datum::from(value)))
}

/// A big integer parameter.
pub fn bigint(value: i64) -> Parameter {
    (pg_sys::INT8OID, Some(pg_sys::Datum::from(value)))
}

/// A time, in microseconds since 2000-01-01 UTC as the server counts.
pub fn time(value: i64) -> Parameter {
    (pg_sys::TIMESTAMPTZOID, Some(pg_sys::Datum::from(value)))
}

/// A bytea parameter.
pub fn bytes(value: &[u8]) -> Parameter {
    (pg_sys::BYTEAOID, Some(crate::value::varlena(value)))
}

/// A jsonb parameter, from its container.
pub fn jsonb(value: &[u8]) -> Parameter {
    (pg_sys::JSONBOID, Some(crate::value::varlena(value)))
}

/// A row of a result. Its values live as long as the statement's memory, so they are copied out.
pub struct Row {
    tuple: pg_sys::HeapTuple,
    columns: pg_sys::TupleDesc,
}

impl Row {
    /// # Safety
    /// The table has more than `index` rows and outlives the row.
    pub(super) unsafe fn of(table: *mut pg_sys::SPITupleTable, index: usize) -> Self {
        // SAFETY: promised by the caller.
        unsafe {
            Self {
                tuple: *(*table).vals.add(index),
                columns: (*table).tupdesc,
            }
        }
    }

    /// What the server prints of the column at `position`, whatever its type; `None` for NULL.
    pub fn printed(&self, position: i32) -> Result<Option<&str>, Error> {
        // SAFETY: the text is NUL-terminated and lives in the memory context of the caller, which
        // outlives the row; the row is lent for as long as the text is used.
        let text = unsafe {
            let text = pg_sys::SPI_getvalue(self.tuple, self.columns, position);
            (!text.is_null()).then(|| CStr::from_ptr(text))
        };
        text.map(|text| text.to_str().map_err(|_| Error::Internal { place: "text" }))
            .transpose()
    }

    /// The column at `position`, counted from 1; `None` for NULL, and for a column of another type,
    /// whose bytes must not be read as if they were of this one.
    pub fn get<T: FromDatum + IntoDatum>(&self, position: i32) -> Option<T> {
        let mut is_null = true;
        // SAFETY: tuple and descriptor belong to the SPI result that is still open while the row
        // is lent to the closure of `query`.
        unsafe {
            let datum = pg_sys::SPI_getbinval(self.tuple, self.columns, position, &raw mut is_null);
            let typoid = pg_sys::SPI_gettypeid(self.columns, position);
            if !T::is_compatible_with(typoid) {
                return None;
            }
            T::from_polymorphic_datum(datum, is_null, typoid)
        }
    }

    /// The column at `position`, or an internal error naming `place`.
    pub fn must<T: FromDatum + IntoDatum>(
        &self,
        position: i32,
        place: &'static str,
    ) -> Result<T, Error> {
        self.get(position).ok_or(Error::Internal { place })
    }
}

/// Runs a statement as the owner of the log with a pinned search path and hands each row to `each`.
///
/// The caller's rights were checked before; `sql` is never built from a caller's text.
///
/// # Errors
/// What `each` returns, which ends the loop, or an internal error where SPI fails without raising.
pub fn query<R>(
    mode: Mode,
    sql: &str,
    parameters: &[Parameter],
    mut each: impl FnMut(&Row) -> Result<R, Error>,
) -> Result<Vec<R>, Error> {
    as_owner(|| {
        let _latest = (mode == Mode::ReadLatest).then(LatestSnapshot::push);
        let _session = SpiSession::open();
        execute(mode, sql, parameters)?;
        collect(&mut each)
    })
}

/// Runs a statement for its effect; how many rows it touched.
pub fn run(sql: &str, parameters: &[Parameter]) -> Result<u64, Error> {
    as_owner(|| {
        let _session = SpiSession::open();
        execute(Mode::Write, sql, parameters)
    })
}

/// The single value of a statement that returns at most one row.
pub fn value<T: FromDatum + IntoDatum>(
    mode: Mode,
    sql: &str,
    parameters: &[Parameter],
) -> Result<Option<T>, Error> {
    Ok(query(mode, sql, parameters, |row| Ok(row.get(1)))?
        .pop()
        .flatten())
}

fn execute(mode: Mode, sql: &str, parameters: &[Parameter]) -> Result<u64, Error> {
    let sql = CString::new(sql).map_err(|_| Error::Internal {
        place: "statement text",
    })?;
    let mut types: Vec<pg_sys::Oid> = parameters.iter().map(|(oid, _)| *oid).collect();
    let mut values: Vec<pg_sys::Datum> = parameters
        .iter()
        .map(|(_, value)| value.unwrap_or(pg_sys::Datum::from(0usize)))
        .collect();
    let nulls: Vec<std::ffi::c_char> = parameters
        .iter()
        .map(|(_, value)| (if value.is_some() { b' ' } else { b'n' }) as std::ffi::c_char)
        .collect();
    // SAFETY: an SPI session is open, and the three arrays have one entry per parameter.
    let (code, processed) = unsafe {
        let code = pg_sys::SPI_execute_with_args(
            sql.as_ptr(),
            parameters.len() as i32,
            types.as_mut_ptr(),
            values.as_mut_ptr(),
            nulls.as_ptr(),
            mode != Mode::Write,
            0,
        );
        (code, pg_sys::SPI_processed)
    };
    if code < 0 {
        Err(Error::Internal { place: "statement" })
    } else {
        Ok(processed)
    }
}

fn collect<R>(each: &mut impl FnMut(&Row) -> Result<R, Error>) -> Result<Vec<R>, Error> {
    // SAFETY: SPI_tuptable is NULL for statements without a result; otherwise it holds
    // SPI_processed tuples until the session is closed.
    let (table, processed) = unsafe { (pg_sys::SPI_tuptable, pg_sys::SPI_processed as usize) };
    if table.is_null() {
        return Ok(Vec::new());
    }
    let mut rows = Vec::with_capacity(processed);
    for index in 0..processed {
        // SAFETY: index < SPI_processed.
        let row = unsafe { Row::of(table, index) };
        rows.push(each(&row)?);
    }
    Ok(rows)
}

/// An open SPI connection, closed when dropped.
pub(super) struct SpiSession;

impl SpiSession {
    pub(super) fn open() -> Self {
        // SAFETY: allowed wherever a transaction is open; failure raises.
        unsafe { pg_sys::SPI_connect() };
        Self
    }
}

impl Drop for SpiSession {
    fn drop(&mut self) {
        // After an error the server's own abort closes the session, and finishing it here while
        // the stack unwinds would raise a second error.
        if !std::thread::panicking() {
            // SAFETY: the session of this guard is the innermost one.
            unsafe { pg_sys::SPI_finish() };
        }
    }
}

/// A snapshot of this moment, active while it is held.
pub(super) struct LatestSnapshot;

impl LatestSnapshot {
    pub(super) fn push() -> Self {
        // SAFETY: a transaction is open.
        unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot()) };
        Self
    }
}

impl Drop for LatestSnapshot {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: the snapshot of this guard is the innermost active one.
            unsafe { pg_sys::PopActiveSnapshot() };
        }
    }
}
