//! What readers and auditors see, and what they do not.

use super::*;

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
