//! What was expected, in words made of the schema only.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

/// Longest text of the schema that a message repeats, in bytes.
const MAX_QUOTED_BYTES: usize = 200;

/// Says what was expected. Never uses the document, nor anything derived from it but a count.
pub(super) fn of(kind: &Kind) -> String {
    match kind {
        Kind::Required { property } => format!("lacks the property {}", quoted(property)),
        Kind::Type { kind } => of_type(kind),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            format!(
                "has {} that the schema does not allow",
                properties(unexpected.len())
            )
        }
        Kind::Enum { options } => of_enum(options),
        Kind::Constant { expected_value } => format!("is not {}", quoted(expected_value)),
        Kind::Format { format } => format!("is not of the format {}", shortened(format)),
        Kind::Pattern { pattern } => format!("does not match the pattern {}", shortened(pattern)),
        Kind::Not { .. } => "fits a schema that it must not fit".to_owned(),
        Kind::FalseSchema => "is not allowed".to_owned(),
        Kind::UniqueItems => "has equal items".to_owned(),
        Kind::Contains => "lacks an item that the schema asks for".to_owned(),
        Kind::PropertyNames { error } => {
            format!("has a property whose name {}", of(error.kind()))
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            format!("fits none of {} alternatives", context.len())
        }
        Kind::OneOfMultipleValid { context } => {
            format!("fits more than one of {} alternatives", context.len())
        }
        bound => of_bound(bound),
    }
}

fn of_bound(kind: &Kind) -> String {
    match kind {
        Kind::Minimum { limit } => format!("is less than {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("is not greater than {limit}"),
        Kind::Maximum { limit } => format!("is greater than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("is not less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("is no multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("is shorter than {limit} characters"),
        Kind::MaxLength { limit } => format!("is longer than {limit} characters"),
        Kind::MinItems { limit } => format!("has fewer than {limit} items"),
        Kind::MaxItems { limit } => format!("has more than {limit} items"),
        Kind::AdditionalItems { limit } => format!("has more than {limit} items"),
        Kind::MinProperties { limit } => format!("has fewer than {limit} properties"),
        Kind::MaxProperties { limit } => format!("has more than {limit} properties"),
        Kind::UnevaluatedItems { unexpected } => {
            format!(
                "has {} items that the schema does not allow",
                unexpected.len()
            )
        }
        other => format!("does not fit the keyword {}", shortened(other.keyword())),
    }
}

fn of_type(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(expected) => format!("is not of type {expected}"),
        TypeKind::Multiple(expected) => {
            let names: Vec<&str> = expected.iter().map(|name| name.as_str()).collect();
            format!("is none of the types {}", names.join(", "))
        }
    }
}

fn of_enum(options: &Value) -> String {
    let text = options.to_string();
    match options {
        Value::Array(options) if text.len() > MAX_QUOTED_BYTES => {
            format!("is none of {} allowed values", options.len())
        }
        _ => format!("is none of {text}"),
    }
}

fn properties(count: usize) -> String {
    match count {
        1 => "1 property".to_owned(),
        _ => format!("{count} properties"),
    }
}

fn quoted(value: &Value) -> String {
    shortened(&value.to_string())
}

/// The text, cut to a length that a message can carry.
pub(super) fn shortened(text: &str) -> String {
    match text.get(..text.floor_char_boundary(MAX_QUOTED_BYTES)) {
        Some(head) if head.len() < text.len() => format!("{head}..."),
        _ => text.to_owned(),
    }
}
