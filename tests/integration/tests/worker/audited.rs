//! What the log says about refusals and reads, though their transactions write nothing.

use super::*;
use activity_log_integration::expect_error;

const SYSTEM: &str = "00000000-0000-0000-0000-000000000000";

/// The events of an action, each as text, once there are `number` of them.
fn events(session: &mut Session, action: &str, number: usize) -> Vec<String> {
    let query = format!(
        "SELECT concat_ws('|', status, source, db_role, actor_id, object_type, object_id, metadata)
         FROM activity.events WHERE tenant_id = '{SYSTEM}' AND action = '{action}' ORDER BY event_id"
    );
    let found = eventually(&format!("there are not {number} of {action}"), || {
        let found = session.texts(&query);
        (found.len() >= number).then_some(found)
    });
    assert_eq!(found.len(), number, "{found:#?}");
    found
}

#[test]
fn a_denied_access_leaves_an_event_though_it_rolls_back() {
    let database = log(Cluster::shared());
    let pinned = database.create_login(&["activity_reader", "activity_writer"]);
    let mut session = database.superuser();
    session
        .batch_execute(&format!(
            "INSERT INTO activity.role_tenants (role_name, tenant_id) VALUES ('{pinned}', '{TENANT}')"
        ))
        .unwrap();
    let mut attacker = database.connect_as(&pinned);
    attacker
        .batch_execute(&format!(
            "SELECT activity.set_context('{TENANT}', 'mallory', is_local => false)"
        ))
        .unwrap();
    attacker.batch_execute("BEGIN").unwrap();
    let reading = format!("SELECT * FROM activity.list(tenant_id => '{OTHER}')");
    expect_error(attacker.query(&reading, &[]), "42501");
    attacker.batch_execute("ROLLBACK").unwrap();
    let denied = events(&mut session, "activity.access.denied", 1);
    let reason = "a tenant that the role is not pinned to";
    let expected = format!(
        r#"denied|system|{pinned}|mallory|tenant|{OTHER}|{{"reason": "{reason}", "purpose": "read"}}"#
    );
    assert_eq!(denied, [expected]);
    // The line in the server's log names the event.
    let id = session
        .text("SELECT event_id::text FROM activity.events WHERE action = 'activity.access.denied'");
    let line = format!("access denied: {reason} (event {})", id.unwrap());
    assert!(database.cluster().log().contains(&line), "{line}");
    // A client in a loop, naming tenants at will, fills neither the log nor the queue.
    for n in 0..500 {
        let reading = format!(
            "SELECT * FROM activity.list(tenant_id => '{n:08}-0000-4000-8000-000000000000')"
        );
        expect_error(attacker.query(&reading, &[]), "42501");
    }
    std::thread::sleep(Duration::from_millis(700));
    events(&mut session, "activity.access.denied", 1);
    assert_eq!(
        metric(&mut session, "activity_log_access_denied_total", ""),
        501
    );
    assert_eq!(
        metric(&mut session, "activity_log_durable_coalesced_total", ""),
        500
    );
    // Writing is another purpose, but the same reason of the same role.
    expect_error(attacker.query(&record(OTHER), &[]), "42501");
    assert_eq!(
        metric(&mut session, "activity_log_rejections_total", "denied"),
        1
    );
}

#[test]
fn a_rejected_event_leaves_its_action_and_reason_and_nothing_of_its_content() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let secret = "hunter2";
    let unknown = format!(
        "SELECT activity.record('no.such', '{{\"password\": \"{secret}\"}}', tenant_id => '{TENANT}')"
    );
    expect_error(session.query(&unknown, &[]), "42704");
    let odd = format!("SELECT activity.record('{secret} is no action', tenant_id => '{TENANT}')");
    expect_error(session.query(&odd, &[]), "22023");
    let batch = format!(
        r#"SELECT * FROM activity.record_many('[{{"action": "no.such", "tenant_id": "{OTHER}", "metadata": {{"x": "{secret}"}}}}]')"#
    );
    expect_error(session.query(&batch, &[]), "42704");
    let rejected = events(&mut session, "activity.record.rejected", 2);
    let by = "postgres|tenant";
    assert_eq!(
        rejected,
        [
            format!(
                r#"failure|system|{by}|{TENANT}|{{"action": "no.such", "reason": "unknown_action", "sqlstate": "42704"}}"#
            ),
            format!(
                r#"failure|system|{by}|{TENANT}|{{"action": null, "reason": "invalid_value", "sqlstate": "22023"}}"#
            ),
        ]
    );
    assert_eq!(
        metric(
            &mut session,
            "activity_log_rejections_total",
            "unknown_action"
        ),
        2
    );
}

#[test]
fn an_event_that_the_server_refuses_is_reported_as_well() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    session.batch_execute(&record(TENANT)).unwrap();
    session
        .batch_execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                RAISE EXCEPTION 'not on a sunday' USING ERRCODE = '23514'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON activity.events FOR EACH ROW
                WHEN (NEW.action = 'a.b') EXECUTE FUNCTION refuse()",
        )
        .unwrap();
    expect_error(session.query(&record(TENANT), &[]), "23514");
    let rejected = events(&mut session, "activity.record.rejected", 1);
    assert_eq!(
        rejected,
        [r#"failure|system|postgres|{"reason": "server", "sqlstate": "23514"}"#]
    );
    // Whoever cancels has not been refused.
    session.batch_execute("SET statement_timeout = 1").unwrap();
    let slow = format!("SELECT activity.record('a.b', tenant_id => '{TENANT}') FROM pg_sleep(1)");
    expect_error(session.query(&slow, &[]), "57014");
    session.batch_execute("RESET statement_timeout").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    events(&mut session, "activity.record.rejected", 1);
}

#[test]
fn with_warn_a_lost_event_is_counted() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    session
        .batch_execute("SET activity.on_error = warn")
        .unwrap();
    session
        .batch_execute(&format!(
            "SELECT activity.record('no.such', tenant_id => '{TENANT}')"
        ))
        .unwrap();
    assert_eq!(
        metric(&mut session, "activity_log_lost_events_total", ""),
        1
    );
    std::thread::sleep(Duration::from_millis(300));
    events(&mut session, "activity.record.rejected", 0);
}

#[test]
fn an_auditors_reads_are_on_record_even_read_only_or_rolled_back() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let id = session.text(&format!("{}::text", record(TENANT))).unwrap();
    let login = database.create_login(&["activity_auditor"]);
    let mut auditor = database.connect_as(&login);
    auditor.batch_execute("BEGIN READ ONLY").unwrap();
    for tenant in [TENANT, OTHER, TENANT] {
        auditor
            .batch_execute(&format!(
                "SELECT * FROM activity.list(tenant_id => '{tenant}')"
            ))
            .unwrap();
    }
    auditor.batch_execute("ROLLBACK").unwrap();
    auditor
        .batch_execute(&format!("SELECT * FROM activity.get('{id}')"))
        .unwrap();
    let audited = events(&mut session, "activity.read.audited", 2);
    let line =
        |tenant| format!(r#"success|system|{login}|tenant|{tenant}|{{"all_tenants": false}}"#);
    assert_eq!(
        audited,
        [line(TENANT), line(OTHER)],
        "each tenant once in a while"
    );
    auditor
        .batch_execute("SELECT * FROM activity.read_stream()")
        .unwrap();
    let audited = events(&mut session, "activity.read.audited", 3);
    assert_eq!(
        audited[2],
        format!(r#"success|system|{login}|{{"all_tenants": true}}"#)
    );
    // A reader of his own tenant and a superuser leave no trace.
    let mut reader = database.connect_as(&database.create_login(&["activity_reader"]));
    for session in [&mut reader, &mut session] {
        session
            .batch_execute(&format!(
                "SELECT * FROM activity.list(tenant_id => '{TENANT}')"
            ))
            .unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    events(&mut session, "activity.read.audited", 3);
}

#[test]
fn an_auditor_who_reads_very_many_tenants_is_bounded_and_counted() {
    let database = log(Cluster::shared());
    let mut auditor = database.connect_as(&database.create_login(&["activity_auditor"]));
    auditor
        .batch_execute(
            "DO $$ BEGIN FOR i IN 1..2000 LOOP PERFORM * FROM activity.list(tenant_id => gen_random_uuid()); END LOOP; END $$",
        )
        .unwrap();
    let mut session = database.superuser();
    std::thread::sleep(Duration::from_millis(700));
    let query = "SELECT count(*) FROM activity.events WHERE action = 'activity.read.audited'";
    let written = session.number(query);
    let dropped = metric(&mut session, "activity_log_durable_dropped_total", "");
    assert!(written >= 24, "{written}");
    assert_eq!(written + dropped, 2000);
    let told = session.text("SELECT value FROM activity.status() WHERE item = 'events dropped'");
    assert_eq!(told.unwrap(), dropped.to_string());
}

#[test]
#[ignore = "waits for more than a minute"]
fn how_often_a_refusal_came_again_is_told_once_the_minute_is_over() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let refused = format!("SELECT activity.record('no.such', tenant_id => '{TENANT}')");
    for _ in 0..10 {
        expect_error(session.query(&refused, &[]), "42704");
    }
    events(&mut session, "activity.record.rejected", 1);
    std::thread::sleep(Duration::from_secs(63));
    let told = events(&mut session, "activity.record.rejected", 2);
    assert!(told[1].contains(r#""repeated": 9"#), "{told:?}");
    // The next one is the first of another minute.
    expect_error(session.query(&refused, &[]), "42704");
    events(&mut session, "activity.record.rejected", 3);
}
