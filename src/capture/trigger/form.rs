//! How the values of a type are told: as which JSON, and as which text.

#![allow(unsafe_code)]

use crate::db::OwnedMemory;
use pgrx::pg_sys;
use std::ffi::c_char;

/// The JSON that values of a type become.
pub(super) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Name,
    Uuid,
    /// Dates and times, printed in ISO 8601 whatever the session's settings are.
    Time,
    Bytea,
    Json,
    Jsonb,
    Array(Box<Form>),
    Composite,
    /// Everything else: the text that the type's output function gives.
    Printed,
}

/// A type, ready for its values to be read.
pub(super) struct Form {
    pub(super) kind: Kind,
    /// The type, of a domain the one below it.
    pub(super) type_oid: pg_sys::Oid,
    pub(super) length: i16,
    pub(super) is_by_value: bool,
    pub(super) alignment: c_char,
    /// The type's output function.
    pub(super) output: *mut pg_sys::FmgrInfo,
}

impl Form {
    /// The form of a type; what the server has to keep for it lives in `memory`.
    pub(super) fn of(type_oid: pg_sys::Oid, memory: &OwnedMemory) -> Self {
        let mut form = Self {
            kind: Kind::Printed,
            type_oid,
            length: 0,
            is_by_value: false,
            alignment: 0,
            output: std::ptr::null_mut(),
        };
        // SAFETY: catalog look-ups of a type that a column has; they raise if it is gone. The
        // function's information is zeroed before it is filled.
        let element = unsafe {
            form.type_oid = pg_sys::getBaseType(type_oid);
            pg_sys::get_typlenbyvalalign(
                form.type_oid,
                &raw mut form.length,
                &raw mut form.is_by_value,
                &raw mut form.alignment,
            );
            let mut function = pg_sys::InvalidOid;
            let mut is_varlena = false;
            pg_sys::getTypeOutputInfo(form.type_oid, &raw mut function, &raw mut is_varlena);
            form.output =
                pg_sys::MemoryContextAllocZero(memory.context(), size_of::<pg_sys::FmgrInfo>())
                    .cast();
            pg_sys::fmgr_info_cxt(function, form.output, memory.context());
            pg_sys::get_element_type(form.type_oid)
        };
        form.kind = if element == pg_sys::InvalidOid {
            scalar_kind(form.type_oid)
        } else {
            Kind::Array(Box::new(Self::of(element, memory)))
        };
        form
    }

    /// Whether values can be longer than their column is wide.
    pub(super) fn is_varlena(&self) -> bool {
        self.length == -1
    }

    /// Whether a value may hold a secret that somebody wrote as text. Numbers, dates and UUIDs
    /// are never mistaken for one.
    pub(super) fn may_hold_secrets(&self) -> bool {
        match &self.kind {
            Kind::Text | Kind::Json | Kind::Jsonb | Kind::Composite => true,
            Kind::Array(element) => element.may_hold_secrets(),
            Kind::Printed => is_text_like(self.type_oid),
            _ => false,
        }
    }

    /// Whether how a value is printed depends on settings of the session.
    pub(super) fn depends_on_settings(&self) -> bool {
        match &self.kind {
            // Which types are inside is known only with each value.
            Kind::Composite => true,
            Kind::Array(element) => element.depends_on_settings(),
            Kind::Printed => !is_printed_alike(self.type_oid),
            _ => false,
        }
    }
}

fn scalar_kind(type_oid: pg_sys::Oid) -> Kind {
    match type_oid {
        pg_sys::BOOLOID => Kind::Bool,
        pg_sys::INT2OID => Kind::Int2,
        pg_sys::INT4OID => Kind::Int4,
        pg_sys::INT8OID => Kind::Int8,
        pg_sys::FLOAT4OID => Kind::Float4,
        pg_sys::FLOAT8OID => Kind::Float8,
        pg_sys::NUMERICOID => Kind::Numeric,
        pg_sys::TEXTOID | pg_sys::VARCHAROID | pg_sys::BPCHAROID => Kind::Text,
        pg_sys::NAMEOID => Kind::Name,
        pg_sys::UUIDOID => Kind::Uuid,
        pg_sys::DATEOID
        | pg_sys::TIMEOID
        | pg_sys::TIMETZOID
        | pg_sys::TIMESTAMPOID
        | pg_sys::TIMESTAMPTZOID => Kind::Time,
        pg_sys::BYTEAOID => Kind::Bytea,
        pg_sys::JSONOID => Kind::Json,
        pg_sys::JSONBOID => Kind::Jsonb,
        // SAFETY: a catalog look-up.
        _ if unsafe { pg_sys::type_is_rowtype(type_oid) } => Kind::Composite,
        _ => Kind::Printed,
    }
}

/// Strings and types that an extension defines; not networks, intervals, ranges, bits and the like.
fn is_text_like(type_oid: pg_sys::Oid) -> bool {
    const STRING: u8 = b'S';
    const USER_DEFINED: u8 = b'U';
    let mut category: c_char = 0;
    let mut is_preferred = false;
    // SAFETY: a catalog look-up of an existing type.
    unsafe {
        pg_sys::get_type_category_preferred(type_oid, &raw mut category, &raw mut is_preferred);
    }
    matches!(category as u8, STRING | USER_DEFINED)
}

/// Types whose output function reads no setting.
fn is_printed_alike(type_oid: pg_sys::Oid) -> bool {
    const ALIKE: [pg_sys::Oid; 12] = [
        pg_sys::INETOID,
        pg_sys::CIDROID,
        pg_sys::MACADDROID,
        pg_sys::MACADDR8OID,
        pg_sys::BITOID,
        pg_sys::VARBITOID,
        pg_sys::TSVECTOROID,
        pg_sys::TSQUERYOID,
        pg_sys::OIDOID,
        pg_sys::PG_LSNOID,
        pg_sys::CHAROID,
        pg_sys::XID8OID,
    ];
    // SAFETY: a catalog look-up.
    ALIKE.contains(&type_oid) || unsafe { pg_sys::type_is_enum(type_oid) }
}
