//! `coverage()` and `status()`: what is captured, and what only seems to be.

use crate::captured::{LEVELS, attach, log};
use activity_log_integration::{Session, expect_error};

fn session() -> Session {
    let mut session = log().superuser();
    session
        .batch_execute(
            "CREATE TABLE item (id int PRIMARY KEY, note text); SELECT activity.attach('item');
             CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        )
        .unwrap();
    session
}

fn line(session: &mut Session, table: &str) -> String {
    session
        .text(&format!(
            "SELECT concat_ws(' ', captured, coalesce(level, '-'), state) FROM activity.coverage() WHERE table_name = '{table}'"
        ))
        .unwrap()
}

fn status(session: &mut Session, item: &str) -> String {
    session
        .text(&format!(
            "SELECT concat_ws(' ', value, ok) FROM activity.status() WHERE area = 'capture' AND item = '{item}'"
        ))
        .unwrap()
}

#[test]
fn every_table_of_users_is_listed_with_what_to_do() {
    let mut session = session();
    session
        .batch_execute(
            "CREATE SCHEMA \"My Shop\"; CREATE TABLE \"My Shop\".\"Order\" (id int);
             CREATE TABLE whole (id int PRIMARY KEY) PARTITION BY RANGE (id);
             CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (10);
             CREATE TABLE keyless (id int); SELECT activity.attach('keyless');
             CREATE VIEW seen AS SELECT 1; CREATE TEMP TABLE passing (id int)",
        )
        .unwrap();
    assert_eq!(
        session.texts("SELECT concat_ws('|', schema_name, table_name, object_type, captured, level, state, split_part(advice, ';', 1)) FROM activity.coverage()"),
        [
            r#"My Shop|Order|f|not captured|SELECT activity.attach('"My Shop"."Order"')"#,
            "public|item|item|t|statement|active",
            "public|keyless|keyless|t|statement|active|It has no primary key: its events name no object, and row_as_of() can't tell its rows apart.",
            "public|whole|f|not captured|SELECT activity.attach('public.whole')",
        ]
    );
    let advice = session
        .text("SELECT advice FROM activity.coverage() WHERE table_name = 'Order'")
        .unwrap();
    session.batch_execute(&advice).unwrap();
    assert_eq!(line(&mut session, "Order"), "t statement active");
}

#[test]
fn what_an_owner_switches_off_shows_is_an_event_and_setup_puts_it_back() {
    let mut session = session();
    let all = [
        "!activity_capture_insert",
        "!activity_capture_update",
        "!activity_capture_delete",
        "!activity_capture_row",
        "!activity_capture_truncate",
    ];
    for trigger in all {
        for (change, problem) in [
            (
                format!("ALTER TABLE item DISABLE TRIGGER \"{trigger}\""),
                "wrong",
            ),
            (format!("DROP TRIGGER \"{trigger}\" ON item"), "missing"),
        ] {
            session.batch_execute(&change).unwrap();
            assert_eq!(
                line(&mut session, "item"),
                "f statement partly disabled",
                "{change}"
            );
            assert_eq!(status(&mut session, "triggers missing or disabled"), "1 f");
            // Later DDL neither hides it nor tells of it again.
            session
                .batch_execute("ALTER TABLE item ADD more int; ALTER TABLE item DROP more")
                .unwrap();
            assert_eq!(
                line(&mut session, "item"),
                "f statement partly disabled",
                "{change}"
            );
            assert_eq!(
                session.texts(&format!(
                    "SELECT metadata ->> '{problem}' FROM activity.events WHERE action = 'activity.capture.tampered' ORDER BY event_id DESC LIMIT 1"
                )),
                ["1"]
            );
            let said = session.text("SELECT activity.setup()").unwrap();
            assert!(said.contains("1 guards put back"), "{said}");
            assert_eq!(line(&mut session, "item"), "t statement active");
            assert_eq!(status(&mut session, "triggers missing or disabled"), "0 t");
        }
    }
    assert_eq!(
        session.number(
            "SELECT count(*) FROM activity.events WHERE action = 'activity.capture.tampered'"
        ),
        2 * all.len() as i64
    );
    assert_eq!(
        session.number(
            "SELECT count(*) FROM activity.events WHERE action = 'activity.capture.restored'"
        ),
        2 * all.len() as i64
    );
}

#[test]
fn changes_without_a_tenant_are_told_for_a_week() {
    let mut session = log().superuser();
    session
        .batch_execute(
            "CREATE TABLE stray (id int PRIMARY KEY, tenant_id uuid); SELECT activity.attach('stray');
             INSERT INTO stray VALUES (1, NULL), (2, NULL)",
        )
        .unwrap();
    assert_eq!(status(&mut session, "changes without a tenant"), "2 f");
    // As if the one had been written eight days ago, and the other never.
    session
        .batch_execute(
            "SET session_replication_role = replica;
             ALTER TABLE activity.events DISABLE TRIGGER ALL;
             DO $$ DECLARE p text; BEGIN
                 FOR p IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'activity.events'::regclass LOOP
                     EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', p);
                 END LOOP;
             END $$;
             DELETE FROM activity.events WHERE object_type = 'stray' AND object_id = '2';
             UPDATE activity.events SET recorded_at = now() - interval '8 days' WHERE object_type = 'stray'",
        )
        .unwrap();
    assert_eq!(status(&mut session, "changes without a tenant"), "0 t");
}

#[test]
fn all_triggers_off_is_disabled_and_switching_them_on_again_is_seen() {
    let mut session = session();
    session
        .batch_execute("ALTER TABLE item DISABLE TRIGGER ALL")
        .unwrap();
    assert_eq!(line(&mut session, "item"), "f statement disabled");
    // ENABLE TRIGGER ALL makes them ordinary ones, which replication passes by.
    session
        .batch_execute("ALTER TABLE item ENABLE TRIGGER ALL")
        .unwrap();
    assert_eq!(line(&mut session, "item"), "f statement partly disabled");
    session.batch_execute("SELECT activity.setup()").unwrap();
    assert_eq!(line(&mut session, "item"), "t statement active");
}

#[test]
fn another_row_trigger_that_comes_or_goes_changes_the_level() {
    let mut session = session();
    session
        .batch_execute(
            "CREATE TRIGGER other AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION nothing()",
        )
        .unwrap();
    assert_eq!(line(&mut session, "item"), "t row active");
    session
        .batch_execute("INSERT INTO item VALUES (1); UPDATE item SET note = 'x'")
        .unwrap();
    assert_eq!(
        session
            .texts("SELECT action FROM activity.events WHERE source = 'capture' ORDER BY event_id"),
        ["item.created", "item.updated"]
    );
    session.batch_execute("DROP TRIGGER other ON item").unwrap();
    assert_eq!(line(&mut session, "item"), "t statement active");
    // A key that another table refers to, with an action, is such a trigger as well.
    session
        .batch_execute(
            "CREATE TABLE child (id int PRIMARY KEY, item int REFERENCES item ON DELETE CASCADE)",
        )
        .unwrap();
    assert_eq!(line(&mut session, "item"), "t row active");
    session.batch_execute("DROP TABLE child").unwrap();
    assert!(line(&mut session, "item").ends_with("active"));
    // One that only checks is not.
    session.batch_execute("SELECT activity.setup(); CREATE TABLE child (id int PRIMARY KEY, item int REFERENCES item)").unwrap();
    assert_eq!(line(&mut session, "item"), "t statement active");
    assert_eq!(
        session.number(
            "SELECT count(*) FROM activity.events WHERE action = 'activity.capture.tampered'"
        ),
        0
    );
}

#[test]
fn statement_level_that_became_unsafe_is_brought_to_row_level_or_told() {
    let mut session = session();
    session
        .batch_execute(
            "SELECT activity.detach('item'); SELECT activity.attach('item', level => 'statement');
             CREATE TRIGGER other AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION nothing()",
        )
        .unwrap();
    assert_eq!(line(&mut session, "item"), "t row active");
    session
        .batch_execute(
            "DROP TRIGGER other ON item; ALTER EVENT TRIGGER activity_schema_changed DISABLE;
             CREATE TRIGGER other AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION nothing()",
        )
        .unwrap();
    assert_eq!(line(&mut session, "item"), "t statement unsafe level");
    let advice = session
        .text("SELECT advice FROM activity.coverage() WHERE table_name = 'item'")
        .unwrap();
    assert!(
        advice.contains("it has another AFTER ROW trigger"),
        "{advice}"
    );
    session.batch_execute("SELECT activity.setup()").unwrap();
    assert_eq!(line(&mut session, "item"), "t row active");
}

#[test]
fn missing_event_triggers_are_told_and_put_back() {
    let mut session = session();
    session
        .batch_execute("DROP EVENT TRIGGER activity_dropped; ALTER EVENT TRIGGER activity_schema_changed DISABLE")
        .unwrap();
    assert_eq!(status(&mut session, "missing event triggers"), "2 f");
    session
        .batch_execute("ALTER TABLE item RENAME TO thing; ALTER TABLE thing RENAME note TO remark")
        .unwrap();
    let said = session.text("SELECT activity.setup()").unwrap();
    assert!(said.contains("2 guards put back"), "{said}");
    assert_eq!(status(&mut session, "missing event triggers"), "0 t");
    assert_eq!(
        session.text("SELECT concat_ws(' ', table_name, columns) FROM activity.captures"),
        Some(r#"thing {"id": 1, "remark": 2}"#.into())
    );
    session
        .batch_execute("DROP EVENT TRIGGER activity_dropped; DROP TABLE thing")
        .unwrap();
    assert_eq!(status(&mut session, "tables that are gone"), "1 f");
    session.batch_execute("SELECT activity.setup()").unwrap();
    assert_eq!(session.number("SELECT count(*) FROM activity.captures"), 0);
}

#[test]
fn a_reinstalled_extension_captures_again_after_setup() {
    let mut session = session();
    session
        .batch_execute("INSERT INTO item VALUES (1); DROP EXTENSION activity_log CASCADE; INSERT INTO item VALUES (2);
             CREATE EXTENSION activity_log; SELECT activity.setup(); INSERT INTO item VALUES (3)")
        .unwrap();
    assert_eq!(line(&mut session, "item"), "t statement active");
    assert_eq!(
        session.texts(
            "SELECT object_id FROM activity.events WHERE source = 'capture' ORDER BY event_id"
        ),
        ["1", "3"]
    );
}

#[test]
fn what_a_dropped_extension_did_not_see_is_told_and_no_row_is_exact_beyond_it() {
    for level in LEVELS {
        let database = log();
        let mut session = database.superuser();
        session
            .batch_execute("CREATE TABLE item (id int PRIMARY KEY, note text)")
            .unwrap();
        attach(&mut session, "item", &format!(", level => '{level}'"));
        session
            .batch_execute(
                "INSERT INTO item VALUES (1, 'a'), (2, 'b'); DROP EXTENSION activity_log CASCADE;
                 UPDATE item SET note = 'unseen' WHERE id = 1;
                 CREATE EXTENSION activity_log; SELECT activity.setup()",
            )
            .unwrap();
        assert_eq!(
            session.texts(
                "SELECT action FROM activity.events WHERE action ~ '(tampered|restored)$' ORDER BY event_id"
            ),
            ["activity.capture.tampered", "activity.capture.restored"]
        );
        for id in [1, 2] {
            let row = format!(
                "SELECT (activity.row_as_of('item', '{{\"id\": {id}}}', clock_timestamp()) ->> '$inexact')"
            );
            assert_eq!(
                session.text(&row).as_deref(),
                Some(r#"["id", "note"]"#),
                "{level}"
            );
        }
    }
}

#[test]
fn auditors_and_admins_see_the_coverage_and_nobody_else() {
    let database = log();
    for (role, may) in [
        ("activity_writer", false),
        ("activity_reader", false),
        ("activity_auditor", true),
        ("activity_admin", true),
    ] {
        let login = database.create_login(&[role]);
        let seen = database
            .connect_as(&login)
            .query("SELECT * FROM activity.coverage()", &[]);
        if may {
            seen.unwrap();
        } else {
            expect_error(seen, "42501");
        }
    }
}
