//! Between containers and JSON text or `serde_json`, for paths that are not hot.

use std::fmt::{self, Display, Write};

use super::decimal::OwnedNumeric;
use super::numeric::Numeric;
use super::read::Value;
use super::write::{BuildError, Builder};

/// The value as compact JSON text. Numbers keep every digit; NaN and the infinities, which the
/// server never puts into `jsonb`, become strings.
#[must_use]
pub fn to_json(value: Value<'_>) -> String {
    value.to_string()
}

/// The container of `value`, byte for byte what the server makes of its text.
///
/// # Errors
/// See [`BuildError`].
pub fn from_json(value: &serde_json::Value) -> Result<Vec<u8>, BuildError> {
    let mut builder = Builder::new();
    builder.json(value);
    builder.finish()
}

impl Builder {
    /// Writes a whole value. A floating point number is written through its decimal text.
    pub fn json(&mut self, value: &serde_json::Value) {
        match value {
            serde_json::Value::Null => self.null(),
            serde_json::Value::Bool(value) => self.bool(*value),
            serde_json::Value::Number(number) => self.json_number(number),
            serde_json::Value::String(text) => self.string(text),
            serde_json::Value::Array(elements) => {
                self.begin_array();
                self.each(elements, Self::json);
                self.end();
            }
            serde_json::Value::Object(members) => {
                self.begin_object();
                self.each(members, |builder, (key, member)| {
                    builder.key(key);
                    builder.json(member);
                });
                self.end();
            }
        }
    }

    /// Stops at the first failure, so that what is nested too deep is not walked.
    fn each<I: IntoIterator>(&mut self, items: I, mut write: impl FnMut(&mut Self, I::Item)) {
        for item in items {
            if self.has_failed() {
                return;
            }
            write(self, item);
        }
    }

    fn json_number(&mut self, number: &serde_json::Number) {
        if let Some(integer) = number.as_i64() {
            return self.integer(integer);
        }
        match OwnedNumeric::from_decimal(&number.to_string()) {
            Some(number) => self.number(number.as_numeric()),
            None => self.fail(BuildError::Number),
        }
    }
}

/// The value as compact JSON text.
impl Display for Value<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => formatter.write_str("null"),
            Value::Bool(value) => write!(formatter, "{value}"),
            Value::Number(number) => write_number(formatter, *number),
            Value::String(text) => write_string(formatter, text),
            Value::Array(array) => {
                write_list(formatter, ['[', ']'], array.iter(), |formatter, element| {
                    write!(formatter, "{element}")
                })
            }
            Value::Object(object) => write_list(
                formatter,
                ['{', '}'],
                object.iter(),
                |formatter, (key, member)| {
                    write_string(formatter, key)?;
                    write!(formatter, ":{member}")
                },
            ),
        }
    }
}

fn write_list<I>(
    formatter: &mut fmt::Formatter<'_>,
    [open, close]: [char; 2],
    items: impl Iterator<Item = I>,
    mut write_item: impl FnMut(&mut fmt::Formatter<'_>, I) -> fmt::Result,
) -> fmt::Result {
    formatter.write_char(open)?;
    for (index, item) in items.enumerate() {
        if index > 0 {
            formatter.write_char(',')?;
        }
        write_item(formatter, item)?;
    }
    formatter.write_char(close)
}

fn write_number(formatter: &mut fmt::Formatter<'_>, number: Numeric<'_>) -> fmt::Result {
    match number.is_finite() {
        true => write!(formatter, "{number}"),
        false => write!(formatter, "\"{number}\""),
    }
}

/// `serde_json` writes a string with the escapes that JSON needs and no others.
fn write_string(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(formatter, "{}", serde_json::Value::from(text))
}
