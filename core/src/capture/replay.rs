//! What a row was, from the changes that were captured of it.

use crate::jsonb::{BuildError, Builder, Object, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A row as the log knows it: each column's value as a document of its own, which keeps numbers
/// exact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    columns: BTreeMap<String, Vec<u8>>,
}

impl Row {
    /// The value of a column, as a jsonb container.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&[u8]> {
        self.columns.get(column).map(Vec::as_slice)
    }

    /// The columns and their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.columns
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The row after some of its columns were set.
    ///
    /// # Errors
    /// [`BuildError`] if a value is nested too deeply to stand alone.
    pub fn set(&mut self, values: Object<'_>) -> Result<(), BuildError> {
        for (name, value) in values.iter() {
            self.columns.insert(name.to_owned(), document(value)?);
        }
        Ok(())
    }

    /// Whether every one of these columns has the value that the row has.
    #[must_use]
    pub fn holds(&self, values: Object<'_>) -> bool {
        values.iter().all(|(name, value)| {
            let own = self.columns.get(name);
            own.is_some_and(|own| document(value).as_ref() == Ok(own))
        })
    }

    /// The columns whose value is not what the row held: those that were left out over the cap,
    /// and those that are known to be redacted or scrubbed.
    #[must_use]
    pub fn inexact(&self) -> BTreeSet<String> {
        let inexact = self.columns.iter().filter(|(_, value)| {
            crate::jsonb::Jsonb::new(value).is_ok_and(|document| is_replaced(document.root()))
        });
        inexact.map(|(name, _)| name.clone()).collect()
    }
}

/// The member of a value that stands for one that is not stored.
pub const OMITTED: &str = "$omitted";
/// The same for one that must not be stored.
pub const REDACTED: &str = "$redacted";

/// Whether a value stands for another one: the markers of what was too large or is secret.
fn is_replaced(value: Value<'_>) -> bool {
    match value {
        Value::Object(object) => {
            object.get(OMITTED).is_some()
                || object.get(REDACTED).is_some()
                || object.iter().any(|(_, member)| is_replaced(member))
        }
        Value::Array(array) => array.iter().any(is_replaced),
        Value::String(text) => crate::privacy::holds_replacement(text),
        _ => false,
    }
}

/// What an event says of a row.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// The row was made with these values.
    Inserted(Object<'a>),
    /// These columns had the first values and have the second ones.
    Updated(Object<'a>, Object<'a>),
    /// The row is gone.
    Deleted,
    /// Every row of the table is gone.
    Truncated,
}

impl<'a> Change<'a> {
    /// Reads the column `changes` of an event: `{"new"}`, `{"old", "new"}` or `{"old"}`. `None` for
    /// a document of another shape.
    #[must_use]
    pub fn read(changes: Value<'a>) -> Option<Self> {
        let Value::Object(changes) = changes else {
            return None;
        };
        match (changes.get("old"), changes.get("new")) {
            (None, Some(Value::Object(new))) => Some(Self::Inserted(new)),
            (Some(Value::Object(old)), Some(Value::Object(new))) => Some(Self::Updated(old, new)),
            (Some(Value::Object(_)), None) => Some(Self::Deleted),
            _ => None,
        }
    }
}

/// The row after a change.
///
/// An update of a row that is not known gives what the update says of it: capture began after the
/// row was made.
///
/// # Errors
/// [`BuildError`] if a value is nested too deeply to stand alone.
pub fn apply(row: Option<Row>, change: Change<'_>) -> Result<Option<Row>, BuildError> {
    match change {
        Change::Inserted(new) => {
            let mut row = Row::default();
            row.set(new)?;
            Ok(Some(row))
        }
        Change::Updated(_, new) => {
            let mut row = row.unwrap_or_default();
            row.set(new)?;
            Ok(Some(row))
        }
        Change::Deleted | Change::Truncated => Ok(None),
    }
}

fn document(value: Value<'_>) -> Result<Vec<u8>, BuildError> {
    let mut builder = Builder::new();
    builder.value(value);
    builder.finish()
}
