//! Semantic rules: transitions of rows that are events of their own.

use crate::captured::{LEVELS, TENANT, attach, log};
use activity_log_integration::{Database, Session, expect_error};

const RUN: &str = "CREATE TABLE run (id int PRIMARY KEY, status text, cost numeric, secret text);
    SELECT activity.register_action('workflow.run.started', metadata_schema => '{\"required\": [\"run\"]}');
    SELECT activity.register_action('workflow.run.gone');";

const STARTED: &str = "SELECT activity.on_change('run', 'workflow.run.started',
    $$OLD.status = 'pending' AND NEW.status = 'running'$$, $$jsonb_build_object('run', NEW.id, 'share', 1 / NEW.cost)$$)";

fn run_table(level: &str) -> Session {
    let mut session = log().superuser();
    session.batch_execute(RUN).unwrap();
    attach(
        &mut session,
        "run",
        &format!(", level => '{level}', exclude => ARRAY['secret']"),
    );
    session
}

fn events(session: &mut Session) -> Vec<String> {
    session.texts(
        "SELECT concat_ws(' ', action, object_id, nullif(metadata::text, '{}')) FROM activity.events
         WHERE source = 'capture' ORDER BY event_id",
    )
}

#[test]
fn a_transition_is_an_event_behind_its_change() {
    for level in LEVELS {
        let mut session = run_table(level);
        session.batch_execute(STARTED).unwrap();
        session
            .batch_execute(
                "SELECT activity.on_change('run', 'workflow.run.gone', 'OLD.cost > 5', operation => 'delete');
                 SET activity.actor_id = 'u1'; SET activity.actor_type = 'user';
                 INSERT INTO run VALUES (1, 'pending', 2), (2, 'running', 8), (3, NULL, 4);
                 UPDATE run SET status = 'running';
                 DELETE FROM run",
            )
            .unwrap();
        let expected = [
            "run.created 1",
            "run.created 2",
            "run.created 3",
            "run.updated 1",
            r#"workflow.run.started 1 {"run": 1, "share": 0.50000000000000000000}"#,
            "run.updated 3",
            "run.deleted 1",
            "run.deleted 2",
            "workflow.run.gone 2",
            "run.deleted 3",
        ];
        assert_eq!(events(&mut session), expected, "at {level} level");
        assert_eq!(
            session.texts(&format!(
                "SELECT concat_ws(' ', actor_type, actor_id, object_type, tenant_id = '{TENANT}', action_version)
                 FROM activity.events WHERE action = 'workflow.run.started'"
            )),
            ["user u1 run t 1"]
        );
    }
}

#[test]
fn a_rule_that_fails_breaks_no_write_and_is_marked() {
    for level in LEVELS {
        let mut session = run_table(level);
        let rule = session.text(&format!("{STARTED}::text")).unwrap();
        session
            .batch_execute(
                "INSERT INTO run VALUES (1, 'pending', 0), (2, 'pending', 0), (3, 'pending', 1)",
            )
            .unwrap();
        let _ = session.take_notices();
        session
            .batch_execute("UPDATE run SET status = 'running'")
            .unwrap();
        let notices = session.take_notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert_eq!(notices[0].sqlstate, "22012");
        assert_eq!(
            events(&mut session)[3..],
            [
                format!(r#"run.updated 1 {{"failed_rules": ["{rule}"]}}"#),
                format!(r#"run.updated 2 {{"failed_rules": ["{rule}"]}}"#),
                "run.updated 3".into(),
                r#"workflow.run.started 3 {"run": 3, "share": 1.00000000000000000000}"#.into(),
            ],
            "at {level} level"
        );
    }
}

#[test]
fn metadata_that_the_registry_refuses_loses_the_rules_event_only() {
    for metadata in ["'{}'", "'[1]'", "'5'", "NULL"] {
        let mut session = run_table("auto");
        session
            .batch_execute(&format!(
                "SELECT activity.on_change('run', 'workflow.run.started', 'true', $${metadata}$$)"
            ))
            .unwrap();
        session
            .batch_execute("INSERT INTO run VALUES (1); UPDATE run SET status = 'x'")
            .unwrap();
        let events = events(&mut session);
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(events[1].contains("failed_rules"), "{events:?}");
    }
}

#[test]
fn an_expression_that_is_no_rule_is_refused_and_leaves_nothing() {
    let mut session = run_table("auto");
    session
        .batch_execute("CREATE FUNCTION roll() RETURNS bool LANGUAGE sql VOLATILE AS 'SELECT true'")
        .unwrap();
    for (condition, metadata, sqlstate) in [
        ("", "", "22004"),
        ("OLD.status =", "", "42601"),
        ("true); DROP TABLE run; --", "", "42601"),
        ("true; SELECT true", "", "42601"),
        ("true, false", "", "42P17"),
        ("true FROM run", "", "42P17"),
        ("true AS x", "", "42P17"),
        ("NEW.id", "", "42804"),
        ("NEW.nothing = 1", "", "42703"),
        ("status = 'x'", "", "42702"),
        ("other.id = 1", "", "42P01"),
        ("nothing(NEW.id)", "", "42883"),
        ("(SELECT true)", "", "0A000"),
        ("EXISTS (SELECT FROM run)", "", "0A000"),
        ("count(*) > 1", "", "42803"),
        ("row_number() OVER () = 1", "", "42P20"),
        ("generate_series(1, NEW.id) = 1", "", "0A000"),
        ("$1 = 1", "", "42P02"),
        ("random() > 0.5", "", "42P17"),
        ("public.roll()", "", "42P17"),
        ("NEW.xmin IS NULL", "", "42P17"),
        ("true", "NEW.id", "42804"),
        ("true", "jsonb_build_object('s', NEW.secret)", "42P17"),
        ("true", "to_jsonb(NEW)", "42P17"),
        (
            "true",
            "jsonb_build_object('at', clock_timestamp())",
            "42P17",
        ),
    ] {
        let refused = session.query(
            "SELECT activity.on_change('run', 'workflow.run.started', $1, $2)",
            &[&condition, &metadata],
        );
        let refused = refused.map_err(|error| (condition, error));
        match refused {
            Ok(_) => panic!("{condition} / {metadata} was taken"),
            Err((_, error)) => {
                let refusal = expect_error::<()>(Err(error), sqlstate);
                assert!(!refusal.message.is_empty());
            }
        }
    }
    for (arguments, sqlstate) in [
        ("'run', 'nothing.registered', 'true'", "42704"),
        ("'run', 'Bad', 'true'", "22023"),
        ("'run', 'activity.capture.paused', 'true'", "22023"),
        ("'run', NULL, 'true'", "22004"),
        (
            "'run', 'workflow.run.gone', 'true', operation => 'truncate'",
            "22023",
        ),
        (
            "'run', 'workflow.run.gone', 'OLD.id = 1', operation => 'insert'",
            "42P17",
        ),
        (
            "'run', 'workflow.run.gone', 'NEW.id = 1', operation => 'delete'",
            "42P17",
        ),
    ] {
        expect_error(
            session.query(&format!("SELECT activity.on_change({arguments})"), &[]),
            sqlstate,
        );
    }
    assert_eq!(
        session.number("SELECT count(*) FROM activity.capture_rules"),
        0
    );
    session.batch_execute("CREATE TABLE free (id int)").unwrap();
    expect_error(
        session.query(
            "SELECT activity.on_change('free', 'workflow.run.gone', 'true')",
            &[],
        ),
        "42704",
    );
}

#[test]
fn a_rule_that_was_dropped_or_whose_table_was_detached_is_gone() {
    let mut session = run_table("auto");
    let rule = session.text(&format!("{STARTED}::text")).unwrap();
    session
        .batch_execute("INSERT INTO run VALUES (1, 'pending', 1)")
        .unwrap();
    session
        .batch_execute(&format!(
            "SELECT activity.drop_rule('{rule}'); UPDATE run SET status = 'running'"
        ))
        .unwrap();
    assert_eq!(events(&mut session), ["run.created 1", "run.updated 1"]);
    expect_error(
        session.query(&format!("SELECT activity.drop_rule('{rule}')"), &[]),
        "42704",
    );
    expect_error(
        session.query("SELECT activity.drop_rule(NULL)", &[]),
        "22004",
    );
    session.batch_execute(STARTED).unwrap();
    session
        .batch_execute("SELECT activity.detach('run')")
        .unwrap();
    assert_eq!(
        session.number("SELECT count(*) FROM activity.capture_rules"),
        0
    );
    assert_eq!(
        session.texts("SELECT action FROM activity.events WHERE action LIKE 'activity.capture.rule%' ORDER BY event_id"),
        ["activity.capture.rule_added", "activity.capture.rule_dropped", "activity.capture.rule_added"]
    );
}

/// A table of one role, with a rule that calls its function, and a writer that is somebody else.
fn owned(database: &Database<'_>) -> (String, Session) {
    let owner = database.create_login(&["activity_admin"]);
    let writer = database.create_login(&[]);
    database
        .superuser()
        .batch_execute(&format!("{RUN} ALTER TABLE run OWNER TO {owner}; GRANT ALL ON run TO {writer};
            CREATE SCHEMA app AUTHORIZATION {owner}; GRANT USAGE ON SCHEMA app TO {writer}; GRANT CREATE ON SCHEMA public TO {writer}"))
        .unwrap();
    let mut session = database.connect_as(&owner);
    attach(&mut session, "run", "");
    let mut writer = database.connect_as(&writer);
    writer
        .batch_execute("SET search_path = public, pg_catalog")
        .unwrap();
    (owner, writer)
}

#[test]
fn the_expressions_run_as_the_tables_owner_and_cannot_become_anybody_else() {
    let database = log();
    let (owner, mut writer) = owned(&database);
    let mut session = database.connect_as(&owner);
    session
        .batch_execute(
            "CREATE FUNCTION app.who() RETURNS jsonb LANGUAGE plpgsql STABLE AS $$ BEGIN
                 RETURN jsonb_build_object('run', 1, 'who', current_user, 'path', current_setting('search_path'),
                                           'length', length('abc')); END $$;
             SELECT activity.on_change('run', 'workflow.run.started', 'true', 'app.who()');
             CREATE FUNCTION app.escape() RETURNS jsonb LANGUAGE plpgsql STABLE AS $$ BEGIN
                 RESET ROLE; RETURN '{\"run\": 1}'; END $$;
             SELECT activity.on_change('run', 'workflow.run.started', 'true', 'app.escape()')",
        )
        .unwrap();
    // The writer puts a function of his in front of the server's.
    writer
        .batch_execute(
            "CREATE FUNCTION public.length(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped as %', current_user; END $$;
             INSERT INTO run VALUES (1); UPDATE run SET status = 'x'",
        )
        .unwrap();
    assert_eq!(
        database.superuser().texts(
            "SELECT concat_ws(' ', metadata ->> 'who', metadata ->> 'path', metadata ->> 'length')
             FROM activity.events WHERE action = 'workflow.run.started'"
        ),
        [format!("{owner} pg_catalog, pg_temp 3")],
        "and the one that tries to leave its role has failed"
    );
    assert_eq!(
        writer.text("SELECT current_user::text"),
        writer.text("SELECT session_user::text")
    );
    assert_eq!(
        writer.text("SHOW search_path"),
        Some("public, pg_catalog".into())
    );
}

#[test]
fn functions_and_types_of_others_are_refused_also_when_they_become_theirs_later() {
    let database = log();
    let (owner, mut writer) = owned(&database);
    writer
        .batch_execute(
            "CREATE FUNCTION public.theirs(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
             CREATE TYPE public.mood AS ENUM ('good')",
        )
        .unwrap();
    let mut session = database.connect_as(&owner);
    for condition in ["public.theirs(NEW.id)", "NEW.status::public.mood = 'good'"] {
        let refused = session.query(
            "SELECT activity.on_change('run', 'workflow.run.gone', $1)",
            &[&condition],
        );
        let refusal = expect_error(refused, "42P17");
        assert!(
            refusal.message.contains("belongs to neither"),
            "{refusal:?}"
        );
    }
    session
        .batch_execute(
            "CREATE FUNCTION app.mine(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
             SELECT activity.on_change('run', 'workflow.run.gone', 'app.mine(NEW.id)')",
        )
        .unwrap();
    writer
        .batch_execute("INSERT INTO run VALUES (1); UPDATE run SET status = 'x'")
        .unwrap();
    let mut superuser = database.superuser();
    assert_eq!(
        superuser.number("SELECT count(*) FROM activity.events WHERE action = 'workflow.run.gone'"),
        1
    );
    let name = writer.text("SELECT current_user::text").unwrap();
    superuser
        .batch_execute(&format!(
            "GRANT CREATE ON SCHEMA app TO {name}; ALTER FUNCTION app.mine(int) OWNER TO {name}"
        ))
        .unwrap();
    writer.batch_execute("UPDATE run SET status = 'y'").unwrap();
    assert_eq!(
        superuser.number("SELECT count(*) FROM activity.events WHERE action = 'workflow.run.gone'"),
        1
    );
    assert_eq!(
        superuser.number("SELECT count(*) FROM activity.events WHERE metadata ? 'failed_rules'"),
        1
    );
}

#[test]
fn a_table_that_changes_hands_takes_no_rule_along() {
    let database = log();
    let (_, mut writer) = owned(&database);
    let mut superuser = database.superuser();
    superuser
        .batch_execute("SELECT activity.on_change('run', 'workflow.run.gone', 'true'); ALTER TABLE run OWNER TO postgres")
        .unwrap();
    let advice = "SELECT advice FROM activity.coverage() WHERE table_name = 'run'";
    let said = superuser.text(advice).unwrap();
    assert!(said.contains("A rule no longer fits"), "{said}");
    assert_eq!(
        superuser.texts("SELECT problem FROM activity.capture_rules"),
        ["42P17"]
    );
    writer
        .batch_execute("INSERT INTO run VALUES (1); UPDATE run SET status = 'x'")
        .unwrap();
    assert_eq!(
        superuser.number("SELECT count(*) FROM activity.events WHERE action = 'workflow.run.gone'"),
        0
    );
    assert_eq!(
        superuser.number("SELECT count(*) FROM activity.events WHERE metadata ? 'failed_rules'"),
        1
    );
}

#[test]
fn rules_apply_in_partitions_whose_columns_stand_in_another_order() {
    let mut session = log().superuser();
    session
        .batch_execute(
            "CREATE TABLE whole (id int PRIMARY KEY, a text, b text) PARTITION BY RANGE (id);
             CREATE TABLE part (b text, gone int, a text, id int NOT NULL);
             ALTER TABLE part DROP gone; ALTER TABLE whole ATTACH PARTITION part FOR VALUES FROM (0) TO (10);
             SELECT activity.register_action('whole.changed')",
        )
        .unwrap();
    attach(&mut session, "whole", "");
    session
        .batch_execute(
            "SELECT activity.on_change('whole', 'whole.changed', 'NEW.a = ''x''', $$jsonb_build_object('b', NEW.b)$$);
             INSERT INTO whole VALUES (1, 'a', 'b'); UPDATE whole SET a = 'x'; UPDATE part SET b = 'c'",
        )
        .unwrap();
    assert_eq!(
        session.texts("SELECT metadata ->> 'b' FROM activity.events WHERE action = 'whole.changed' ORDER BY event_id"),
        ["b", "c"]
    );
}
