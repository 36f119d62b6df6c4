//! Planted secrets: after recording, after every refusal, in files, WAL, server log and messages.

use super::{OTHER_TENANT, TENANT, log, register, stored};
use activity_log_integration::{Cluster, Database, Options, Refusal, Session, Stop, expect_error};
use serde_json::{Value, json};
use std::path::Path;
use uuid::Uuid;

/// What is looked for in files to know that looking finds something.
const MARKER: &str = "plain-marker-of-this-test";

/// A part of every token.
const RANDOM: &str = "Zq8Xw2Lk9Vb4Nm7Rt3Yp6Hs1Dg5Fj0Cu";

const ADDRESSES: [&str; 2] = ["198.18.77.213", "2001:db8:77:88:99:aa:bb:cc"];

/// One of each kind, put together here so that this file holds none.
fn planted() -> Vec<(&'static str, String)> {
    let random = RANDOM;
    vec![
        ("password", "correct-horse-7Q".into()),
        ("api_key", "k1-9f8e7d6c5b4a".into()),
        ("text", format!("key AKIA{}", &random[..16].to_uppercase())),
        ("text", format!("ghp_{random}abcd")),
        ("text", format!("sk_live_{random}")),
        ("text", format!("xoxb-{random}")),
        (
            "text",
            format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIi{random}.{random}"),
        ),
        ("text", format!("Authorization: Bearer {random}")),
        ("text", "Authorization: Basic dXNlcjpxN3hLOXZNMnBM".into()),
        ("text", format!("postgres://app:{random}@db.internal/app")),
        (
            "text",
            format!("-----BEGIN PRIVATE KEY-----\n{random}\n-----END PRIVATE KEY-----"),
        ),
        ("text", "4012 8888 8888 1881".into()),
        ("text", "5555555555554444".into()),
        ("ssn", "078-05-1120".into()),
        ("session_id", "s-77aa66bb55cc".into()),
        ("card_cvv", "983712".into()),
    ]
}

/// The part of each that must be found nowhere, addresses also as the type inet stores them.
fn needles() -> Vec<Vec<u8>> {
    let parts = [
        "correct-horse-7Q",
        "k1-9f8e7d6c5b4a",
        "4012 8888 8888 1881",
        "5555555555554444",
        "078-05-1120",
        "s-77aa66bb55cc",
        "983712",
        "dXNlcjpxN3hLOXZNMnBM",
        "hidden-value-31337",
        RANDOM,
        &RANDOM[..16].to_uppercase(),
        ADDRESSES[0],
        ADDRESSES[1],
    ]
    .map(|part| part.as_bytes().to_vec());
    let stored = vec![2, 32, 198, 18, 77, 213];
    parts.into_iter().chain([stored]).collect()
}

/// Documents that hold a secret at the top, deep inside, in an array, and in JSON in a string.
fn documents(key: &str, secret: &str) -> [Value; 4] {
    [
        json!({key: secret, "marker": MARKER}),
        json!({"a": {"b": {"c": {key: secret}}}}),
        json!({"list": [1, [{key: secret}], "x"]}),
        json!({"body": json!({"n": 1, key: secret}).to_string()}),
    ]
}

fn record(session: &mut Session, action: &str, metadata: &Value) -> Result<u64, postgres::Error> {
    session.execute(
        &format!("SELECT activity.record($1, $2, tenant_id => '{TENANT}')"),
        &[&action, metadata],
    )
}

/// Records the secret in every place that takes a caller's words.
fn plant(session: &mut Session, key: &str, secret: &str) {
    for document in documents(key, secret) {
        record(session, "thing.noted", &document).unwrap();
        let batch = json!([{"action": "thing.noted", "tenant_id": TENANT, "metadata": document}]);
        session
            .execute("SELECT * FROM activity.record_many($1)", &[&batch])
            .unwrap();
    }
    if key == "text" {
        let call = format!(
            "SELECT activity.record('thing.noted', tenant_id => '{TENANT}', user_agent => $1)"
        );
        session.execute(&call, &[&secret]).unwrap();
    }
}

/// Records a token that nothing else looks like where an identifier belongs.
fn plant_in_identifiers(session: &mut Session) {
    let token = format!("ghp_{RANDOM}abcd");
    for argument in ["actor_id", "object_id", "request_id", "idempotency_key"] {
        let call = format!(
            "SELECT activity.record('thing.noted', tenant_id => '{TENANT}', {argument} => $1)"
        );
        session.execute(&call, &[&token]).unwrap();
    }
    session
        .execute("SELECT activity.set_context($1, $2, request_id => $2, user_agent => $2, is_local => false)",
            &[&Uuid::parse_str(TENANT).unwrap(), &token])
        .unwrap();
    record(session, "thing.noted", &json!({})).unwrap();
    session
        .batch_execute("SELECT activity.clear_context()")
        .unwrap();
}

/// Records callers' addresses, which are also repeated in what they say.
fn plant_addresses(session: &mut Session) {
    session
        .batch_execute("SET activity.redact_addresses = 'all'")
        .unwrap();
    for address in ADDRESSES {
        let call = format!(
            "SELECT activity.record('thing.noted', $1, tenant_id => '{TENANT}', client_ip => $2::text::inet)"
        );
        let metadata =
            json!({"source_ip": address, "text": format!("from {address} on"), "list": [address]});
        session.execute(&call, &[&metadata, &address]).unwrap();
    }
    session
        .batch_execute("RESET activity.redact_addresses")
        .unwrap();
}

/// What a client is told when an event with this document is refused, in each way.
fn refusals(session: &mut Session, document: &Value) -> Vec<Refusal> {
    let mut huge = document.clone();
    huge["filler"] = "x".repeat(20_000).into();
    let list = "SELECT * FROM activity.list(tenant_id => $1, metadata => $2, status => 'great')";
    let tenant = Uuid::parse_str(TENANT).unwrap();
    let batch = json!([{"action": "strict.thing", "tenant_id": TENANT, "metadata": document}]);
    vec![
        expect_error(record(session, "strict.thing", document), "23514"),
        expect_error(record(session, "thing.unheard", document), "42704"),
        expect_error(record(session, "thing.noted", &huge), "22001"),
        expect_error(record(session, "thing.noted", &json!([document])), "22023"),
        expect_error(
            record(session, "thing.noted", &json!(format!("{document}}}"))),
            "22023",
        ),
        expect_error(session.query(list, &[&tenant, document]), "22023"),
        expect_error(
            session.execute("SELECT * FROM activity.record_many($1)", &[&batch]),
            "23514",
        ),
        expect_error(
            session.execute("SELECT * FROM activity.record_many($1)", &[document]),
            "22023",
        ),
    ]
}

#[test]
fn planted_secrets_are_found_in_no_file_no_log_and_no_message() {
    let cluster = Cluster::start(&Options {
        // All WAL is kept, and none of it is compressed.
        settings: &[
            ("log_statement", "none"),
            ("wal_keep_size", "1GB"),
            ("log_min_messages", "info"),
        ],
        ..Options::default()
    });
    let database = log(&cluster);
    let messages = plant_everything(&database);
    database.superuser().batch_execute("CHECKPOINT").unwrap();
    drop(database);
    cluster.stop(Stop::Fast);

    let files = files_below(&cluster.folder().join("data"));
    let holds = |needle: &str, part: &str| {
        files
            .iter()
            .any(|(path, bytes)| path.contains(part) && contains(bytes, needle.as_bytes()))
    };
    assert!(
        holds(MARKER, "/base/") && holds(MARKER, "/pg_wal/"),
        "the search finds nothing at all"
    );
    let log = cluster.log();
    for needle in needles() {
        let name = String::from_utf8_lossy(&needle);
        assert!(
            !contains(messages.as_bytes(), &needle),
            "{name} in a message"
        );
        assert!(
            !contains(log.as_bytes(), &needle),
            "{name} in the server's log"
        );
        let holder = files.iter().find(|(_, bytes)| contains(bytes, &needle));
        assert!(holder.is_none(), "{name} in {}", holder.unwrap().0);
    }
}

/// Records and is refused with every secret; everything that the client was told.
fn plant_everything(database: &Database<'_>) -> String {
    let mut session = database.superuser();
    session
        .batch_execute(
            "SELECT activity.register_action('strict.thing', metadata_schema => '{
                 \"properties\": {\"password\": {\"maxLength\": 1}, \"text\": {\"enum\": [\"a\", \"b\"]}, \"body\": {\"pattern\": \"^a$\"}},
                 \"required\": [\"must\"], \"additionalProperties\": {\"type\": \"boolean\"}}');
             SET activity.redact_keys = 'nickname'",
        )
        .unwrap();
    let mut messages = String::new();
    for (key, secret) in planted() {
        plant(&mut session, key, &secret);
        for document in documents(key, &secret) {
            for refusal in refusals(&mut session, &document) {
                messages.push_str(&refusal.text());
            }
        }
    }
    plant(&mut session, "nickname", "hidden-value-31337");
    plant_in_identifiers(&mut session);
    plant_addresses(&mut session);
    session
        .batch_execute("SET activity.on_error = warn")
        .unwrap();
    for (key, secret) in planted() {
        record(&mut session, "strict.thing", &json!({key: secret})).unwrap();
    }
    session
        .batch_execute("SET activity.on_error = raise; SET activity.registry = warn")
        .unwrap();
    for (key, secret) in planted() {
        record(&mut session, "strict.thing", &json!({key: secret})).unwrap();
    }
    messages.push_str(&format!("{:?}", session.take_notices()));
    messages
}

fn files_below(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.is_file() {
            files.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    files
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else {
        return true;
    };
    bytes
        .iter()
        .enumerate()
        .any(|(at, byte)| byte == first && bytes[at + 1..].starts_with(rest))
}

fn fingerprint(stored: &Value) -> String {
    let text = stored.to_string();
    let end = text
        .find(']')
        .unwrap_or_else(|| panic!("nothing is redacted in {text}"));
    text[end - 16..end].to_owned()
}

#[test]
fn a_secret_has_one_fingerprint_in_its_tenant_and_another_elsewhere() {
    let database = log(Cluster::shared());
    let (mut one, mut two) = (database.superuser(), database.superuser());
    let password = fingerprint(&stored(&mut one, TENANT, &json!({"password": "same"})));
    // In another session, under another key, in another place, found by another rule.
    for document in [
        json!({"password": "same"}),
        json!({"a": [{"token": "same"}]}),
        json!({"b": "{\"secret\": \"same\"}"}),
    ] {
        assert_eq!(
            fingerprint(&stored(&mut two, TENANT, &document)),
            password,
            "{document}"
        );
    }
    assert_ne!(
        fingerprint(&stored(&mut two, TENANT, &json!({"password": "other"}))),
        password
    );
    assert_ne!(
        fingerprint(&stored(
            &mut two,
            OTHER_TENANT,
            &json!({"password": "same"})
        )),
        password
    );
    // Another log has another key.
    let elsewhere = log(Cluster::shared());
    assert_ne!(
        fingerprint(&stored(
            &mut elsewhere.superuser(),
            TENANT,
            &json!({"password": "same"})
        )),
        password
    );
    // Rotating the key of addresses leaves fingerprints as they are.
    one.batch_execute("SELECT activity.rotate_ip_key()")
        .unwrap();
    assert_eq!(
        fingerprint(&stored(&mut two, TENANT, &json!({"password": "same"}))),
        password
    );
}

#[test]
fn fingerprints_stay_the_same_through_a_crash() {
    let cluster = Cluster::start(&Options::default());
    let database = log(&cluster);
    let before = fingerprint(&stored(
        &mut database.superuser(),
        TENANT,
        &json!({"password": "same"}),
    ));
    cluster.restart(Stop::Immediate);
    let after = fingerprint(&stored(
        &mut database.superuser(),
        TENANT,
        &json!({"password": "same"}),
    ));
    assert_eq!(after, before);
}

#[test]
fn numbers_and_booleans_under_a_secrets_key_are_replaced_and_elsewhere_left_alone() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let document = json!({
        "password": 123_456, "secret": true, "ssn": 78_051_120, "card_number": 4_111_111_111_111_111_i64,
        "cvv": [1, 2, 3], "credentials": {"a": 1},
        "amount": 4_111_111_111_111_111_i64, "at": 1_689_000_000_000_i64, "has_password": true, "token_count": 7, "null_token": null,
    });
    let kept = stored(&mut session, TENANT, &document);
    for secret in [
        "password",
        "secret",
        "ssn",
        "card_number",
        "cvv",
        "credentials",
    ] {
        assert!(
            kept[secret].to_string().contains("[redacted:"),
            "{secret}: {kept}"
        );
    }
    for plain in ["amount", "at", "has_password", "token_count", "null_token"] {
        assert_eq!(kept[plain], document[plain], "{plain}");
    }
}

#[test]
fn the_settings_of_redaction_count_from_the_next_event_on_and_only_superusers_change_them() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let document =
        json!({"patient": "Ann", "source_ip": "203.0.113.7", "text": "from 203.0.113.7"});
    assert_eq!(stored(&mut session, TENANT, &document), document);
    session.batch_execute("BEGIN; SET LOCAL activity.redact_keys = 'patient'; SET LOCAL activity.redact_addresses = 'keys'").unwrap();
    let keys = stored(&mut session, TENANT, &document);
    assert!(
        keys["patient"]
            .as_str()
            .unwrap()
            .starts_with("[redacted:configured_key:")
    );
    assert!(
        keys["source_ip"]
            .as_str()
            .unwrap()
            .starts_with("[address:203.0.113.0/24:")
    );
    assert_eq!(keys["text"], document["text"]);
    session
        .batch_execute("SET LOCAL activity.redact_addresses = 'all'")
        .unwrap();
    let all = stored(&mut session, TENANT, &document);
    assert!(!all.to_string().contains("203.0.113.7"), "{all}");
    assert_eq!(
        fingerprint(&json!(all["text"])),
        fingerprint(&json!(all["source_ip"]))
    );
    session.batch_execute("ROLLBACK").unwrap();
    assert_eq!(stored(&mut session, TENANT, &document), document);

    let login = database.create_login(&["activity_admin", "activity_writer"]);
    let mut admin = database.connect_as(&login);
    for statement in [
        "SET activity.redact_keys = ''",
        "SET activity.redact_addresses = 'off'",
    ] {
        expect_error(admin.batch_execute(statement), "42501");
    }
    register(&mut session);
}
