//! Reading: a root, its values, and iteration with running offsets.

use std::cmp::Ordering;
use std::iter::FusedIterator;
use std::slice;

use super::check::{Malformed, check};
use super::layout::{
    self, CONTAINER, Entry, FALSE, NULL, NUMERIC, OBJECT_FLAG, Parts, SCALAR_FLAG, STRING, TRUE,
    compare_keys, count, end_of,
};
use super::numeric::Numeric;

/// A root container, checked as far as needed to read all of it without a failure.
#[derive(Clone, Copy, Debug)]
pub struct Jsonb<'a> {
    container: &'a [u8],
}

impl<'a> Jsonb<'a> {
    /// Checks `container`, the bytes of a detoasted `jsonb` after its varlena header.
    ///
    /// # Errors
    /// [`Malformed`] if the structure, a string or a number is not what the server writes, or
    /// if it is nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH). Bytes after the container
    /// are an error, too. The order of keys is not checked.
    pub fn new(container: &'a [u8]) -> Result<Self, Malformed> {
        check(container)?;
        Ok(Self { container })
    }

    /// The document: a scalar, an array or an object.
    #[must_use]
    pub fn root(self) -> Value<'a> {
        if self.is_scalar_root() {
            return Elements::of(self.container).next().unwrap_or(Value::Null);
        }
        container_value(self.container)
    }

    /// Whether the document is a scalar.
    #[must_use]
    pub fn is_scalar_root(self) -> bool {
        layout::header(self.container) & SCALAR_FLAG != 0
    }

    /// The bytes that were given to [`Jsonb::new`].
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.container
    }
}

/// Any value inside a document.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// JSON `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, exact as the server holds it.
    Number(Numeric<'a>),
    /// A string without escapes.
    String(&'a str),
    /// An array.
    Array(Array<'a>),
    /// An object.
    Object(Object<'a>),
}

/// An array inside a document.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    container: &'a [u8],
}

impl<'a> Array<'a> {
    /// The number of elements.
    #[must_use]
    pub fn len(self) -> usize {
        count(layout::header(self.container))
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The elements in order, in linear time.
    #[must_use]
    pub fn iter(self) -> Elements<'a> {
        Elements::of(self.container)
    }

    /// The container's bytes: valid at any multiple of four in another document, or as a root.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.container
    }
}

/// An object inside a document.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    container: &'a [u8],
}

impl<'a> Object<'a> {
    /// The number of members.
    #[must_use]
    pub fn len(self) -> usize {
        count(layout::header(self.container))
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Keys and values in stored order (shorter keys first, then by bytes), in linear time.
    #[must_use]
    pub fn iter(self) -> Members<'a> {
        Members::of(self.container)
    }

    /// The value of `key`, by binary search.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        let parts = Parts::of(self.container)?;
        let keys = parts.entries.get(..count(parts.header))?;
        let index = find_key(keys, parts.data, key.as_bytes())?;
        let value_index = keys.len() + index;
        let entry = Entry::from_bytes(*parts.entries.get(value_index)?);
        let start = end_of(parts.entries.get(..value_index)?);
        decode(entry, parts.data, start, entry.end(start)).ok()
    }

    /// The container's bytes: valid at any multiple of four in another document, or as a root.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.container
    }
}

fn find_key(keys: &[[u8; 4]], data: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut low = 0;
    let mut high = keys.len();
    while low < high {
        let middle = low.midpoint(high);
        let start = end_of(keys.get(..middle)?);
        let end = Entry::from_bytes(*keys.get(middle)?).end(start);
        match compare_keys(data.get(start..end)?, wanted) {
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
            Ordering::Equal => return Some(middle),
        }
    }
    None
}

/// The elements of an array.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    entries: slice::Iter<'a, [u8; 4]>,
    data: &'a [u8],
    offset: usize,
}

impl<'a> Elements<'a> {
    fn of(container: &'a [u8]) -> Self {
        let (entries, data) =
            Parts::of(container).map_or((&[][..], &[][..]), |parts| (parts.entries, parts.data));
        Self {
            entries: entries.iter(),
            data,
            offset: 0,
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let entry = Entry::from_bytes(*self.entries.next()?);
        let start = self.offset;
        self.offset = entry.end(start);
        // Jsonb::new has decoded the same bytes, so the fallback is never taken.
        Some(decode(entry, self.data, start, self.offset).unwrap_or(Value::Null))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl ExactSizeIterator for Elements<'_> {}
impl FusedIterator for Elements<'_> {}

/// The members of an object.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    keys: Elements<'a>,
    values: Elements<'a>,
}

impl<'a> Members<'a> {
    fn of(container: &'a [u8]) -> Self {
        let all = Elements::of(container);
        let (keys, values) = all.entries.as_slice().split_at(all.entries.len() / 2);
        Self {
            keys: Elements {
                entries: keys.iter(),
                data: all.data,
                offset: 0,
            },
            values: Elements {
                entries: values.iter(),
                data: all.data,
                offset: end_of(keys),
            },
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<(&'a str, Value<'a>)> {
        match (self.keys.next()?, self.values.next()?) {
            (Value::String(key), value) => Some((key, value)),
            // Jsonb::new has seen that every key is a string.
            _ => None,
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.keys.size_hint()
    }
}

impl ExactSizeIterator for Members<'_> {}
impl FusedIterator for Members<'_> {}

/// The value behind an entry, looking no further than its own bytes.
pub(super) fn decode(
    entry: Entry,
    data: &[u8],
    start: usize,
    end: usize,
) -> Result<Value<'_>, Malformed> {
    let aligned = || {
        data.get(layout::align(start)..end)
            .ok_or(Malformed::Structure)
    };
    match entry.kind() {
        STRING => {
            let bytes = data.get(start..end).ok_or(Malformed::Structure)?;
            let text = str::from_utf8(bytes).map_err(|_| Malformed::Encoding)?;
            Ok(Value::String(text))
        }
        NUMERIC => Ok(Value::Number(Numeric::unchecked(aligned()?))),
        FALSE => Ok(Value::Bool(false)),
        TRUE => Ok(Value::Bool(true)),
        NULL => Ok(Value::Null),
        CONTAINER => Ok(container_value(aligned()?)),
        _ => Err(Malformed::Structure),
    }
}

fn container_value(container: &[u8]) -> Value<'_> {
    match layout::header(container) & OBJECT_FLAG {
        0 => Value::Array(Array { container }),
        _ => Value::Object(Object { container }),
    }
}
