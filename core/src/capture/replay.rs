//! What a row was, from the changes that were captured of it.

use crate::jsonb::{BuildError, Builder, Jsonb, Object, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The member of a value that stands for one that was too large to be kept.
pub const OMITTED: &str = "$omitted";
/// What stands for a value of a redacted column.
pub const REDACTED: &str = "[redacted]";
/// The member of a row's document that lists the columns whose values are not exact.
pub const INEXACT: &str = "$inexact";

/// What an event says of a row.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// The row was made with these values.
    Created(Object<'a>),
    /// These columns had the first values and have the second ones.
    Updated(Object<'a>, Object<'a>),
    /// The row, which had these values, is gone.
    Deleted(Object<'a>),
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
            (None, Some(Value::Object(new))) => Some(Self::Created(new)),
            (Some(Value::Object(old)), Some(Value::Object(new))) => Some(Self::Updated(old, new)),
            (Some(Value::Object(old)), None) => Some(Self::Deleted(old)),
            _ => None,
        }
    }

    /// The values before the change, as far as it tells them.
    #[must_use]
    pub fn before(&self) -> Option<Object<'a>> {
        match self {
            Self::Created(_) => None,
            Self::Updated(old, _) | Self::Deleted(old) => Some(*old),
        }
    }

    /// The values after the change, as far as it tells them.
    #[must_use]
    pub fn after(&self) -> Option<Object<'a>> {
        match self {
            Self::Created(new) | Self::Updated(_, new) => Some(*new),
            Self::Deleted(_) => None,
        }
    }
}

/// What happened to a row, or to its table, in the order of the log.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// The row changed.
    Change(Change<'a>),
    /// Every row of the table is gone.
    Truncated,
    /// The table's columns changed.
    Altered(&'a ColumnChange),
    /// Changes may have gone unnoticed.
    Gap,
}

/// A change of a table's columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnChange {
    /// Names of new columns.
    pub added: Vec<String>,
    /// Names of columns that are gone.
    pub dropped: Vec<String>,
    /// Old and new names.
    pub renamed: Vec<(String, String)>,
    /// Names now of columns whose values were converted, which no event tells of.
    pub retyped: Vec<String>,
}

impl ColumnChange {
    /// Turns the names of the columns after the change into those before it.
    pub fn undo(&self, columns: &mut Vec<String>) {
        columns.retain(|column| !self.added.contains(column));
        for column in columns.iter_mut() {
            if let Some((old, _)) = self.renamed.iter().find(|(_, new)| new == column) {
                column.clone_from(old);
            }
        }
        columns.extend(self.dropped.iter().cloned());
    }
}

/// A row as the log knows it: each column's value as a document of its own, which keeps numbers
/// exact, and the columns whose value is in doubt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    columns: BTreeMap<String, Vec<u8>>,
    doubtful: BTreeSet<String>,
}

impl Row {
    /// The columns and their values, as jsonb containers.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let columns = self.columns.iter();
        columns.map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Whether the log has a value for this column.
    #[must_use]
    pub fn has(&self, column: &str) -> bool {
        self.columns.contains_key(column)
    }

    fn set(&mut self, values: Object<'_>) -> Result<(), BuildError> {
        for (name, value) in values.iter() {
            self.columns.insert(name.to_owned(), document(value)?);
            self.doubtful.remove(name);
        }
        Ok(())
    }

    /// Takes values for the columns that have none yet.
    ///
    /// # Errors
    /// [`BuildError`] if a value is nested too deeply to stand alone.
    pub fn fill(&mut self, values: Object<'_>) -> Result<(), BuildError> {
        for (name, value) in values.iter() {
            if !self.has(name) {
                self.columns.insert(name.to_owned(), document(value)?);
            }
        }
        Ok(())
    }

    /// Takes the value of a column, as a jsonb container, if it has none yet.
    pub fn fill_column(&mut self, column: &str, value: Vec<u8>) {
        self.columns.entry(column.to_owned()).or_insert(value);
    }

    /// Follows a change of the table's columns; two columns may have swapped their names.
    fn alter(&mut self, change: &ColumnChange) {
        for column in &change.dropped {
            self.columns.remove(column);
            self.doubtful.remove(column);
        }
        let new_name = |name: String| {
            let renamed = change.renamed.iter().find(|(old, _)| *old == name);
            renamed.map_or(name, |(_, new)| new.clone())
        };
        self.columns = std::mem::take(&mut self.columns)
            .into_iter()
            .map(|(name, value)| (new_name(name), value))
            .collect();
        self.doubtful = std::mem::take(&mut self.doubtful)
            .into_iter()
            .map(new_name)
            .collect();
        let retyped = change.retyped.iter().filter(|column| self.has(column));
        let retyped: Vec<String> = retyped.cloned().collect();
        self.doubtful.extend(retyped);
    }

    /// The columns whose value may not be what the row held: those that are in doubt, and those
    /// whose value was left out over the cap, redacted or scrubbed.
    #[must_use]
    pub fn inexact(&self) -> BTreeSet<&str> {
        let replaced = self.columns().filter(|(_, value)| {
            Jsonb::new(value).is_ok_and(|document| is_replaced(document.root()))
        });
        let doubtful = self.doubtful.iter().map(String::as_str);
        replaced.map(|(name, _)| name).chain(doubtful).collect()
    }

    /// The row as one document, with the names of columns that are not exact under [`INEXACT`] if
    /// there are any: its own, and those that are given.
    ///
    /// # Errors
    /// [`BuildError`] if a value is nested too deeply.
    pub fn document(&self, also_inexact: &[String]) -> Result<Vec<u8>, BuildError> {
        let mut inexact = self.inexact();
        inexact.extend(also_inexact.iter().map(String::as_str));
        let mut builder = Builder::new();
        builder.begin_object();
        for (name, value) in self.columns() {
            builder.key(name);
            match Jsonb::new(value) {
                Ok(document) => builder.value(document.root()),
                Err(_) => builder.null(),
            }
        }
        if !inexact.is_empty() {
            builder.key(INEXACT);
            builder.begin_array();
            inexact.iter().for_each(|name| builder.string(name));
            builder.end();
        }
        builder.end();
        builder.finish()
    }
}

/// The row after a step.
///
/// An update of a row that is not known gives what the update says of it: capture began after the
/// row was made.
///
/// # Errors
/// [`BuildError`] if a value is nested too deeply to stand alone.
pub fn apply(row: Option<Row>, step: Step<'_>) -> Result<Option<Row>, BuildError> {
    let mut next = match step {
        Step::Change(Change::Created(_)) => Row::default(),
        Step::Change(Change::Deleted(_)) | Step::Truncated => return Ok(None),
        Step::Change(Change::Updated(..)) => row.unwrap_or_default(),
        Step::Altered(_) | Step::Gap => match row {
            Some(row) => row,
            None => return Ok(None),
        },
    };
    match step {
        Step::Change(change) => {
            for values in [change.before(), change.after()].into_iter().flatten() {
                next.set(values)?;
            }
        }
        Step::Altered(change) => next.alter(change),
        Step::Gap => next.doubtful = next.columns.keys().cloned().collect(),
        Step::Truncated => {}
    }
    Ok(Some(next))
}

/// The text of a value as a part of a row's name; `None` for one whose text only its type knows.
#[must_use]
pub fn key_text(value: Value<'_>) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(if value { "t" } else { "f" }.to_owned()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a value stands for another one: a mark of what was too large or is secret.
fn is_replaced(value: Value<'_>) -> bool {
    match value {
        Value::Object(object) => {
            object.get(OMITTED).is_some() || object.iter().any(|(_, member)| is_replaced(member))
        }
        Value::Array(array) => array.iter().any(is_replaced),
        Value::String(text) => text == REDACTED || crate::privacy::holds_replacement(text),
        _ => false,
    }
}

fn document(value: Value<'_>) -> Result<Vec<u8>, BuildError> {
    let mut builder = Builder::new();
    builder.value(value);
    builder.finish()
}

#[cfg(test)]
mod tests;
