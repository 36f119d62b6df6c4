//! `object_history()` and `row_as_of()`: captured rows read back.

use crate::captured::{LEVELS, OTHER_TENANT, TENANT, attach, log};
use activity_log_integration::{Session, expect_error};

fn now(session: &mut Session) -> String {
    session
        .text("SELECT clock_timestamp()::text FROM pg_sleep(0.002)")
        .unwrap()
}

fn as_of(session: &mut Session, table: &str, key: &str, at: &str) -> Option<String> {
    session.text(&format!(
        "SELECT activity.row_as_of('{table}', '{key}', '{at}')::text"
    ))
}

fn history(session: &mut Session, object_type: &str, object_id: &str) -> Vec<String> {
    session.texts(&format!(
        "SELECT concat_ws(' ', action, object_id, field, old, '->', new) FROM activity.object_history('{object_type}', '{object_id}')"
    ))
}

/// A table with rows from before capture.
fn stock(level: &str) -> Session {
    let mut session = log().superuser();
    session
        .batch_execute("CREATE TABLE stock (id int PRIMARY KEY, name text, price numeric(8,2), parts int[]); INSERT INTO stock VALUES (100, 'old', 9.90, '{1}')")
        .unwrap();
    attach(&mut session, "stock", &format!(", level => '{level}'"));
    session
}

#[test]
fn a_row_is_told_as_it_stood_through_changes_of_its_key() {
    for level in LEVELS {
        let mut session = stock(level);
        let before = now(&mut session);
        session
            .batch_execute(
                "INSERT INTO stock VALUES (1, 'nut', 1.10, '{1,2}'), (2, 'bolt', 2, NULL)",
            )
            .unwrap();
        let made = now(&mut session);
        session.batch_execute("UPDATE stock SET price = 1.20 WHERE id = 1; UPDATE stock SET id = 7, name = 'nuts' WHERE id = 1").unwrap();
        let moved = now(&mut session);
        session.batch_execute("UPDATE stock SET id = 1 WHERE id = 2; DELETE FROM stock WHERE id = 7; INSERT INTO stock VALUES (7, 'new', NULL, NULL)").unwrap();
        let last = now(&mut session);
        for (id, at, row) in [
            (1, &before, None),
            (
                1,
                &made,
                Some(r#"{"id": 1, "name": "nut", "parts": [1, 2], "price": 1.10}"#),
            ),
            (1, &moved, None),
            (7, &made, None),
            (
                7,
                &moved,
                Some(r#"{"id": 7, "name": "nuts", "parts": [1, 2], "price": 1.20}"#),
            ),
            (
                7,
                &last,
                Some(r#"{"id": 7, "name": "new", "parts": null, "price": null}"#),
            ),
            (
                1,
                &last,
                Some(r#"{"id": 1, "name": "bolt", "parts": null, "price": 2.00}"#),
            ),
            (
                2,
                &moved,
                Some(r#"{"id": 2, "name": "bolt", "parts": null, "price": 2.00}"#),
            ),
            (2, &last, None),
        ] {
            let found = as_of(&mut session, "stock", &format!(r#"{{"id": {id}}}"#), at);
            assert_eq!(found.as_deref(), row, "{id} at {level} level");
        }
        assert_eq!(
            session.text("SELECT activity.row_as_of('stock', '{\"id\": \"007\"}')::text"),
            as_of(&mut session, "stock", r#"{"id": 7}"#, &last),
            "a key is read as its type, and without a time it is now"
        );
    }
}

#[test]
fn the_history_of_an_object_goes_back_through_its_names_field_by_field() {
    let mut session = stock("auto");
    session
        .batch_execute(
            "SELECT activity.register_action('stock.counted');
             INSERT INTO stock (id, name) VALUES (1, 'nut'); UPDATE stock SET id = 7, name = 'nuts' WHERE id = 1;
             INSERT INTO stock (id) VALUES (1)",
        )
        .unwrap();
    session
        .batch_execute(&format!(
            "SELECT activity.record('stock.counted', tenant_id => '{TENANT}', object_type => 'stock', object_id => '7');
             DELETE FROM stock WHERE id = 7"
        ))
        .unwrap();
    assert_eq!(
        history(&mut session, "stock", "7"),
        [
            "stock.deleted 7 id 7 ->",
            "stock.deleted 7 name \"nuts\" ->",
            "stock.deleted 7 parts null ->",
            "stock.deleted 7 price null ->",
            "stock.counted 7 ->",
            "stock.updated 1 id 1 -> 7",
            "stock.updated 1 name \"nut\" -> \"nuts\"",
            "stock.created 1 id -> 1",
            "stock.created 1 name -> \"nut\"",
            "stock.created 1 parts -> null",
            "stock.created 1 price -> null",
        ]
    );
    // The row that took the free name is another one, and so is its history; that of the old name
    // tells how it was given up.
    assert_eq!(history(&mut session, "stock", "1").len(), 4 + 2 + 4);
    assert_eq!(history(&mut session, "stock", "404"), [""; 0]);
    assert_eq!(history(&mut session, "nothing", "1"), [""; 0]);
    for arguments in ["NULL, '1'", "'stock', ''"] {
        expect_error(
            session.query(&format!("SELECT activity.object_history({arguments})"), &[]),
            "22004",
        );
    }
}

#[test]
fn a_row_from_before_capture_is_told_as_far_as_later_changes_tell() {
    let mut session = stock("auto");
    let start = now(&mut session);
    session
        .batch_execute("UPDATE stock SET price = 8 WHERE id = 100")
        .unwrap();
    let cheaper = now(&mut session);
    assert_eq!(
        as_of(&mut session, "stock", r#"{"id": 100}"#, &start).unwrap(),
        r#"{"id": 100, "price": 9.90, "$inexact": ["name", "parts"]}"#
    );
    session
        .batch_execute("UPDATE stock SET name = 'older' WHERE id = 100; DELETE FROM stock")
        .unwrap();
    assert_eq!(
        as_of(&mut session, "stock", r#"{"id": 100}"#, &start).unwrap(),
        r#"{"id": 100, "name": "old", "parts": [1], "price": 9.90}"#
    );
    assert_eq!(
        as_of(&mut session, "stock", r#"{"id": 100}"#, &cheaper).unwrap(),
        r#"{"id": 100, "name": "old", "parts": [1], "price": 8.00}"#
    );
}

#[test]
fn what_is_not_exact_is_listed() {
    let mut session = log().superuser();
    session
        .batch_execute(
            "CREATE TABLE doc (id int PRIMARY KEY, body text, pin text, note text, hidden text)",
        )
        .unwrap();
    attach(
        &mut session,
        "doc",
        ", exclude => ARRAY['hidden'], redact => ARRAY['pin']",
    );
    session
        .batch_execute("INSERT INTO doc VALUES (1, repeat('x', 100000), '1234', 'password=hunter2secret', 'h')")
        .unwrap();
    let listed = |session: &mut Session| {
        session.texts("SELECT jsonb_array_elements_text(activity.row_as_of('doc', '{\"id\": 1}') -> '$inexact')")
    };
    assert_eq!(listed(&mut session), ["body", "hidden", "note", "pin"]);
    session
        .batch_execute("UPDATE doc SET body = 'short', note = 'plain'")
        .unwrap();
    assert_eq!(listed(&mut session), ["hidden", "pin"]);
    // Whatever happens in a pause is in no event; what is set afterwards is known again.
    session
        .batch_execute("SELECT activity.pause('doc', 'x'); UPDATE doc SET body = 'unseen'; SELECT activity.resume('doc'); UPDATE doc SET note = 'seen'")
        .unwrap();
    assert_eq!(listed(&mut session), ["body", "hidden", "id", "pin"]);
}

#[test]
fn a_row_has_the_columns_that_its_table_had() {
    let mut session = stock("auto");
    session
        .batch_execute("INSERT INTO stock VALUES (1, 'nut', 1, '{}')")
        .unwrap();
    let first = now(&mut session);
    session
        .batch_execute("ALTER TABLE stock RENAME name TO label; ALTER TABLE stock DROP parts; ALTER TABLE stock ADD size int DEFAULT 3; UPDATE stock SET label = 'nuts'")
        .unwrap();
    let second = now(&mut session);
    session
        .batch_execute("UPDATE stock SET size = 4 WHERE id = 1")
        .unwrap();
    assert_eq!(
        as_of(&mut session, "stock", r#"{"id": 1}"#, &first).unwrap(),
        r#"{"id": 1, "name": "nut", "parts": [], "price": 1.00}"#
    );
    // A default that was given to rows that were there is in no event.
    assert_eq!(
        as_of(&mut session, "stock", r#"{"id": 1}"#, &second).unwrap(),
        r#"{"id": 1, "label": "nuts", "price": 1.00, "$inexact": ["size"]}"#
    );
    assert_eq!(
        session
            .text("SELECT activity.row_as_of('stock', '{\"id\": 1}')::text")
            .unwrap(),
        r#"{"id": 1, "size": 4, "label": "nuts", "price": 1.00}"#
    );
}

#[test]
fn truncate_ends_every_life() {
    let mut session = stock("auto");
    session
        .batch_execute("INSERT INTO stock VALUES (1, 'nut', 1, '{}')")
        .unwrap();
    let before = now(&mut session);
    session.batch_execute("TRUNCATE stock").unwrap();
    let after = now(&mut session);
    session
        .batch_execute("INSERT INTO stock (id) VALUES (1)")
        .unwrap();
    assert!(as_of(&mut session, "stock", r#"{"id": 1}"#, &before).is_some());
    assert_eq!(as_of(&mut session, "stock", r#"{"id": 1}"#, &after), None);
    assert!(as_of(&mut session, "stock", r#"{"id": 1}"#, "infinity").is_some());
    // A row that takes the name of one that went with the others is told from it.
    session
        .batch_execute("TRUNCATE stock; INSERT INTO stock (id, name) VALUES (5, 'five'); UPDATE stock SET id = 1")
        .unwrap();
    assert_eq!(
        as_of(&mut session, "stock", r#"{"id": 1}"#, "infinity").unwrap(),
        r#"{"id": 1, "name": "five", "parts": null, "price": null}"#
    );
    assert_eq!(
        history(&mut session, "stock", "1").len(),
        4 + 4 + 1 + 4,
        "two rows that were emptied away, and one with a change of its key"
    );
}

#[test]
fn keys_of_several_columns_and_other_types_are_read_as_what_they_are() {
    let mut session = log().superuser();
    session
        .batch_execute(
            "CREATE DOMAIN code AS uuid; CREATE TABLE slot (day date, at timestamptz, code code, n numeric, flag bool, what text,
                 PRIMARY KEY (at, day, code, n, flag))",
        )
        .unwrap();
    attach(&mut session, "slot", "");
    session
        .batch_execute("INSERT INTO slot VALUES ('2026-01-02', '2026-01-02 03:04+02', 'AAAAAAAA-AAAA-4AAA-8AAA-AAAAAAAAAAAA', 1.50, true, 'x'); UPDATE slot SET flag = false")
        .unwrap();
    for key in [
        r#"{"day": "2026-01-02", "at": "2026-01-02T01:04:00+00:00", "code": "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "n": 1.50, "flag": false}"#,
        r#"{"day": "January 2, 2026", "at": "2026-01-01 20:04-05", "code": "{AAAAAAAA-AAAA-4AAA-8AAA-AAAAAAAAAAAA}", "n": "1.50", "flag": "no"}"#,
    ] {
        let row = session.text(&format!(
            "SELECT activity.row_as_of('slot', $${key}$$) ->> 'what'"
        ));
        assert_eq!(row.as_deref(), Some("x"), "{key}");
    }
}

#[test]
fn a_key_is_found_whatever_the_session_has_set_for_its_output() {
    let mut session = log().superuser();
    session
        .batch_execute(
            "CREATE TABLE stay (hash bytea, nights daterange, late interval, share float8, what text,
                 PRIMARY KEY (hash, nights, late, share))",
        )
        .unwrap();
    attach(&mut session, "stay", "");
    session
        .batch_execute(r"INSERT INTO stay VALUES ('\xdead', '[2026-02-01,2026-03-01)', '1 day 02:00', 0.1, 'x')")
        .unwrap();
    for setting in [
        "bytea_output = 'escape'",
        "DateStyle = 'SQL, DMY'",
        "IntervalStyle = 'iso_8601'",
        "extra_float_digits = -14",
        "TimeZone = 'Asia/Tokyo'",
    ] {
        session.batch_execute(&format!("SET {setting}")).unwrap();
        let row = session.text(
            r#"SELECT activity.row_as_of('stay',
                   '{"hash": "\\xdead", "nights": "[2026-02-01,2026-03-01)", "late": "1 day 2 hours", "share": 0.1}') ->> 'what'"#,
        );
        assert_eq!(row.as_deref(), Some("x"), "{setting}");
        session.batch_execute("RESET ALL").unwrap();
    }
}

#[test]
fn a_key_that_is_none_is_refused() {
    let mut session = stock("auto");
    session
        .batch_execute("CREATE TABLE keyless (id int); CREATE TABLE free (id int PRIMARY KEY)")
        .unwrap();
    attach(&mut session, "keyless", "");
    for (arguments, sqlstate) in [
        ("'keyless', '{\"id\": 1}'", "0A000"),
        ("'free', '{\"id\": 1}'", "42704"),
        ("'stock', NULL", "22004"),
        ("NULL, '{\"id\": 1}'", "22004"),
        ("'stock', '{}'", "22023"),
        ("'stock', '5'", "22023"),
        ("'stock', '{\"id\": null}'", "22023"),
        ("'stock', '{\"id\": 1, \"name\": \"nut\"}'", "22023"),
        ("'stock', '{\"name\": \"nut\"}'", "22023"),
        ("'stock', '{\"id\": \"one\"}'", "22P02"),
    ] {
        expect_error(
            session.query(&format!("SELECT activity.row_as_of({arguments})"), &[]),
            sqlstate,
        );
    }
}

#[test]
fn readers_read_back_their_own_tenant_and_auditors_all() {
    let database = log();
    let mut session = database.superuser();
    session
        .batch_execute(&format!(
            "CREATE TABLE item (id int PRIMARY KEY, tenant_id uuid, note text); SELECT activity.attach('item');
             INSERT INTO item VALUES (1, '{TENANT}', 'a'), (2, '{OTHER_TENANT}', 'b')"
        ))
        .unwrap();
    let row = |id: i32| format!("SELECT activity.row_as_of('item', '{{\"id\": {id}}}') ->> 'note'");
    let count = |id: i32| format!("SELECT count(*) FROM activity.object_history('item', '{id}')");
    let mut reader = database.connect_as(&database.create_login(&["activity_reader"]));
    expect_error(reader.query(&row(1), &[]), "22004");
    reader
        .batch_execute(&format!("SET activity.tenant_id = '{TENANT}'"))
        .unwrap();
    assert_eq!(reader.text(&row(1)).as_deref(), Some("a"));
    assert_eq!(reader.text(&row(2)), None);
    assert_eq!((reader.number(&count(1)), reader.number(&count(2))), (3, 0));
    let mut auditor = database.connect_as(&database.create_login(&["activity_auditor"]));
    assert_eq!(auditor.text(&row(1)).as_deref(), Some("a"));
    assert_eq!(auditor.text(&row(2)).as_deref(), Some("b"));
    assert_eq!(
        (auditor.number(&count(1)), auditor.number(&count(2))),
        (3, 3)
    );
    // An auditor who is pinned sees what he is pinned to.
    let pinned = database.create_login(&["activity_auditor"]);
    session
        .batch_execute(&format!(
            "INSERT INTO activity.role_tenants VALUES ('{pinned}', '{TENANT}')"
        ))
        .unwrap();
    let mut pinned = database.connect_as(&pinned);
    assert_eq!((pinned.number(&count(1)), pinned.number(&count(2))), (3, 0));
    assert_eq!(pinned.text(&row(2)), None);
    let mut writer = database.connect_as(&database.create_login(&["activity_writer"]));
    expect_error(writer.query(&row(1), &[]), "42501");
}

#[test]
fn a_statement_that_was_summed_up_leaves_its_rows_in_doubt() {
    let mut session = stock("auto");
    session
        .batch_execute(
            "INSERT INTO stock SELECT g, 'n', 1, '{}' FROM generate_series(1, 20) g;
             SET activity.capture_row_limit = 10; UPDATE stock SET price = price + 1; RESET activity.capture_row_limit",
        )
        .unwrap();
    assert_eq!(
        session
            .text("SELECT activity.row_as_of('stock', '{\"id\": 1}') ->> '$inexact'")
            .unwrap(),
        r#"["id", "name", "parts", "price"]"#
    );
}
