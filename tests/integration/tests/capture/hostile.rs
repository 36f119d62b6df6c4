//! Roles that want more than they may: with a schema of their own in the search path, casts and
//! types of their own, and a context that is not theirs.

use crate::captured::{LEVELS, OTHER_TENANT, TENANT, attach, changes, count, log};
use activity_log_integration::{Database, Session, expect_error};

/// Functions, operators, casts, types and tables that are named like the server's and the log's,
/// each of which tells who ran it.
const TRAPS: &str = r#"
    CREATE TABLE evil.caught (what text, who text);
    GRANT INSERT ON evil.caught TO PUBLIC;
    CREATE FUNCTION evil.catch(what text) RETURNS boolean LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO evil.caught VALUES (what, current_user); RETURN true; END $$;
    CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT evil.catch('now'); SELECT pg_catalog.now() $$;
    CREATE FUNCTION evil.to_jsonb(anyelement) RETURNS jsonb LANGUAGE sql AS $$ SELECT evil.catch('to_jsonb'); SELECT '1'::jsonb $$;
    CREATE FUNCTION evil.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS $$ SELECT evil.catch('format'); SELECT 'x' $$;
    CREATE FUNCTION evil.coalesce_to(text) RETURNS text LANGUAGE sql AS $$ SELECT evil.catch('coalesce') ; SELECT $1 $$;
    CREATE FUNCTION evil.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT evil.catch('current_setting'); SELECT '' $$;
    CREATE FUNCTION evil.quote_ident(text) RETURNS text LANGUAGE sql AS $$ SELECT evil.catch('quote_ident'); SELECT $1 $$;
    CREATE FUNCTION evil.equal(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT evil.catch('=') $$;
    CREATE FUNCTION evil.equal(uuid, uuid) RETURNS boolean LANGUAGE sql AS $$ SELECT evil.catch('=') $$;
    CREATE FUNCTION evil.equal(oid, oid) RETURNS boolean LANGUAGE sql AS $$ SELECT evil.catch('=') $$;
    CREATE FUNCTION evil.equal(int, int) RETURNS boolean LANGUAGE sql AS $$ SELECT evil.catch('=') $$;
    CREATE FUNCTION evil.arrow(jsonb, text) RETURNS jsonb LANGUAGE sql AS $$ SELECT evil.catch('->'); SELECT $1 $$;
    CREATE OPERATOR evil.= (leftarg = text, rightarg = text, function = evil.equal);
    CREATE OPERATOR evil.= (leftarg = uuid, rightarg = uuid, function = evil.equal);
    CREATE OPERATOR evil.= (leftarg = oid, rightarg = oid, function = evil.equal);
    CREATE OPERATOR evil.= (leftarg = int, rightarg = int, function = evil.equal);
    CREATE OPERATOR evil.-> (leftarg = jsonb, rightarg = text, function = evil.arrow);
    CREATE TYPE evil.jsonb AS (x int);
    CREATE DOMAIN evil.uuid AS pg_catalog.text;
    CREATE TYPE evil.regclass AS ENUM ('a');
    CREATE TABLE evil.pg_class (oid oid, relname name);
    CREATE TABLE evil.pg_trigger (tgname name);
    CREATE TABLE evil.events (event_id int);
    CREATE TABLE evil.captures (capture_id int);
"#;

/// A role without any right on the log that has set its traps, and a session that runs into them.
fn trapped(database: &Database<'_>) -> (String, Session) {
    let attacker = database.create_login(&[]);
    database
        .superuser()
        .batch_execute(&format!(
            "CREATE SCHEMA evil AUTHORIZATION {attacker}; GRANT ALL ON SCHEMA evil TO PUBLIC"
        ))
        .unwrap();
    let mut session = database.connect_as(&attacker);
    session.batch_execute(TRAPS).unwrap();
    session
        .batch_execute("SET search_path = evil, pg_catalog, public")
        .unwrap();
    (attacker, session)
}

#[test]
fn a_search_path_full_of_traps_springs_none() {
    for level in LEVELS {
        let database = log();
        let mut admin = database.superuser();
        admin
            .batch_execute(
                "CREATE TABLE item (id int PRIMARY KEY, org text, at timestamptz, doc jsonb, list int[]);
                 GRANT ALL ON item TO PUBLIC",
            )
            .unwrap();
        let (_, mut attacker) = trapped(&database);
        // Also who attaches, reads and pauses may have such a path.
        admin
            .batch_execute("SET search_path = evil, pg_catalog, public")
            .unwrap();
        admin
            .batch_execute(&format!(
                "SELECT activity.attach('public.item', tenant_column => 'org', level => '{level}')"
            ))
            .unwrap();
        attacker
            .batch_execute(
                "INSERT INTO item VALUES (1, 'org_1', pg_catalog.now(), '{}', '{1}'), (2, NULL, NULL, NULL, NULL);
                 UPDATE item SET list = '{2}'; DELETE FROM item; TRUNCATE item",
            )
            .unwrap_or_else(|error| panic!("at {level} level: {error:?}"));
        admin
            .batch_execute(&format!("SET activity.tenant_id = '{TENANT}'"))
            .unwrap();
        admin
            .batch_execute(
                "SELECT * FROM activity.coverage(); SELECT * FROM activity.object_history('item', '1');
                 SELECT activity.row_as_of('public.item', '{\"id\": 1}'::pg_catalog.jsonb, pg_catalog.now());
                 SELECT activity.pause('public.item', 'test'); SELECT activity.resume('public.item');
                 SELECT activity.detach('public.item'); RESET search_path",
            )
            .unwrap_or_else(|error| panic!("at {level} level: {error:?}"));
        let caught = admin.texts("SELECT what || ' by ' || who FROM evil.caught");
        assert_eq!(caught, [""; 0], "at {level} level");
        assert_eq!(
            count(
                &mut admin,
                "object_type = 'item' AND action ~ '(ted|ed)$' AND changes IS NOT NULL"
            ),
            6
        );
    }
}

#[test]
fn counting_the_rows_of_a_truncate_plans_nothing_of_the_table_owner() {
    let database = log();
    let owner = database.create_login(&[]);
    let mut admin = database.superuser();
    admin
        .batch_execute(&format!("CREATE SCHEMA evil AUTHORIZATION {owner}"))
        .unwrap();
    let mut session = database.connect_as(&owner);
    session
        .batch_execute(
            "CREATE TABLE evil.caught (who text); CREATE TABLE evil.item (id int PRIMARY KEY);
             CREATE FUNCTION evil.caught() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO evil.caught VALUES (current_user); RETURN 1; END $$;
             CREATE FUNCTION evil.constant(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
                 PERFORM evil.caught(); RETURN 1; END $$;
             INSERT INTO evil.item VALUES (1), (2);
             CREATE INDEX ON evil.item ((evil.constant(1))); DELETE FROM evil.caught",
        )
        .unwrap();
    attach(&mut admin, "evil.item", "");
    // A session that has not looked at the table yet, so that all of it would have to be planned.
    let mut session = database.connect_as(&owner);
    session.batch_execute("TRUNCATE evil.item").unwrap();
    // TRUNCATE itself builds the index anew, with the rights of the table's owner.
    let others = format!("SELECT who FROM evil.caught WHERE who <> '{owner}'");
    assert_eq!(admin.texts(&others), [""; 0]);
    assert_eq!(
        admin.texts(
            "SELECT metadata ->> 'rows' FROM activity.events WHERE action = 'item.truncated'"
        ),
        ["2"]
    );
}

#[test]
fn a_cast_of_the_table_owner_does_not_run_with_the_rights_of_the_log() {
    for level in LEVELS {
        let database = log();
        let owner = database.create_login(&[]);
        let writer = database.create_login(&[]);
        let mut admin = database.superuser();
        admin
            .batch_execute(&format!(
                "CREATE SCHEMA evil AUTHORIZATION {owner}; GRANT USAGE ON SCHEMA evil TO PUBLIC"
            ))
            .unwrap();
        let mut session = database.connect_as(&owner);
        session
            .batch_execute(
                "CREATE TABLE evil.caught (who text); GRANT INSERT ON evil.caught TO PUBLIC;
                 CREATE TYPE evil.coin AS (x int);
                 CREATE TABLE evil.item (id int PRIMARY KEY, coin evil.coin, coins evil.coin[], org evil.coin);
                 CREATE FUNCTION evil.leak(evil.coin) RETURNS json LANGUAGE plpgsql AS $$ BEGIN
                     INSERT INTO evil.caught VALUES (current_user); RETURN '1'; END $$;
                 CREATE FUNCTION evil.leak_text(evil.coin) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
                     INSERT INTO evil.caught VALUES (current_user); RETURN '1'; END $$;
                 CREATE CAST (evil.coin AS json) WITH FUNCTION evil.leak(evil.coin) AS IMPLICIT;
                 CREATE CAST (evil.coin AS text) WITH FUNCTION evil.leak_text(evil.coin) AS IMPLICIT;
                 GRANT ALL ON evil.item TO PUBLIC",
            )
            .unwrap();
        // Neither for values nor for whom they belong to, however the rows go.
        let attached = admin.batch_execute(&format!(
            "SELECT activity.attach('evil.item', tenant_column => 'org', actor_column => 'coin', level => '{level}')"
        ));
        if attached.is_err() {
            attach(&mut admin, "evil.item", &format!(", level => '{level}'"));
        }
        let mut writing = database.connect_as(&writer);
        writing
            .batch_execute(
                "INSERT INTO evil.item VALUES (1, ROW(1), ARRAY[ROW(2)::evil.coin], ROW(3));
                 UPDATE evil.item SET coin = ROW(4), coins = NULL; DELETE FROM evil.item;
                 INSERT INTO evil.item VALUES (1, ROW(1), NULL, ROW(3)); TRUNCATE evil.item",
            )
            .unwrap_or_else(|error| panic!("at {level} level: {error:?}"));
        let mut runners = admin.texts("SELECT DISTINCT who FROM evil.caught");
        runners.retain(|who| *who != writer);
        assert_eq!(runners, [""; 0], "at {level} level");
        assert_eq!(changes(&mut admin).len(), 5);
    }
}

#[test]
fn the_log_does_not_audit_itself() {
    let database = log();
    let mut admin = database.superuser();
    let tables = admin.texts(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'activity'::regnamespace AND relkind IN ('r', 'p')",
    );
    assert!(tables.len() > 5);
    for table in tables {
        let refused = admin.batch_execute(&format!(
            "SELECT activity.attach('{table}', tenant_id => '{TENANT}')"
        ));
        expect_error(refused, "42809");
    }
    assert_eq!(admin.number("SELECT count(*) FROM activity.captures"), 0);
}

#[test]
fn who_does_not_own_a_table_neither_attaches_nor_changes_its_capture() {
    let database = log();
    let owner = database.create_login(&["activity_admin"]);
    let other = database.create_login(&["activity_admin"]);
    let nobody = database.create_login(&[]);
    database
        .superuser()
        .batch_execute(&format!(
            "CREATE SCHEMA theirs AUTHORIZATION {owner}; GRANT USAGE ON SCHEMA theirs TO PUBLIC"
        ))
        .unwrap();
    let mut session = database.connect_as(&owner);
    session
        .batch_execute("CREATE TABLE theirs.item (id int PRIMARY KEY)")
        .unwrap();
    for login in [&other, &nobody] {
        let mut session = database.connect_as(login);
        let call = format!("SELECT activity.attach('theirs.item', tenant_id => '{TENANT}')");
        expect_error(session.batch_execute(&call), "42501");
    }
    attach(&mut session, "theirs.item", "");
    let mut session = database.connect_as(&nobody);
    for call in [
        "detach('theirs.item')",
        "pause('theirs.item', 'x')",
        "resume('theirs.item')",
    ] {
        expect_error(
            session.batch_execute(&format!("SELECT activity.{call}")),
            "42501",
        );
    }
    let history = "SELECT * FROM activity.object_history('item', '1')";
    expect_error(session.batch_execute(history), "42501");
    let row = "SELECT activity.row_as_of('theirs.item', '{\"id\": 1}', now())";
    expect_error(session.batch_execute(row), "42501");
    let mut admin = database.superuser();
    admin
        .batch_execute("INSERT INTO theirs.item VALUES (1)")
        .unwrap();
    assert_eq!(count(&mut admin, "true"), 1);
}

#[test]
fn a_pinned_role_puts_nothing_into_the_log_of_a_tenant_that_is_not_its() {
    for level in LEVELS {
        let database = log();
        let login = database.create_login(&[]);
        let mut admin = database.superuser();
        admin
            .batch_execute(&format!(
                "CREATE TABLE item (id int PRIMARY KEY); GRANT ALL ON item TO {login};
                 INSERT INTO activity.role_tenants VALUES ('{login}', '{TENANT}');
                 SELECT activity.attach('item', level => '{level}')"
            ))
            .unwrap();
        let mut session = database.connect_as(&login);
        session
            .batch_execute(&format!("SET activity.tenant_id = '{OTHER_TENANT}'"))
            .unwrap();
        let _ = session.batch_execute("INSERT INTO item VALUES (1)");
        session
            .batch_execute(&format!(
                "SET activity.tenant_id = '{TENANT}'; INSERT INTO item VALUES (2)"
            ))
            .unwrap();
        let of_other = format!("tenant_id = '{OTHER_TENANT}'");
        assert_eq!(count(&mut admin, &of_other), 0, "at {level} level");
        assert_eq!(count(&mut admin, &format!("tenant_id = '{TENANT}'")), 1);
    }
}

#[test]
fn an_owner_that_switches_triggers_off_is_seen_in_coverage_and_status() {
    for level in LEVELS {
        for sabotage in [
            "ALTER TABLE theirs.item DISABLE TRIGGER ALL",
            "ALTER TABLE theirs.item DISABLE TRIGGER USER",
        ] {
            let database = log();
            let owner = database.create_login(&[]);
            let mut admin = database.superuser();
            admin
                .batch_execute(&format!(
                    "CREATE SCHEMA theirs; CREATE TABLE theirs.item (id int PRIMARY KEY); ALTER TABLE theirs.item OWNER TO {owner}; GRANT USAGE ON SCHEMA theirs TO {owner}"
                ))
                .unwrap();
            attach(&mut admin, "theirs.item", &format!(", level => '{level}'"));
            let coverage = "SELECT c::text FROM activity.coverage() c WHERE c::text ~ 'item'";
            let status =
                "SELECT concat_ws(' ', area, item, value, ok, advice) FROM activity.status()";
            let before = (admin.texts(coverage), admin.texts(status));
            // A trigger of the system needs a superuser, so ALL may be refused.
            let mut session = database.connect_as(&owner);
            if session.batch_execute(sabotage).is_err() {
                continue;
            }
            session
                .batch_execute("INSERT INTO theirs.item VALUES (1)")
                .unwrap();
            let after = (admin.texts(coverage), admin.texts(status));
            assert_ne!(
                before.0, after.0,
                "coverage() after {sabotage} at {level} level"
            );
            assert_ne!(
                before.1, after.1,
                "status() after {sabotage} at {level} level"
            );
        }
    }
}
