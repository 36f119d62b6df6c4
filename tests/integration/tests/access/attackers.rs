//! Callers who bring their own functions, operators and tables, and those who have no rights.

use super::*;

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
