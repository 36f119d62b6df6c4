//! A row as a line: an object of the columns that are not NULL, in the table's order.
//!
//! Values are what the server prints of them with `DateStyle = ISO`, `TimeZone = UTC` and
//! `bytea_output = hex`, so that reading the line back gives the same value bit by bit. `jsonb`
//! stands as it is, a NULL column is left out (a JSON `null` is a `jsonb` that holds null), and
//! times are written as RFC 3339 has them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A column of the archived table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as the server prints it.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// How a value stands in a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Number,
    Boolean,
    Time,
    Text,
}

impl Column {
    fn form(&self) -> Form {
        match self.type_name.as_str() {
            "jsonb" => Form::Json,
            "smallint" | "integer" | "bigint" => Form::Number,
            "boolean" => Form::Boolean,
            "timestamp with time zone" => Form::Time,
            _ => Form::Text,
        }
    }
}

/// Why a line can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineProblem {
    /// It is no JSON object.
    NotAnObject,
    /// It has a column that the manifest does not name.
    UnknownColumn,
    /// A value is not of the form that its column has.
    WrongForm,
}

impl fmt::Display for LineProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAnObject => "it is no JSON object",
            Self::UnknownColumn => "it has a column that the manifest does not name",
            Self::WrongForm => "a value does not have the form of its column",
        })
    }
}

impl std::error::Error for LineProblem {}

/// Appends a row to `output`, with the line break. `cells` has the text of each column, `None` for
/// NULL.
pub fn write_line<'a>(
    output: &mut Vec<u8>,
    columns: &[Column],
    cells: impl IntoIterator<Item = Option<&'a str>>,
) {
    let mut separator = b'{';
    for (column, cell) in columns.iter().zip(cells) {
        let Some(cell) = cell else { continue };
        output.push(separator);
        separator = b',';
        write_string(output, &column.name);
        output.push(b':');
        match column.form() {
            Form::Json | Form::Number => output.extend_from_slice(cell.as_bytes()),
            Form::Boolean => {
                let is_true = cell == "t";
                output.extend_from_slice(if is_true { b"true" } else { b"false" });
            }
            Form::Time => write_string(output, &rfc_3339(cell)),
            Form::Text => write_string(output, cell),
        }
    }
    if separator == b'{' {
        output.push(separator);
    }
    output.extend_from_slice(b"}\n");
}

/// The text of each column, `None` for NULL, as the server reads it.
///
/// # Errors
/// See [`LineProblem`].
pub fn read_line<'a>(
    line: &'a str,
    columns: &[Column],
) -> Result<Vec<Option<Cow<'a, str>>>, LineProblem> {
    let mut members: HashMap<Cow<'a, str>, &'a RawValue> =
        serde_json::from_str(line).map_err(|_| LineProblem::NotAnObject)?;
    let cells = columns
        .iter()
        .map(|column| {
            members
                .remove(column.name.as_str())
                .map(|value| cell(value.get(), column.form()))
                .transpose()
        })
        .collect::<Result<_, _>>()?;
    if members.is_empty() {
        Ok(cells)
    } else {
        Err(LineProblem::UnknownColumn)
    }
}

fn cell(value: &str, form: Form) -> Result<Cow<'_, str>, LineProblem> {
    let is_fitting = match form {
        Form::Json => true,
        Form::Number => value.parse::<i64>().is_ok(),
        Form::Boolean => matches!(value, "true" | "false"),
        Form::Time | Form::Text => {
            return serde_json::from_str::<String>(value)
                .map(Cow::Owned)
                .map_err(|_| LineProblem::WrongForm);
        }
    };
    if is_fitting {
        Ok(Cow::Borrowed(value))
    } else {
        Err(LineProblem::WrongForm)
    }
}

/// A string in quotes. Most hold nothing that has to be escaped.
fn write_string(output: &mut Vec<u8>, text: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    output.push(b'"');
    if text.bytes().all(is_plain) {
        output.extend_from_slice(text.as_bytes());
    } else {
        // A string can't fail to serialize.
        let quoted = serde_json::to_string(text).unwrap_or_default();
        output.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
    }
    output.push(b'"');
}

/// `2026-01-31 12:00:00.5+00` as `2026-01-31T12:00:00.5+00:00`. What is no ordinary time (infinity,
/// a year before Christ or after 9999) stays as it is; the server reads both.
fn rfc_3339(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let is_ordinary = bytes.len() >= 22 && bytes.get(10) == Some(&b' ') && text.ends_with("+00");
    if is_ordinary {
        Cow::Owned(format!("{}T{}:00", &text[..10], &text[11..]))
    } else {
        Cow::Borrowed(text)
    }
}
