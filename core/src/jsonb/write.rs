//! Writing: events go onto a tape, and the finished tape is laid out in one pass.
//!
//! An object's keys stand before its values and in their own order, so nothing of an object can
//! be laid out before all of it is known. The tape keeps the bytes of keys and values as they
//! come; laying out sorts what is not sorted yet and copies every byte once, at any depth.

mod tape_layout;

use std::cmp::Ordering;
use std::fmt;

use super::decimal::write_integer;
use super::layout::compare_keys;
use super::layout::{CONTAINER, FALSE, LENGTH_MASK, MAX_DEPTH, NULL, NUMERIC, STRING, TRUE};
use super::numeric::{Numeric, varlena_header};
use super::read::Value;

/// Why no container could be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// The calls do not make one value: nothing or more than one at the root, a member without
    /// a key, a key outside an object or without a value, a container without its end.
    Incomplete,
    /// More than 2^28 - 1 bytes or children in one container.
    TooLarge,
    /// Containers nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// A number that a numeric cannot hold.
    Number,
    /// A string with the character U+0000, which the server cannot represent in `jsonb`.
    NullCharacter,
}

impl fmt::Display for BuildError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => formatter.write_str("jsonb value is incomplete"),
            Self::TooLarge => {
                write!(
                    formatter,
                    "jsonb value exceeds the maximum of {LENGTH_MASK} bytes"
                )
            }
            Self::TooDeep => {
                write!(
                    formatter,
                    "jsonb value is nested deeper than {MAX_DEPTH} levels"
                )
            }
            Self::Number => formatter.write_str("number is out of range for jsonb"),
            Self::NullCharacter => formatter.write_str("\\u0000 cannot be stored in jsonb"),
        }
    }
}

impl std::error::Error for BuildError {}

/// Writes one document, event by event. A failure is remembered and returned by
/// [`Builder::finish`]; events after it do nothing.
///
/// Keys may come in any order; of equal keys the last one counts, as in `jsonb`.
#[derive(Debug)]
pub struct Builder {
    /// The bytes of keys, strings, numbers and copied containers, unaligned.
    data: Vec<u8>,
    tape: Vec<Node>,
    open: Vec<Frame>,
    key: Option<Span>,
    /// Used while laying out, kept for its memory.
    order: Vec<u32>,
    failure: Option<BuildError>,
}

impl Default for Builder {
    /// Room for an ordinary row, since growing step by step costs as much as writing it.
    fn default() -> Self {
        Self {
            data: Vec::with_capacity(512),
            tape: Vec::with_capacity(32),
            open: Vec::with_capacity(4),
            key: None,
            order: Vec::with_capacity(32),
            failure: None,
        }
    }
}

/// A range of [`Builder::data`].
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    end: u32,
}

/// A value on the tape. The children of a container follow it.
#[derive(Clone, Copy, Debug)]
struct Node {
    key: Span,
    content: Content,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    /// A finished value: the kind bits of its entry, and its bytes.
    Bytes { kind: u32, span: Span },
    /// A container: where on the tape its descendants end, and whether its keys ascend.
    Children {
        is_object: bool,
        is_sorted: bool,
        end: u32,
    },
}

/// A container that has begun and not ended.
#[derive(Debug)]
struct Frame {
    node: usize,
    is_object: bool,
    is_sorted: bool,
    last_key: Option<Span>,
}

impl Builder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins an object; [`Builder::end`] ends it.
    pub fn begin_object(&mut self) {
        self.begin(true);
    }

    /// Begins an array; [`Builder::end`] ends it.
    pub fn begin_array(&mut self) {
        self.begin(false);
    }

    /// Ends the innermost container.
    pub fn end(&mut self) {
        if self.has_failed() {
            return;
        }
        let (Some(frame), None) = (self.open.pop(), self.key) else {
            return self.fail(BuildError::Incomplete);
        };
        let Ok(end) = u32::try_from(self.tape.len()) else {
            return self.fail(BuildError::TooLarge);
        };
        if let Some(node) = self.tape.get_mut(frame.node) {
            let Frame {
                is_object,
                is_sorted,
                ..
            } = frame;
            node.content = Content::Children {
                is_object,
                is_sorted,
                end,
            };
        }
    }

    /// The key of the member whose value comes next.
    pub fn key(&mut self, key: &str) {
        let Some(span) = self.text(key) else { return };
        let last_key = match self.open.last() {
            Some(frame) if frame.is_object && self.key.is_none() => frame.last_key,
            _ => return self.fail(BuildError::Incomplete),
        };
        let ascends = last_key.is_none_or(|last| {
            compare_keys(bytes_of(&self.data, last), key.as_bytes()) == Ordering::Less
        });
        if let Some(frame) = self.open.last_mut() {
            frame.is_sorted &= ascends;
            frame.last_key = Some(span);
        }
        self.key = Some(span);
    }

    /// Writes `null`.
    pub fn null(&mut self) {
        self.push(Content::Bytes {
            kind: NULL,
            span: Span::default(),
        });
    }

    /// Writes `true` or `false`.
    pub fn bool(&mut self, value: bool) {
        let kind = if value { TRUE } else { FALSE };
        self.push(Content::Bytes {
            kind,
            span: Span::default(),
        });
    }

    /// Writes a string.
    pub fn string(&mut self, text: &str) {
        if let Some(span) = self.text(text) {
            self.push(Content::Bytes { kind: STRING, span });
        }
    }

    /// Writes a number. NaN and the infinities become strings, as in the server's `to_jsonb`.
    pub fn number(&mut self, number: Numeric<'_>) {
        if !number.is_finite() {
            return self.string(&number.to_string());
        }
        // A column may hold a short varlena header; inside jsonb it is always the long one.
        let payload = number.payload();
        let Some(header) = varlena_header(payload.len() + 4) else {
            return self.fail(BuildError::TooLarge);
        };
        self.bytes(NUMERIC, |data| {
            data.extend_from_slice(&header);
            data.extend_from_slice(payload);
        });
    }

    /// Writes a whole number.
    pub fn integer(&mut self, value: i64) {
        self.bytes(NUMERIC, |data| write_integer(data, value));
    }

    /// Copies a whole value as it is; a container is copied as one block.
    pub fn value(&mut self, value: Value<'_>) {
        match value {
            Value::Null => self.null(),
            Value::Bool(value) => self.bool(value),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.string(text),
            Value::Array(array) => self.container(value, array.bytes()),
            Value::Object(object) => self.container(value, object.bytes()),
        }
    }

    /// The finished container, without a varlena header.
    ///
    /// # Errors
    /// The first failure of any event, or [`BuildError::Incomplete`].
    pub fn finish(mut self) -> Result<Vec<u8>, BuildError> {
        let mut out = Vec::new();
        self.finish_into(&mut out)?;
        Ok(out)
    }

    /// Appends the finished container to `out` and starts anew, keeping the memory for the next
    /// document. What `out` holds before counts as a multiple of four bytes, as the varlena
    /// header does. On failure `out` is left as it was.
    ///
    /// # Errors
    /// As [`Builder::finish`].
    pub fn finish_into(&mut self, out: &mut Vec<u8>) -> Result<(), BuildError> {
        let length_before = out.len();
        let result = self.write_root(out);
        if result.is_err() {
            out.truncate(length_before);
        }
        self.clear();
        result
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Fails the document, for instance for a reason that a part of it had; the first counts.
    pub fn fail(&mut self, failure: BuildError) {
        self.failure.get_or_insert(failure);
    }

    fn clear(&mut self) {
        self.data.clear();
        self.tape.clear();
        self.open.clear();
        self.order.clear();
        self.key = None;
        self.failure = None;
    }

    fn begin(&mut self, is_object: bool) {
        if self.open.len() >= MAX_DEPTH {
            self.fail(BuildError::TooDeep);
        }
        let node = self.tape.len();
        self.push(Content::Children {
            is_object,
            is_sorted: true,
            end: 0,
        });
        self.open.push(Frame {
            node,
            is_object,
            is_sorted: true,
            last_key: None,
        });
    }

    fn container(&mut self, value: Value<'_>, container: &[u8]) {
        // A level takes at least eight bytes, so most values need not be walked for their depth.
        let most_levels = container.len() / 8 + 1;
        let room = MAX_DEPTH.saturating_sub(self.open.len());
        if most_levels > room && super::depth(value) > room {
            return self.fail(BuildError::TooDeep);
        }
        self.bytes(CONTAINER, |data| data.extend_from_slice(container));
    }

    fn text(&mut self, text: &str) -> Option<Span> {
        if text.as_bytes().contains(&0) {
            self.fail(BuildError::NullCharacter);
            return None;
        }
        self.store(|data| data.extend_from_slice(text.as_bytes()))
    }

    fn bytes(&mut self, kind: u32, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(span) = self.store(write) {
            self.push(Content::Bytes { kind, span });
        }
    }

    /// Appends to the data. The whole of it is kept below the limit of one container.
    fn store(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Option<Span> {
        if self.has_failed() {
            return None;
        }
        let start = self.data.len();
        write(&mut self.data);
        let within_limit = |length: &u32| *length <= LENGTH_MASK;
        let end = u32::try_from(self.data.len()).ok().filter(within_limit);
        let span = u32::try_from(start)
            .ok()
            .zip(end)
            .map(|(start, end)| Span { start, end });
        if span.is_none() {
            self.fail(BuildError::TooLarge);
        }
        span
    }

    fn push(&mut self, content: Content) {
        if self.has_failed() {
            return;
        }
        let (is_root, is_member) = self
            .open
            .last()
            .map_or((true, false), |frame| (false, frame.is_object));
        let key = self.key.take();
        if key.is_some() != is_member || (is_root && !self.tape.is_empty()) {
            return self.fail(BuildError::Incomplete);
        }
        self.tape.push(Node {
            key: key.unwrap_or_default(),
            content,
        });
    }
}

/// The bytes of a span, which is always inside the data it was made for.
fn bytes_of(data: &[u8], span: Span) -> &[u8] {
    data.get(span.start as usize..span.end as usize)
        .unwrap_or_default()
}
