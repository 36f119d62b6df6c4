//! What the scrubber hides in texts and documents, and what it leaves alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here fails the test"
)]

mod privacy_support;

use activity_log_core::privacy::{AddressMode, ScrubOptions, Scrubber, ScrubberError, TextKind};
use privacy_support::{SECRETS, fingerprints, scrub, scrub_text, scrub_with, scrubber};
use serde_json::{Value, json};

fn scrub_value(document: &Value) -> Option<Value> {
    scrub(AddressMode::Off, document)
}

#[test]
fn values_of_secret_keys_are_hidden_in_every_spelling() {
    for (key, rule) in [
        ("password", "password"),
        ("userPassword", "password"),
        ("NEW_PASSWORD", "password"),
        ("password_hash", "password"),
        ("password2", "password"),
        ("passwd", "password"),
        ("contraseña", "password"),
        ("token", "token"),
        ("accessToken", "token"),
        ("ACCESS_TOKEN", "token"),
        ("access-token", "token"),
        ("refresh token", "token"),
        ("sessionToken", "token"),
        ("X-Amz-Security-Token", "token"),
        ("id_token_value", "token"),
        ("X-Api-Key", "api_key"),
        ("apikey", "api_key"),
        ("secretAccessKey", "access_key"),
        ("accessKeyId", "access_key"),
        ("AWSAccessKeyId", "access_key"),
        ("client_secret", "secret"),
        ("SecretString", "secret"),
        ("private_key_pem", "private_key"),
        ("Authorization", "authorization"),
        ("set-cookie", "cookie"),
        ("session_id", "session"),
        ("credentials", "credential"),
        ("X-Amz-Credential", "credential"),
        ("X-Amz-Signature", "signature"),
        ("otp", "one_time_code"),
        ("mfaCode", "one_time_code"),
        ("cvv", "card_code"),
        ("cardNumber", "card_number"),
        ("pan", "card_number"),
        ("ssn", "social_security_number"),
        ("userSSN", "social_security_number"),
        ("cardPin", "pin"),
        ("mnemonic", "mnemonic"),
        ("seed-phrase", "mnemonic"),
        ("ConnectionString", "connection_string"),
        ("internal note", "configured_key"),
        ("internalNote", "configured_key"),
        ("Gehäuse", "configured_key"),
    ] {
        let hidden = json!({ key: format!("[redacted:{rule}]") });
        assert_eq!(scrub_value(&json!({ key: "x" })), Some(hidden), "{key}");
    }
}

#[test]
fn ordinary_keys_of_audit_events_are_left_alone() {
    for key in [
        "key",
        "keys",
        "author",
        "authority",
        "authentication_method",
        "auth_method",
        "passport",
        "secretary",
        "tokenizer",
        "pinned",
        "mfaAuthenticated",
        "cookie_policy_accepted",
        "password_changed_at",
        "credentialType",
        "passwordEnabled",
        "password_reset_required",
        "token_count",
        "tokens_used",
        "max_tokens",
        "tokenType",
        "token_id",
        "token_expires_at",
        "next_page_token",
        "nextToken",
        "spin",
        "span",
        "shipping",
        "japan",
        "compass",
        "public_key",
        "key_id",
        "keySpec",
        "secret_name",
        "secretId",
        "sessionContext",
        "session",
        "auth",
        "sessionCredentialFromConsole",
        "signature",
        "SignatureVersion",
        "otp_enabled",
        "code",
        "pass_rate",
        "my_internal_note",
        "internal_note_count",
        "author_token_kind",
        "",
        "-",
    ] {
        assert_eq!(
            scrub_value(&json!({ key: "x", "inner": { key: true } })),
            None,
            "{key}"
        );
    }
}

#[test]
fn questions_about_secrets_keep_their_answers_but_hide_secrets() {
    for answer in [
        json!(true),
        json!(false),
        json!("true"),
        json!("No"),
        json!(1),
        json!(0),
    ] {
        for key in [
            "has_password",
            "hasPassword",
            "HAS-PIN",
            "require_mfa_token",
            "is secret",
        ] {
            assert_eq!(scrub_value(&json!({ key: answer })), None, "{key}");
        }
    }
    for (key, value) in [
        ("reset_token", json!("482913")),
        ("reset_token", json!(482913)),
        ("use_password", json!("hunter2")),
        ("hashedpassword", json!(true)),
        ("hasteToken", json!("yes")),
    ] {
        assert!(scrub_value(&json!({ key: value })).is_some(), "{key}");
    }
}

#[test]
fn values_of_every_kind_are_hidden_under_secret_keys() {
    for value in [
        json!(1234),
        json!(1.5),
        json!(true),
        json!(["a"]),
        json!({"a": 1}),
    ] {
        let hidden = json!({"password": "[redacted:password]"});
        assert_eq!(
            scrub_value(&json!({ "password": value })),
            Some(hidden),
            "{value}"
        );
    }
}

#[test]
fn values_that_hide_nothing_stay_under_secret_keys() {
    for value in [
        json!(null),
        json!(""),
        json!([]),
        json!({}),
        json!("[redacted:token]"),
    ] {
        assert_eq!(scrub_value(&json!({ "password": value })), None, "{value}");
    }
}

#[test]
fn counted_tokens_stay_and_listed_tokens_are_hidden() {
    for usage in [
        json!(12),
        json!("12"),
        json!({"prompt": 3, "completion": 9}),
        json!([1, 2]),
    ] {
        assert_eq!(scrub_value(&json!({ "tokens": usage })), None);
    }
    let hidden = json!({"tokens": ["[redacted:token]"]});
    assert_eq!(scrub_value(&json!({"tokens": ["abc"]})), Some(hidden));
    assert_eq!(scrub_value(&json!({"pass": 12, "fail": 3})), None);
    assert_eq!(scrub_value(&json!({"pin": true})), None);
}

/// Eight strings within strings took a second once, and ten would have taken a minute.
#[test]
fn strings_nested_in_each_other_take_no_exponential_time() {
    let scrubber = scrubber(AddressMode::Off);
    let mut text = String::from("\"password=x\"");
    for _ in 0..10 {
        text = serde_json::to_string(&format!("{{\"a\":{text}}}")).expect("JSON");
    }
    let document = format!("{{\"a\":{text}}}");
    let start = std::time::Instant::now();
    let hidden = scrubber.scrub_text(&document, TextKind::Free, Some(&fingerprints()));
    assert!(start.elapsed().as_secs_f64() < 0.5, "{:?}", start.elapsed());
    assert!(!hidden.contains("=x"), "{hidden}");
    assert_eq!(scrubber.scrub_text(&hidden, TextKind::Free, None), hidden);
}

/// The rule's name and the fingerprint of a replacement look like an assignment themselves.
#[test]
fn the_name_of_a_rule_is_no_key_of_what_follows_it() {
    let key = fingerprints();
    for text in [
        "postgres://u:pw@h/db",
        "?password=x&next=1",
        "jdbc:x://u:pw@h/db;Server=c",
    ] {
        let once = scrubber(AddressMode::Off)
            .scrub_text(text, TextKind::Free, Some(&key))
            .into_owned();
        assert_eq!(once.matches("[redacted:").count(), 1, "{once}");
        let rest = &text[text.rfind(['@', '&']).expect("a rest")..];
        assert!(once.ends_with(&format!("]{rest}")), "{once}");
    }
}

#[test]
fn only_the_secret_part_of_a_text_is_replaced() {
    for (text, expected) in [
        (
            "Authorization: Bearer abcdef123456",
            "Authorization: Bearer [redacted:bearer]",
        ),
        (
            "curl -H 'Cookie: a=b; c=d' x",
            "curl -H 'Cookie: [redacted:cookie]' x",
        ),
        (
            "postgres://app:pw@db/x",
            "postgres://app:[redacted:connection_password]@db/x",
        ),
        (
            "amqp://u:p%40ss@h:1/v",
            "amqp://u:[redacted:connection_password]@h:1/v",
        ),
        ("?a=1&password=x y", "?a=1&password=[redacted:password] y"),
        (
            "password='it''s me' dbname=x",
            "password='[redacted:password]' dbname=x",
        ),
        (
            "Password=a b;Server=c",
            "Password=[redacted:password];Server=c",
        ),
        (
            "paid 4111111111111111 today",
            "paid [redacted:card_number] today",
        ),
        (
            "key AKIAQ7EXAMPLEX2YZ345!",
            "key [redacted:aws_access_key]!",
        ),
        ("api_key: \"abc\"", "api_key: \"[redacted:api_key]\""),
        (
            "-H \"X-Api-Key: abc123\" -v",
            "-H \"X-Api-Key: [redacted:api_key]\" -v",
        ),
        ("(X-Api-Key: abc123)", "(X-Api-Key: [redacted:api_key])"),
        ("[X-Api-Key: abc123]", "[X-Api-Key: [redacted:api_key]]"),
        ("the api_key: abc123 x", "the api_key: [redacted:api_key] x"),
        ("(token: expired)", "(token: expired)"),
        (
            "a: 1\npassword: hunter2\nb: 2",
            "a: 1\npassword: [redacted:password]\nb: 2",
        ),
        (
            "{\\\"pin\\\":\\\"1234\\\",",
            "{\\\"pin\\\":\\\"[redacted:pin]\\\",",
        ),
    ] {
        assert_eq!(scrub_text(AddressMode::All, text), expected);
    }
}

#[test]
fn ordinary_texts_are_left_alone() {
    for text in [
        "invalid password: must have eight characters",
        "unexpected token: end of file",
        "bearer certificate of basic authentication",
        "https://example.com:8443/a@b?token_type=x&page=2",
        "https://medium.com/@someone/basic-auth-explained",
        "task-management-and-risk-assessment-overview",
        "arn:aws:iam::123837392027:role/TokenRotation",
        "arn:aws:secretsmanager:us-east-1:123837392027:secret:prod/orders-AbCdEf12",
        "550e8400-e29b-41d4-a716-446655440000",
        "2023-07-10T11:42:31Z",
        "1720000000000",
        "if (token == null) return;",
        "password=",
        "hasPassword=true",
        "[S3Console/0.4, aws-internal/3]",
        "{\"a\": [1.10, \"b\"], \"password\": null}",
        "SHA256:abcdef; key=value; eyJ",
        "-----BEGIN CERTIFICATE-----\nMIIE3zCCAsegAw\n-----END CERTIFICATE-----",
    ] {
        assert_eq!(scrub_text(AddressMode::Off, text), text);
    }
}

#[test]
fn secrets_of_every_kind_are_hidden_anywhere() {
    for (text, secret) in SECRETS {
        for document in [
            json!(text),
            json!({"a": {"b": [1, text]}}),
            json!({ *text: 1 }),
            json!({"body": json!({"inner": [text]}).to_string()}),
            json!({"body": json!(json!({"inner": text}).to_string()).to_string()}),
        ] {
            let scrubbed = scrub_value(&document).map(|value| value.to_string());
            let scrubbed = scrubbed.unwrap_or_else(|| panic!("untouched: {document}"));
            assert!(!scrubbed.contains(secret), "{scrubbed}");
        }
    }
}

#[test]
fn json_in_strings_keeps_its_numbers() {
    let body = r#"{"n": [1.10, 12345678901234567890, 1e400], "password": "x", "s": "\u00e9\""}"#;
    let scrubbed = scrub_text(AddressMode::Off, body);
    assert_eq!(
        scrubbed,
        r#"{"n":[1.10,12345678901234567890,1e400],"password":"[redacted:password]","s":"\u00e9\""}"#
    );
}

#[test]
fn json_nested_too_deeply_in_strings_is_hidden_whole() {
    let nested = |depth| {
        (0..depth).fold(json!({"pin": 1}).to_string(), |inner, _| {
            json!({"a": inner}).to_string()
        })
    };
    assert!(scrub_text(AddressMode::Off, &nested(3)).contains("[redacted:pin]"));
    assert!(scrub_text(AddressMode::Off, &nested(9)).contains("[redacted:nesting]"));
    let brackets = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(scrub_text(AddressMode::Off, &brackets).contains("[redacted:nesting]"));
}

#[test]
fn card_numbers_are_hidden_in_strings_only() {
    assert_eq!(scrub_value(&json!({"amount": 4111111111111111_u64})), None);
    assert_eq!(
        scrub_value(&json!({"a": "{\"b\": 4111111111111111}"})),
        None
    );
    assert!(scrub_value(&json!({"note": "4111111111111111"})).is_some());
}

#[test]
fn addresses_are_hidden_as_far_as_the_mode_goes() {
    let document = json!({
        "sourceIPAddress": "10.8.8.77",
        "X-Forwarded-For": "10.8.8.77, [2001:db8:1:2::9]:443, unknown",
        "ip_addresses": ["::ffff:10.8.8.77"],
        "note": "from 10.8.8.77",
        "cidr": "0.0.0.0/0",
        "10.8.8.77": 1,
    });
    let mut hidden = document.clone();
    hidden["sourceIPAddress"] = json!("[address:10.8.8.0/24]");
    hidden["X-Forwarded-For"] =
        json!("[address:10.8.8.0/24], [[address:2001:db8:1::/48]]:443, unknown");
    hidden["ip_addresses"] = json!(["[address:10.8.8.0/24]"]);
    assert_eq!(scrub(AddressMode::Off, &document), None);
    assert_eq!(scrub(AddressMode::Keys, &document), Some(hidden.clone()));

    hidden["note"] = json!("from [address:10.8.8.0/24]");
    let members = hidden.as_object_mut().unwrap();
    members.remove("10.8.8.77");
    members.insert("[address:10.8.8.0/24]".to_owned(), json!(1));
    assert_eq!(scrub(AddressMode::All, &document), Some(hidden));
}

#[test]
fn equal_secrets_have_equal_fingerprints_under_any_rule() {
    let document = json!({
        "password": "AKIAQ7EXAMPLEX2YZ345",
        "note": "see AKIAQ7EXAMPLEX2YZ345",
        "pin": 1234,
        "otp": "1234",
    });
    let scrubbed = scrub_with(
        &scrubber(AddressMode::Off),
        &document,
        Some(&fingerprints()),
    );
    let scrubbed: Value = serde_json::from_str(&scrubbed.unwrap()).unwrap();
    let fingerprint = |key: &str| {
        let text = scrubbed[key].as_str().unwrap();
        text.rsplit(':').next().unwrap().to_owned()
    };
    assert_eq!(fingerprint("password"), fingerprint("note"));
    assert_eq!(fingerprint("pin"), fingerprint("otp"));
    assert_ne!(fingerprint("pin"), fingerprint("note"));
    assert_eq!(fingerprint("pin").len(), "0123456789abcdef]".len());
}

#[test]
fn only_true_replacements_are_left_as_they_are() {
    for text in [
        "[redacted:password:0123456789abcdef]",
        "[redacted:rule_of_tomorrow:0123456789abcdef]",
        "[redacted:password]",
        "[address:10.8.8.0/24:0123456789abcdef]",
        "[address:2001:db8:1::/48]",
    ] {
        let document = json!({ "password": text });
        assert_eq!(scrub(AddressMode::All, &document), None, "{text}");
    }
    for text in [
        "[redacted:hunter2]",
        "[redacted:password:0123456789abcde]",
        "[address:10.8.8.77/24]",
        "[address:10.8.8.77/24:0123456789abcdef]",
    ] {
        let document = json!({ "password": text });
        assert!(scrub(AddressMode::All, &document).is_some(), "{text}");
    }
    assert!(!scrub_text(AddressMode::All, "[address:10.8.8.77/24]").contains("77"));
}

#[test]
fn identifiers_lose_tokens_only() {
    let scrubber = scrubber(AddressMode::All);
    let scrub = |text| {
        scrubber
            .scrub_text(text, TextKind::Identifier, None)
            .into_owned()
    };
    for text in [
        "4111111111111111",
        "10.8.8.77",
        "password=x",
        "{\"password\":\"x\"}",
    ] {
        assert_eq!(scrub(text), text);
    }
    assert_eq!(
        scrub("key/AKIAQ7EXAMPLEX2YZ345"),
        "key/[redacted:aws_access_key]"
    );
}

#[test]
fn extra_keys_without_letters_are_refused() {
    let options = ScrubOptions {
        extra_keys: &["a", "-_"],
        addresses: AddressMode::Off,
    };
    assert_eq!(
        Scrubber::new(&options).unwrap_err(),
        ScrubberError::EmptyKey(1)
    );
}

#[test]
fn hostile_texts_take_no_more_than_linear_time() {
    let scrubber = scrubber(AddressMode::All);
    for piece in [
        "a=",
        "a=%25252541",
        "a=%70assword%3Dx",
        "token=",
        "token:",
        "token:{",
        "token:[",
        "token: ",
        "'cookie:",
        "token=[redacted:token]",
        "a:1=%41;",
        "1:",
        "::",
        "1.",
        "4111 ",
        "\"",
        "\\",
        "\\\"token:",
        "[",
        "[redacted:",
        "://:",
        "eyJ",
        "Bearer ",
        "-----BEGIN PRIVATE KEY-----",
        "{\"a\":",
        "password='",
        "password=1 ",
        "AKIAQ7EXAMPLEX2YZ345 ",
    ] {
        let text = piece.repeat(200_000 / piece.len());
        let start = std::time::Instant::now();
        scrubber.scrub_text(&text, TextKind::Free, None);
        let elapsed = start.elapsed();
        assert!(elapsed.as_secs() < 10, "{piece} took {elapsed:?}");
    }
}
