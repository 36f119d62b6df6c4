//! Who may erase, and whom.

use super::*;

#[test]
fn only_administrators_erase_and_only_within_their_pins() {
    let database = database();
    for role in ["activity_writer", "activity_reader", "activity_auditor"] {
        let mut session = login(&database, role);
        expect_error(session.query(&erase_statement(ACTOR, TENANT), &[]), "42501");
    }
    let pinned = database.create_login(&["activity_admin"]);
    let pin = format!("INSERT INTO activity.role_tenants VALUES ('{pinned}', '{OTHER_TENANT}')");
    login(&database, "activity_admin")
        .batch_execute(&pin)
        .unwrap();
    let mut session = database.connect_as(&pinned);
    expect_error(session.query(&erase_statement(ACTOR, TENANT), &[]), "42501");
    assert_eq!(session.number(&erase_statement(ACTOR, OTHER_TENANT)), 1);
    assert_eq!(erase(&mut login(&database, "activity_admin")), 2);
}

#[test]
fn what_is_not_given_is_named() {
    let database = database();
    let mut owner = database.superuser();
    for (call, sqlstate, part) in [
        ("", "22004", "actor_id"),
        ("NULL, NULL, NULL", "22004", "actor_id"),
        (
            "'', 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', 'x'",
            "22004",
            "actor_id",
        ),
        ("'zoe', NULL, 'x'", "22004", "tenant_id"),
        (
            "'zoe', 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', ''",
            "22004",
            "reason",
        ),
        (
            "'zoe', 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', 'zoe asked'",
            "22023",
            "reason",
        ),
        (
            "'[erased:0123456789abcdef]', 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', 'x'",
            "22023",
            "actor_id",
        ),
        (
            "'zoe', 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', repeat('x', 1001)",
            "22001",
            "reason",
        ),
    ] {
        // The context does not stand in: nobody erases by accident.
        owner
            .batch_execute(&format!(
                "SET activity.tenant_id = '{TENANT}'; SET activity.actor_id = 'zoe'"
            ))
            .unwrap();
        let result = owner.query(&format!("SELECT activity.erase_actor({call})"), &[]);
        let refusal = expect_error(result, sqlstate);
        assert!(refusal.message.contains(part), "{call}: {refusal:?}");
    }
}

#[test]
fn an_administrator_who_erases_herself_leaves_no_name() {
    let database = database();
    let mut admin = login(&database, "activity_admin");
    admin
        .batch_execute(&format!(
            "SET activity.actor_id = '{ACTOR}'; SET activity.request_id = 'r-1'; SET activity.client_ip = '198.51.100.9'"
        ))
        .unwrap();
    assert_eq!(erase(&mut admin), 2);
    let told = event(
        &mut database.superuser(),
        "action = 'activity.actor.erased'",
    );
    assert_eq!(told["actor_id"], told["metadata"]["pseudonym"]);
    assert_eq!(
        (&told["request_id"], &told["ip_prefix"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn it_needs_a_log_and_a_server_that_writes() {
    let database = Cluster::shared().database_before_setup();
    let mut owner = database.superuser();
    expect_error(owner.query(&erase_statement(ACTOR, TENANT), &[]), "55000");
    let database = super::database();
    let mut owner = database.superuser();
    owner.batch_execute("BEGIN READ ONLY").unwrap();
    expect_error(owner.query(&erase_statement(ACTOR, TENANT), &[]), "25006");
    // It would not see a hold that came after its transaction had begun.
    owner
        .batch_execute("ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ")
        .unwrap();
    expect_error(owner.query(&erase_statement(ACTOR, TENANT), &[]), "25000");
}
