//! An event straight from its stored row, wherever a partition has its columns.

#![allow(unsafe_code)]

use super::event::EventRow;
use crate::error::Error;
use pgrx::{FromDatum, IntoDatum, pg_sys};
use std::ffi::CStr;

/// What is read of a row, and its type. The order of [`EventRow`], and what streaming asks for.
const NAMES: [(&CStr, pg_sys::Oid); 20] = [
    (c"event_id", pg_sys::UUIDOID),
    (c"tenant_id", pg_sys::UUIDOID),
    (c"recorded_at", pg_sys::TIMESTAMPTZOID),
    (c"occurred_at", pg_sys::TIMESTAMPTZOID),
    (c"action", pg_sys::TEXTOID),
    (c"action_version", pg_sys::INT4OID),
    (c"status", pg_sys::TEXTOID),
    (c"source", pg_sys::TEXTOID),
    (c"actor_type", pg_sys::TEXTOID),
    (c"actor_id", pg_sys::TEXTOID),
    (c"object_type", pg_sys::TEXTOID),
    (c"object_id", pg_sys::TEXTOID),
    (c"request_id", pg_sys::TEXTOID),
    (c"ip_prefix", pg_sys::CIDROID),
    (c"user_agent", pg_sys::TEXTOID),
    (c"db_role", pg_sys::TEXTOID),
    (c"metadata", pg_sys::JSONBOID),
    (c"changes", pg_sys::JSONBOID),
    (c"xact", pg_sys::XID8OID),
    (c"gen", pg_sys::INT4OID),
];

const EVENT_ID: usize = 0;
const TENANT_ID: usize = 1;
const RECORDED_AT: usize = 2;
const ACTION: usize = 4;
const IP_PREFIX: usize = 13;
const XACT: usize = 18;
const GEN: usize = 19;

/// Where the columns of an event are in one table.
pub struct EventColumns([i16; NAMES.len()]);

impl EventColumns {
    /// The columns of a partition.
    ///
    /// # Errors
    /// An internal error if one is missing or has another type, which ATTACH does not allow.
    ///
    /// # Safety
    /// The relation is open.
    pub unsafe fn of(table: pg_sys::Relation) -> Result<Self, Error> {
        let mut numbers = [0; NAMES.len()];
        // SAFETY: the descriptor of an open relation is valid.
        let columns = unsafe { pgrx::PgTupleDesc::from_pg_unchecked((*table).rd_att) };
        for attribute in columns.iter().filter(|attribute| !attribute.attisdropped) {
            // SAFETY: a name is NUL-terminated.
            let name = unsafe { CStr::from_ptr(attribute.attname.data.as_ptr()) };
            let known = NAMES
                .iter()
                .position(|column| *column == (name, attribute.atttypid));
            if let Some(known) = known {
                numbers[known] = attribute.attnum;
            }
        }
        if numbers.contains(&0) {
            return Err(Error::Internal { place: "partition" });
        }
        Ok(Self(numbers))
    }

    /// The number of a column, 0 if it is none of an event's.
    pub fn number(&self, name: &CStr) -> i16 {
        NAMES
            .iter()
            .position(|(known, _)| *known == name)
            .map_or(0, |at| self.0[at])
    }

    /// # Safety
    /// The slot holds a row of the table.
    unsafe fn get<T: FromDatum>(&self, slot: *mut pg_sys::TupleTableSlot, at: usize) -> Option<T> {
        let mut is_null = true;
        // SAFETY: promised by the caller; `of` has compared the type.
        unsafe {
            let datum = pg_sys::slot_getattr(slot, i32::from(self.0[at]), &raw mut is_null);
            T::from_polymorphic_datum(datum, is_null, NAMES[at].1)
        }
    }

    /// # Safety
    /// The slot holds a row of the table.
    unsafe fn must<T: FromDatum + IntoDatum>(
        &self,
        slot: *mut pg_sys::TupleTableSlot,
        at: usize,
    ) -> Result<T, Error> {
        // SAFETY: promised by the caller.
        unsafe { self.get(slot, at) }.ok_or(Error::Internal { place: "events" })
    }

    /// Life, transaction and id.
    ///
    /// # Safety
    /// The slot holds a row of the table.
    pub unsafe fn key(
        &self,
        slot: *mut pg_sys::TupleTableSlot,
    ) -> Result<(i32, u64, [u8; 16]), Error> {
        // SAFETY: promised by the caller; an xid8 has the form of a big integer.
        unsafe {
            let id: pgrx::Uuid = self.must(slot, EVENT_ID)?;
            let xact: i64 = self.must(slot, XACT)?;
            Ok((self.must(slot, GEN)?, xact as u64, *id.as_bytes()))
        }
    }

    /// The action.
    ///
    /// # Safety
    /// The slot holds a row of the table.
    pub unsafe fn action(&self, slot: *mut pg_sys::TupleTableSlot) -> Result<String, Error> {
        // SAFETY: promised by the caller.
        unsafe { self.must(slot, ACTION) }
    }

    /// The tenant.
    ///
    /// # Safety
    /// The slot holds a row of the table.
    pub unsafe fn tenant(&self, slot: *mut pg_sys::TupleTableSlot) -> Result<[u8; 16], Error> {
        // SAFETY: promised by the caller.
        unsafe { self.must::<pgrx::Uuid>(slot, TENANT_ID) }.map(|id| *id.as_bytes())
    }

    /// When the event was recorded.
    ///
    /// # Safety
    /// The slot holds a row of the table.
    pub unsafe fn recorded_at(&self, slot: *mut pg_sys::TupleTableSlot) -> Result<i64, Error> {
        // SAFETY: promised by the caller; a time has the form of a big integer.
        unsafe { self.must(slot, RECORDED_AT) }
    }

    /// The event as it is read.
    ///
    /// # Safety
    /// The slot holds a row of the table.
    pub unsafe fn row(&self, slot: *mut pg_sys::TupleTableSlot) -> Result<EventRow, Error> {
        // SAFETY: promised by the caller; every value is copied out of the slot.
        unsafe {
            Ok(EventRow {
                event_id: self.must(slot, EVENT_ID)?,
                tenant_id: self.must(slot, TENANT_ID)?,
                recorded_at: self.must(slot, RECORDED_AT)?,
                occurred_at: self.must(slot, 3)?,
                action: self.must(slot, ACTION)?,
                action_version: self.get(slot, 5),
                status: self.must(slot, 6)?,
                source: self.must(slot, 7)?,
                actor_type: self.get(slot, 8),
                actor_id: self.get(slot, 9),
                object_type: self.get(slot, 10),
                object_id: self.get(slot, 11),
                request_id: self.get(slot, 12),
                ip_prefix: self.network(slot),
                user_agent: self.get(slot, 14),
                db_role: self.get(slot, 15),
                metadata: self.must(slot, 16)?,
                changes: self.get(slot, 17),
            })
        }
    }

    /// # Safety
    /// The slot holds a row of the table.
    unsafe fn network(&self, slot: *mut pg_sys::TupleTableSlot) -> Option<String> {
        let mut is_null = true;
        // SAFETY: promised by the caller; cidr_out returns a NUL-terminated text.
        unsafe {
            let number = i32::from(self.0[IP_PREFIX]);
            let datum = pg_sys::slot_getattr(slot, number, &raw mut is_null);
            if is_null {
                return None;
            }
            let text = pgrx::direct_function_call_as_datum(pg_sys::cidr_out, &[Some(datum)])?;
            let text = CStr::from_ptr(text.cast_mut_ptr());
            Some(text.to_string_lossy().into_owned())
        }
    }
}
