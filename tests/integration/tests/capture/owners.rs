//! What the owner of a captured table may do, who has no right on the log: work with it as before,
//! and leave a trace where rows change without an event.

use crate::captured::{LEVELS, TENANT, attach, changes, count, log};
use activity_log_integration::{Database, Session};

/// Tables of a login without any right on the log, captured; its session, and the superuser's.
fn owned(
    definitions: &str,
    tables: &[&str],
    arguments: &str,
) -> (Database<'static>, Session, Session) {
    let database = log();
    let owner = database.create_login(&[]);
    let mut superuser = database.superuser();
    superuser
        .batch_execute(&format!("CREATE SCHEMA own AUTHORIZATION {owner}"))
        .unwrap();
    let mut session = database.connect_as(&owner);
    session
        .batch_execute(&format!("SET search_path = own; {definitions}"))
        .unwrap();
    superuser
        .batch_execute("SET search_path = own, public")
        .unwrap();
    for table in tables {
        attach(&mut superuser, table, arguments);
    }
    (database, session, superuser)
}

fn state(session: &mut Session, table: &str) -> String {
    session
        .text(&format!(
            "SELECT state FROM activity.coverage() WHERE schema_name = 'own' AND table_name = '{table}'"
        ))
        .unwrap()
}

fn advice(session: &mut Session, table: &str) -> String {
    session
        .text(&format!(
            "SELECT advice FROM activity.coverage() WHERE schema_name = 'own' AND table_name = '{table}'"
        ))
        .unwrap()
}

/// The last change of the table that the log tells of.
fn last_change(session: &mut Session, member: &str) -> String {
    session
        .text(&format!(
            "SELECT metadata ->> '{member}' FROM activity.events WHERE action = 'activity.capture.schema_changed'
             ORDER BY event_id DESC LIMIT 1"
        ))
        .unwrap()
}

const PARTITIONED: &str =
    "CREATE TABLE part (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
    CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1)";

#[test]
fn he_makes_and_attaches_partitions_which_are_captured() {
    let (_database, mut owner, mut superuser) = owned(PARTITIONED, &["part"], "");
    owner
        .batch_execute(
            "CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
             CREATE TABLE part_3 (LIKE part INCLUDING ALL);
             ALTER TABLE part ATTACH PARTITION part_3 FOR VALUES IN (3);
             INSERT INTO part VALUES (1, 2, 'a'); INSERT INTO part_3 VALUES (1, 3, 'b')",
        )
        .unwrap();
    assert_eq!(
        changes(&mut superuser),
        [
            r#"part ["1","2"] created {"k": 2, "v": "a", "id": 1}"#,
            r#"part ["1","3"] created {"k": 3, "v": "b", "id": 1}"#,
        ]
    );
    // Partitions that come empty leave nothing in doubt.
    assert_eq!(last_change(&mut superuser, "attached"), "own.part_3");
    assert_eq!(last_change(&mut superuser, "had_rows"), "false");
    assert_eq!(
        superuser
            .text(r#"SELECT activity.row_as_of('part', '{"id": 1, "k": 2}')::text"#)
            .as_deref(),
        Some(r#"{"k": 2, "v": "a", "id": 1}"#)
    );
}

#[test]
fn a_partition_that_was_away_leaves_a_gap() {
    let (_database, mut owner, mut superuser) = owned(PARTITIONED, &["part"], "");
    owner
        .batch_execute(
            "INSERT INTO part VALUES (1, 1, 'honest');
             ALTER TABLE part DETACH PARTITION part_1",
        )
        .unwrap();
    assert_eq!(last_change(&mut superuser, "detached"), "own.part_1");
    owner
        .batch_execute(
            "UPDATE part_1 SET v = 'forged'; ALTER TABLE part ATTACH PARTITION part_1 FOR VALUES IN (1)",
        )
        .unwrap();
    assert_eq!(last_change(&mut superuser, "attached"), "own.part_1");
    assert_eq!(
        superuser
            .text(r#"SELECT activity.row_as_of('part', '{"id": 1, "k": 1}') ->> '$inexact'"#)
            .as_deref(),
        Some(r#"["id", "k", "v"]"#)
    );
    // What is told after that is exact again.
    owner.batch_execute("UPDATE part SET v = 'told'").unwrap();
    assert_eq!(
        superuser.text(r#"SELECT (activity.row_as_of('part', '{"id": 1, "k": 1}') -> '$inexact' ? 'v')::text"#).as_deref(),
        Some("false")
    );
}

#[test]
fn values_that_are_converted_to_the_same_type_are_told() {
    for level in LEVELS {
        let (_database, mut owner, mut superuser) = owned(
            "CREATE TABLE item (id int PRIMARY KEY, amount numeric(12, 2), note text);
             CREATE TABLE line (id int PRIMARY KEY, item int REFERENCES item, note text)",
            &["item"],
            &format!(", level => '{level}'"),
        );
        owner
            .batch_execute(
                "INSERT INTO item VALUES (1, 10, 'x');
                 ALTER TABLE item ALTER amount TYPE numeric(12, 2) USING amount * 1000;
                 ALTER TABLE line ALTER note TYPE text USING upper(note)",
            )
            .unwrap();
        assert_eq!(
            last_change(&mut superuser, "retyped"),
            r#"[{"to": "numeric(12,2)", "from": "numeric(12,2)", "column": "amount"}]"#
        );
        assert_eq!(
            superuser
                .text(r#"SELECT activity.row_as_of('item', '{"id": 1}') ->> '$inexact'"#)
                .as_deref(),
            Some(r#"["amount"]"#)
        );
    }
}

#[test]
fn a_parent_that_is_altered_alters_its_captured_child() {
    let (_database, mut owner, mut superuser) = owned(
        "CREATE TABLE parent (id int, note text); CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent)",
        &["child"],
        "",
    );
    owner
        .batch_execute("ALTER TABLE parent RENAME note TO remark")
        .unwrap();
    assert_eq!(
        last_change(&mut superuser, "renamed"),
        r#"[{"to": "remark", "from": "note"}]"#
    );
}

#[test]
fn a_renamed_trigger_is_seen_and_nothing_is_captured_twice() {
    for (level, trigger) in LEVELS.into_iter().zip(["row", "insert"]) {
        let (_database, mut owner, mut superuser) = owned(
            "CREATE TABLE item (id int PRIMARY KEY)",
            &["item"],
            &format!(", level => '{level}'"),
        );
        owner
            .batch_execute(&format!(
                r#"ALTER TRIGGER "!activity_capture_{trigger}" ON item RENAME TO zzz; INSERT INTO item VALUES (1)"#
            ))
            .unwrap();
        assert_eq!(state(&mut superuser, "item"), "partly disabled");
        superuser.batch_execute("SELECT activity.setup()").unwrap();
        assert_eq!(state(&mut superuser, "item"), "active");
        owner.batch_execute("INSERT INTO item VALUES (2)").unwrap();
        assert_eq!(
            changes(&mut superuser),
            [r#"item 1 created {"id": 1}"#, r#"item 2 created {"id": 2}"#]
        );
        let tampered =
            "SELECT count(*) FROM activity.events WHERE action = 'activity.capture.tampered'";
        assert_eq!(superuser.number(tampered), 1);
    }
}

#[test]
fn a_second_trigger_of_capture_does_not_last() {
    let (_database, mut owner, mut superuser) =
        owned("CREATE TABLE item (id int PRIMARY KEY)", &["item"], "");
    let id = superuser
        .text("SELECT capture_id::text FROM activity.captures")
        .unwrap();
    let user = owner.text("SELECT current_user::text").unwrap();
    superuser
        .batch_execute(&format!("GRANT activity_writer TO {user}"))
        .unwrap();
    owner
        .batch_execute(&format!(
            "CREATE TRIGGER again AFTER INSERT OR UPDATE OR DELETE ON item
                 FOR EACH ROW EXECUTE FUNCTION activity._capture_row('{id}');
             INSERT INTO item VALUES (1)"
        ))
        .unwrap();
    assert_eq!(count(&mut superuser, "true"), 1);
    assert_eq!(state(&mut superuser, "item"), "active");
}

#[test]
fn a_trigger_that_fires_before_the_one_of_capture_is_told() {
    let (_database, mut owner, mut superuser) = owned(
        "CREATE TABLE item (id int PRIMARY KEY);
         CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER z AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION nothing()",
        &["item"],
        "",
    );
    assert_eq!(state(&mut superuser, "item"), "active");
    owner
        .batch_execute(r#"ALTER TRIGGER z ON item RENAME TO " z""#)
        .unwrap();
    assert_eq!(state(&mut superuser, "item"), "unsafe order");
    assert!(advice(&mut superuser, "item").contains(r#""" z"""#.trim_matches('"')));
    let status = superuser.text("SELECT value FROM activity.status() WHERE item = 'own.item'");
    assert_eq!(status.as_deref(), Some("unsafe order"));
    owner
        .batch_execute(r#"ALTER TABLE item DISABLE TRIGGER " z""#)
        .unwrap();
    assert_eq!(state(&mut superuser, "item"), "active");
}

#[test]
fn children_that_are_not_captured_are_told() {
    let (_database, mut owner, mut superuser) = owned(
        "CREATE TABLE item (id int PRIMARY KEY)",
        &["item"],
        ", level => 'statement'",
    );
    superuser
        .batch_execute("CREATE EXTENSION IF NOT EXISTS file_fdw SCHEMA public")
        .unwrap();
    superuser
        .batch_execute(
            "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
             CREATE FOREIGN TABLE far () INHERITS (item) SERVER files OPTIONS (filename '/dev/null')",
        )
        .unwrap();
    let level =
        "SELECT concat_ws(' ', level, state) FROM activity.coverage() WHERE table_name = 'item'";
    assert_eq!(superuser.text(level).as_deref(), Some("row active"));
    superuser.batch_execute("DROP FOREIGN TABLE far").unwrap();
    owner
        .batch_execute("CREATE TABLE near (PRIMARY KEY (id)) INHERITS (item)")
        .unwrap();
    assert!(advice(&mut superuser, "item").contains("its child own.near is not captured"));
    attach(&mut superuser, "near", "");
    let nothing = "SELECT advice FROM activity.coverage() WHERE table_name = 'item'";
    assert_eq!(superuser.text(nothing), None);
}

#[test]
fn a_function_of_a_rule_leaves_no_setting_behind() {
    for level in LEVELS {
        let (_database, mut owner, mut superuser) = owned(
            "CREATE TABLE item (id int PRIMARY KEY, n int);
             CREATE FUNCTION leave(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END'",
            &["item"],
            &format!(", level => '{level}'"),
        );
        superuser
            .batch_execute(
                "SELECT activity.register_action('item.hit');
                 SELECT activity.on_change('item', 'item.hit', 'own.leave(1) AND own.leave(NEW.n)', 'to_jsonb(own.leave(NEW.n))')",
            )
            .unwrap();
        owner
            .batch_execute(&format!(
                "CREATE OR REPLACE FUNCTION leave(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
                     PERFORM set_config('search_path', 'own, pg_catalog', false);
                     PERFORM set_config('activity.tenant_id', '{TENANT}', false);
                     PERFORM set_config('statement_timeout', '7h', true); RETURN true; END $$"
            ))
            .unwrap();
        for statement in [
            "INSERT INTO own.item VALUES (1, 1)",
            "UPDATE own.item SET n = 2",
            "ALTER TABLE own.item ADD more int",
            "BEGIN; UPDATE own.item SET n = 3",
        ] {
            superuser.batch_execute(statement).unwrap();
            assert_eq!(
                superuser.text(
                    "SELECT concat_ws('|', current_setting('search_path'), current_setting('activity.tenant_id'), current_setting('statement_timeout'))"
                ).as_deref(),
                Some("own, public||0"),
                "{statement} at {level} level"
            );
        }
    }
}
