//! `setup()` runs once, whoever asks and however often.

use super::*;
use std::time::{Duration, Instant};

/// A call of every function that needs the log, by name.
const CALLS: &[(&str, &str)] = &[
    ("attach", "SELECT activity.attach('pg_class')"),
    ("coverage", "SELECT * FROM activity.coverage()"),
    ("detach", "SELECT activity.detach('pg_class')"),
    ("drop_rule", "SELECT activity.drop_rule(gen_random_uuid())"),
    (
        "object_history",
        "SELECT * FROM activity.object_history('item', '1')",
    ),
    (
        "on_change",
        "SELECT activity.on_change('pg_class', 'a.b', 'true')",
    ),
    ("pause", "SELECT activity.pause('pg_class', 'x')"),
    ("resume", "SELECT activity.resume('pg_class')"),
    ("row_as_of", "SELECT activity.row_as_of('pg_class', '{}')"),
    (
        "check_event",
        "SELECT * FROM activity.check_event('user.created')",
    ),
    ("get", "SELECT * FROM activity.get(gen_random_uuid())"),
    ("helper_sql", "SELECT activity.helper_sql('user.created')"),
    ("install_taxonomy", "SELECT activity.install_taxonomy()"),
    (
        "list",
        "SELECT * FROM activity.list(tenant_id => gen_random_uuid())",
    ),
    ("migrate", "SELECT activity.migrate()"),
    (
        "record",
        "SELECT activity.record('user.created', tenant_id => gen_random_uuid())",
    ),
    (
        "record_login",
        "SELECT activity.record_login('u1', tenant_id => gen_random_uuid())",
    ),
    (
        "record_logout",
        "SELECT activity.record_logout('u1', tenant_id => gen_random_uuid())",
    ),
    (
        "record_many",
        r#"SELECT * FROM activity.record_many('[{"action": "user.created"}]')"#,
    ),
    (
        "register_action",
        "SELECT activity.register_action('user.created')",
    ),
    (
        "listen",
        "SELECT activity.listen('5e700000-0000-4000-8000-000000000001')",
    ),
    (
        "record_durable",
        "SELECT activity.record_durable('a.b', tenant_id => '5e700000-0000-4000-8000-000000000001')",
    ),
    (
        "register_actions",
        r#"SELECT * FROM activity.register_actions('[{"action": "user.created"}]')"#,
    ),
    (
        "retire_action",
        "SELECT activity.retire_action('user.created')",
    ),
    ("rotate_ip_key", "SELECT activity.rotate_ip_key()"),
    ("tenant", "SELECT activity.tenant('org_42')"),
    (
        "create_consumer",
        "SELECT activity.create_consumer('feed', gen_random_uuid())",
    ),
    ("poll", "SELECT activity.poll('feed')"),
    ("ack", "SELECT activity.ack('feed', 'x')"),
    ("drop_consumer", "SELECT activity.drop_consumer('feed')"),
    ("read_stream", "SELECT * FROM activity.read_stream()"),
    ("stream_start", "SELECT activity.stream_start()"),
    (
        "set_retention",
        "SELECT activity.set_retention(keep => '1 year')",
    ),
    (
        "retention_preview",
        "SELECT * FROM activity.retention_preview()",
    ),
    (
        "hold",
        "SELECT activity.hold(reason => 'a case', actor_id => 'u1')",
    ),
    (
        "release_hold",
        "SELECT activity.release_hold(gen_random_uuid(), 'over')",
    ),
    (
        "schedule_maintenance",
        "SELECT * FROM activity.schedule_maintenance()",
    ),
    (
        "erase_actor",
        "SELECT activity.erase_actor('u1', gen_random_uuid(), 'asked for it')",
    ),
    (
        "archived_events",
        "SELECT * FROM activity.archived_events('u1', gen_random_uuid())",
    ),
    (
        "archive_partition",
        "SELECT activity.archive_partition('events_p1', '/tmp')",
    ),
    (
        "verify_archive",
        "SELECT activity.verify_archive('/tmp/manifest.json')",
    ),
    (
        "restore_archive",
        "SELECT activity.restore_archive('/tmp/manifest.json')",
    ),
    (
        "drop_restored_archive",
        "SELECT activity.drop_restored_archive('x')",
    ),
];

/// Functions that work before `setup()`, or that only the server calls.
const WITHOUT_LOG: &[&str] = &[
    "channel",
    "clear_context",
    "client_ip",
    "context",
    "maintain",
    "metrics",
    "prometheus",
    "set_context",
    "setup",
    "status",
    "unschedule_maintenance",
    "visible_tenant",
];

#[test]
fn before_setup_every_function_asks_for_it() {
    let database = Cluster::shared().database_before_setup();
    let mut session = database.superuser();
    for (name, call) in CALLS {
        let result = session.simple_query(call);
        assert!(result.is_err(), "{name} works before setup()");
        let refusal = expect_error(result, "55000");
        assert!(
            refusal.hint.contains("activity.setup()"),
            "{name}: {refusal:?}"
        );
    }
    session
        .batch_execute(&format!("SET activity.tenant_id = '{TENANT}'"))
        .unwrap();
    expect_error(
        session.simple_query("SELECT activity.visible_tenant()"),
        "55000",
    );
}

#[test]
fn no_function_is_left_out_of_these_tests() {
    let database = Cluster::shared().database_before_setup();
    let public = database.superuser().texts(
        "SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = 'activity'::regnamespace \
         AND proname NOT LIKE '\\_%' ORDER BY 1",
    );
    let mut known: Vec<&str> = CALLS
        .iter()
        .map(|(name, _)| *name)
        .chain(WITHOUT_LOG.iter().copied())
        .collect();
    known.sort_unstable();
    assert_eq!(public, known);
}

#[test]
fn a_second_setup_changes_nothing_and_says_so() {
    let database = Cluster::shared().database();
    let (objects, rows) = (database.objects(), database.rows());
    let said = database.superuser().text("SELECT activity.setup()");
    assert_eq!(said.as_deref(), Some("activity_log is already set up"));
    assert_same(&objects, &database.objects());
    assert_eq!(database.rows(), rows);
}

#[test]
fn a_setup_that_is_rolled_back_leaves_nothing() {
    let database = Cluster::shared().database_before_setup();
    let objects = database.objects();
    let mut session = database.superuser();
    session
        .batch_execute("BEGIN; SELECT activity.setup(); ROLLBACK")
        .unwrap();
    assert_same(&objects, &database.objects());
    expect_error(
        session.simple_query("SELECT * FROM activity.list()"),
        "55000",
    );
    session.batch_execute("SELECT activity.setup()").unwrap();
    record_and_list(&mut session);
}

#[test]
fn two_sessions_that_set_up_at_once_wait_for_each_other() {
    let database = Cluster::shared().database_before_setup();
    let mut first = database.superuser();
    let mut second = database.superuser();
    // What the second has looked up in vain must not mislead it later.
    expect_error(second.simple_query("SELECT activity.migrate()"), "55000");
    first
        .batch_execute("BEGIN; SELECT activity.setup()")
        .unwrap();
    let said = std::thread::scope(|scope| {
        let waiting = scope.spawn(move || second.text("SELECT activity.setup()"));
        wait_until(&mut database.superuser(), "advisory");
        assert!(!waiting.is_finished());
        first.batch_execute("COMMIT").unwrap();
        waiting.join().unwrap()
    });
    assert_eq!(said.as_deref(), Some("activity_log is already set up"));
    record_and_list(&mut database.superuser());
}

/// Waits until a session of the database waits for a lock of this kind.
fn wait_until(observer: &mut Session, lock: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let waiting = format!(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = '{lock}' AND database = \
         (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    while observer.number(&waiting) == 0 {
        assert!(Instant::now() < deadline, "nobody waits");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn only_an_admin_sets_up() {
    let database = Cluster::shared().database_before_setup();
    for groups in [
        &[] as &[&str],
        &["activity_writer", "activity_reader", "activity_auditor"],
    ] {
        let role = database.create_login(groups);
        let mut session = database.connect_as(&role);
        expect_error(session.simple_query("SELECT activity.setup()"), "42501");
        expect_error(session.simple_query("SELECT activity.migrate()"), "42501");
    }
    let admin = database.create_login(&["activity_admin"]);
    let mut session = database.connect_as(&admin);
    session.batch_execute("SELECT activity.setup()").unwrap();
    record_and_list(&mut session);
    let owners = database.superuser().texts(
        "SELECT DISTINCT relowner::regrole::text FROM pg_class \
         WHERE relnamespace = 'activity'::regnamespace AND relkind IN ('r', 'p')",
    );
    assert_eq!(
        owners,
        ["postgres"],
        "the admin who sets up owns nothing of the log"
    );
}

#[test]
fn setting_up_again_does_not_wait_for_writers() {
    let database = Cluster::shared().database();
    let mut writer = database.superuser();
    writer
        .batch_execute("SELECT activity.register_action('user.created')")
        .unwrap();
    writer
        .batch_execute(&format!("BEGIN; {}", record("user.created")))
        .unwrap();
    // Who waits for a writer makes every later writer wait as well.
    let mut session = database.superuser();
    session.batch_execute("SET lock_timeout = '2s'").unwrap();
    session.batch_execute("SELECT activity.setup()").unwrap();
    session
        .batch_execute("SELECT activity.setup(premake => 20)")
        .unwrap();
    writer.batch_execute("COMMIT").unwrap();
}
