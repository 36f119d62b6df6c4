//! From the properties of a schema to the arguments of a function.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::MAX_NAME_BYTES;

/// Put before the name of a property that would clash.
const PREFIX: &str = "metadata_";

/// An argument that carries one property of the metadata.
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) property: String,
    pub(super) sql_type: &'static str,
    pub(super) is_required: bool,
}

/// One argument for each property that the schema declares or requires, required ones first,
/// otherwise by name. None has a name of `taken`.
pub(super) fn of_schema(schema: &Value, taken: &[&str]) -> Vec<Argument> {
    let mut used: HashSet<String> = taken.iter().map(|&name| name.to_owned()).collect();
    let mut arguments: Vec<Argument> = declared(schema)
        .into_iter()
        .map(|(property, sql_type, is_required)| Argument {
            name: free_name(&property, &mut used),
            property,
            sql_type,
            is_required,
        })
        .collect();
    arguments.sort_by_key(|argument| !argument.is_required);
    arguments
}

fn declared(schema: &Value) -> Vec<(String, &'static str, bool)> {
    let empty = Map::new();
    let properties = schema
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let required = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let required: HashSet<&str> = required.filter_map(Value::as_str).collect();
    let allowed = properties
        .iter()
        .filter(|(_, schema)| **schema != Value::Bool(false));
    let undeclared = required
        .iter()
        .filter(|name| !properties.contains_key(**name));
    let mut declared: Vec<_> = allowed
        .map(|(name, schema)| {
            (
                name.clone(),
                sql_type(schema),
                required.contains(name.as_str()),
            )
        })
        .chain(undeclared.map(|name| ((*name).to_owned(), "jsonb", true)))
        .collect();
    declared.sort_unstable();
    declared
}

/// A name that no other argument has, however the caller writes it: names that differ only in
/// case would be one name without quotes.
fn free_name(property: &str, used: &mut HashSet<String>) -> String {
    let numbered = (2..).map(|number| cut(PREFIX, property, &format!("_{number}")));
    let plain = (!property.is_empty()).then(|| cut("", property, ""));
    let mut candidates = plain
        .into_iter()
        .chain([cut(PREFIX, property, "")])
        .chain(numbered);
    candidates
        .find(|name| used.insert(name.to_lowercase()))
        .unwrap_or_default()
}

/// The three parts, the middle one cut so that all fit into a name of the server.
fn cut(prefix: &str, middle: &str, suffix: &str) -> String {
    let room = MAX_NAME_BYTES.saturating_sub(prefix.len() + suffix.len());
    let end = middle.floor_char_boundary(room);
    format!("{prefix}{}{suffix}", middle.get(..end).unwrap_or_default())
}

fn sql_type(schema: &Value) -> &'static str {
    match json_type(schema) {
        Some("string") => match schema.get("format").and_then(Value::as_str) {
            Some("date-time") => "timestamptz",
            Some("date") => "date",
            Some("uuid") => "uuid",
            _ => "text",
        },
        Some("integer") => "bigint",
        Some("number") => "numeric",
        Some("boolean") => "boolean",
        _ => "jsonb",
    }
}

/// The one type that a value other than null has, where the schema says so plainly.
fn json_type(schema: &Value) -> Option<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => Some(name),
        Some(Value::Array(names)) => {
            let mut names = names
                .iter()
                .filter_map(Value::as_str)
                .filter(|name| *name != "null");
            names.next().filter(|_| names.next().is_none())
        }
        _ => is_text(schema).then_some("string"),
    }
}

/// Whether the schema lists its values and all of them are strings.
fn is_text(schema: &Value) -> bool {
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => value.is_string(),
        (_, Some(Value::Array(values))) => values.iter().all(Value::is_string),
        _ => false,
    }
}
