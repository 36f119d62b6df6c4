//! What holds for every text and document.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here fails the test"
)]

mod privacy_support;

use activity_log_core::privacy::{AddressMode, TextKind};
use privacy_support::{SECRETS, fingerprints, scrub_with, scrubber};
use proptest::prelude::*;
use serde_json::{Value, json};

fn word() -> impl Strategy<Value = String> {
    "[a-z]{1,9}( [a-z]{1,9}){0,3}"
}

/// A document without secrets in which `leaf` stands at random places.
fn document(leaf: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    leaf.prop_recursive(5, 24, 4, |inner| {
        let array = proptest::collection::vec(inner.clone(), 1..4).prop_map(Value::from);
        let object = proptest::collection::vec(("k[0-9]{1,3}", inner.clone()), 1..4)
            .prop_map(|members| Value::Object(members.into_iter().collect()));
        let string = inner.prop_map(|value| json!(value.to_string()));
        prop_oneof![array, object, string]
    })
}

fn clean_leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        word().prop_map(Value::from),
        // Longer numbers may be those of cards once they stand in a string.
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ]
}

fn planted() -> impl Strategy<Value = (Value, &'static str)> {
    let secret = proptest::sample::select(SECRETS);
    (secret, "([a-z]{1,5} )?", "( [a-z]{1,5})?").prop_flat_map(|((text, secret), before, after)| {
        let text = json!(format!("{before}{text}{after}"));
        document(Just(text)).prop_map(move |document| (document, secret))
    })
}

/// Text that is likely to be taken for something: pieces of secrets, signs and replacements.
fn suspicious_text() -> impl Strategy<Value = String> {
    let known = SECRETS.iter().map(|secret| secret.0);
    let pieces: Vec<&str> = known
        .chain([
            "password",
            "token",
            "=",
            ":",
            "\"",
            "'",
            "\\",
            ";",
            "&",
            " ",
            "\n",
            "[",
            "]",
            "{",
            "}",
            "%7B",
            "%22",
            "://",
            "@",
            "Bearer ",
            "Cookie: ",
            "10.8.8.77",
            "2001:db8::1",
            ".",
            ",",
            "[redacted:password:0123456789abcdef]",
            "[address:10.8.8.0/24]",
            "AKIA",
            "eyJ",
            "é",
        ])
        .collect();
    proptest::collection::vec(proptest::sample::select(pieces), 0..9)
        .prop_map(|pieces| pieces.concat())
}

fn mode() -> impl Strategy<Value = AddressMode> {
    prop_oneof![
        Just(AddressMode::Off),
        Just(AddressMode::Keys),
        Just(AddressMode::All)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn planted_secrets_never_survive((document, secret) in planted(), mode in mode()) {
        let scrubbed = scrub_with(&scrubber(mode), &document, Some(&fingerprints()));
        let scrubbed = scrubbed.expect("a secret was found");
        prop_assert!(!scrubbed.contains(secret), "{scrubbed}");
        let unescaped = scrubbed.replace('\\', "");
        prop_assert!(!unescaped.contains(secret), "{scrubbed}");
    }

    #[test]
    fn values_of_secret_keys_never_survive(
        key in proptest::sample::select(vec!["password", "accessToken", "api-key", "Set-Cookie"]),
        value in document(Just(json!("qzjxvk"))),
    ) {
        let document = json!({"outer": [{ key: value }]});
        let scrubbed = scrub_with(&scrubber(AddressMode::Off), &document, None);
        prop_assert!(!scrubbed.unwrap().contains("qzjxvk"));
    }

    #[test]
    fn addresses_never_survive_where_all_are_hidden(
        octets: [u8; 4],
        segments: [u16; 8],
        separator in proptest::sample::select(vec![" ", ",", ";", "=", "/", "(", "\"", "[", "@"]),
    ) {
        let old = std::net::Ipv4Addr::from(octets).to_string();
        let new = std::net::Ipv6Addr::from(segments).to_string();
        prop_assume!(octets[3] != 0 && segments[7] != 0);
        let document = json!({"a": [format!("x{separator}{old}{separator}{new}{separator}")]});
        let scrubbed = scrub_with(&scrubber(AddressMode::All), &document, None).unwrap();
        prop_assert!(!scrubbed.contains(&old) && !scrubbed.contains(&new), "{scrubbed}");
    }

    #[test]
    fn documents_without_secrets_are_untouched(document in document(clean_leaf())) {
        let scrubbed = scrub_with(&scrubber(AddressMode::Off), &document, Some(&fingerprints()));
        prop_assert_eq!(scrubbed, None);
    }

    #[test]
    fn scrubbing_text_twice_is_scrubbing_it_once(
        text in prop_oneof![suspicious_text(), "\\PC{0,60}"],
        mode in mode(),
        keyed: bool,
        is_identifier: bool,
    ) {
        let key = fingerprints();
        let key = keyed.then_some(&key);
        let kind = if is_identifier { TextKind::Identifier } else { TextKind::Free };
        let scrubber = scrubber(mode);
        let once = scrubber.scrub_text(&text, kind, key).into_owned();
        let twice = scrubber.scrub_text(&once, kind, key);
        prop_assert_eq!(twice.as_ref(), once.as_str(), "{}", text);
    }

    #[test]
    fn scrubbing_a_document_twice_is_scrubbing_it_once(
        document in document(suspicious_text().prop_map(Value::from)),
        mode in mode(),
    ) {
        let (scrubber, key) = (scrubber(mode), fingerprints());
        if let Some(once) = scrub_with(&scrubber, &document, Some(&key)) {
            let once: Value = serde_json::from_str(&once).unwrap();
            prop_assert_eq!(scrub_with(&scrubber, &once, Some(&key)), None);
        }
    }
}
