//! What makes a container readable: one pass over every word, string and number of it.

use std::fmt;

use super::layout::{ARRAY_FLAG, Entry, MAX_DEPTH, OBJECT_FLAG, Parts, SCALAR_FLAG, STRING, count};
use super::read::Value;
use super::read::decode;

/// Why bytes are no readable `jsonb` container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A header or an entry contradicts the bytes around it.
    Structure,
    /// A string is not UTF-8, as in a database with another encoding.
    Encoding,
    /// A number is not stored the way the server stores a numeric.
    Number,
    /// Containers are nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure => formatter.write_str("jsonb value has an inconsistent structure"),
            Self::Encoding => formatter.write_str("jsonb value has a string that is not UTF-8"),
            Self::Number => formatter.write_str("jsonb value has an invalid number"),
            Self::TooDeep => {
                write!(
                    formatter,
                    "jsonb value is nested deeper than {MAX_DEPTH} levels"
                )
            }
        }
    }
}

impl std::error::Error for Malformed {}

/// Checks a root container and all below it.
pub(super) fn check(root: &[u8]) -> Result<(), Malformed> {
    check_container(root, 1)
}

/// Offsets only grow inside a container, so children never overlap and the work is linear.
fn check_container(container: &[u8], level: usize) -> Result<(), Malformed> {
    if level > MAX_DEPTH {
        return Err(Malformed::TooDeep);
    }
    let parts = Parts::of(container).ok_or(Malformed::Structure)?;
    let keys = check_header(parts.header, level)?;
    let mut start = 0;
    for (index, &bytes) in parts.entries.iter().enumerate() {
        let entry = Entry::from_bytes(bytes);
        let end = entry.end(start);
        if end < start || (index < keys && entry.kind() != STRING) {
            return Err(Malformed::Structure);
        }
        check_child(decode(entry, parts.data, start, end)?, parts.header, level)?;
        start = end;
    }
    if start == parts.data.len() {
        Ok(())
    } else {
        Err(Malformed::Structure)
    }
}

/// The number of keys, for a header whose flags make sense at this level.
fn check_header(header: u32, level: usize) -> Result<usize, Malformed> {
    let count = count(header);
    match header & (OBJECT_FLAG | ARRAY_FLAG | SCALAR_FLAG | (1 << 31)) {
        OBJECT_FLAG => Ok(count),
        ARRAY_FLAG => Ok(0),
        flags if flags == ARRAY_FLAG | SCALAR_FLAG && count == 1 && level == 1 => Ok(0),
        _ => Err(Malformed::Structure),
    }
}

fn check_child(child: Value<'_>, header: u32, level: usize) -> Result<(), Malformed> {
    let container = match child {
        Value::Number(number) => return number.check(),
        Value::Array(array) => array.bytes(),
        Value::Object(object) => object.bytes(),
        Value::Null | Value::Bool(_) | Value::String(_) => return Ok(()),
    };
    if header & SCALAR_FLAG != 0 {
        return Err(Malformed::Structure);
    }
    check_container(container, level + 1)
}
