//! Who may do what, by real logins: only this file connects as everybody, pins roles to tenants,
//! and tries to get around both.

use activity_log_integration::{Cluster, Database, Session, expect_error};

const TENANT_A: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const TENANT_B: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
const NIL: &str = "00000000-0000-0000-0000-000000000000";

const ROLES: [&str; 4] = [
    "activity_writer",
    "activity_reader",
    "activity_auditor",
    "activity_admin",
];

/// A log with one event of each of two tenants.
fn database() -> Database<'static> {
    let database = Cluster::shared().database();
    let mut owner = database.superuser();
    owner
        .batch_execute("SELECT activity.register_action('user.created')")
        .unwrap();
    owner.batch_execute(&record(TENANT_A)).unwrap();
    owner.batch_execute(&record(TENANT_B)).unwrap();
    database
}

fn login(database: &Database<'_>, role: &str) -> Session {
    database.connect_as(&database.create_login(&[role]))
}

fn record(tenant: &str) -> String {
    format!("SELECT activity.record('user.created', tenant_id => '{tenant}')")
}

fn list(tenant: &str) -> String {
    format!("SELECT * FROM activity.list(tenant_id => '{tenant}')")
}

fn set_tenant(tenant: &str) -> String {
    format!("SET activity.tenant_id = '{tenant}'")
}

/// The tenants of the events that a query gives.
fn tenants(session: &mut Session, from: &str) -> Vec<String> {
    session.texts(&format!(
        "SELECT DISTINCT tenant_id::text FROM {from} ORDER BY 1"
    ))
}

fn partition(session: &mut Session) -> String {
    session
        .text("SELECT min(tableoid::regclass::text) FROM activity.events")
        .expect("there are events")
}

// --- what is granted ---------------------------------------------------------------------------

/// Every function with the letters of the roles that may execute it: writer, reader, auditor,
/// admin (m).
const FUNCTIONS: [(&str, &str); 26] = [
    ("_append_only", ""),
    ("_changed", ""),
    ("_is_home", ""),
    ("_key_state", ""),
    ("check_event", "wm"),
    ("clear_context", "wram"),
    ("client_ip", "wram"),
    ("context", "wram"),
    ("get", "ram"),
    ("helper_sql", "wm"),
    ("install_taxonomy", "m"),
    ("list", "ram"),
    ("migrate", "m"),
    ("record", "wm"),
    ("record_login", "wm"),
    ("record_logout", "wm"),
    ("record_many", "wm"),
    ("register_action", "m"),
    ("register_actions", "m"),
    ("retire_action", "m"),
    ("rotate_ip_key", "m"),
    ("set_context", "wram"),
    ("setup", "m"),
    ("status", "am"),
    ("tenant", "wram"),
    ("visible_tenant", "r"),
];

const GRANTED_FUNCTIONS: &str = "
    SELECT p.proname::text, string_agg(r.letter, '' ORDER BY r.place)
    FROM pg_proc p
    LEFT JOIN (VALUES ('activity_writer', 'w', 1), ('activity_reader', 'r', 2),
                      ('activity_auditor', 'a', 3), ('activity_admin', 'm', 4)) r (role, letter, place)
      ON has_function_privilege(r.role, p.oid, 'EXECUTE')
    WHERE p.pronamespace = 'activity'::regnamespace
    GROUP BY p.oid ORDER BY p.proname";

#[test]
fn each_function_is_executable_by_whom_it_is_for() {
    let rows = database()
        .superuser()
        .query(GRANTED_FUNCTIONS, &[])
        .unwrap();
    let granted: Vec<(String, String)> = rows
        .iter()
        .map(|row| {
            (
                row.get(0),
                row.get::<_, Option<String>>(1).unwrap_or_default(),
            )
        })
        .collect();
    for (function, roles) in &granted {
        println!("{function:18} {roles}");
    }
    let expected: Vec<(String, String)> = FUNCTIONS
        .iter()
        .map(|(f, r)| ((*f).to_owned(), (*r).to_owned()))
        .collect();
    assert_eq!(granted, expected);
}

#[test]
fn nothing_is_granted_to_everybody() {
    let mut session = database().superuser();
    let public = session.texts(
        "SELECT 'function ' || p.oid::regprocedure FROM pg_proc p,
                aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
         WHERE p.pronamespace = 'activity'::regnamespace AND a.grantee = 0
         UNION ALL
         SELECT 'relation ' || c.oid::regclass FROM pg_class c, aclexplode(c.relacl) a
         WHERE c.relnamespace = 'activity'::regnamespace AND a.grantee = 0
         UNION ALL
         SELECT 'schema ' || n.nspname FROM pg_namespace n, aclexplode(n.nspacl) a
         WHERE n.nspname = 'activity' AND a.grantee = 0",
    );
    assert_eq!(public, [] as [String; 0]);
}

#[test]
fn who_has_no_role_gets_nowhere() {
    let database = database();
    let mut nobody = database.connect_as(&database.create_login(&[]));
    for call in [
        record(TENANT_A),
        list(TENANT_A),
        "SELECT activity.context()".into(),
        "SELECT * FROM activity.status()".into(),
        "SELECT activity.set_context()".into(),
        "SELECT * FROM activity.events".into(),
        "SELECT * FROM activity.keys".into(),
    ] {
        expect_error(nobody.simple_query(&call), "42501");
    }
}

/// Tables with what the roles may do: r read, w write (insert, update, delete).
const TABLES: [(&str, [&str; 4]); 11] = [
    ("action_versions", ["r", "r", "r", "r"]),
    ("actions", ["r", "r", "r", "r"]),
    ("events", ["", "r", "", ""]),
    ("idempotency_keys", ["", "", "", ""]),
    ("incarnations", ["", "", "r", "r"]),
    ("key_epochs", ["", "", "r", "r"]),
    ("keys", ["", "", "", ""]),
    ("log", ["", "", "r", "r"]),
    ("role_tenants", ["", "", "r", "rw"]),
    ("tenants", ["", "", "r", "rw"]),
    ("partitions of events", ["", "", "", ""]),
];

#[test]
fn each_table_is_open_to_whom_it_is_for() {
    let mut session = database().superuser();
    let mut seen = Vec::new();
    for (table, expected) in TABLES {
        for (role, expected) in ROLES.iter().zip(expected) {
            let of_table = if table == "partitions of events" {
                "relispartition".to_owned()
            } else {
                seen.push(table);
                format!("relname = '{table}'")
            };
            let granted = session.text(&format!(
                "SELECT concat(
                     CASE WHEN bool_or(has_table_privilege('{role}', oid, 'SELECT')) THEN 'r' END,
                     CASE WHEN bool_or(has_table_privilege('{role}', oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES')) THEN 'w' END)
                 FROM pg_class WHERE relnamespace = 'activity'::regnamespace
                 AND relkind IN ('r', 'p', 'v') AND {of_table}"
            ));
            assert_eq!(granted.as_deref(), Some(expected), "{role} on {table}");
        }
    }
    seen.dedup();
    let all = session.texts(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'activity'::regnamespace \
         AND relkind IN ('r', 'p', 'v') AND NOT relispartition ORDER BY 1",
    );
    assert_eq!(all, seen, "a table is missing in this test");
}

#[test]
fn default_privileges_of_the_database_open_nothing() {
    let database = Cluster::shared().empty_database();
    let app = database.create_login(&[]);
    let mut owner = database.superuser();
    owner
        .batch_execute(&format!(
            "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {app};
             ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
             ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO {app};
             ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO {app};
             CREATE EXTENSION activity_log; SELECT activity.setup()"
        ))
        .unwrap();
    let open = owner.texts(&format!(
        "SELECT c.oid::regclass::text FROM pg_class c
         WHERE c.relnamespace = 'activity'::regnamespace AND c.relkind IN ('r', 'p')
           AND has_table_privilege('{app}', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
         UNION ALL
         SELECT p.oid::regprocedure::text FROM pg_proc p
         WHERE p.pronamespace = 'activity'::regnamespace AND has_function_privilege('{app}', p.oid, 'EXECUTE')"
    ));
    assert_eq!(open, [] as [String; 0]);
}

// --- readers and auditors ----------------------------------------------------------------------

#[test]
fn a_reader_sees_the_tenant_of_the_context_and_no_other() {
    let database = database();
    let mut reader = login(&database, "activity_reader");
    assert_eq!(
        tenants(&mut reader, "activity.events"),
        [] as [&str; 0],
        "no context, no rows"
    );
    expect_error(
        reader.simple_query("SELECT * FROM activity.list()"),
        "22004",
    );
    for tenant in [TENANT_A, TENANT_B] {
        reader.batch_execute(&set_tenant(tenant)).unwrap();
        assert_eq!(tenants(&mut reader, "activity.events"), [tenant]);
        assert_eq!(tenants(&mut reader, "activity.list()"), [tenant]);
        assert_eq!(
            tenants(
                &mut reader,
                &format!("activity.list(tenant_id => '{tenant}')")
            ),
            [tenant]
        );
    }
    let refusal = expect_error(reader.simple_query(&list(TENANT_A)), "42501");
    assert!(refusal.message.contains("context"), "{refusal:?}");
    assert!(!refusal.text().contains(TENANT_A), "{refusal:?}");
}

#[test]
fn a_reader_gets_no_event_of_another_tenant_by_its_id() {
    let database = database();
    let mut owner = database.superuser();
    let id = owner
        .text(&format!(
            "SELECT event_id::text FROM activity.events WHERE tenant_id = '{TENANT_B}'"
        ))
        .unwrap();
    let mut reader = login(&database, "activity_reader");
    let get = format!("activity.get('{id}')");
    reader.batch_execute(&set_tenant(TENANT_A)).unwrap();
    assert_eq!(tenants(&mut reader, &get), [] as [&str; 0]);
    reader.batch_execute(&set_tenant(TENANT_B)).unwrap();
    assert_eq!(tenants(&mut reader, &get), [TENANT_B]);
}

#[test]
fn a_reader_cannot_go_around_row_security() {
    let database = database();
    let partition = partition(&mut database.superuser());
    let mut reader = login(&database, "activity_reader");
    reader.batch_execute(&set_tenant(TENANT_A)).unwrap();
    for attempt in [
        format!("SELECT * FROM {partition}"),
        "SELECT * FROM activity.idempotency_keys".into(),
        "SELECT * FROM activity.keys".into(),
        "SELECT * FROM activity.tenants".into(),
        "SELECT * FROM activity.role_tenants".into(),
        "SET row_security = off; SELECT * FROM activity.events".into(),
        "ALTER TABLE activity.events DISABLE ROW LEVEL SECURITY".into(),
        "DROP POLICY reader_sees_tenant ON activity.events".into(),
        "INSERT INTO activity.events DEFAULT VALUES".into(),
        "DELETE FROM activity.events".into(),
        "CREATE FUNCTION activity.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'".into(),
        record(TENANT_A),
    ] {
        expect_error(reader.simple_query(&attempt), "42501");
    }
    reader.batch_execute("SET row_security = on").unwrap();
    // A function that the planner may push below the policy must not see the other tenant's rows.
    reader
        .batch_execute(
            "CREATE FUNCTION pg_temp.peep(t uuid) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS
             $$ BEGIN RAISE NOTICE 'row %', t; RETURN true; END $$",
        )
        .unwrap();
    reader
        .batch_execute("SELECT * FROM activity.events WHERE pg_temp.peep(tenant_id)")
        .unwrap();
    let seen = reader.take_notices();
    assert!(
        !seen.is_empty() && seen.iter().all(|n| !n.message.contains(TENANT_B)),
        "{seen:?}"
    );
}

#[test]
fn the_system_tenant_is_for_admins_to_write_and_auditors_to_read() {
    let database = database();
    let mut writer = login(&database, "activity_writer");
    let mut reader = login(&database, "activity_reader");
    expect_error(writer.simple_query(&record(NIL)), "42501");
    expect_error(reader.simple_query(&list(NIL)), "42501");
    reader.batch_execute(&set_tenant(NIL)).unwrap();
    assert_eq!(tenants(&mut reader, "activity.events"), [] as [&str; 0]);
    expect_error(
        reader.simple_query("SELECT * FROM activity.list()"),
        "42501",
    );

    login(&database, "activity_admin")
        .batch_execute(&record(NIL))
        .unwrap();
    let mut auditor = login(&database, "activity_auditor");
    assert_eq!(
        tenants(
            &mut auditor,
            &format!("activity.list(tenant_id => '{NIL}')")
        ),
        [NIL]
    );
}

#[test]
fn the_namespace_of_the_log_itself_is_for_admins() {
    let database = database();
    let call = format!("SELECT activity.record('activity.log.set_up', tenant_id => '{TENANT_A}')");
    let mut writer = login(&database, "activity_writer");
    expect_error(writer.simple_query(&call), "42501");
}

#[test]
fn an_auditor_reads_every_tenant_through_functions_only() {
    let database = database();
    let mut auditor = login(&database, "activity_auditor");
    for tenant in [TENANT_A, TENANT_B] {
        assert_eq!(
            tenants(
                &mut auditor,
                &format!("activity.list(tenant_id => '{tenant}')")
            ),
            [tenant]
        );
        // The context does not bind an auditor.
        auditor.batch_execute(&set_tenant(TENANT_A)).unwrap();
        let id = auditor.text(&format!(
            "SELECT event_id::text FROM activity.list(tenant_id => '{tenant}') LIMIT 1"
        ));
        assert_eq!(
            tenants(&mut auditor, &format!("activity.get('{}')", id.unwrap())),
            [tenant]
        );
    }
    for attempt in ["SELECT * FROM activity.events".to_owned(), record(TENANT_A)] {
        expect_error(auditor.simple_query(&attempt), "42501");
    }
}

// --- pins --------------------------------------------------------------------------------------

fn pin(database: &Database<'_>, role: &str, tenant: &str) {
    // An admin pins, not the superuser.
    let statement = format!("INSERT INTO activity.role_tenants VALUES ('{role}', '{tenant}')");
    login(database, "activity_admin")
        .batch_execute(&statement)
        .unwrap();
}

const BOTH: [&str; 2] = ["activity_writer", "activity_reader"];

/// Refuses the tenant wherever it can be named.
fn assert_refused(session: &mut Session, tenant: &str) {
    let batch = format!(
        r#"SELECT * FROM activity.record_many('[{{"action": "user.created", "tenant_id": "{tenant}"}}]')"#
    );
    session.batch_execute("RESET activity.tenant_id").unwrap();
    for call in [record(tenant), list(tenant), batch] {
        let refusal = expect_error(session.simple_query(&call), "42501");
        assert!(!refusal.text().contains(tenant), "{refusal:?}");
    }
    session.batch_execute(&set_tenant(tenant)).unwrap();
    for call in [
        "SELECT activity.record('user.created')",
        "SELECT * FROM activity.list()",
        "SELECT activity.visible_tenant()",
        "SELECT * FROM activity.events",
        "SELECT count(*) FROM activity.events WHERE action = 'user.created'",
    ] {
        let refusal = expect_error(session.simple_query(call), "42501");
        assert!(
            refusal.hint.contains("activity.role_tenants"),
            "{refusal:?}"
        );
    }
}

fn assert_served(session: &mut Session, tenant: &str) {
    session.batch_execute(&record(tenant)).unwrap();
    session.batch_execute(&set_tenant(tenant)).unwrap();
    session
        .batch_execute("SELECT activity.record('user.created')")
        .unwrap();
    assert_eq!(tenants(session, "activity.events"), [tenant]);
    assert_eq!(tenants(session, "activity.list()"), [tenant]);
    assert_eq!(
        session
            .text("SELECT activity.visible_tenant()::text")
            .as_deref(),
        Some(tenant)
    );
}

#[test]
fn a_pinned_login_is_refused_for_other_tenants() {
    let database = database();
    let role = database.create_login(&BOTH);
    let mut session = database.connect_as(&role);
    assert_served(&mut session, TENANT_B);
    pin(&database, &role, TENANT_A);
    // Also in the session that was there before.
    for session in [&mut session, &mut database.connect_as(&role)] {
        assert_refused(session, TENANT_B);
        assert_served(session, TENANT_A);
    }
    pin(&database, &role, TENANT_B);
    assert_served(&mut session, TENANT_B);
    database
        .superuser()
        .batch_execute("DELETE FROM activity.role_tenants")
        .unwrap();
    assert_served(&mut session, TENANT_B);
}

#[test]
fn a_pin_that_is_rolled_back_pins_nobody() {
    let database = database();
    let role = database.create_login(&BOTH);
    let mut session = database.connect_as(&role);
    let mut owner = database.superuser();
    let insert = format!("INSERT INTO activity.role_tenants VALUES ('{role}', '{TENANT_A}')");
    owner.batch_execute(&format!("BEGIN; {insert}")).unwrap();
    assert_served(&mut session, TENANT_B);
    owner.batch_execute("ROLLBACK").unwrap();
    assert_served(&mut session, TENANT_B);
}

#[test]
fn the_role_of_set_role_is_bound_by_its_pins() {
    let database = database();
    let team = database.create_login(&BOTH);
    pin(&database, &team, TENANT_A);
    let mut session = database.connect_as(&database.create_login(&[&team]));
    assert_served(&mut session, TENANT_B);
    session.batch_execute(&format!("SET ROLE {team}")).unwrap();
    assert_refused(&mut session, TENANT_B);
    assert_served(&mut session, TENANT_A);
    session.batch_execute("RESET ROLE").unwrap();
    assert_served(&mut session, TENANT_B);
}

#[test]
fn where_login_and_set_role_are_pinned_both_bind() {
    let database = database();
    let team = database.create_login(&BOTH);
    let role = database.create_login(&[&team]);
    pin(&database, &team, TENANT_A);
    pin(&database, &role, TENANT_A);
    pin(&database, &role, TENANT_B);
    let mut session = database.connect_as(&role);
    assert_served(&mut session, TENANT_B);
    session.batch_execute(&format!("SET ROLE {team}")).unwrap();
    assert_served(&mut session, TENANT_A);
    assert_refused(&mut session, TENANT_B);

    let other = database.create_login(&BOTH);
    database
        .superuser()
        .batch_execute(&format!("GRANT {other} TO {role}"))
        .unwrap();
    pin(&database, &other, "cccccccc-cccc-4ccc-8ccc-cccccccccccc");
    session.batch_execute(&format!("SET ROLE {other}")).unwrap();
    for tenant in [TENANT_A, TENANT_B] {
        assert_refused(&mut session, tenant);
    }
}

#[test]
fn a_pinned_auditor_or_admin_is_bound_too() {
    let database = database();
    for group in ["activity_auditor", "activity_admin"] {
        let role = database.create_login(&[group]);
        pin(&database, &role, TENANT_A);
        let mut session = database.connect_as(&role);
        assert_eq!(
            tenants(
                &mut session,
                &format!("activity.list(tenant_id => '{TENANT_A}')")
            ),
            [TENANT_A]
        );
        expect_error(session.simple_query(&list(TENANT_B)), "42501");
        let id = database.superuser().text(&format!(
            "SELECT event_id::text FROM activity.events WHERE tenant_id = '{TENANT_B}'"
        ));
        // By its id neither: no row, or a refusal.
        let got = session.query(
            &format!("SELECT * FROM activity.get('{}')", id.unwrap()),
            &[],
        );
        assert!(
            got.is_err() || got.is_ok_and(|rows| rows.is_empty()),
            "{group}"
        );
    }
}

#[test]
fn with_require_pin_only_pinned_roles_are_served() {
    let database = database();
    let free = database.create_login(&BOTH);
    let pinned = database.create_login(&BOTH);
    pin(&database, &pinned, TENANT_A);
    let set = format!(
        "ALTER DATABASE {} SET activity.require_pin = on",
        database.name()
    );
    database.superuser().batch_execute(&set).unwrap();

    assert_served(&mut database.connect_as(&pinned), TENANT_A);
    assert_refused(&mut database.connect_as(&pinned), TENANT_B);
    let mut session = database.connect_as(&free);
    assert_refused(&mut session, TENANT_A);
    expect_error(
        session.simple_query("SET activity.require_pin = off"),
        "42501",
    );
    login(&database, "activity_admin")
        .batch_execute(&record(TENANT_A))
        .unwrap();
    let auditor = &mut login(&database, "activity_auditor");
    assert_eq!(
        tenants(
            auditor,
            &format!("activity.list(tenant_id => '{TENANT_A}')")
        ),
        [TENANT_A]
    );
}

#[test]
fn a_denied_attempt_leaves_a_line_in_the_servers_log() {
    let database = database();
    let role = database.create_login(&BOTH);
    pin(&database, &role, TENANT_A);
    let mut session = database.connect_as(&role);
    session.batch_execute(&set_tenant(TENANT_A)).unwrap();
    for attempt in [record(TENANT_B), list(TENANT_B), record(NIL)] {
        expect_error(session.simple_query(&attempt), "42501");
    }
    let by_whom = format!("{role}@{}", database.name());
    let log = Cluster::shared().log();
    let denied: Vec<_> = log
        .lines()
        .filter(|line| {
            line.contains(&by_whom) && line.contains("LOG:") && line.contains("access denied")
        })
        .collect();
    assert_eq!(denied.len(), 3, "{denied:#?}");
}

// --- attackers ---------------------------------------------------------------------------------

/// Functions and operators that an attacker would like us to find first. Each of them tells.
const HOSTILE: &str = "
    CREATE SCHEMA hostile;
    CREATE FUNCTION hostile.tell(what text) RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'hostile code ran as %: %', current_user, what USING ERRCODE = 'P6666'; END $$;
    CREATE FUNCTION hostile.uuids(uuid, uuid) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.tell('uuid ='); RETURN true; END $$;
    CREATE FUNCTION hostile.texts(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.tell('text ='); RETURN true; END $$;
    CREATE FUNCTION hostile.bools(bool, bool) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.tell('bool ='); RETURN true; END $$;
    CREATE FUNCTION hostile.times(timestamptz, timestamptz) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.tell('<'); RETURN true; END $$;
    CREATE FUNCTION hostile.join(jsonb, jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.tell('||'); RETURN $1; END $$;
    CREATE FUNCTION hostile.contain(jsonb, jsonb) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.tell('@>'); RETURN true; END $$;
    CREATE OPERATOR hostile.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = hostile.uuids);
    CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.texts);
    CREATE OPERATOR hostile.= (LEFTARG = bool, RIGHTARG = bool, FUNCTION = hostile.bools);
    CREATE OPERATOR hostile.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = hostile.times);
    CREATE OPERATOR hostile.>= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = hostile.times);
    CREATE OPERATOR hostile.|| (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = hostile.join);
    CREATE OPERATOR hostile.@> (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = hostile.contain);
    CREATE FUNCTION hostile.jsonb_build_object(VARIADIC \"any\") RETURNS jsonb LANGUAGE internal AS 'jsonb_build_object';
    CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.tell('now'); RETURN clock_timestamp(); END $$;
    CREATE FUNCTION hostile.jsonb_build_object(text, text, text, text) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.tell('jsonb_build_object'); RETURN '{}'; END $$;
    CREATE FUNCTION hostile.jsonb_strip_nulls(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.tell('jsonb_strip_nulls'); RETURN '{}'; END $$;
    CREATE FUNCTION hostile.make_interval(months int) RETURNS interval LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.tell('make_interval'); RETURN '1 day'; END $$;
    CREATE FUNCTION hostile.pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.tell('lock'); END $$;
    CREATE TABLE hostile.events (LIKE activity.events);
    CREATE TABLE hostile.pg_roles (oid oid, rolname name);
    CREATE TABLE hostile.pg_class (oid oid, relname name);
    GRANT ALL ON SCHEMA hostile TO PUBLIC;
";

/// The calls that the attacker makes, or makes others make.
fn calls() -> Vec<String> {
    vec![
        "SELECT activity.setup()".into(),
        "SELECT activity.migrate()".into(),
        "SELECT count(*) FROM activity.status()".into(),
        "SELECT activity.register_action('hostile.action', metadata_schema => '{\"type\": \"object\"}')".into(),
        "SELECT activity.install_taxonomy()".into(),
        "SELECT activity.check_event('user.created', '{\"a\": 1}')".into(),
        "SELECT activity.helper_sql('user.created')".into(),
        format!("SELECT activity.set_context('{TENANT_A}', 'u1', is_local => false)"),
        "SELECT activity.context()".into(),
        "SELECT activity.client_ip('198.51.100.1', NULL, '10.0.0.1', ARRAY['10.0.0.0/8'])".into(),
        "SELECT activity.record('user.created', '{\"a\": 1}', client_ip => '192.0.2.1', idempotency_key => 'k')".into(),
        "SELECT activity.record('user.created', '{\"a\": 1}', idempotency_key => 'k')".into(),
        "SELECT activity.record_many('[{\"action\": \"user.created\", \"idempotency_key\": \"k\"}]')".into(),
        "SELECT activity.record_login('u1', false, metadata => '{\"a\": 1}')".into(),
        "SELECT activity.record_login('u1')".into(),
        "SELECT activity.record_logout('u1', metadata => '{\"a\": 1}')".into(),
        "SELECT count(*) FROM activity.list(metadata => '{\"a\": 1}', since => '2020-01-01', until => '2100-01-01', action => 'user.*')".into(),
        "SELECT count(*) FROM activity.list(client_ip => '192.0.2.1', object_id => 'x')".into(),
        "SELECT count(*) FROM activity.get('00000000-0000-7000-8000-000000000000')".into(),
        "SELECT count(*) FROM activity.events".into(),
        "SELECT activity.visible_tenant()".into(),
        "SELECT activity.tenant('org_42')".into(),
        "SELECT activity.rotate_ip_key()".into(),
        "SELECT activity.retire_action('hostile.action')".into(),
        "SELECT activity.clear_context()".into(),
    ]
}

#[test]
fn a_hostile_search_path_runs_nothing() {
    let database = database();
    let mut owner = database.superuser();
    owner.batch_execute(HOSTILE).unwrap();
    let insert = format!(
        "INSERT INTO activity.tenants (tenant_id, external_id) VALUES ('{TENANT_A}', 'org_42')"
    );
    owner.batch_execute(&insert).unwrap();
    // The trap works: this is what must not happen inside ours.
    let trap = "SET search_path = hostile, pg_catalog; SELECT true = true";
    expect_error(owner.simple_query(trap), "P6666");
    for role in ["postgres", &database.create_login(&ROLES)] {
        let mut session = database.connect_as(role);
        session
            .batch_execute("SET search_path = hostile, pg_catalog, activity")
            .unwrap();
        let failed: Vec<String> = calls()
            .into_iter()
            .filter_map(|call| {
                let error = session.batch_execute(&call).err()?;
                Some(format!(
                    "{call}: {:?}",
                    error.as_db_error().map(postgres::error::DbError::message)
                ))
            })
            .collect();
        assert!(failed.is_empty(), "as {role}: {failed:#?}");
    }
}

#[test]
fn a_temporary_table_or_function_of_the_caller_stands_for_nothing_of_ours() {
    let database = database();
    let mut session = database.connect_as(&database.create_login(&ROLES));
    session
        .batch_execute(&format!(
            "CREATE TEMP TABLE events (tenant_id uuid); CREATE TEMP TABLE actions (action text);
             CREATE TEMP TABLE pg_roles (oid oid, rolname name); CREATE TEMP TABLE role_tenants (role_name text);
             SET search_path = pg_temp, activity, pg_catalog;
             {}; SELECT activity.register_action('user.left'); SELECT activity.setup()",
            record(TENANT_A)
        ))
        .unwrap();
    assert_eq!(session.number("SELECT count(*) FROM pg_temp.events"), 0);
    assert_eq!(
        session.number(&format!(
            "SELECT count(*) FROM activity.list(tenant_id => '{TENANT_A}')"
        )),
        2
    );
}

#[test]
fn a_function_of_the_application_records_for_callers_without_rights() {
    let database = database();
    let owner = database.create_login(&["activity_writer"]);
    let caller = database.create_login(&[]);
    database
        .superuser()
        .batch_execute(&format!(
            "CREATE SCHEMA app AUTHORIZATION {owner}; SET ROLE {owner};
             CREATE FUNCTION app.create_user() RETURNS uuid LANGUAGE sql SECURITY DEFINER
             SET search_path = pg_catalog, pg_temp AS $$ {} $$;
             GRANT USAGE ON SCHEMA app TO {caller}",
            record(TENANT_A)
        ))
        .unwrap();
    let mut session = database.connect_as(&caller);
    expect_error(session.simple_query(&record(TENANT_A)), "42501");
    let id = session.text("SELECT app.create_user()::text").unwrap();
    let by = format!("SELECT db_role FROM activity.events WHERE event_id = '{id}'");
    assert_eq!(
        database.superuser().text(&by),
        Some(caller.clone()),
        "who logged in is written down"
    );

    pin(&database, &caller, TENANT_B);
    expect_error(session.simple_query("SELECT app.create_user()"), "42501");
}

// --- append only -------------------------------------------------------------------------------

#[test]
fn nobody_changes_the_log_not_even_its_owner() {
    let database = database();
    let mut owner = database.superuser();
    let partition = partition(&mut owner);
    let before = database.rows();
    for replication in ["origin", "replica", "local"] {
        owner
            .batch_execute(&format!("SET session_replication_role = {replication}"))
            .unwrap();
        for table in ["activity.events", &partition] {
            for attempt in attempts(table) {
                let refusal = expect_error(owner.batch_execute(&attempt), "42501");
                assert!(
                    refusal.message.contains("append only"),
                    "{attempt}: {refusal:?}"
                );
            }
        }
        let truncate = "TRUNCATE activity.actions, activity.events CASCADE";
        expect_error(owner.batch_execute(truncate), "42501");
    }
    assert_eq!(database.rows(), before);
}

fn attempts(table: &str) -> Vec<String> {
    let version_15_has =
        format!("MERGE INTO {table} e USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE");
    vec![
        format!("UPDATE {table} SET metadata = '{{}}'"),
        format!("DELETE FROM {table}"),
        // A statement that hits no row is refused as well: nobody gets used to it.
        format!("DELETE FROM {table} WHERE false"),
        format!("TRUNCATE {table}"),
        format!("WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT count(*) FROM gone"),
        format!("DO $$ BEGIN DELETE FROM {table}; END $$"),
        format!(
            "INSERT INTO {table} SELECT * FROM {table} ON CONFLICT (tenant_id, occurred_at, event_id, recorded_at) DO UPDATE SET metadata = '{{}}'"
        ),
        version_15_has,
    ]
}

#[test]
fn a_writer_adds_nothing_but_through_the_functions() {
    let database = database();
    for group in ROLES {
        let mut session = login(&database, group);
        for attempt in [
            "INSERT INTO activity.events DEFAULT VALUES",
            "COPY activity.events FROM STDIN",
            "UPDATE activity.events SET metadata = '{}'",
            "DELETE FROM activity.events",
            "TRUNCATE activity.events",
            "DELETE FROM activity.idempotency_keys",
            "UPDATE activity.log SET log_id = gen_random_uuid()",
            "DELETE FROM activity.actions",
            "SELECT * FROM activity.keys",
            "SELECT activity._key_state()",
        ] {
            expect_error(session.simple_query(attempt), "42501");
        }
    }
}
