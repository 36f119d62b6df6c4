//! What an erasure leaves of a document, and what it does not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failing test panics"
)]

use activity_log_core::erasure::{Pseudonym, erase_document, is_erased, names};
use activity_log_core::jsonb::{Jsonb, from_json, to_json};
use proptest::prelude::*;
use serde_json::{Value, json};

fn erased(document: &Value, actor: &str) -> Value {
    let container = from_json(document).unwrap();
    let erased = erase_document(Jsonb::new(&container).unwrap(), actor).unwrap();
    let text = to_json(Jsonb::new(&erased).unwrap().root());
    serde_json::from_str(&text).unwrap()
}

#[test]
fn texts_and_numbers_go_and_the_shape_stays() {
    let marker = json!({"$erased": true});
    assert_eq!(
        erased(
            &json!({"name": "Zoë", "age": 41, "tags": ["a", [1.5]], "is_admin": true, "left": null, "empty": {}}),
            "zoe"
        ),
        json!({"name": marker, "age": marker, "tags": [marker, [marker]], "is_admin": true, "left": null, "empty": {}})
    );
    assert_eq!(erased(&json!("only a text"), "zoe"), marker);
}

#[test]
fn keys_that_name_somebody_go_as_well() {
    let document = json!({"zoe": true, "user/zoe": false, "zoetrope": true, "z@example.org": true});
    let left = erased(&document, "zoe");
    let keys: Vec<&String> = left.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 4, "{keys:?}");
    assert!(left.get("zoetrope").is_some());
    assert!(
        keys.iter()
            .filter(|key| key.starts_with("[erased "))
            .count()
            == 3
    );
}

#[test]
fn a_name_counts_as_a_whole_word() {
    for (text, is_named) in [
        ("42", true),
        ("user/42", true),
        ("user-42:7", true),
        ("1420", false),
        ("invoice-421", false),
        ("421 42", true),
        ("", false),
    ] {
        assert_eq!(names(text, "42"), is_named, "{text}");
    }
    assert!(names("größe", "größe") && !names("größer", "größe"));
    assert!(!names("anything", ""));
}

#[test]
fn a_pseudonym_is_its_own_and_recognised() {
    let (one, other) = (Pseudonym::new([1; 16]), Pseudonym::new([2; 16]));
    assert_ne!(one.text(), other.text());
    assert!(is_erased(one.text()) && is_erased(&one.of("request-1")));
    assert_eq!(one.of("request-1"), one.of("request-1"));
    assert_ne!(one.of("request-1"), one.of("request-2"));
    assert_ne!(one.of("request-1"), other.of("request-1"));
    assert_eq!(one.of(other.text()), other.text());
    for text in [
        "[erased:]",
        "[erased:0123456789abcdeg]",
        "erased",
        "[erased:0123456789abcdef] ",
    ] {
        assert!(!is_erased(text), "{text}");
    }
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-zé]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,8}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Every text and number in a document, keys aside.
fn leaves(value: &Value) -> usize {
    match value {
        Value::String(_) | Value::Number(_) => 1,
        Value::Array(elements) => elements.iter().map(leaves).sum(),
        Value::Object(members) => members.values().map(leaves).sum(),
        Value::Null | Value::Bool(_) => 0,
    }
}

proptest! {
    #[test]
    fn no_text_and_no_number_is_left_and_a_second_time_changes_nothing(document in document()) {
        let once = erased(&document, "nobody-of-this-name");
        prop_assert_eq!(leaves(&once), 0);
        prop_assert_eq!(erased(&once, "nobody-of-this-name"), once);
    }
}
