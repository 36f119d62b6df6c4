//! Schemas and documents made to crash, to stall or to make a secret show.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test panics"
)]

mod registry_support;

use std::time::{Duration, Instant};

use activity_log_core::registry::schema::{MAX_DOCUMENT_DEPTH, Schema, SchemaProblem};
use proptest::prelude::*;
use registry_support::{container, is_valid, nested, problems, refusal};
use serde_json::{Value, json};

/// Runs with a stack as small as a backend may have, and fails if it takes too long.
fn within_small_stack(work: impl FnOnce() + Send + 'static) {
    let start = Instant::now();
    let thread = std::thread::Builder::new()
        .stack_size(1024 * 1024)
        .spawn(work)
        .unwrap();
    thread.join().expect("no panic");
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "took {:?}",
        start.elapsed()
    );
}

#[test]
fn huge_and_tiny_numbers_are_compared_without_a_panic() {
    let digits = "9".repeat(500);
    let keywords = [
        json!({"minimum": 0, "exclusiveMaximum": u64::MAX}),
        json!({"maximum": 1e308, "exclusiveMinimum": -5}),
        json!({"multipleOf": 0.01}),
        json!({"multipleOf": 3}),
        json!({"const": 1}),
        json!({"enum": [1, 2.5, "x"]}),
        json!({"type": "integer"}),
        json!({"anyOf": [{"type": "string"}, {"minimum": 1e300, "maximum": 2e300}]}),
    ];
    for text in [
        "1e400",
        "-1e400",
        "1e131071",
        "-9e131071",
        "1e-16383",
        "1.5e400",
        &digits,
    ] {
        let number = json!({ "$number": text });
        for keyword in &keywords {
            let _ = is_valid(keyword, &number);
            let items = json!({ "items": keyword, "uniqueItems": true });
            let _ = is_valid(&items, &json!([number, number, 1]));
        }
    }
}

#[test]
fn patterns_that_are_costly_malformed_or_not_linear_are_refused() {
    within_small_stack(|| {
        for pattern in [
            "(?=a)b",
            r"(a)\1",
            "((a{100}){100}){100}",
            "(((a{1,300}){1,300}){1,300}){1,300}",
            "(",
            "[",
            "a{2,1}",
            r"\p{Nonsense}",
            r"\p{L}{900}",
            &"(".repeat(900),
            &"(?:".repeat(300),
            &"a".repeat(1_001),
        ] {
            let schema = json!({ "pattern": pattern });
            assert!(
                matches!(refusal(&schema), SchemaProblem::BadPattern(_)),
                "{pattern}"
            );
            let schema = json!({ "patternProperties": { pattern: {} } });
            assert!(Schema::compile(&schema).is_err(), "{pattern}");
        }
    });
}

#[test]
fn deeply_nested_patterns_overflow_no_stack() {
    within_small_stack(|| {
        let nested =
            |open: &str, close: &str| format!("{}a{}", open.repeat(400), close.repeat(400));
        for pattern in [
            nested("(", ")"),
            nested("[", "]"),
            nested("(", ")*"),
            "[a&&".repeat(200),
        ] {
            let _ = Schema::compile(&json!({ "pattern": pattern }));
            let _ = Schema::compile(&json!({ "patternProperties": { pattern: {} } }));
        }
    });
}

#[test]
fn catastrophic_patterns_match_in_linear_time() {
    within_small_stack(|| {
        let subject = json!("a".repeat(16_000) + "!");
        for pattern in [
            "^(a+)+$",
            "^(a|aa)*$",
            "^(.*)*x$",
            "(x+x+)+y",
            r"^\w{1,64}$",
        ] {
            assert!(
                !is_valid(&json!({ "pattern": pattern }), &subject),
                "{pattern}"
            );
        }
    });
}

#[test]
fn a_recursive_schema_follows_the_deepest_document() {
    within_small_stack(|| {
        let schema = json!({
            "properties": {"child": {"$ref": "#"}, "leaf": {"type": "integer"}},
            "additionalProperties": false,
        });
        assert!(is_valid(&schema, &nested(MAX_DOCUMENT_DEPTH, "child")));
        assert!(!is_valid(
            &schema,
            &(0..63).fold(json!({"x": 1}), |n, _| json!({ "child": n }))
        ));
    });
}

#[test]
fn a_reference_that_makes_no_progress_is_refused() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
        json!({"$dynamicAnchor": "x", "anyOf": [{"$dynamicRef": "#x"}, {}]}),
    ] {
        assert!(
            matches!(refusal(&schema), SchemaProblem::EndlessReference(_)),
            "{schema}"
        );
    }
}

/// Definitions a0 to a(count), each made from the pointer to the next one.
fn ladder(count: usize, step: impl Fn(Value) -> Value) -> Value {
    let mut definitions = serde_json::Map::new();
    for index in 0..count {
        let next = json!({"$ref": format!("#/$defs/a{}", index + 1)});
        definitions.insert(format!("a{index}"), step(next));
    }
    definitions.insert(format!("a{count}"), json!({"type": "string"}));
    json!({"$ref": "#/$defs/a0", "$defs": definitions})
}

#[test]
fn references_that_multiply_are_refused() {
    let doubled = ladder(
        30,
        |next| json!({"allOf": [{"properties": {"x": next}}, {"properties": {"x": next}}]}),
    );
    assert_eq!(refusal(&doubled), SchemaProblem::TooMuchExpansion);
    let unevaluated = ladder(
        6,
        |next| json!({"anyOf": [next, next, next], "unevaluatedProperties": false}),
    );
    assert_eq!(refusal(&unevaluated), SchemaProblem::TooMuchExpansion);
    let chain = ladder(20, |next| json!({"allOf": [next]}));
    assert!(matches!(
        refusal(&chain),
        SchemaProblem::LongReferenceChain(_)
    ));
}

#[test]
fn a_long_ladder_of_references_compiles_and_runs_in_a_small_stack() {
    within_small_stack(|| {
        let schema = ladder(450, |next| json!({"properties": {"x": next}}));
        assert!(is_valid(&schema, &nested(MAX_DOCUMENT_DEPTH, "x")));
    });
}

#[test]
fn a_schema_that_multiplies_with_the_depth_of_a_document_neither_hangs_nor_names_a_place() {
    within_small_stack(|| {
        let branch = |_| json!({"properties": {"x": {"$ref": "#"}}});
        let branches: Vec<Value> = (0..8).map(branch).collect();
        let schema = json!({ "type": "object", "allOf": branches });
        assert!(is_valid(&schema, &nested(60, "x")));
        let document = (0..60).fold(json!(5), |inner, _| json!({ "x": inner }));
        let found = problems(&schema, &document);
        assert_eq!((found.len(), found[0].keyword.as_str()), (1, ""));
        let found = problems(&schema, &json!({"x": {"x": 5}}));
        assert_eq!(found[0].pointer, "/x/x");
    });
}

#[test]
fn deep_chains_to_one_value_at_every_level_fit_a_small_stack() {
    within_small_stack(|| {
        let inner = json!({"properties": {"x": {"$ref": "#"}}, "unevaluatedProperties": false, "type": "object"});
        let schema = (0..13).fold(inner, |inner, _| json!({"anyOf": [inner]}));
        assert!(is_valid(&schema, &nested(MAX_DOCUMENT_DEPTH, "x")));
        let document = (1..MAX_DOCUMENT_DEPTH).fold(json!({"y": 5}), |n, _| json!({ "x": n }));
        assert!(!is_valid(&schema, &document));
    });
}

#[test]
fn absurd_limits_are_only_numbers() {
    for keyword in [
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "minProperties",
        "minContains",
    ] {
        for limit in [json!(u64::MAX), json!(1e300), json!(1e19)] {
            let schema = json!({ keyword: limit, "contains": {} });
            if let Ok(schema) = Schema::compile(&schema) {
                let _ = schema.problems(&container(&json!([1, 2])));
            }
        }
    }
}

/// JSON with marked strings and names: whatever is shown of it is a leak.
fn secret_document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(|n| json!(n)),
        "[a-z~/ ]{0,5}".prop_map(|text| json!(format!("SECRET{text}"))),
    ];
    let name = || {
        prop_oneof![
            "[a-e]",
            "[a-z/~]{0,3}".prop_map(|text| format!("SECRET{text}"))
        ]
    };
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..5).prop_map(|members| json!(members)),
        ]
    })
}

fn some_schema() -> impl Strategy<Value = Value> {
    let leaf = prop::sample::select(vec![
        json!(true),
        json!(false),
        json!({"type": "integer"}),
        json!({"type": ["string", "null"]}),
        json!({"enum": ["a", 1]}),
        json!({"const": {"a": 1}}),
        json!({"pattern": "^x"}),
        json!({"format": "uuid"}),
        json!({"minimum": 5}),
        json!({"maxLength": 2}),
        json!({"$ref": "#"}),
        json!({"uniqueItems": true, "minItems": 2}),
        json!({"required": ["a", "b"]}),
        json!({"propertyNames": {"maxLength": 2}}),
        json!({"$ref": "#/$defs/x"}),
        json!({"multipleOf": 7}),
    ]);
    leaf.prop_recursive(4, 24, 4, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            two.clone()
                .prop_map(|(a, b)| json!({"properties": {"a": a}, "additionalProperties": b})),
            two.clone().prop_map(
                |(a, b)| json!({"patternProperties": {"^a": a}, "unevaluatedProperties": b})
            ),
            two.clone().prop_map(
                |(a, b)| json!({"prefixItems": [a], "items": b, "contains": {"type": "null"}})
            ),
            two.clone().prop_map(|(a, b)| json!({"anyOf": [a, b]})),
            two.clone()
                .prop_map(|(a, b)| json!({"oneOf": [a, b], "unevaluatedItems": false})),
            two.prop_map(|(a, b)| json!({"if": a, "then": b, "else": {"not": {"type": "array"}}})),
        ]
    })
}

/// Keywords with values that suit them or not.
fn keyword_soup() -> impl Strategy<Value = Value> {
    let keywords = "$ref $dynamicRef $anchor $dynamicAnchor $id $defs $vocabulary $comment allOf anyOf \
        oneOf not if then else dependentSchemas dependentRequired dependencies properties \
        patternProperties additionalProperties propertyNames unevaluatedProperties prefixItems \
        items additionalItems contains minContains unevaluatedItems type enum const multipleOf \
        maximum minLength pattern maxItems uniqueItems required format contentEncoding \
        contentMediaType contentSchema definitions $recursiveRef discriminator a x";
    let keyword = prop::sample::select(keywords.split_whitespace().collect::<Vec<_>>());
    let leaf = prop::sample::select(vec![
        json!(true),
        json!(false),
        json!({}),
        json!([]),
        json!(null),
        json!(1),
        json!(0),
        json!(1e300),
        json!("#"),
        json!("x"),
        json!("#x"),
        json!("#/$defs/a"),
        json!("#/properties/x"),
        json!("base64"),
        json!("application/json"),
        json!("string"),
        json!(["string", "object"]),
        json!("uuid"),
    ]);
    leaf.prop_recursive(4, 40, 4, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            3 => prop::collection::btree_map(keyword.clone(), inner, 0..4)
                .prop_map(|members| json!(members)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_of_the_document_shows_in_any_problem(schema in some_schema(), document in secret_document()) {
        let schema = json!({"allOf": [schema], "$defs": {"x": {"type": "string", "maxLength": 3}}});
        if let Ok(schema) = Schema::compile(&schema) {
            let bytes = container(&document);
            let found = schema.problems(&bytes);
            prop_assert_eq!(schema.is_valid(&bytes), found.is_empty());
            prop_assert!(!serde_json::to_string(&found).unwrap().contains("SECRET"));
        }
    }

    #[test]
    fn the_answer_is_that_of_the_validator_on_plain_json(schema in some_schema(), document in secret_document()) {
        let schema = json!({"allOf": [schema], "$defs": {"x": {"type": "string"}}});
        if let Ok(compiled) = Schema::compile(&schema) {
            let plain = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
            prop_assert_eq!(compiled.is_valid(&container(&document)), plain.is_valid(&document));
        }
    }

    #[test]
    fn no_json_in_the_keywords_makes_the_compiler_or_the_validator_panic(
        schema in keyword_soup(),
        document in secret_document(),
    ) {
        if let Ok(schema) = Schema::compile(&schema) {
            let _ = schema.problems(&container(&document));
        }
    }
}
