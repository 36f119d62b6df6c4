//! What is wrong with a schema, and what is wrong with a document.

use std::fmt;

use serde::Serialize;

use super::{
    MAX_EXPANSION, MAX_IN_PLACE_DEPTH, MAX_PATTERNS, MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH,
    MAX_SUBSCHEMAS,
};

/// One way in which a document does not fit its schema. Holds no text of the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// JSON pointer to the place in the document. A property that the schema does not name is
    /// written `*`.
    pub pointer: String,
    /// The keyword of the schema that failed, empty when the place was not looked for.
    pub keyword: String,
    /// What was expected, made of the schema's side only.
    pub message: String,
}

/// Why a schema is refused. Pointers lead into the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaProblem {
    /// The root is neither an object nor a boolean.
    NotASchema,
    /// Its text is longer than [`MAX_SCHEMA_BYTES`].
    TooLarge,
    /// Its arrays and objects are nested deeper than [`MAX_SCHEMA_DEPTH`].
    TooDeep,
    /// It has more than [`MAX_SUBSCHEMAS`] subschemas.
    TooManySubschemas,
    /// It has more than [`MAX_PATTERNS`] regular expressions.
    TooManyPatterns,
    /// `$schema` names another draft than 2020-12.
    UnsupportedDraft(String),
    /// `$id` below the root, which would change what a reference means.
    EmbeddedIdentifier(String),
    /// A reference out of the document.
    ExternalReference(String),
    /// A reference to nothing, to something that is no subschema, or to an anchor given twice.
    UnresolvedReference(String),
    /// A reference that comes back to itself without going down in the document.
    EndlessReference(String),
    /// More than [`MAX_IN_PLACE_DEPTH`] references and combinations apply to one value in a chain.
    LongReferenceChain(String),
    /// References repeat subschemas until there are more than [`MAX_EXPANSION`] to check.
    TooMuchExpansion,
    /// A `format` that is not checked here.
    UnknownFormat(String),
    /// A regular expression that is malformed, longer than [`super::MAX_PATTERN_BYTES`], compiles
    /// to more than 1 MiB, or can't be matched in linear time.
    BadPattern(String),
    /// It breaks the rules of JSON Schema itself.
    Malformed(Problem),
}

impl fmt::Display for SchemaProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASchema => write!(formatter, "schema must be an object or a boolean"),
            Self::TooLarge => write!(formatter, "schema is longer than {MAX_SCHEMA_BYTES} bytes"),
            Self::TooDeep => {
                write!(
                    formatter,
                    "schema is nested deeper than {MAX_SCHEMA_DEPTH} levels"
                )
            }
            Self::TooManySubschemas => {
                write!(
                    formatter,
                    "schema has more than {MAX_SUBSCHEMAS} subschemas"
                )
            }
            Self::TooManyPatterns => {
                write!(
                    formatter,
                    "schema has more than {MAX_PATTERNS} regular expressions"
                )
            }
            Self::TooMuchExpansion => write!(
                formatter,
                "schema repeats its subschemas more than {MAX_EXPANSION} times through references"
            ),
            located => located.fmt_located(formatter),
        }
    }
}

impl SchemaProblem {
    fn fmt_located(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pointer, what) = self.located();
        match self {
            Self::Malformed(problem) => {
                write!(
                    formatter,
                    "schema is malformed at \"{pointer}\": {}",
                    problem.message
                )
            }
            Self::LongReferenceChain(_) => write!(
                formatter,
                "schema applies more than {MAX_IN_PLACE_DEPTH} {what} at \"{pointer}\""
            ),
            _ => write!(formatter, "{what} at \"{pointer}\""),
        }
    }

    fn located(&self) -> (&str, &'static str) {
        match self {
            Self::UnsupportedDraft(at) => (
                at,
                "schema must be of draft 2020-12, but has another \"$schema\"",
            ),
            Self::EmbeddedIdentifier(at) => (at, "schema has an \"$id\" below its root"),
            Self::ExternalReference(at) => (at, "schema refers to another document"),
            Self::UnresolvedReference(at) => {
                (at, "schema refers to something that is no subschema")
            }
            Self::EndlessReference(at) => (at, "schema refers to itself without end"),
            Self::LongReferenceChain(at) => (at, "schemas in a chain to one value"),
            Self::UnknownFormat(at) => (at, "schema has a format that is not checked"),
            Self::BadPattern(at) => (
                at,
                "schema has a regular expression that is malformed, too large, or needs \
                 look-around or a back-reference (maxLength is cheaper than a large {n,m})",
            ),
            Self::Malformed(problem) => (&problem.pointer, ""),
            _ => ("", ""),
        }
    }
}

impl std::error::Error for SchemaProblem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_a_schema_reads_as_a_sentence() {
        let at = || "/items/$ref".to_owned();
        let malformed = Problem {
            pointer: "/type".to_owned(),
            keyword: "enum".to_owned(),
            message: "is not of type string".to_owned(),
        };
        for (problem, text) in [
            (SchemaProblem::TooLarge, "schema is longer than 65536 bytes"),
            (
                SchemaProblem::TooDeep,
                "schema is nested deeper than 32 levels",
            ),
            (
                SchemaProblem::ExternalReference(at()),
                "schema refers to another document at \"/items/$ref\"",
            ),
            (
                SchemaProblem::LongReferenceChain(at()),
                "schema applies more than 16 schemas in a chain to one value at \"/items/$ref\"",
            ),
            (
                SchemaProblem::Malformed(malformed),
                "schema is malformed at \"/type\": is not of type string",
            ),
        ] {
            assert_eq!(problem.to_string(), text);
        }
    }
}
