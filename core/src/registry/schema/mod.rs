//! Schemas of metadata: JSON Schema 2020-12, checked directly on the server's `jsonb` bytes.
//!
//! Decisions that an author of schemas meets:
//! - The dialect is 2020-12. Another `$schema` is refused rather than half understood.
//! - References stay inside the document (`#`, `#/$defs/name`, `#anchor`) and end at a subschema.
//!   Nothing is ever fetched.
//! - `format` is asserted: who writes `"format": "uuid"` into the schema of an audit event expects
//!   it to be checked. A format that is not in [`FORMATS`] is refused at registration, so that a
//!   typing mistake does not become a check that never fails. `regex` is not among them, since it
//!   would parse patterns that a caller supplies.
//! - Patterns run on an engine with linear time: no look-around, no back-references.

mod cost;
mod document;
mod keywords;
mod message;
mod problem;
mod survey;

use std::collections::HashSet;

use jsonschema::error::ValidationErrorKind;
use jsonschema::json::{Jsonb, jsonb::take_pending_error};
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

pub use problem::{Problem, SchemaProblem};

use cost::Cost;
use survey::Survey;

/// Longest schema, in bytes of compact JSON text.
pub const MAX_SCHEMA_BYTES: usize = 64 * 1024;
/// Deepest nesting of arrays and objects in a schema.
pub const MAX_SCHEMA_DEPTH: usize = 32;
/// Most subschemas in a schema.
pub const MAX_SUBSCHEMAS: usize = 1_000;
/// Most regular expressions in a schema.
pub const MAX_PATTERNS: usize = 100;
/// Longest regular expression, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1_000;
/// Longest chain of subschemas that apply to one value (`$ref`, `allOf`, ...).
pub const MAX_IN_PLACE_DEPTH: usize = 16;
/// Most subschemas to check once each reference is replaced by what it refers to.
pub const MAX_EXPANSION: u64 = 5_000;
/// Deepest nesting of arrays and objects in a document given to [`Schema::is_valid`] or
/// [`Schema::problems`]; the caller refuses deeper ones, since a recursive schema goes down
/// with its document.
pub const MAX_DOCUMENT_DEPTH: usize = 64;
/// Longest number in such a document, in digits of plain decimal notation; the caller refuses
/// longer ones: `1e131071` takes 20 bytes in `jsonb`, but is written out to be compared, which
/// takes milliseconds.
pub const MAX_NUMBER_DIGITS: usize = 1_000;
/// Most problems reported for one document.
pub const MAX_PROBLEMS: usize = 20;
/// The formats that are checked.
pub const FORMATS: [&str; 16] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// Largest compiled regular expression, and its largest cache, in bytes: room for a Unicode class
/// repeated 20 times or an ASCII one repeated 1,000 times.
const PATTERN_MEMORY: usize = 1024 * 1024;
/// Most checks for a full list of problems; beyond it the first place is not looked for.
const PROBLEM_BUDGET: u64 = 200_000;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    validator: Validator<Jsonb>,
    property_names: HashSet<String>,
    cost: Cost,
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// The first limit or rule broken; see [`SchemaProblem`].
    pub fn compile(schema: &Value) -> Result<Self, SchemaProblem> {
        survey::check_size(schema)?;
        let survey = Survey::of(schema)?;
        let cost = cost::check_cost(&survey)?;
        jsonschema::draft202012::meta::validate(schema).map_err(|error| refusal(&error))?;
        let validator = jsonschema::options_for::<Jsonb>()
            .with_draft(Draft::Draft202012)
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(
                PatternOptions::regex()
                    .size_limit(PATTERN_MEMORY)
                    .dfa_size_limit(PATTERN_MEMORY),
            )
            .build(&without_identifier(schema))
            .map_err(|error| refusal(&error))?;
        Ok(Self {
            validator,
            property_names: survey.property_names,
            cost,
        })
    }

    /// Whether a document fits. `container` is the server's `jsonb` without its varlena header,
    /// within [`MAX_DOCUMENT_DEPTH`] and [`MAX_NUMBER_DIGITS`].
    #[must_use]
    pub fn is_valid(&self, container: &[u8]) -> bool {
        self.validator.is_valid(Jsonb::root(container))
    }

    /// In which ways a document does not fit, at most [`MAX_PROBLEMS`]; none if it does.
    ///
    /// A schema with several recursions may ask for more work to find the places than a document
    /// is worth. Then there is a single problem, which names no place.
    #[must_use]
    pub fn problems(&self, container: &[u8]) -> Vec<Problem> {
        if self.is_valid(container) {
            return Vec::new();
        }
        if self.search_cost(container) > PROBLEM_BUDGET {
            return vec![Problem {
                pointer: String::new(),
                keyword: String::new(),
                message: "does not fit the schema, which is too recursive to tell where".to_owned(),
            }];
        }
        let root = Jsonb::root(container);
        let errors = self.validator.iter_errors(root).take(MAX_PROBLEMS);
        let problems = errors
            .map(|error| Problem {
                pointer: document::shown_pointer(
                    root,
                    error.instance_path().as_str(),
                    &self.property_names,
                ),
                keyword: error.kind().keyword().to_owned(),
                message: message::of(error.kind()),
            })
            .collect();
        // Alternatives copy parts of the document; a number out of the range of f64 leaves a
        // note in a thread-local then, which has no bearing on the problems.
        let _out_of_range = take_pending_error();
        problems
    }

    /// An upper bound of the checks needed to list all problems. A recursion that is met several
    /// times in one pass multiplies with every level of the document.
    fn search_cost(&self, container: &[u8]) -> u64 {
        let (values, depth) = document::extent(Jsonb::root(container));
        let repeats = self.cost.recursions.max(1).saturating_pow(depth);
        values
            .saturating_mul(u64::from(depth) + 1)
            .saturating_mul(self.cost.expansion)
            .saturating_mul(repeats)
    }
}

/// The root's identifier can only redirect references to somewhere else.
fn without_identifier(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Value::Object(members) = &mut schema {
        members.remove("$id");
    }
    schema
}

fn refusal(error: &ValidationError<'_>) -> SchemaProblem {
    let pointer = message::shortened(error.instance_path().as_str());
    match error.kind() {
        ValidationErrorKind::Format { format } if format == "regex" => {
            SchemaProblem::BadPattern(pointer)
        }
        ValidationErrorKind::Referencing(_) => SchemaProblem::UnresolvedReference(pointer),
        kind => SchemaProblem::Malformed(Problem {
            pointer,
            keyword: kind.keyword().to_owned(),
            message: message::of(kind),
        }),
    }
}
