//! Typed SQL wrappers: a function per action, with the properties of its schema as arguments.

mod arguments;
mod quote;

use std::fmt;

use serde_json::Value;

use super::action::{NameProblem, check_action_name};
use arguments::Argument;
use quote::{identifier, literal};

/// Most arguments of a function in PostgreSQL.
pub const MAX_ARGUMENTS: usize = 100;
/// Longest name in PostgreSQL, in bytes.
pub const MAX_NAME_BYTES: usize = 63;

/// The arguments of `activity.record` that a wrapper passes on, with their types and defaults.
const CONTEXT: [(&str, &str, &str); 11] = [
    ("tenant_id", "uuid", "NULL"),
    ("actor_id", "text", "NULL"),
    ("actor_type", "text", "NULL"),
    ("object_type", "text", "NULL"),
    ("object_id", "text", "NULL"),
    ("status", "text", "'success'"),
    ("client_ip", "inet", "NULL"),
    ("user_agent", "text", "NULL"),
    ("request_id", "text", "NULL"),
    ("occurred_at", "timestamptz", "NULL"),
    ("idempotency_key", "text", "NULL"),
];

/// Why there can be no wrapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrapperProblem {
    /// The action's name breaks the grammar.
    Action(NameProblem),
    /// With the context there are more than [`MAX_ARGUMENTS`].
    TooManyArguments,
    /// A property name or the description has a NUL character, which SQL can't hold.
    NulCharacter,
}

impl fmt::Display for WrapperProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action(problem) => problem.fmt(formatter),
            Self::TooManyArguments => {
                write!(
                    formatter,
                    "wrapper would have more than {MAX_ARGUMENTS} arguments"
                )
            }
            Self::NulCharacter => {
                write!(formatter, "a name or the description has a NUL character")
            }
        }
    }
}

impl std::error::Error for WrapperProblem {}

/// Prints `CREATE FUNCTION record_<action>(...)` with a comment: one argument per top-level
/// property of `schema`, required ones first, then the context of `activity.record`.
///
/// An argument that is not given stays out of the metadata, so that a default of `NULL` does not
/// break a schema that wants a string. Only whole arguments are left out: `jsonb_strip_nulls`
/// would also remove nulls from inside a `jsonb` argument, where they are values. The body is a
/// string rather than `RETURN ...`, so that the wrapper does not depend on the extension and
/// lives through a reinstall.
///
/// # Errors
/// See [`WrapperProblem`].
pub fn wrapper_sql(
    action: &str,
    description: Option<&str>,
    schema: &Value,
) -> Result<String, WrapperProblem> {
    check_action_name(action).map_err(WrapperProblem::Action)?;
    let arguments = arguments::of_schema(schema, &CONTEXT.map(|(name, ..)| name));
    if arguments.len() + CONTEXT.len() > MAX_ARGUMENTS {
        return Err(WrapperProblem::TooManyArguments);
    }
    let default_comment = format!("Records {action}.");
    let comment = description.unwrap_or(&default_comment);
    if comment.contains('\0') || arguments.iter().any(|one| one.property.contains('\0')) {
        return Err(WrapperProblem::NulCharacter);
    }
    let name = identifier(&function_name(action));
    Ok(format!(
        "CREATE FUNCTION {name}(\n{}\n) RETURNS uuid LANGUAGE sql VOLATILE\nAS {};\n\
         COMMENT ON FUNCTION {name}({}) IS {};\n",
        declarations(&arguments).join(",\n"),
        literal(&body(action, &arguments)),
        types(&arguments).join(", "),
        literal(comment),
    ))
}

fn function_name(action: &str) -> String {
    let mut name = format!("record_{}", action.replace('.', "_"));
    name.truncate(MAX_NAME_BYTES);
    name
}

fn declarations(arguments: &[Argument]) -> Vec<String> {
    let own = arguments.iter().map(|argument| {
        let default = if argument.is_required {
            ""
        } else {
            " DEFAULT NULL"
        };
        format!(
            "    {} {}{default}",
            identifier(&argument.name),
            argument.sql_type
        )
    });
    let context = CONTEXT
        .iter()
        .map(|(name, sql_type, default)| format!("    {name} {sql_type} DEFAULT {default}"));
    own.chain(context).collect()
}

fn types(arguments: &[Argument]) -> Vec<&'static str> {
    let context = CONTEXT.iter().map(|(_, sql_type, _)| *sql_type);
    arguments
        .iter()
        .map(|argument| argument.sql_type)
        .chain(context)
        .collect()
}

fn body(action: &str, arguments: &[Argument]) -> String {
    let mut given = vec![format!("action => {}", literal(action))];
    if !arguments.is_empty() {
        given.push(format!("metadata => {}", metadata(arguments)));
    }
    let first = arguments.len() + 1;
    let context = CONTEXT.iter().enumerate();
    given.extend(context.map(|(index, (name, ..))| format!("{name} => ${}", first + index)));
    format!(
        "\n  SELECT activity.record(\n    {})\n",
        given.join(",\n    ")
    )
}

fn metadata(arguments: &[Argument]) -> String {
    let pair = |(index, argument): (usize, &Argument)| {
        format!(
            "({}, pg_catalog.to_jsonb(${}))",
            literal(&argument.property),
            index + 1
        )
    };
    let pairs: Vec<String> = arguments.iter().enumerate().map(pair).collect();
    format!(
        "(SELECT COALESCE(pg_catalog.jsonb_object_agg(given.name, given.value)\n        \
         FILTER (WHERE given.value IS NOT NULL), '{{}}')\n      FROM (VALUES\n        {}\n      \
         ) AS given(name, value))",
        pairs.join(",\n        ")
    )
}
