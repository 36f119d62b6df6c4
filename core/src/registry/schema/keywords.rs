//! Where JSON Schema 2020-12 has subschemas, and how each relates to the instance.

use serde_json::{Map, Value};

/// How a subschema is applied, seen from the schema that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// To the same instance.
    InPlace,
    /// To members of the instance. Relations of equal number never meet on the same member.
    Descends(u8),
    /// Not at all: it waits for a reference.
    Definition,
}

/// The form in which a keyword holds its subschemas.
#[derive(Clone, Copy)]
enum Form {
    Schema,
    List,
    Map,
}

const NAMED_MEMBERS: Relation = Relation::Descends(0);
const ITEMS: Relation = Relation::Descends(1);
const SHARED_MEMBERS: Relation = Relation::Descends(u8::MAX);

const KEYWORDS: [(&str, Form, Relation); 22] = [
    ("allOf", Form::List, Relation::InPlace),
    ("anyOf", Form::List, Relation::InPlace),
    ("oneOf", Form::List, Relation::InPlace),
    ("not", Form::Schema, Relation::InPlace),
    ("if", Form::Schema, Relation::InPlace),
    ("then", Form::Schema, Relation::InPlace),
    ("else", Form::Schema, Relation::InPlace),
    ("dependentSchemas", Form::Map, Relation::InPlace),
    ("dependencies", Form::Map, Relation::InPlace),
    ("properties", Form::Map, NAMED_MEMBERS),
    ("additionalProperties", Form::Schema, NAMED_MEMBERS),
    ("patternProperties", Form::Map, SHARED_MEMBERS),
    ("propertyNames", Form::Schema, SHARED_MEMBERS),
    ("unevaluatedProperties", Form::Schema, SHARED_MEMBERS),
    ("prefixItems", Form::List, ITEMS),
    ("items", Form::Schema, ITEMS),
    ("additionalItems", Form::Schema, SHARED_MEMBERS),
    ("contains", Form::Schema, SHARED_MEMBERS),
    ("unevaluatedItems", Form::Schema, SHARED_MEMBERS),
    ("contentSchema", Form::Schema, Relation::Definition),
    ("$defs", Form::Map, Relation::Definition),
    ("definitions", Form::Map, Relation::Definition),
];

impl Relation {
    /// The group of relations that never meet on one member of the instance, if it has one.
    pub(super) fn disjoint_group(self) -> Option<u8> {
        match self {
            Self::Descends(group) if group != u8::MAX => Some(group),
            _ => None,
        }
    }
}

/// A subschema, with the reference tokens that lead to it.
pub(super) struct Child<'a> {
    pub(super) relation: Relation,
    pub(super) keyword: &'static str,
    pub(super) member: Option<String>,
    pub(super) schema: &'a Value,
}

/// The subschemas directly below `schema`.
pub(super) fn children(schema: &Map<String, Value>) -> Vec<Child<'_>> {
    let mut found = Vec::new();
    for (keyword, form, relation) in KEYWORDS {
        let Some(value) = schema.get(keyword) else {
            continue;
        };
        let mut add = |member: Option<String>, schema| {
            if is_schema(schema) {
                found.push(Child {
                    relation,
                    keyword,
                    member,
                    schema,
                });
            }
        };
        match (form, value) {
            (Form::Schema, _) => add(None, value),
            (Form::List, Value::Array(items)) => {
                let numbered = items.iter().enumerate();
                numbered.for_each(|(index, item)| add(Some(index.to_string()), item));
            }
            (Form::Map, Value::Object(members)) => {
                members
                    .iter()
                    .for_each(|(name, item)| add(Some(name.clone()), item));
            }
            _ => {}
        }
    }
    found
}

/// Whether a JSON value has the type of a schema.
pub(super) fn is_schema(value: &Value) -> bool {
    value.is_object() || value.is_boolean()
}
