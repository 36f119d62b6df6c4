//! What the owner of a captured table may do, who has no right on the log: work with it as before,
//! and leave a trace where rows change without an event.

use crate::captured::{LEVELS, TENANT, attach, log};
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
            "SELECT metadata ->> '{member}' FROM activity.events WHERE action ~ '^activity.capture.*changed$'
             ORDER BY event_id DESC LIMIT 1"
        ))
        .unwrap()
}

const PARTITIONED: &str =
    "CREATE TABLE part (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
    CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1)";

#[test]
fn a_partition_that_was_away_leaves_a_gap() {
    let (_database, mut owner, mut superuser) = owned(PARTITIONED, &["part"], "");
    owner
        .batch_execute(
            "INSERT INTO part VALUES (1, 1, 'honest');
             ALTER TABLE part DETACH PARTITION part_1",
        )
        .unwrap();
    assert_eq!(last_change(&mut superuser, "detached"), r#"["own.part_1"]"#);
    owner
        .batch_execute(
            "UPDATE part_1 SET v = 'forged'; ALTER TABLE part ATTACH PARTITION part_1 FOR VALUES IN (1)",
        )
        .unwrap();
    assert_eq!(last_change(&mut superuser, "attached"), r#"["own.part_1"]"#);
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
