//! Schemas that mean harm.

use activity_log_integration::{Cluster, expect_error};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn a_hostile_schema_is_refused_quickly_and_fetches_nothing() {
    let nested =
        |levels: usize| (0..levels).fold(json!({}), |inner, _| json!({"properties": {"a": inner}}));
    let many: serde_json::Map<String, Value> = (0..2_000)
        .map(|n| (format!("p{n}"), json!({"type": "string"})))
        .collect();
    let bomb = json!({"$ref": "#/$defs/a0", "$defs": (0..30).map(|n| {
        let next = format!("#/$defs/a{}", n + 1);
        (format!("a{n}"), json!({"properties": {"x": {"$ref": next}, "y": {"$ref": next}}}))
    }).chain([("a30".to_owned(), json!({}))]).collect::<serde_json::Map<_, _>>()});
    let schemas = [
        ("deep", nested(200)),
        ("huge", json!({"description": "x".repeat(100_000)})),
        ("wide", json!({"properties": many})),
        (
            "remote reference",
            json!({"$ref": "http://127.0.0.1:9/schema.json"}),
        ),
        (
            "file reference",
            json!({"properties": {"a": {"$ref": "file:///etc/hostname"}}}),
        ),
        (
            "remote dialect",
            json!({"$schema": "http://127.0.0.1:9/dialect"}),
        ),
        (
            "relative reference",
            json!({"$id": "http://127.0.0.1:9/a", "$ref": "other.json"}),
        ),
        (
            "dynamic reference",
            json!({"$dynamicRef": "http://127.0.0.1:9/schema.json#a"}),
        ),
        ("reference to itself", json!({"$ref": "#"})),
        ("expanding references", bomb),
        (
            "huge pattern",
            json!({"properties": {"a": {"pattern": "(\\w{1000}){1000}"}}}),
        ),
        ("broken pattern", json!({"patternProperties": {"(": {}}})),
        ("text", json!("not a schema")),
        ("number", json!(5)),
    ];
    let database = Cluster::shared().database();
    let mut session = database.superuser();
    for (name, schema) in schemas {
        let started = Instant::now();
        let result = session.execute(
            "SELECT activity.register_action('hostile.schema', metadata_schema => $1)",
            &[&schema],
        );
        assert!(result.is_err(), "{name} was accepted");
        let refusal = expect_error(result, "22023");
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{name}: {:?}",
            started.elapsed()
        );
        assert!(refusal.text().len() < 2_000, "{name}: {refusal:?}");
    }
    assert_eq!(session.number("SELECT count(*) FROM activity.actions"), 0);
}
