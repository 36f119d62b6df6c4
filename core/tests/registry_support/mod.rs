//! Shared by the tests of schemas: a writer of `jsonb` and short forms of the calls.
#![allow(dead_code, reason = "each test crate uses a part")]

mod encoder;

use activity_log_core::registry::schema::{Problem, Schema, SchemaProblem};
pub use encoder::container;
use serde_json::{Value, json};

pub fn problems(schema: &Value, document: &Value) -> Vec<Problem> {
    Schema::compile(schema)
        .expect("a good schema")
        .problems(&container(document))
}

pub fn is_valid(schema: &Value, document: &Value) -> bool {
    let schema = Schema::compile(schema).expect("a good schema");
    let bytes = container(document);
    assert_eq!(schema.is_valid(&bytes), schema.problems(&bytes).is_empty());
    schema.is_valid(&bytes)
}

pub fn refusal(schema: &Value) -> SchemaProblem {
    Schema::compile(schema).expect_err("a refused schema")
}

pub fn nested(depth: usize, name: &str) -> Value {
    (0..depth).fold(json!({}), |inner, _| json!({ name: inner }))
}
