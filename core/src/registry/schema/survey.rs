//! Looks over a schema before the compiler sees it: limits, references, cost.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::keywords::{Relation, children, is_schema};
use super::{
    FORMATS, MAX_PATTERN_BYTES, MAX_PATTERNS, MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, MAX_SUBSCHEMAS,
    SchemaProblem,
};

/// The only dialect; a trailing `#` is allowed.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

const UNEVALUATED: [&str; 2] = ["unevaluatedItems", "unevaluatedProperties"];

/// Every subschema of a schema and how they lead to one another.
pub(super) struct Survey<'a> {
    /// The root comes first.
    pub(super) subschemas: Vec<Subschema<'a>>,
    /// Names of properties that the schema itself mentions: these may be shown to anybody who
    /// sees its problems.
    pub(super) property_names: HashSet<String>,
    pointers: HashMap<String, usize>,
    anchors: HashMap<&'a str, usize>,
    patterns: usize,
}

/// A schema object or boolean somewhere in a schema.
pub(super) struct Subschema<'a> {
    pub(super) pointer: String,
    pub(super) edges: Vec<Edge>,
    value: &'a Value,
}

impl Subschema<'_> {
    /// How often a subschema of this relation is checked in one pass: what is unevaluated is
    /// found by going through the schemas of the same value once more.
    pub(super) fn weight(&self, relation: Relation) -> u64 {
        let present = UNEVALUATED.map(|keyword| u64::from(self.value.get(keyword).is_some()));
        match relation {
            Relation::InPlace => 1 + present.iter().sum::<u64>(),
            _ => 1,
        }
    }
}

/// The relation to another subschema, by its index in the survey.
#[derive(Clone, Copy)]
pub(super) struct Edge {
    pub(super) relation: Relation,
    pub(super) target: usize,
}

/// Refuses what is too large or too deep to look at closely.
pub(super) fn check_size(schema: &Value) -> Result<(), SchemaProblem> {
    if !is_schema(schema) {
        return Err(SchemaProblem::NotASchema);
    }
    if exceeds_depth(schema, MAX_SCHEMA_DEPTH) {
        return Err(SchemaProblem::TooDeep);
    }
    match serde_json::to_vec(schema) {
        Ok(text) if text.len() <= MAX_SCHEMA_BYTES => Ok(()),
        _ => Err(SchemaProblem::TooLarge),
    }
}

fn exceeds_depth(value: &Value, limit: usize) -> bool {
    let is_deeper = |child: &Value| match limit.checked_sub(1) {
        Some(rest) => exceeds_depth(child, rest),
        None => true,
    };
    match value {
        Value::Array(items) => limit == 0 || items.iter().any(is_deeper),
        Value::Object(members) => limit == 0 || members.values().any(is_deeper),
        _ => false,
    }
}

impl<'a> Survey<'a> {
    /// Finds every subschema and follows every reference.
    ///
    /// # Errors
    /// The first limit or rule broken.
    pub(super) fn of(schema: &'a Value) -> Result<Self, SchemaProblem> {
        let mut survey = Self {
            subschemas: Vec::new(),
            property_names: HashSet::new(),
            pointers: HashMap::new(),
            anchors: HashMap::new(),
            patterns: 0,
        };
        survey.add(String::new(), schema)?;
        let mut index = 0;
        while let Some(subschema) = survey.subschemas.get(index) {
            if let Value::Object(members) = subschema.value {
                let pointer = subschema.pointer.clone();
                survey.check_keywords(&pointer, members)?;
                survey.add_children(index, &pointer, members)?;
            }
            index += 1;
        }
        survey.resolve_references()?;
        Ok(survey)
    }

    fn add(&mut self, pointer: String, value: &'a Value) -> Result<usize, SchemaProblem> {
        let index = self.subschemas.len();
        if index >= MAX_SUBSCHEMAS {
            return Err(SchemaProblem::TooManySubschemas);
        }
        for keyword in ["$anchor", "$dynamicAnchor"] {
            if let Some(anchor) = value.get(keyword).and_then(Value::as_str)
                && self.anchors.insert(anchor, index).is_some()
            {
                return Err(SchemaProblem::UnresolvedReference(format!(
                    "{pointer}/{keyword}"
                )));
            }
        }
        self.pointers.insert(pointer.clone(), index);
        self.subschemas.push(Subschema {
            pointer,
            edges: Vec::new(),
            value,
        });
        Ok(index)
    }

    fn add_children(
        &mut self,
        index: usize,
        pointer: &str,
        members: &'a Map<String, Value>,
    ) -> Result<(), SchemaProblem> {
        for child in children(members) {
            let target_pointer = match &child.member {
                Some(member) => format!("{pointer}/{}/{}", child.keyword, escape(member)),
                None => format!("{pointer}/{}", child.keyword),
            };
            if let ("properties", Some(name)) = (child.keyword, child.member) {
                self.property_names.insert(name);
            }
            let target = self.add(target_pointer, child.schema)?;
            self.connect(
                index,
                Edge {
                    relation: child.relation,
                    target,
                },
            );
        }
        Ok(())
    }

    fn connect(&mut self, source: usize, edge: Edge) {
        if let Some(subschema) = self.subschemas.get_mut(source) {
            subschema.edges.push(edge);
        }
    }

    fn check_keywords(
        &mut self,
        pointer: &str,
        members: &'a Map<String, Value>,
    ) -> Result<(), SchemaProblem> {
        let text = |keyword: &str| members.get(keyword).and_then(Value::as_str);
        let at = |keyword: &str| format!("{pointer}/{keyword}");
        if text("$schema").is_some_and(|dialect| dialect.trim_end_matches('#') != DIALECT) {
            return Err(SchemaProblem::UnsupportedDraft(at("$schema")));
        }
        if members.contains_key("$id") && !pointer.is_empty() {
            return Err(SchemaProblem::EmbeddedIdentifier(at("$id")));
        }
        if text("format").is_some_and(|format| !FORMATS.contains(&format)) {
            return Err(SchemaProblem::UnknownFormat(at("format")));
        }
        if let Some(Value::Array(required)) = members.get("required") {
            let names = required.iter().filter_map(Value::as_str);
            self.property_names.extend(names.map(str::to_owned));
        }
        self.check_patterns(pointer, members)
    }

    fn check_patterns(
        &mut self,
        pointer: &str,
        members: &Map<String, Value>,
    ) -> Result<(), SchemaProblem> {
        let keyed = members.get("patternProperties").and_then(Value::as_object);
        let keys = keyed
            .into_iter()
            .flat_map(|patterns| patterns.keys().map(String::as_str));
        let own = members.get("pattern").and_then(Value::as_str);
        let mut keyword = if own.is_some() {
            "pattern"
        } else {
            "patternProperties"
        };
        for pattern in own.into_iter().chain(keys) {
            if pattern.len() > MAX_PATTERN_BYTES {
                return Err(SchemaProblem::BadPattern(format!("{pointer}/{keyword}")));
            }
            self.patterns += 1;
            keyword = "patternProperties";
        }
        if self.patterns > MAX_PATTERNS {
            return Err(SchemaProblem::TooManyPatterns);
        }
        Ok(())
    }

    fn resolve_references(&mut self) -> Result<(), SchemaProblem> {
        for source in 0..self.subschemas.len() {
            for target in self.targets_of(source)? {
                self.connect(
                    source,
                    Edge {
                        relation: Relation::InPlace,
                        target,
                    },
                );
            }
        }
        Ok(())
    }

    fn targets_of(&self, source: usize) -> Result<Vec<usize>, SchemaProblem> {
        let Some(subschema) = self.subschemas.get(source) else {
            return Ok(Vec::new());
        };
        let mut targets = Vec::new();
        for keyword in ["$ref", "$dynamicRef"] {
            let Some(reference) = subschema.value.get(keyword).and_then(Value::as_str) else {
                continue;
            };
            let at = || format!("{}/{keyword}", subschema.pointer);
            let Some(fragment) = reference.strip_prefix('#') else {
                return Err(SchemaProblem::ExternalReference(at()));
            };
            let Some(target) = self.find(fragment) else {
                return Err(SchemaProblem::UnresolvedReference(at()));
            };
            targets.push(target);
        }
        Ok(targets)
    }

    /// A percent-encoded fragment is not decoded and finds nothing: two ways to read it would
    /// be one too many for a check that the compiler relies on.
    fn find(&self, fragment: &str) -> Option<usize> {
        if fragment.is_empty() || fragment.starts_with('/') {
            self.pointers.get(fragment).copied()
        } else {
            self.anchors.get(fragment).copied()
        }
    }
}

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}
