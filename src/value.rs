//! Values that cross the boundary in the server's own binary form.
//!
//! pgrx's `JsonB` and `Inet` go through text in both directions; these types read and write the
//! bytes as they are stored.

#![allow(unsafe_code)]

use crate::error::Error;
use activity_log_core::jsonb::Jsonb;
use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::{FromDatum, IntoDatum, pg_sys};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A `jsonb` argument: the container, without the varlena header.
#[derive(Clone, Copy)]
pub struct JsonbArg<'a>(&'a [u8]);

impl<'a> JsonbArg<'a> {
    /// A container that was cut out of another document.
    pub fn of(container: &'a [u8]) -> Self {
        Self(container)
    }

    /// The document.
    ///
    /// # Errors
    /// The argument is invalid if it is nested more deeply than can be read.
    pub fn document(self, argument: &'static str) -> Result<Jsonb<'a>, Error> {
        Jsonb::new(self.0).map_err(|_| Error::invalid(argument, "it is nested too deeply"))
    }
}

impl FromDatum for JsonbArg<'_> {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _type: pg_sys::Oid,
    ) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: a non-null datum of type jsonb points to a varlena; the detoasted copy, if one
        // is made, lives in the memory context of the call and so outlives the argument.
        unsafe {
            let packed = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
            Some(Self(pgrx::varlena_to_byte_slice(packed)))
        }
    }
}

// SAFETY: the argument is a datum of type jsonb, which `FromDatum` reads.
unsafe impl<'fcx> ArgAbi<'fcx> for JsonbArg<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the caller has checked that the argument is not NULL; NULL would read as empty.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or(JsonbArg(&[]))
    }
}

pgrx::impl_sql_translatable!(JsonbArg<'_>, "jsonb");

/// A `jsonb` result, built as a container.
#[derive(Debug, Clone)]
pub struct JsonbOut(pub Vec<u8>);

impl JsonbOut {
    /// The binary form of a JSON value that this extension has built itself.
    ///
    /// # Errors
    /// As for [`container`].
    pub fn from_json(value: &serde_json::Value) -> Result<Self, Error> {
        container(value).map(Self)
    }
}

impl IntoDatum for JsonbOut {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(varlena(&self.0))
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

impl FromDatum for JsonbOut {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        typoid: pg_sys::Oid,
    ) -> Option<Self> {
        // SAFETY: as for `JsonbArg`; the bytes are copied.
        unsafe { JsonbArg::from_polymorphic_datum(datum, is_null, typoid) }
            .map(|JsonbArg(bytes)| Self(bytes.to_vec()))
    }
}

// SAFETY: a jsonb datum is returned for a function declared to return jsonb.
unsafe impl BoxRet for JsonbOut {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        // SAFETY: the datum is a varlena in the caller's memory context.
        unsafe { fcinfo.return_raw_datum(varlena(&self.0)) }
    }
}

pgrx::impl_sql_translatable!(JsonbOut, "jsonb");

/// Copies bytes into a varlena with a four-byte header, in the current memory context.
pub fn varlena(bytes: &[u8]) -> pg_sys::Datum {
    let size = bytes.len() + pg_sys::VARHDRSZ;
    // SAFETY: the chunk has `size` bytes; the header is written before the payload.
    unsafe {
        let chunk = pg_sys::palloc(size).cast::<u8>();
        pgrx::set_varsize_4b(chunk.cast(), size as i32);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), chunk.add(pg_sys::VARHDRSZ), bytes.len());
        pg_sys::Datum::from(chunk)
    }
}

/// A uuid in the server's form: a pointer to 16 bytes.
pub fn uuid(bytes: &[u8; 16]) -> pg_sys::Datum {
    // SAFETY: the chunk has 16 bytes.
    unsafe {
        let chunk = pg_sys::palloc(bytes.len()).cast::<u8>();
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), chunk, bytes.len());
        pg_sys::Datum::from(chunk)
    }
}

const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 3;

/// An `inet` or `cidr`: one byte family, one byte mask length, then 4 or 16 bytes of address.
pub fn network(address: IpAddr, bits: u8) -> pg_sys::Datum {
    let mut bytes = [0u8; 18];
    bytes[1] = bits;
    match address {
        IpAddr::V4(v4) => {
            bytes[0] = FAMILY_V4;
            bytes[2..6].copy_from_slice(&v4.octets());
            varlena(&bytes[..6])
        }
        IpAddr::V6(v6) => {
            bytes[0] = FAMILY_V6;
            bytes[2..18].copy_from_slice(&v6.octets());
            varlena(&bytes)
        }
    }
}

/// An `inet`: an address, or a network where its mask is shorter than the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    ip: IpAddr,
    is_host: bool,
}

impl Address {
    /// The address of one host.
    pub fn host(ip: IpAddr) -> Self {
        Self { ip, is_host: true }
    }

    /// The address, if it is that of one host; IPv4 also where it comes mapped into IPv6.
    ///
    /// # Errors
    /// The argument is invalid if the value is a network: which of its hosts is meant, nobody knows.
    pub fn as_host(self, argument: &'static str) -> Result<IpAddr, Error> {
        if self.is_host {
            Ok(self.ip.to_canonical())
        } else {
            Err(Error::invalid(
                argument,
                "it must be an IP address without a mask",
            ))
        }
    }
}

impl FromDatum for Address {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _type: pg_sys::Oid,
    ) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: a non-null datum of type inet points to a varlena.
        let bytes = unsafe {
            let packed = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
            pgrx::varlena_to_byte_slice(packed)
        };
        match bytes {
            [FAMILY_V4, bits, address @ ..] => {
                let ip = Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?).into();
                Some(Self {
                    ip,
                    is_host: *bits == 32,
                })
            }
            [FAMILY_V6, bits, address @ ..] => {
                let ip = Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).into();
                Some(Self {
                    ip,
                    is_host: *bits == 128,
                })
            }
            _ => None,
        }
    }
}

// SAFETY: the argument is a datum of type inet, which `FromDatum` reads.
unsafe impl<'fcx> ArgAbi<'fcx> for Address {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the caller has checked that the argument is not NULL.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or(Self {
            ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            is_host: false,
        })
    }
}

impl IntoDatum for Address {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(network(self.ip, if self.ip.is_ipv4() { 32 } else { 128 }))
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::INETOID
    }
}

// SAFETY: an inet datum is returned for a function declared to return inet.
unsafe impl BoxRet for Address {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        match self.into_datum() {
            // SAFETY: the datum is a varlena in the caller's memory context.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

/// A `regclass` argument: a relation by its name, as the caller's search path finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regclass(pub pg_sys::Oid);

impl FromDatum for Regclass {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _type: pg_sys::Oid,
    ) -> Option<Self> {
        (!is_null).then(|| Self(pg_sys::Oid::from(datum.value() as u32)))
    }
}

// SAFETY: the argument is a datum of type regclass, which is an OID.
unsafe impl<'fcx> ArgAbi<'fcx> for Regclass {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the caller has checked that the argument is not NULL.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or(Self(pg_sys::InvalidOid))
    }
}

pgrx::impl_sql_translatable!(Regclass, "regclass");

/// An address from its text; a mask that covers all of it may follow.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let (address, mask) = text
        .split_once('/')
        .map_or((text, None), |(a, m)| (a, Some(m)));
    let ip: IpAddr = address.parse().ok()?;
    let whole = if ip.is_ipv4() { "32" } else { "128" };
    mask.is_none_or(|mask| mask == whole)
        .then(|| ip.to_canonical())
}

pgrx::impl_sql_translatable!(Address, "inet");

/// The container of a JSON value.
///
/// # Errors
/// An invalid document if the value holds what jsonb can't: a NUL character, or far too much.
pub fn container(value: &serde_json::Value) -> Result<Vec<u8>, Error> {
    activity_log_core::jsonb::from_json(value)
        .map_err(|problem| Error::invalid("document", problem.to_string()))
}

/// What an optional text argument says: an empty text is the same as none.
pub fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// The container of a JSON text; `None` if the text is no JSON.
pub fn parse_jsonb(text: &str) -> Option<Vec<u8>> {
    let text = std::ffi::CString::new(text).ok()?;
    // `jsonb_in` is a pure function: what it raises leaves nothing behind but memory, so that it
    // may be caught without a subtransaction. Its own message would quote the payload.
    pgrx::PgTryBuilder::new(|| {
        // SAFETY: jsonb_in takes one cstring and returns a jsonb.
        let datum = unsafe {
            pgrx::direct_function_call_as_datum(
                pg_sys::jsonb_in,
                &[Some(pg_sys::Datum::from(text.as_ptr()))],
            )
        }?;
        // SAFETY: the result is a jsonb.
        unsafe { JsonbOut::from_polymorphic_datum(datum, false, pg_sys::JSONBOID) }.map(|j| j.0)
    })
    .catch_others(|caught| {
        if is_data_exception(&caught) {
            None
        } else {
            caught.rethrow()
        }
    })
    .execute()
}

/// A time from its text, in microseconds of the server's count; `None` if the text is no time.
pub fn parse_time(text: &str) -> Option<i64> {
    let text = std::ffi::CString::new(text).ok()?;
    pgrx::PgTryBuilder::new(|| {
        // SAFETY: timestamptz_in takes a cstring, a type and a modifier and returns an integer.
        let datum = unsafe {
            pgrx::direct_function_call_as_datum(
                pg_sys::timestamptz_in,
                &[
                    Some(pg_sys::Datum::from(text.as_ptr())),
                    Some(pg_sys::Datum::from(pg_sys::TIMESTAMPTZOID)),
                    Some(pg_sys::Datum::from(-1i32)),
                ],
            )
        }?;
        Some(datum.value() as i64)
    })
    .catch_others(|caught| {
        if is_data_exception(&caught) {
            None
        } else {
            caught.rethrow()
        }
    })
    .execute()
}

/// Whether an error says that a text is no value of its type (SQLSTATE class 22).
fn is_data_exception(caught: &pg_sys::panic::CaughtError) -> bool {
    let (pg_sys::panic::CaughtError::PostgresError(raised)
    | pg_sys::panic::CaughtError::ErrorReport(raised)) = caught
    else {
        return false;
    };
    crate::error::sqlstate(raised.sql_error_code()).starts_with("22")
}

/// A part of a document as a document of its own.
pub fn document(part: activity_log_core::jsonb::Value<'_>) -> Option<Vec<u8>> {
    let mut builder = activity_log_core::jsonb::Builder::new();
    builder.value(part);
    builder.finish().ok()
}

/// An interval from its text.
///
/// # Errors
/// An invalid `keep` if the text is no interval.
pub fn parse_interval(text: &str) -> Result<pgrx::datum::Interval, Error> {
    let invalid = || Error::invalid("keep", "it must be an interval");
    let text = std::ffi::CString::new(text).map_err(|_| invalid())?;
    pgrx::PgTryBuilder::new(|| {
        // SAFETY: interval_in takes a cstring, a type and a modifier and returns an interval.
        unsafe {
            pgrx::direct_function_call::<pgrx::datum::Interval>(
                pg_sys::interval_in,
                &[
                    Some(pg_sys::Datum::from(text.as_ptr())),
                    Some(pg_sys::Datum::from(pg_sys::INTERVALOID)),
                    Some(pg_sys::Datum::from(-1i32)),
                ],
            )
        }
    })
    .catch_others(|caught| {
        if is_data_exception(&caught) {
            None
        } else {
            caught.rethrow()
        }
    })
    .execute()
    .ok_or_else(invalid)
}
