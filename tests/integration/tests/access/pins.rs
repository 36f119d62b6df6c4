//! Roles that are bound to their tenants.

use super::*;

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
