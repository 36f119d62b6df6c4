//! Captured tables through DDL, dump and restore: writes go on, and the log says what changed.

use crate::captured::log;
use activity_log_integration::{Cluster, Database, Session, expect_error};

const ITEM: &str = "CREATE TABLE item (id int PRIMARY KEY, tenant_id uuid, note text, hush text, price int);
    SELECT activity.attach('item', exclude => ARRAY['hush'], redact => ARRAY['note'], ignore => ARRAY['price']);
    SET activity.tenant_id = 'ca970000-0000-4000-8000-0000000000aa';";

fn item() -> (Database<'static>, Session) {
    let database = log();
    let mut session = database.superuser();
    session.batch_execute(ITEM).unwrap();
    (database, session)
}

/// The last `activity.capture.*` event, without what says which capture it is of.
fn last_event(session: &mut Session) -> serde_json::Value {
    let text = session
        .text(
            "SELECT jsonb_strip_nulls(metadata - '{capture_id,object_type}'::text[] || jsonb_build_object('action', action))::text
             FROM activity.events WHERE action LIKE 'activity.capture.%' ORDER BY event_id DESC LIMIT 1",
        )
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

fn last_change(session: &mut Session) -> String {
    session
        .text("SELECT changes::text FROM activity.events WHERE changes IS NOT NULL ORDER BY event_id DESC LIMIT 1")
        .unwrap()
}

#[test]
fn columns_that_come_go_and_change_never_break_a_write_and_are_told() {
    let (_database, mut session) = item();
    session
        .batch_execute("INSERT INTO item VALUES (1, NULL, 'n', 's', 5)")
        .unwrap();
    for (ddl, write, change, told) in [
        (
            "ALTER TABLE item ADD COLUMN size int DEFAULT 7",
            "UPDATE item SET size = 8",
            r#"{"new": {"size": 8}, "old": {"size": 7}}"#,
            serde_json::json!({"added": ["size"]}),
        ),
        (
            "ALTER TABLE item RENAME COLUMN hush TO hidden",
            "UPDATE item SET hidden = 'still', size = 9",
            r#"{"new": {"size": 9}, "old": {"size": 8}}"#,
            serde_json::json!({"renamed": [{"from": "hush", "to": "hidden"}]}),
        ),
        (
            "ALTER TABLE item ALTER COLUMN size TYPE text USING 'w' || size",
            "UPDATE item SET size = 'x'",
            r#"{"new": {"size": "x"}, "old": {"size": "w9"}}"#,
            serde_json::json!({"retyped": [{"column": "size", "from": "integer", "to": "text"}]}),
        ),
        (
            "ALTER TABLE item DROP COLUMN note, DROP COLUMN price",
            "UPDATE item SET size = 'y'",
            r#"{"new": {"size": "y"}, "old": {"size": "x"}}"#,
            serde_json::json!({"dropped": ["note", "price"]}),
        ),
        (
            "ALTER TABLE item ADD COLUMN hush text",
            "UPDATE item SET hush = 'a new one'",
            r#"{"new": {"hush": "a new one"}, "old": {"hush": null}}"#,
            serde_json::json!({"added": ["hush"]}),
        ),
    ] {
        session.batch_execute(ddl).unwrap();
        let event = last_event(&mut session);
        assert_eq!(event["action"], "activity.capture.schema_changed", "{ddl}");
        for kind in ["added", "dropped", "renamed", "retyped"] {
            let expected = told.get(kind).cloned().unwrap_or(serde_json::json!([]));
            assert_eq!(event[kind], expected, "{kind} of {ddl}");
        }
        session.batch_execute(write).unwrap();
        assert_eq!(last_change(&mut session), change, "{write} after {ddl}");
    }
    assert_eq!(
        session.text("SELECT concat_ws(' ', excluded, redacted, ignored) FROM activity.captures"),
        Some("{hidden} {} {}".into())
    );
}

#[test]
fn a_table_keeps_its_name_in_the_log_wherever_it_goes() {
    let (_database, mut session) = item();
    session
        .batch_execute(
            "INSERT INTO item VALUES (1); ALTER TABLE item RENAME TO thing; INSERT INTO thing VALUES (2);
             CREATE SCHEMA shop; ALTER TABLE thing SET SCHEMA shop; INSERT INTO shop.thing VALUES (3);
             ALTER SCHEMA shop RENAME TO store; INSERT INTO store.thing VALUES (4);",
        )
        .unwrap();
    assert_eq!(
        session.texts("SELECT concat_ws(' ', action, object_type, object_id) FROM activity.events WHERE source = 'capture' ORDER BY event_id"),
        ["item.created item 1", "item.created item 2", "item.created item 3", "item.created item 4"]
    );
    let event = last_event(&mut session);
    assert_eq!(
        (&event["schema_before"], &event["schema"], &event["table"]),
        (&"shop".into(), &"store".into(), &"thing".into())
    );
    // A new table takes the free name and is another one.
    session.batch_execute("CREATE TABLE item (id int PRIMARY KEY); SELECT activity.attach('item'); INSERT INTO item VALUES (1)").unwrap();
    assert_eq!(
        session.text("SELECT object_type FROM activity.events WHERE source = 'capture' ORDER BY event_id DESC LIMIT 1"),
        Some("public.item".into())
    );
}

#[test]
fn a_dropped_table_ends_its_capture_whatever_dropped_it() {
    for drop in [
        "DROP TABLE app.item",
        "DROP SCHEMA app CASCADE",
        "DROP OWNED BY postgres_of_app",
    ] {
        let database = log();
        let mut session = database.superuser();
        let owner = database.create_login(&[]);
        session
            .batch_execute(&format!(
                "CREATE SCHEMA app; CREATE TABLE app.item (id int PRIMARY KEY); ALTER TABLE app.item OWNER TO {owner};
                 SELECT activity.attach('app.item');"
            ))
            .unwrap();
        session
            .batch_execute(&drop.replace("postgres_of_app", &owner))
            .unwrap();
        assert_eq!(
            session.number("SELECT count(*) FROM activity.captures"),
            0,
            "{drop}"
        );
        let event = last_event(&mut session);
        assert_eq!(event["action"], "activity.capture.detached");
        assert_eq!(event["reason"], "table dropped");
    }
}

#[test]
fn ddl_that_is_rolled_back_changed_nothing() {
    let (_database, mut session) = item();
    let before = session.text("SELECT c::text FROM activity.captures c");
    session
        .batch_execute("BEGIN; ALTER TABLE item RENAME TO thing; ALTER TABLE thing DROP hush; DROP TABLE thing; ROLLBACK")
        .unwrap();
    assert_eq!(
        session.text("SELECT c::text FROM activity.captures c"),
        before
    );
    session
        .batch_execute("INSERT INTO item VALUES (1, NULL, 'n', 's', 5)")
        .unwrap();
    assert!(!last_change(&mut session).contains("hush"));
}

#[test]
fn a_column_that_goes_with_its_type_is_noticed() {
    let (_database, mut session) = item();
    session
        .batch_execute(
            "CREATE TYPE mood AS ENUM ('good'); ALTER TABLE item ADD mood mood; DROP TYPE mood CASCADE; INSERT INTO item VALUES (1)",
        )
        .unwrap();
    assert_eq!(
        last_event(&mut session)["dropped"],
        serde_json::json!(["mood"])
    );
}

#[test]
fn whoever_runs_ddl_needs_no_right_on_the_log_and_no_search_path() {
    let database = log();
    let owner = database.create_login(&[]);
    database
        .superuser()
        .batch_execute(&format!(
            "CREATE TABLE item (id int PRIMARY KEY); ALTER TABLE item OWNER TO {owner}; SELECT activity.attach('item');
             CREATE SCHEMA evil AUTHORIZATION {owner}; GRANT CREATE ON SCHEMA public TO {owner};"
        ))
        .unwrap();
    let mut session = database.connect_as(&owner);
    session
        .batch_execute(
            "CREATE TABLE evil.pg_class (oid oid); CREATE TABLE evil.captures (x int);
             CREATE FUNCTION evil.format(text, VARIADIC \"any\") RETURNS text LANGUAGE internal AS 'text_format' ",
        )
        .unwrap_or(());
    session
        .batch_execute("SET search_path = evil, pg_catalog; ALTER TABLE public.item ADD note text; ALTER TABLE public.item RENAME TO thing")
        .unwrap();
    assert_eq!(session.take_notices(), []);
    let mut superuser = database.superuser();
    assert_eq!(
        superuser.text("SELECT concat_ws(' ', table_name, columns) FROM activity.captures"),
        Some(r#"thing {"id": 1, "note": 2}"#.into())
    );
    assert_eq!(last_event(&mut superuser)["table"], "thing");
}

#[test]
fn ddl_goes_on_where_capture_cannot_follow() {
    let (_database, mut session) = item();
    // Nobody does this, but a table of ours that is broken must not break the table of a user.
    session
        .batch_execute("ALTER TABLE activity.captures RENAME COLUMN columns TO broken")
        .unwrap();
    let _ = session.take_notices();
    session
        .batch_execute("ALTER TABLE item ADD more int; DROP TABLE item")
        .unwrap();
    let notices = session.take_notices();
    assert!(
        notices
            .iter()
            .any(|n| n.message.contains("could not follow this change")
                && n.hint.contains("activity.setup()")),
        "{notices:?}"
    );
}

#[test]
fn partitions_that_leave_are_left_clean() {
    let mut session = log().superuser();
    session
        .batch_execute(
            "CREATE TABLE whole (id int PRIMARY KEY) PARTITION BY RANGE (id);
             CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (10);
             SELECT activity.attach('whole');
             CREATE TABLE later PARTITION OF whole FOR VALUES FROM (10) TO (20);
             ALTER TABLE whole DETACH PARTITION part;
             ALTER TABLE whole ATTACH PARTITION part FOR VALUES FROM (0) TO (10);
             ALTER TABLE whole DETACH PARTITION part",
        )
        .unwrap();
    assert_eq!(
        session.texts("SELECT concat_ws(' ', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger WHERE tgname LIKE '!activity%' ORDER BY 1"),
        [
            "later !activity_capture_row A", "later !activity_capture_truncate A",
            "whole !activity_capture_row A", "whole !activity_capture_truncate A",
        ]
    );
    assert_eq!(
        session.text("SELECT concat_ws(' ', level, state) FROM activity.coverage() WHERE table_name = 'whole'"),
        Some("row active".into())
    );
    session.batch_execute("TRUNCATE later").unwrap();
    assert_eq!(
        session.number("SELECT count(*) FROM activity.events WHERE action = 'whole.truncated'"),
        1
    );
}

/// The columns that row_as_of() does not vouch for, of the row with id 1.
fn inexact(session: &mut Session, table: &str) -> Option<String> {
    session.text(&format!(
        "SELECT activity.row_as_of('{table}', '{{\"id\": 1}}', clock_timestamp()) ->> '$inexact'"
    ))
}

#[test]
fn values_that_are_computed_anew_under_the_same_type_are_told() {
    let (_database, mut session) = item();
    session
        .batch_execute(
            "CREATE TABLE offer (id int PRIMARY KEY, price int, size int);
             SELECT activity.attach('offer', tenant_id => 'ca970000-0000-4000-8000-0000000000aa');
             INSERT INTO offer VALUES (1, 5, 7);",
        )
        .unwrap();
    assert_eq!(inexact(&mut session, "offer"), None);
    session
        .batch_execute(
            "BEGIN; SAVEPOINT s; ALTER TABLE offer ALTER price TYPE int USING price * 1000; COMMIT",
        )
        .unwrap();
    assert_eq!(
        last_event(&mut session)["retyped"],
        serde_json::json!([{"column": "price", "from": "integer", "to": "integer"}])
    );
    assert_eq!(
        inexact(&mut session, "offer").as_deref(),
        Some(r#"["price"]"#)
    );
    // Beside another one that shows.
    session
        .batch_execute("ALTER TABLE offer ALTER price TYPE bigint, ALTER size TYPE int USING 0")
        .unwrap();
    let retyped = &last_event(&mut session)["retyped"];
    assert_eq!(retyped.as_array().unwrap().len(), 2, "{retyped}");
    // What rewrites a table without a new value is not told.
    let events = session.number("SELECT count(*) FROM activity.events");
    session
        .batch_execute("ALTER TABLE offer SET UNLOGGED; CLUSTER offer USING offer_pkey; ALTER TABLE offer ALTER size SET NOT NULL")
        .unwrap();
    assert_eq!(
        session.number("SELECT count(*) FROM activity.events"),
        events
    );
}

#[test]
fn rows_that_come_and_go_with_a_partition_are_no_longer_exact() {
    let changes = [
        // What is done to a partition while it is away, nobody sees.
        ("ALTER TABLE whole DETACH PARTITION part", true),
        (
            "ALTER TABLE whole ATTACH PARTITION other FOR VALUES FROM (20) TO (30)",
            true,
        ),
        ("DROP TABLE more", true),
        (
            "CREATE TABLE empty PARTITION OF whole FOR VALUES FROM (30) TO (40)",
            false,
        ),
    ];
    for (change, is_gap) in changes {
        let mut session = log().superuser();
        session
            .batch_execute(
                "CREATE TABLE whole (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
                 CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (10);
                 CREATE TABLE more PARTITION OF whole FOR VALUES FROM (10) TO (20);
                 CREATE TABLE other (id int PRIMARY KEY, v text);
                 SELECT activity.attach('whole', tenant_id => 'ca970000-0000-4000-8000-0000000000aa');
                 SET activity.tenant_id = 'ca970000-0000-4000-8000-0000000000aa';
                 INSERT INTO whole VALUES (1, 'honest'), (11, 'b'); INSERT INTO other VALUES (21, 'c')",
            )
            .unwrap();
        assert_eq!(inexact(&mut session, "whole"), None);
        session.batch_execute(change).unwrap();
        let event = last_event(&mut session);
        assert_eq!(
            event["action"], "activity.capture.partitions_changed",
            "{change}"
        );
        assert_eq!(event["may_hold_rows"], is_gap, "{change}: {event}");
        let expected = is_gap.then_some(r#"["id", "v"]"#);
        assert_eq!(
            inexact(&mut session, "whole").as_deref(),
            expected,
            "{change}"
        );
    }
}

#[test]
fn rules_that_no_longer_fit_are_told_and_break_nothing() {
    let (_database, mut session) = item();
    session
        .batch_execute(
            "SELECT activity.register_action('item.priced');
             SELECT activity.on_change('item', 'item.priced', 'OLD.price < NEW.price'); INSERT INTO item VALUES (1, NULL, '', '', 1);
             ALTER TABLE item RENAME price TO cost",
        )
        .unwrap();
    assert_eq!(
        last_event(&mut session)["rules_that_no_longer_fit"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(
        session.text("SELECT problem FROM activity.capture_rules"),
        Some("42703".into())
    );
    let advice = session
        .text("SELECT advice FROM activity.coverage() WHERE table_name = 'item'")
        .unwrap();
    assert!(advice.contains("A rule no longer fits"), "{advice}");
    session.batch_execute("UPDATE item SET cost = 2, note = 'x'; ALTER TABLE item RENAME cost TO price; UPDATE item SET price = 3, note = 'y'").unwrap();
    assert_eq!(
        session.text("SELECT problem FROM activity.capture_rules"),
        None
    );
    assert_eq!(
        session.number("SELECT count(*) FROM activity.events WHERE action = 'item.priced'"),
        1
    );
}

#[test]
fn a_restored_database_captures_at_once_and_is_taken_over_by_migrate() {
    let (database, mut session) = item();
    session
        .batch_execute(
            "ALTER TABLE item ADD gone int; ALTER TABLE item DROP gone; ALTER TABLE item ADD last text;
             CREATE TABLE whole (id int PRIMARY KEY) PARTITION BY RANGE (id);
             CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (10);
             SELECT activity.attach('whole'); SELECT activity.pause('whole', 'moving');
             SELECT activity.register_action('item.seen'); SELECT activity.on_change('item', 'item.seen', 'NEW.last = ''x''');
             INSERT INTO item VALUES (1)",
        )
        .unwrap();
    let dump = database.program("pg_dump").output().unwrap();
    assert!(dump.status.success());
    let copy = Cluster::shared().empty_database();
    let script = String::from_utf8(dump.stdout).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let restored = copy
        .program("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(file.path())
        .output()
        .unwrap();
    assert!(
        restored.status.success(),
        "{}",
        String::from_utf8_lossy(&restored.stderr)
    );
    assert_eq!(String::from_utf8_lossy(&restored.stderr), "");

    let mut session = copy.superuser();
    session
        .batch_execute("SET activity.tenant_id = 'ca970000-0000-4000-8000-0000000000aa'; INSERT INTO item VALUES (2, NULL, 'n', 's', 1, 'l'); UPDATE item SET last = 'x' WHERE id = 2")
        .unwrap();
    assert_eq!(
        last_event(&mut session)["action"],
        "activity.capture.rule_added",
        "the restore itself is no change of a table"
    );
    assert_eq!(
        session.number("SELECT count(*) FROM activity.events WHERE action = 'item.seen'"),
        1
    );
    assert_eq!(
        last_change(&mut session),
        r#"{"new": {"last": "x"}, "old": {"last": "l"}}"#
    );
    let said = session.text("SELECT activity.migrate()").unwrap();
    assert!(said.contains("taken over"), "{said}");
    assert_eq!(
        session.texts("SELECT concat_ws(' ', table_name, level, state) FROM activity.coverage()"),
        ["item statement active", "whole row paused"]
    );
    assert_eq!(
        session.texts("SELECT concat_ws(' ', relation = table_name::regclass, excluded, columns) FROM activity.captures ORDER BY table_name"),
        [
            r#"t {hush} {"id": 1, "hush": 4, "last": 6, "note": 3, "price": 5, "tenant_id": 2}"#,
            r#"t {} {"id": 1}"#
        ]
    );
    session.batch_execute("ALTER TABLE item RENAME hush TO hidden; INSERT INTO item VALUES (3, NULL, 'n', 'still secret')").unwrap();
    assert!(!last_change(&mut session).contains("still secret"));
}

#[test]
fn the_functions_of_the_event_triggers_are_called_by_the_server_only() {
    let (database, mut session) = item();
    for function in ["_on_schema_change", "_on_drop"] {
        expect_error(
            session.query(&format!("SELECT activity.{function}()"), &[]),
            "39P03",
        );
        let login = database.create_login(&["activity_admin"]);
        expect_error(
            database
                .connect_as(&login)
                .query(&format!("SELECT activity.{function}()"), &[]),
            "42501",
        );
    }
}
