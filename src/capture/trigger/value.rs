//! A column's value as JSON and as text.

#![allow(unsafe_code)]

use super::form::{Form, Kind};
use crate::db::OwnedMemory;
use crate::value;
use activity_log_core::capture::{bytes_text, uuid_text};
use activity_log_core::jsonb::{self, Builder, Jsonb, MAX_DEPTH, Numeric, OwnedNumeric, Value};
use pgrx::pg_sys;
use std::borrow::Cow;
use std::ffi::{CStr, c_char};

/// Levels that are kept free above a document, for the object of the row around it.
const LEVELS_ABOVE: usize = 8;

/// The server's longest date or time, with its closing NUL.
const LONGEST_TIME: usize = 129;

impl Form {
    /// Writes a value as JSON.
    ///
    /// # Safety
    /// `datum` is a value of the form's type.
    pub(super) unsafe fn write(&self, builder: &mut Builder, datum: pg_sys::Datum) {
        // SAFETY: promised by the caller, for each kind below.
        unsafe {
            match &self.kind {
                Kind::Bool => builder.bool(datum.value() as u8 != 0),
                Kind::Int2 => builder.integer(i64::from(datum.value() as i16)),
                Kind::Int4 => builder.integer(i64::from(datum.value() as i32)),
                Kind::Int8 => builder.integer(datum.value() as i64),
                Kind::Float4 => {
                    let number = f32::from_bits(datum.value() as u32);
                    write_float(builder, f64::from(number), &format!("{number:e}"));
                }
                Kind::Float8 => {
                    let number = f64::from_bits(datum.value() as u64);
                    write_float(builder, number, &format!("{number:e}"));
                }
                Kind::Numeric => self.write_numeric(builder, datum),
                Kind::Json => self.write_json(builder, datum),
                Kind::Jsonb => self.write_jsonb(builder, datum),
                Kind::Array(element) => self.write_array(element, builder, datum),
                Kind::Composite => write_composite(builder, datum),
                _ => builder.string(&self.text(datum)),
            }
        }
    }

    /// The value as text: a string without quotes, anything else as it would be printed.
    ///
    /// # Safety
    /// `datum` is a value of the form's type.
    pub(super) unsafe fn text(&self, datum: pg_sys::Datum) -> Cow<'_, str> {
        // SAFETY: promised by the caller, for each kind below; bytes of the server's strings are
        // valid for the call, and copied where they are not UTF-8.
        unsafe {
            match &self.kind {
                Kind::Int2 => (datum.value() as i16).to_string().into(),
                Kind::Int4 => (datum.value() as i32).to_string().into(),
                Kind::Int8 => (datum.value() as i64).to_string().into(),
                Kind::Text | Kind::Json => String::from_utf8_lossy(bytes(datum)),
                Kind::Name => CStr::from_ptr(datum.cast_mut_ptr()).to_string_lossy(),
                Kind::Uuid => uuid_text(&uuid(datum)).into(),
                Kind::Time => time_text(self.type_oid, datum).into(),
                Kind::Bytea => bytes_text(bytes(datum)).into(),
                _ => self.printed(datum),
            }
        }
    }

    /// The value as the name of something: blanks that only fill a `char(n)` don't count.
    ///
    /// # Safety
    /// `datum` is a value of the form's type.
    pub(super) unsafe fn name(&self, datum: pg_sys::Datum) -> Cow<'_, str> {
        // SAFETY: promised by the caller.
        let text = unsafe { self.text(datum) };
        match text {
            Cow::Borrowed(text) if self.type_oid == pg_sys::BPCHAROID => {
                Cow::Borrowed(text.trim_end_matches(' '))
            }
            text => text,
        }
    }

    /// What the type's output function gives.
    ///
    /// # Safety
    /// `datum` is a value of the form's type.
    unsafe fn printed(&self, datum: pg_sys::Datum) -> Cow<'_, str> {
        // SAFETY: the function belongs to the type and returns a NUL-terminated string.
        unsafe { CStr::from_ptr(pg_sys::OutputFunctionCall(self.output, datum)) }.to_string_lossy()
    }

    /// What a digest of the value is taken of: the bytes of a bytea, of anything else its text.
    ///
    /// # Safety
    /// `datum` is a value of the form's type, which is a varlena.
    pub(super) unsafe fn content(&self, datum: pg_sys::Datum) -> Cow<'_, [u8]> {
        // SAFETY: promised by the caller.
        unsafe {
            match self.kind {
                Kind::Text | Kind::Json | Kind::Bytea => Cow::Borrowed(bytes(datum)),
                _ => match self.printed(datum) {
                    Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                    Cow::Owned(text) => Cow::Owned(text.into_bytes()),
                },
            }
        }
    }

    /// # Safety
    /// `datum` is a numeric.
    unsafe fn write_numeric(&self, builder: &mut Builder, datum: pg_sys::Datum) {
        // SAFETY: a numeric is a varlena; its header counts itself.
        unsafe {
            let varlena = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
            let size = pgrx::varsize_any(varlena);
            let stored = std::slice::from_raw_parts(varlena.cast::<u8>(), size);
            match Numeric::new(stored) {
                Ok(number) => builder.number(number),
                Err(_) => builder.string(&self.printed(datum)),
            }
        }
    }

    /// JSON that jsonb can't hold (a NUL character, far too deep) stays the text it is.
    ///
    /// # Safety
    /// `datum` is a json.
    unsafe fn write_json(&self, builder: &mut Builder, datum: pg_sys::Datum) {
        // SAFETY: promised by the caller.
        let text = unsafe { self.text(datum) };
        let parsed = value::parse_jsonb(&text);
        match parsed.as_deref().and_then(shallow) {
            Some(document) => builder.value(document.root()),
            None => builder.string(&text),
        }
    }

    /// # Safety
    /// `datum` is a jsonb.
    unsafe fn write_jsonb(&self, builder: &mut Builder, datum: pg_sys::Datum) {
        // SAFETY: promised by the caller.
        unsafe {
            match shallow(bytes(datum)) {
                Some(document) => builder.value(document.root()),
                None => builder.string(&self.printed(datum)),
            }
        }
    }

    /// An array whose bounds do not begin at 1 keeps them only as text.
    ///
    /// # Safety
    /// `datum` is an array of `element`s.
    unsafe fn write_array(&self, element: &Self, builder: &mut Builder, datum: pg_sys::Datum) {
        // SAFETY: a detoasted array begins with its header, followed by dimensions and bounds.
        unsafe {
            let array: *mut pg_sys::ArrayType =
                pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast();
            let dimensions = usize::try_from((*array).ndim).unwrap_or(0);
            let header = array.add(1).cast::<i32>();
            let sizes = std::slice::from_raw_parts(header, dimensions);
            let bounds = std::slice::from_raw_parts(header.add(dimensions), dimensions);
            if bounds.iter().any(|bound| *bound != 1) {
                return builder.string(&self.printed(datum));
            }
            let elements = elements(array, element);
            write_dimension(builder, element, sizes, &mut elements.iter());
        }
    }
}

/// # Safety
/// The array is detoasted and has elements of this form.
unsafe fn elements(array: *mut pg_sys::ArrayType, form: &Form) -> Vec<Option<pg_sys::Datum>> {
    let mut values = std::ptr::null_mut();
    let mut nulls = std::ptr::null_mut();
    let mut count = 0;
    // SAFETY: the server allocates both results with `count` entries.
    unsafe {
        pg_sys::deconstruct_array(
            array,
            // Of a domain where the array is one of a domain; the server compares it.
            (*array).elemtype,
            i32::from(form.length),
            form.is_by_value,
            form.alignment,
            &raw mut values,
            &raw mut nulls,
            &raw mut count,
        );
        (0..usize::try_from(count).unwrap_or(0))
            .map(|index| (!*nulls.add(index)).then(|| *values.add(index)))
            .collect()
    }
}

/// # Safety
/// The elements have this form.
unsafe fn write_dimension(
    builder: &mut Builder,
    form: &Form,
    sizes: &[i32],
    elements: &mut std::slice::Iter<'_, Option<pg_sys::Datum>>,
) {
    let (size, inner) = sizes
        .split_first()
        .map_or((0, sizes), |(n, rest)| (*n, rest));
    builder.begin_array();
    for _ in 0..size {
        if !inner.is_empty() {
            // SAFETY: promised by the caller.
            unsafe { write_dimension(builder, form, inner, elements) };
            continue;
        }
        match elements.next().copied().flatten() {
            // SAFETY: promised by the caller.
            Some(element) => unsafe { form.write(builder, element) },
            None => builder.null(),
        }
    }
    builder.end();
}

/// A composite value as an object. Its type is that of the value itself: a column of type record,
/// or one whose type has changed since, holds values of their own.
///
/// # Safety
/// `datum` is a composite value.
unsafe fn write_composite(builder: &mut Builder, datum: pg_sys::Datum) {
    let memory = OwnedMemory::passing(c"activity_log composite");
    // SAFETY: a detoasted composite begins with the header of a tuple, which names its type; the
    // descriptor is released after its last use.
    unsafe {
        let header: pg_sys::HeapTupleHeader = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast();
        let fields = (*header).t_choice.t_datum;
        let columns = pg_sys::lookup_rowtype_tupdesc(fields.datum_typeid, fields.datum_typmod);
        let mut tuple = pg_sys::HeapTupleData {
            t_len: u32::try_from(pgrx::varsize_any(header.cast())).unwrap_or(0),
            t_data: header,
            ..Default::default()
        };
        let count = usize::try_from((*columns).natts).unwrap_or(0);
        let mut values = vec![pg_sys::Datum::from(0usize); count];
        let mut nulls = vec![true; count];
        pg_sys::heap_deform_tuple(
            &raw mut tuple,
            columns,
            values.as_mut_ptr(),
            nulls.as_mut_ptr(),
        );
        builder.begin_object();
        for (index, (value, is_null)) in values.into_iter().zip(nulls).enumerate() {
            let attribute = crate::db::attribute(columns, index);
            if attribute.attisdropped {
                continue;
            }
            builder.key(&crate::db::name_text(&attribute.attname));
            if is_null {
                builder.null();
            } else {
                Form::of(attribute.atttypid, &memory).write(builder, value);
            }
        }
        builder.end();
        crate::db::release_descriptor(columns);
    }
}

/// The bytes of a varlena, detoasted.
///
/// # Safety
/// `datum` is a varlena; the result lives as long as it, or as the current memory context.
pub(super) unsafe fn bytes<'a>(datum: pg_sys::Datum) -> &'a [u8] {
    // SAFETY: promised by the caller.
    unsafe { pgrx::varlena_to_byte_slice(pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr())) }
}

/// # Safety
/// `datum` is a uuid.
pub(super) unsafe fn uuid(datum: pg_sys::Datum) -> [u8; 16] {
    // SAFETY: a uuid is a pointer to 16 bytes.
    unsafe { *datum.cast_mut_ptr::<[u8; 16]>() }
}

/// # Safety
/// `datum` is a date or time of the type.
unsafe fn time_text(type_oid: pg_sys::Oid, datum: pg_sys::Datum) -> String {
    let mut buffer = [0 as c_char; LONGEST_TIME];
    let utc = 0;
    let zone = if type_oid == pg_sys::TIMESTAMPTZOID {
        &raw const utc
    } else {
        std::ptr::null()
    };
    // SAFETY: the buffer holds the longest text there is, and is NUL-terminated by the call.
    unsafe {
        pg_sys::JsonEncodeDateTime(buffer.as_mut_ptr(), datum, type_oid, zone);
        CStr::from_ptr(buffer.as_ptr())
    }
    .to_string_lossy()
    .into_owned()
}

/// A number as its shortest text tells it; what JSON has no number for becomes the server's text.
fn write_float(builder: &mut Builder, number: f64, shortest: &str) {
    if number.is_nan() {
        return builder.string("NaN");
    }
    if number.is_infinite() {
        return builder.string(if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
    }
    match OwnedNumeric::from_decimal(shortest) {
        Some(decimal) => builder.number(decimal.as_numeric()),
        None => builder.string(shortest),
    }
}

/// A document that leaves room for the levels around it.
fn shallow(container: &[u8]) -> Option<Jsonb<'_>> {
    Jsonb::new(container)
        .ok()
        .filter(|document| is_shallow(document.root()))
}

fn is_shallow(value: Value<'_>) -> bool {
    jsonb::depth(value) + LEVELS_ABOVE <= MAX_DEPTH
}
