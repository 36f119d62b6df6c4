//! Rows as JSON: whole, or what changed of them.

#![allow(unsafe_code)]

use super::form::{Form, Kind};
use super::row::{Row, is_same};
use super::table::{Column, Table};
use crate::error::Error;
use crate::metrics::{self, Counter};
use crate::privacy::TenantScrubber;
use crate::settings;
use activity_log_core::capture::{composite_key, object_id, write_omitted};
use activity_log_core::jsonb::{Builder, Jsonb, Value};
use pgrx::pg_sys;
use std::borrow::Cow;

/// What stands for a value of a redacted column: that there is one, or was another.
const REDACTED: &str = "[redacted]";

/// What happened to a row.
#[derive(Clone, Copy)]
pub(super) enum Change<'s> {
    Created(Row<'s>),
    Updated { old: Row<'s>, new: Row<'s> },
    Deleted(Row<'s>),
}

impl<'s> Change<'s> {
    /// The row that the event is about: as it was, or as it is where it was not there before.
    pub(super) fn subject(&self) -> Row<'s> {
        match *self {
            Self::Created(row) | Self::Deleted(row) | Self::Updated { old: row, .. } => row,
        }
    }
}

/// Writes changes of rows; kept over many of them for its memory.
pub(super) struct Image {
    builder: Builder,
    /// For a value that has to be looked through before it is written.
    scratch: Builder,
    changed: Vec<usize>,
    largest_value: usize,
}

impl Image {
    pub(super) fn new() -> Self {
        Self {
            builder: Builder::new(),
            scratch: Builder::new(),
            changed: Vec::new(),
            largest_value: settings::MAX_VALUE_SIZE.get() as usize,
        }
    }

    /// Whether a change is worth an event: an UPDATE is if it changes a column that is neither
    /// excluded nor ignored.
    ///
    /// # Safety
    /// The rows are of the table.
    pub(super) unsafe fn is_worth_an_event(&mut self, table: &Table, change: &Change<'_>) -> bool {
        let Change::Updated { old, new } = change else {
            return true;
        };
        self.changed.clear();
        let mut is_worth = false;
        for (position, column) in table.columns.iter().enumerate() {
            let (old, new) = (old.get(column.index), new.get(column.index));
            // SAFETY: promised by the caller.
            if !unsafe { is_same(&column.form, old, new) } {
                self.changed.push(position);
                is_worth |= !column.is_ignored;
            }
        }
        is_worth
    }

    /// Appends the document of a change to `out`, whose length is a multiple of four.
    /// [`Image::is_worth_an_event`] was asked about the same change before.
    ///
    /// # Safety
    /// The rows are of the table.
    pub(super) unsafe fn write(
        &mut self,
        table: &Table,
        change: &Change<'_>,
        scrubber: &TenantScrubber,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        // SAFETY: promised by the caller.
        unsafe {
            self.builder.begin_object();
            match change {
                Change::Created(row) => self.whole("new", table, row, scrubber),
                Change::Deleted(row) => self.whole("old", table, row, scrubber),
                Change::Updated { old, new } => {
                    self.changed_columns("new", table, new, scrubber);
                    // Without a key only the row itself tells which one it was.
                    if table.key.is_empty() {
                        self.whole("old", table, old, scrubber);
                    } else {
                        self.changed_columns("old", table, old, scrubber);
                    }
                }
            }
            self.builder.end();
        }
        if self.builder.finish_into(out).is_err() {
            // The row is beyond what a document can hold: 256 MB. The change itself is not lost.
            self.builder.begin_object();
            self.builder.key("$omitted");
            self.builder.begin_object();
            self.builder.end();
            self.builder.end();
            let rewritten = self.builder.finish_into(out);
            return rewritten.map_err(|_| Error::Internal { place: "changes" });
        }
        Ok(())
    }

    /// # Safety
    /// The row is of the table.
    unsafe fn whole(
        &mut self,
        side: &str,
        table: &Table,
        row: &Row<'_>,
        scrubber: &TenantScrubber,
    ) {
        self.builder.key(side);
        self.builder.begin_object();
        for column in &table.columns {
            // SAFETY: promised by the caller.
            unsafe { self.member(column, row.get(column.index), scrubber) };
        }
        self.builder.end();
    }

    /// # Safety
    /// The row is of the table.
    unsafe fn changed_columns(
        &mut self,
        side: &str,
        table: &Table,
        row: &Row<'_>,
        scrubber: &TenantScrubber,
    ) {
        self.builder.key(side);
        self.builder.begin_object();
        let changed = std::mem::take(&mut self.changed);
        for column in changed
            .iter()
            .filter_map(|position| table.columns.get(*position))
        {
            // SAFETY: promised by the caller.
            unsafe { self.member(column, row.get(column.index), scrubber) };
        }
        self.changed = changed;
        self.builder.end();
    }

    /// # Safety
    /// The value is of the column.
    unsafe fn member(
        &mut self,
        column: &Column,
        value: Option<pg_sys::Datum>,
        scrubber: &TenantScrubber,
    ) {
        self.builder.key(&column.name);
        let Some(datum) = value else {
            return if column.is_redacted {
                self.builder.string(REDACTED);
            } else {
                self.builder.null();
            };
        };
        if column.is_redacted {
            return self.builder.string(REDACTED);
        }
        // SAFETY: promised by the caller.
        unsafe {
            if column.form.is_varlena() && raw_size(datum) > self.largest_value {
                metrics::add(Counter::CaptureOmittedValues, 1);
                write_omitted(&mut self.builder, &column.form.content(datum));
            } else if column.scrubbed_as.is_some() {
                self.scrubbed(column, datum, scrubber);
            } else {
                column.form.write(&mut self.builder, datum);
            }
        }
    }

    /// # Safety
    /// The value is of the column.
    unsafe fn scrubbed(
        &mut self,
        column: &Column,
        datum: pg_sys::Datum,
        scrubber: &TenantScrubber,
    ) {
        // SAFETY: promised by the caller.
        unsafe {
            if matches!(column.form.kind, Kind::Text | Kind::Printed) {
                let text = column.form.text(datum);
                self.unless_hidden(column, Value::String(&text), scrubber);
                return;
            }
            column.form.write(&mut self.scratch, datum);
        }
        let mut container = Vec::new();
        match self.scratch.finish_into(&mut container) {
            Ok(()) => match Jsonb::new(&container) {
                Ok(document) => self.unless_hidden(column, document.root(), scrubber),
                Err(_) => self.builder.string(REDACTED),
            },
            Err(failure) => self.builder.fail(failure),
        }
    }

    /// Writes a value, or what is left of it without its secrets.
    fn unless_hidden(&mut self, column: &Column, value: Value<'_>, scrubber: &TenantScrubber) {
        let Some(class) = column.scrubbed_as else {
            return self.builder.value(value);
        };
        match scrubber.hidden(&column.name, class, value) {
            Ok(None) => self.builder.value(value),
            Ok(Some(hidden)) => match Jsonb::new(&hidden) {
                Ok(document) => self.builder.value(document.root()),
                Err(_) => self.builder.string(REDACTED),
            },
            Err(failure) => self.builder.fail(failure),
        }
    }
}

/// How long a varlena is when it is neither compressed nor stored elsewhere; nothing is read.
///
/// # Safety
/// `datum` is a varlena.
unsafe fn raw_size(datum: pg_sys::Datum) -> usize {
    // SAFETY: promised by the caller.
    unsafe {
        let varlena = datum.cast_mut_ptr::<pg_sys::varlena>();
        if pgrx::varatt_is_1b(varlena) && !pgrx::varatt_is_1b_e(varlena) {
            return pgrx::varsize_any_exhdr(varlena);
        }
        pg_sys::toast_raw_datum_size(datum).saturating_sub(pg_sys::VARHDRSZ)
    }
}

/// What a row is called: the text of its key, `None` without one.
///
/// # Safety
/// The row is of the table.
pub(super) unsafe fn row_name<'r>(table: &'r Table, row: &Row<'r>) -> Option<Cow<'r, str>> {
    let part = |(index, form): &'r (usize, Form)| -> Cow<'r, str> {
        // SAFETY: promised by the caller.
        row.get(*index)
            .map_or(Cow::Borrowed(""), |datum| unsafe { form.name(datum) })
    };
    match &table.key[..] {
        [] => None,
        [only] => Some(object_id(part(only))),
        several => {
            let parts: Vec<_> = several.iter().map(part).collect();
            let key = composite_key(parts.iter().map(AsRef::as_ref));
            Some(object_id(key.into()))
        }
    }
}
