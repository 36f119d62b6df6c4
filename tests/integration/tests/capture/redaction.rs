//! What must not be in the log is nowhere in it: excluded and redacted columns, secrets in values,
//! and values over the cap.

use crate::captured::{LEVELS, TENANT, attach, changes, count, log, log_in};
use activity_log_integration::{Cluster, Options, Stop};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Split, so that this file holds no secret that a scanner would find.
const TOKEN_PARTS: [&str; 2] = ["ghp_", "Zq8Xw2Lk9Vb4Nm7Rt3Yp6Hs1Dg5Fj0Cuabcd"];

fn token() -> String {
    TOKEN_PARTS.concat()
}

#[test]
fn excluded_columns_never_appear_and_redacted_ones_only_show_that_they_changed() {
    for level in LEVELS {
        let database = log();
        let mut session = database.superuser();
        session
            .batch_execute("CREATE TABLE item (id int PRIMARY KEY, n int, hidden text, masked text, seen_at timestamptz)")
            .unwrap();
        attach(
            &mut session,
            "item",
            &format!(
                ", level => '{level}', exclude => '{{hidden}}', redact => '{{masked}}', ignore => '{{seen_at}}'"
            ),
        );
        session
            .batch_execute(
                "INSERT INTO item VALUES (1, 1, 'hidden-a', 'masked-a', NULL), (2, 2, 'hidden-b', NULL, NULL);
                 UPDATE item SET hidden = 'hidden-c' WHERE id = 1;
                 UPDATE item SET seen_at = now(), hidden = 'hidden-d' WHERE id = 1;
                 UPDATE item SET masked = 'masked-c' WHERE id = 1;
                 UPDATE item SET masked = 'masked-c', n = 3, hidden = 'hidden-e' WHERE id = 1;
                 DELETE FROM item",
            )
            .unwrap();
        let lines = changes(&mut session);
        let all = lines.join("\n");
        assert!(!all.contains("hidden"), "at {level} level: {all}");
        assert!(!all.contains("masked-"), "at {level} level: {all}");
        // Two inserts, the changes of masked and n, and two deletes.
        assert_eq!(lines.len(), 6, "at {level} level: {all}");
        let masked = session.texts(
            "SELECT concat_ws(' ', changes #>> '{old,masked}', changes #>> '{new,masked}') FROM activity.events
             WHERE action = 'item.updated' AND changes -> 'new' ? 'masked'",
        );
        assert_eq!(masked.len(), 1, "{all}");
        assert!(masked[0].contains("redacted"), "{masked:?}");
        assert!(lines[3].ends_with(r#"{"n": 1} -> {"n": 3}"#), "{all}");
    }
}

#[test]
fn what_only_touches_ignored_columns_writes_nothing_and_else_they_come_along() {
    for level in LEVELS {
        let database = log();
        let mut session = database.superuser();
        session
            .batch_execute("CREATE TABLE item (id int PRIMARY KEY, n int, seen int); INSERT INTO item VALUES (1, 1, 1)")
            .unwrap();
        attach(
            &mut session,
            "item",
            &format!(", level => '{level}', ignore => '{{seen}}'"),
        );
        session
            .batch_execute("UPDATE item SET seen = 2; UPDATE item SET seen = 3, n = 3")
            .unwrap();
        let lines = changes(&mut session);
        assert_eq!(lines.len(), 1, "at {level} level: {lines:?}");
        assert!(lines[0].contains(r#""n": 3"#), "{lines:?}");
    }
}

#[test]
fn secrets_in_texts_and_documents_are_scrubbed_unless_attach_says_otherwise() {
    for level in LEVELS {
        for scrub in [true, false] {
            let database = log();
            let mut session = database.superuser();
            session
                .batch_execute("CREATE TABLE item (id int PRIMARY KEY, note text, doc jsonb, plain json, list text[], password text, api_key varchar)")
                .unwrap();
            attach(
                &mut session,
                "item",
                &format!(", level => '{level}', scrub => {scrub}"),
            );
            let token = token();
            session
                .batch_execute(&format!(
                    r#"INSERT INTO item VALUES (1, 'key {token} here', '{{"deep": [{{"password": "hush-hush-1"}}]}}',
                           '{{"t": "{token}"}}', ARRAY['{token}'], 'hush-hush-2', 'hush-hush-3');
                       UPDATE item SET note = 'other {token}', password = 'hush-hush-4', list = list || '{token}'::text, doc = doc || '{{"secret": "hush-hush-5"}}';
                       DELETE FROM item"#
                ))
                .unwrap();
            let lines = changes(&mut session);
            assert_eq!(lines.len(), 3);
            for line in lines {
                assert_eq!(
                    line.contains(&token),
                    !scrub,
                    "scrub {scrub} at {level} level: {line}"
                );
                assert_eq!(
                    line.contains("hush-hush"),
                    !scrub,
                    "scrub {scrub} at {level} level: {line}"
                );
            }
        }
    }
}

#[test]
fn keys_and_numeric_date_and_uuid_columns_are_never_scrubbed() {
    for level in LEVELS {
        let database = log();
        let mut session = database.superuser();
        session
            .batch_execute(
                "CREATE TABLE item (id text PRIMARY KEY, card bigint, amount numeric, password uuid, secret date, token timestamptz, ssn int)",
            )
            .unwrap();
        attach(&mut session, "item", &format!(", level => '{level}'"));
        let token = token();
        session
            .batch_execute(&format!(
                "INSERT INTO item VALUES ('{token}', 5555555555554444, 4012888888881881, '{TENANT}', '2026-02-03', '2026-02-03 00:00+00', 78051120)"
            ))
            .unwrap();
        let same = session.texts(
            "SELECT (e.changes -> 'new' = to_jsonb(i))::text || ' ' || (e.object_id = i.id)::text
             FROM activity.events e, item i WHERE e.source = 'capture'",
        );
        assert_eq!(
            same,
            ["true true"],
            "at {level} level: {:?}",
            changes(&mut session)
        );
    }
}

#[test]
fn a_value_over_the_cap_is_replaced_by_its_size_and_digest() {
    for level in LEVELS {
        let database = log();
        let mut session = database.superuser();
        session
            .batch_execute("CREATE TABLE item (id int PRIMARY KEY, body text, raw bytea, doc jsonb, list text[])")
            .unwrap();
        attach(&mut session, "item", &format!(", level => '{level}'"));
        session
            .batch_execute(
                "INSERT INTO item SELECT 1, body, convert_to(body, 'UTF8'), jsonb_build_array(body), ARRAY[body]
                 FROM (SELECT string_agg(md5(n::text), '') AS body FROM generate_series(1, 40000) n) made;
                 UPDATE item SET body = body || 'x';
                 DELETE FROM item",
            )
            .unwrap();
        let size = session.number("SELECT max(pg_column_size(changes))::bigint FROM activity.events WHERE source = 'capture'");
        assert!(size < 10_000, "{size} bytes at {level} level");
        assert_eq!(count(&mut session, "true"), 3);
        let markers: Value = session
            .query_one(
                "SELECT changes -> 'new' FROM activity.events WHERE action = 'item.created'",
                &[],
            )
            .unwrap()
            .get(0);
        for column in ["body", "raw", "doc", "list"] {
            let omitted = &markers[column]["$omitted"];
            assert!(
                omitted["bytes"].as_u64() > Some(1_000_000),
                "{column}: {markers}"
            );
            assert_eq!(
                omitted["sha256"].as_str().map(str::len),
                Some(64),
                "{column}: {markers}"
            );
        }
        // The digest is that of the value's text, which anybody who has the value can compute.
        let same = session.texts(
            "SELECT (changes #>> '{new,body,$omitted,sha256}' = encode(sha256(convert_to(
                 (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 40000) n) || 'x', 'UTF8')), 'hex'))::text
             FROM activity.events WHERE action = 'item.updated'",
        );
        assert_eq!(same, ["true"], "at {level} level");
    }
}

#[test]
fn a_secret_is_in_no_file_of_the_log_in_no_write_ahead_log_and_in_no_message() {
    let cluster = Cluster::start(&Options {
        settings: &[
            ("log_statement", "none"),
            ("wal_keep_size", "1GB"),
            ("log_min_messages", "info"),
        ],
        ..Options::default()
    });
    let database = log_in(&cluster);
    let mut session = database.superuser();
    // An unlogged table puts its rows into no write-ahead log, so what is found there is the log's.
    session
        .batch_execute("CREATE UNLOGGED TABLE item (id int PRIMARY KEY, note text, hidden text, masked text, marker text)")
        .unwrap();
    let token = token();
    for level in LEVELS {
        attach(
            &mut session,
            "item",
            &format!(", level => '{level}', exclude => '{{hidden}}', redact => '{{masked}}'"),
        );
        session
            .batch_execute(&format!(
                "INSERT INTO item VALUES (1, 'a {token}', 'hidden-value-771', 'masked-value-772', 'marker-value-773');
                 UPDATE item SET note = 'b {token}', hidden = hidden || '!', masked = masked || '!';
                 DELETE FROM item; SELECT activity.detach('item')"
            ))
            .unwrap();
    }
    session
        .batch_execute("DROP TABLE item; CHECKPOINT")
        .unwrap();
    drop(session);
    cluster.stop(Stop::Fast);

    let mut files = vec![cluster.folder().join("server.log")];
    files_below(&cluster.folder().join("data"), &mut files);
    let holders = |needle: &str| -> Vec<String> {
        files
            .iter()
            .filter(|file| contains(&std::fs::read(file).unwrap(), needle.as_bytes()))
            .map(|file| file.display().to_string())
            .collect()
    };
    let found = holders("marker-value-773");
    assert!(
        found.iter().any(|file| file.contains("/base/")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|file| file.contains("/pg_wal/")),
        "{found:?}"
    );
    for needle in [TOKEN_PARTS[1], "hidden-value-771", "masked-value-772"] {
        assert_eq!(holders(needle), [""; 0], "{needle}");
    }
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else if path.is_file() {
            files.push(path);
        }
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
