//! Ready-made vocabularies: actions that many products share, with their schemas.
//!
//! A taxonomy is data, one JSON file under `core/taxonomy`, compiled into the library so that
//! installing one reads no file on the server. Beside what is loaded here each action of a file
//! carries an `example` that its schema accepts and a `counterexample` that it rejects.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Severities from the least to the most urgent.
pub const SEVERITIES: [&str; 5] = ["debug", "info", "notice", "warning", "critical"];

/// Categories that the actions of a taxonomy fall into, each into one.
pub const CATEGORIES: [&str; 8] = [
    "authentication",
    "authorization",
    "administration",
    "data",
    "billing",
    "security",
    "compliance",
    "operations",
];

const NAMES: [&str; 2] = ["saas", "ops"];
const SAAS: &str = include_str!("../taxonomy/saas.json");
const OPS: &str = include_str!("../taxonomy/ops.json");

/// A named, versioned set of actions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Taxonomy {
    /// Name by which it is installed.
    pub name: String,
    /// Version of the set, counted from 1; it rises with every change to an action.
    pub version: u32,
    /// One sentence: what the set is about.
    pub description: String,
    /// Actions in the order in which people read them.
    pub actions: Vec<Action>,
}

/// One action of a taxonomy. Its fields have the names of the arguments of `register_action()`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Dotted lower-case name such as `auth.login.success`.
    pub action: String,
    /// One sentence: what has happened when an event carries this action.
    pub description: String,
    /// One of [`SEVERITIES`].
    pub severity: String,
    /// One of [`CATEGORIES`].
    pub category: String,
    /// Sort of thing that is acted on, or `None` where it varies.
    pub object_type: Option<String>,
    /// Controls that the event is evidence for, each as `FRAMEWORK:number`.
    pub controls: Vec<String>,
    /// JSON Schema (draft 2020-12) of the metadata.
    pub metadata_schema: Value,
}

/// Names that [`load`] knows.
pub fn names() -> &'static [&'static str] {
    &NAMES
}

/// Reads the taxonomy of that name; `None` if there is none.
pub fn load(name: &str) -> Option<Taxonomy> {
    let text = match name {
        "saas" => SAAS,
        "ops" => OPS,
        _ => return None,
    };
    serde_json::from_str(text).ok()
}
