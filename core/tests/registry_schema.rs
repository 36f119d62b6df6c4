//! Schemas against documents in the server's binary form.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test panics"
)]

mod registry_support;

use activity_log_core::registry::schema::{FORMATS, MAX_PROBLEMS, SchemaProblem};
use registry_support::{is_valid, problems, refusal};
use serde_json::json;

#[test]
fn every_kind_of_value_can_be_the_whole_document() {
    let any = json!(true);
    for document in [
        json!(null),
        json!(true),
        json!(false),
        json!(""),
        json!("text"),
        json!(0),
        json!(-1.5),
        json!([]),
        json!({}),
        json!([[]]),
        json!({"a": {}}),
        json!({"$number": "1e400"}),
    ] {
        assert!(is_valid(&any, &document), "{document}");
        assert_eq!(problems(&json!(false), &document).len(), 1, "{document}");
    }
}

#[test]
fn a_problem_has_the_pointer_the_keyword_and_the_schemas_side() {
    let schema = json!({
        "type": "object",
        "required": ["user"],
        "properties": {"list": {"items": {"type": "integer", "maximum": 5}}, "how": {"enum": ["a", "b"]}},
    });
    let found = problems(&schema, &json!({"list": [1, "x", 9], "how": "c"}));
    let mut found: Vec<(&str, &str, &str)> = found
        .iter()
        .map(|p| (p.pointer.as_str(), p.keyword.as_str(), p.message.as_str()))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("", "required", "lacks the property \"user\""),
            ("/how", "enum", "is none of [\"a\",\"b\"]"),
            ("/list/1", "type", "is not of type integer"),
            ("/list/2", "maximum", "is greater than 5"),
        ]
    );
}

#[test]
fn names_that_only_the_document_has_are_hidden_in_pointers_and_counted_in_messages() {
    let schema = json!({
        "properties": {"known/name": {"additionalProperties": {"type": "string"}}},
        "additionalProperties": false,
    });
    let found = problems(
        &schema,
        &json!({"known/name": {"10.1.2.3": 1, "4111111111111111": 2}, "sk_live_1": 1, "sk_live_2": 1}),
    );
    let pointers: Vec<&str> = found.iter().map(|p| p.pointer.as_str()).collect();
    assert_eq!(pointers, ["/known~1name/*", "/known~1name/*", ""]);
    assert_eq!(
        found[2].message,
        "has 2 properties that the schema does not allow"
    );
}

#[test]
fn alternatives_say_how_many_there_are() {
    let schema = json!({"oneOf": [{"type": "string"}, {"type": "integer"}, {"minimum": 5}]});
    assert_eq!(problems(&schema, &json!(null)).len(), 0);
    assert_eq!(
        problems(&schema, &json!(7))[0].message,
        "fits more than one of 3 alternatives"
    );
    let any = json!({"anyOf": [{"type": "string"}, {"type": "integer"}]});
    assert_eq!(
        problems(&any, &json!(null))[0].message,
        "fits none of 2 alternatives"
    );
}

#[test]
fn no_more_than_twenty_problems_are_listed() {
    let found = problems(&json!({"items": {"type": "string"}}), &json!(vec![1; 500]));
    assert_eq!(found.len(), MAX_PROBLEMS);
}

#[test]
fn formats_are_checked_and_unknown_ones_are_refused() {
    let schema = json!({"format": "uuid"});
    assert!(is_valid(
        &schema,
        &json!("018f3b1c-6f1f-7c5e-8a55-0123456789ab")
    ));
    assert!(!is_valid(&schema, &json!("nonsense")));
    assert!(is_valid(
        &json!({"format": "date-time"}),
        &json!("2026-11-21T10:00:00.123456+00:00")
    ));
    for format in ["datetime", "regex", "idn-email", ""] {
        let schema = json!({"properties": {"at": {"format": format}}});
        assert_eq!(
            refusal(&schema),
            SchemaProblem::UnknownFormat("/properties/at/format".into())
        );
    }
}

#[test]
fn every_listed_format_is_known_to_the_validator_and_can_fail() {
    for format in FORMATS {
        assert!(
            !is_valid(&json!({ "format": format }), &json!("\u{1}{ % \n")),
            "{format}"
        );
    }
}

#[test]
fn references_inside_the_document_work() {
    for reference in ["#/$defs/name", "#label", "#/properties/other"] {
        let schema = json!({
            "$id": "https://example.org/an-event",
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "properties": {"name": {"$ref": reference}, "other": {"type": "string"}},
            "$defs": {"name": {"type": "string"}, "named": {"$anchor": "label", "type": "string"}},
        });
        assert!(is_valid(&schema, &json!({"name": "x"})), "{reference}");
        assert!(!is_valid(&schema, &json!({"name": 1})), "{reference}");
    }
}

#[test]
fn references_out_of_the_document_are_refused() {
    for reference in [
        "https://example.org/schema",
        "file:///etc/passwd",
        "other.json#/a",
        "",
        "/etc/passwd",
        "https://json-schema.org/draft/2020-12/schema",
        "urn:x",
    ] {
        let schema = json!({"items": {"$ref": reference}});
        assert_eq!(
            refusal(&schema),
            SchemaProblem::ExternalReference("/items/$ref".into())
        );
        let schema = json!({"items": {"$dynamicRef": reference}});
        assert_eq!(
            refusal(&schema),
            SchemaProblem::ExternalReference("/items/$dynamicRef".into())
        );
    }
}

#[test]
fn references_to_nothing_are_refused_even_where_nothing_uses_them() {
    for reference in ["#/$defs/missing", "#missing", "#/enum/0", "#/$defs/%61"] {
        let schema = json!({"enum": [{}], "$defs": {"a": {"items": {"$ref": reference}}}});
        assert!(
            matches!(refusal(&schema), SchemaProblem::UnresolvedReference(_)),
            "{reference}"
        );
    }
    let twice = json!({"$defs": {"a": {"$anchor": "x"}, "b": {"$dynamicAnchor": "x"}}});
    assert!(matches!(
        refusal(&twice),
        SchemaProblem::UnresolvedReference(_)
    ));
}

#[test]
fn other_drafts_and_inner_identifiers_are_refused() {
    let schema = json!({"$schema": "http://json-schema.org/draft-07/schema#"});
    assert_eq!(
        refusal(&schema),
        SchemaProblem::UnsupportedDraft("/$schema".into())
    );
    let schema = json!({"$defs": {"a": {"$id": "https://example.org/a"}}});
    assert_eq!(
        refusal(&schema),
        SchemaProblem::EmbeddedIdentifier("/$defs/a/$id".into())
    );
}

#[test]
fn each_limit_has_its_own_problem() {
    assert_eq!(refusal(&json!([])), SchemaProblem::NotASchema);
    assert_eq!(refusal(&json!("x")), SchemaProblem::NotASchema);
    let values: Vec<u32> = (0..100_000).collect();
    assert_eq!(refusal(&json!({ "enum": values })), SchemaProblem::TooLarge);
    let deep = (0..40).fold(json!({}), |inner, _| json!({ "items": inner }));
    assert_eq!(refusal(&deep), SchemaProblem::TooDeep);
    let deep_data = (0..100).fold(json!([]), |inner, _| json!([inner]));
    assert_eq!(
        refusal(&json!({ "const": deep_data })),
        SchemaProblem::TooDeep
    );
    assert_eq!(
        refusal(&json!({ "anyOf": vec![json!({}); 1_000] })),
        SchemaProblem::TooManySubschemas
    );
    assert_eq!(
        refusal(&json!({ "anyOf": vec![json!({"pattern": "a"}); 101] })),
        SchemaProblem::TooManyPatterns
    );
}

#[test]
fn a_malformed_schema_says_where_and_what() {
    let SchemaProblem::Malformed(problem) =
        refusal(&json!({"properties": {"a": {"type": "text"}}}))
    else {
        panic!("not malformed");
    };
    assert_eq!(problem.pointer, "/properties/a/type");
    for schema in [
        json!({"minItems": -1}),
        json!({"required": "a"}),
        json!({"allOf": []}),
        json!({"properties": {"a": 5}}),
        json!({"$ref": 5}),
        json!({"$id": 5}),
        json!({"multipleOf": 0}),
        json!({"items": [{}]}),
    ] {
        assert!(
            matches!(refusal(&schema), SchemaProblem::Malformed(_)),
            "{schema}"
        );
    }
}
