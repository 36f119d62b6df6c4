//! A reader and a writer of the container inside a Postgres `jsonb` value.
//!
//! The bytes are those that follow the varlena header of a detoasted `jsonb`, in the byte order
//! of the machine, as the server has written them since 9.4. Reading allocates nothing and
//! accepts a slice at any address; writing gives exactly the bytes the server would make of the
//! same document.
//!
//! A container is a header word (flags and count), one entry word for each child (for an object
//! the keys, then the values) and the data of the children. Numbers and nested containers begin
//! at a multiple of four, and the padding before them counts as theirs.

mod check;
mod decimal;
mod json;
mod layout;
mod numeric;
mod read;
mod write;

pub use check::Malformed;
pub use decimal::OwnedNumeric;
pub use json::{from_json, to_json};
pub use layout::MAX_DEPTH;
pub use numeric::Numeric;
pub use read::{Array, Elements, Jsonb, Members, Object, Value};
pub use write::{BuildError, Builder};

/// How many containers are nested in each other at the deepest place: 0 for a scalar, 1 for an
/// empty or flat array or object. At most [`MAX_DEPTH`], since nothing deeper can be read.
#[must_use]
pub fn depth(value: Value<'_>) -> usize {
    let deepest_child = match value {
        Value::Array(array) => array.iter().map(depth).max(),
        Value::Object(object) => object.iter().map(|(_, member)| depth(member)).max(),
        _ => return 0,
    };
    deepest_child.unwrap_or(0) + 1
}
