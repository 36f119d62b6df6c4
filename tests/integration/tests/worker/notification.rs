//! Doorbells: who is told, when, and of what.

use super::*;
use activity_log_integration::expect_error;
use postgres::fallible_iterator::FallibleIterator;
use std::collections::BTreeMap;

/// The notifications that come until none has come for a while: how many, by channel.
fn heard(session: &mut Session, quiet: Duration) -> BTreeMap<String, usize> {
    let mut heard = BTreeMap::new();
    let mut notifications = session.notifications();
    let mut iterator = notifications.timeout_iter(quiet);
    while let Some(notification) = iterator.next().unwrap() {
        assert_eq!(notification.payload(), "", "a doorbell carries nothing");
        *heard.entry(notification.channel().to_owned()).or_insert(0) += 1;
    }
    heard
}

const QUIET: Duration = Duration::from_millis(300);

fn listening(database: &Database<'_>, tenant: &str) -> Session {
    let mut session = database.superuser();
    let listened = session.text(&format!("SELECT activity.listen('{tenant}')"));
    assert_eq!(listened.unwrap(), channel(tenant));
    session
}

fn channels(heard: &BTreeMap<String, usize>) -> Vec<&str> {
    heard.keys().map(String::as_str).collect()
}

#[test]
fn a_commit_rings_at_its_tenant_and_nowhere_else() {
    let database = log(Cluster::shared());
    let mut reader = listening(&database, TENANT);
    let mut other = listening(&database, OTHER);
    let mut writer = database.superuser();
    writer.batch_execute(&record(TENANT)).unwrap();
    assert_eq!(channels(&heard(&mut reader, QUIET)), [channel(TENANT)]);
    assert!(heard(&mut other, QUIET).is_empty());
}

#[test]
fn a_listener_who_is_told_sees_the_event() {
    let database = log(Cluster::shared());
    let mut reader = listening(&database, TENANT);
    let mut writer = database.superuser();
    for round in 1..=50 {
        writer.batch_execute(&record(TENANT)).unwrap();
        let mut notifications = reader.notifications();
        let told = notifications.timeout_iter(LIMIT).next().unwrap();
        assert!(told.is_some(), "round {round}");
        drop(notifications);
        let seen = reader.number(&format!(
            "SELECT count(*) FROM activity.events WHERE tenant_id = '{TENANT}'"
        ));
        assert_eq!(seen, round);
        // What is left of the same round.
        heard(&mut reader, Duration::from_millis(1));
    }
}

#[test]
fn what_is_rolled_back_rings_nobody() {
    let database = log(Cluster::shared());
    let mut reader = listening(&database, TENANT);
    let mut writer = database.superuser();
    writer
        .batch_execute(&format!("BEGIN; {}; ROLLBACK", record(TENANT)))
        .unwrap();
    writer
        .batch_execute(&format!(
            "BEGIN; SAVEPOINT s; {}; ROLLBACK TO s; {}; COMMIT",
            record(TENANT),
            record(OTHER)
        ))
        .unwrap();
    assert!(heard(&mut reader, QUIET).is_empty());
    // What a released savepoint has written does ring.
    writer
        .batch_execute(&format!(
            "BEGIN; SAVEPOINT s; SAVEPOINT t; {}; RELEASE t; RELEASE s; COMMIT",
            record(TENANT)
        ))
        .unwrap();
    assert_eq!(channels(&heard(&mut reader, QUIET)), [channel(TENANT)]);
}

#[test]
fn many_commits_are_told_together() {
    let database = log(Cluster::shared());
    let mut reader = listening(&database, TENANT);
    let mut writer = database.superuser();
    let begun = Instant::now();
    for _ in 0..300 {
        writer.batch_execute(&record(TENANT)).unwrap();
    }
    let rounds = begun.elapsed().as_millis() / 20 + 3;
    let told = heard(&mut reader, QUIET)[&channel(TENANT)];
    assert!(
        told >= 1 && told as u128 <= rounds,
        "{told} in {rounds} rounds"
    );
}

#[test]
fn a_batch_for_many_tenants_rings_at_each_and_at_who_reads_all() {
    let database = log(Cluster::shared());
    let mut auditor = database.connect_as(&database.create_login(&["activity_auditor"]));
    let all = auditor.text("SELECT activity.listen()").unwrap();
    assert_eq!(all, "activity_all_tenants");
    let mut reader = database.superuser();
    let tenant = |n: usize| format!("{n:08x}-0000-4000-8000-000000000000");
    for n in 0..200 {
        reader
            .batch_execute(&format!("SELECT activity.listen('{}')", tenant(n)))
            .unwrap();
    }
    let call = "SELECT count(*) FROM activity.record_many((SELECT jsonb_agg(jsonb_build_object(
        'action', 'a.b', 'tenant_id', lpad(to_hex(n % 200), 8, '0') || '-0000-4000-8000-000000000000'))
        FROM generate_series(1, 2000) n))";
    assert_eq!(database.superuser().number(call), 2000);
    let told = heard(&mut reader, QUIET);
    assert_eq!(told.len(), 200, "{told:?}");
    assert!(told.values().all(|times| *times == 1));
    assert_eq!(channels(&heard(&mut auditor, QUIET)), [all]);
}

#[test]
fn a_transaction_for_too_many_tenants_rings_at_everybody() {
    let database = log(Cluster::shared());
    let mut reader = listening(&database, TENANT);
    let call = "SELECT count(*) FROM activity.record_many((SELECT jsonb_agg(jsonb_build_object(
        'action', 'a.b', 'tenant_id', gen_random_uuid())) FROM generate_series(1, 3000) n))";
    assert_eq!(database.superuser().number(call), 3000);
    assert_eq!(channels(&heard(&mut reader, QUIET)), ["activity_everybody"]);
}

#[test]
fn a_prepared_commit_rings_when_it_is_committed() {
    let cluster = own(&[("max_prepared_transactions", "10")]);
    let database = log(&cluster);
    let mut reader = listening(&database, TENANT);
    let mut writer = database.superuser();
    for (name, tenant) in [("one", TENANT), ("two", TENANT), ("three", OTHER)] {
        let prepare = format!("BEGIN; {}; PREPARE TRANSACTION '{name}'", record(tenant));
        writer.batch_execute(&prepare).unwrap();
    }
    writer.batch_execute("COMMIT PREPARED 'three'").unwrap();
    writer.batch_execute("ROLLBACK PREPARED 'two'").unwrap();
    assert!(heard(&mut reader, QUIET).is_empty());
    writer.batch_execute("COMMIT PREPARED 'one'").unwrap();
    assert_eq!(channels(&heard(&mut reader, QUIET)), [channel(TENANT)]);
    let counted = metric(&mut writer, "activity_log_events_total", "\"api\"");
    assert_eq!(counted, 2, "what was rolled back is not counted");
    // One that outlives a crash, which takes the worker's memory along.
    let prepare = format!("BEGIN; {}; PREPARE TRANSACTION 'four'", record(TENANT));
    writer.batch_execute(&prepare).unwrap();
    cluster.restart(activity_log_integration::Stop::Immediate);
    let mut writer = database.superuser();
    wait_for_worker(&mut writer);
    let mut reader = listening(&database, TENANT);
    eventually("the worker has no round", || {
        (metric(&mut writer, "activity_log_worker_ticks_total", "") > 0).then_some(())
    });
    assert!(heard(&mut reader, QUIET).is_empty());
    writer.batch_execute("COMMIT PREPARED 'four'").unwrap();
    let quiet = Duration::from_secs(1);
    assert_eq!(channels(&heard(&mut reader, quiet)), [channel(TENANT)]);
}

#[test]
fn with_commit_the_writing_transaction_rings_once_and_cant_be_prepared() {
    let cluster = own(&[
        ("activity.notify", "commit"),
        ("max_prepared_transactions", "10"),
    ]);
    let database = log(&cluster);
    let mut reader = listening(&database, TENANT);
    let mut writer = database.superuser();
    let pid = writer.number("SELECT pg_backend_pid()::bigint");
    writer
        .batch_execute(&format!(
            "BEGIN; {0}; {0}; SAVEPOINT s; {0}; ROLLBACK TO s; {0}; COMMIT",
            record(TENANT)
        ))
        .unwrap();
    let mut notifications = reader.notifications();
    let told: Vec<_> = notifications.timeout_iter(QUIET).collect().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(i64::from(told[0].process_id()), pid);
    drop(notifications);
    writer
        .batch_execute(&format!(
            "BEGIN; SAVEPOINT s; {}; ROLLBACK TO s; COMMIT",
            record(TENANT)
        ))
        .unwrap();
    assert!(heard(&mut reader, QUIET).is_empty());
    let prepare = format!("BEGIN; {}; PREPARE TRANSACTION 'no'", record(TENANT));
    expect_error(writer.batch_execute(&prepare), "0A000");
}

#[test]
fn off_rings_nobody() {
    let database = log(Cluster::shared());
    let mut reader = listening(&database, TENANT);
    let mut writer = database.superuser();
    writer.batch_execute("SET activity.notify = off").unwrap();
    writer.batch_execute(&record(TENANT)).unwrap();
    assert!(heard(&mut reader, QUIET).is_empty());
}

#[test]
fn only_who_may_read_a_tenant_listens_to_it_by_function() {
    let database = log(Cluster::shared());
    let pinned = database.create_login(&["activity_reader"]);
    let pin = format!(
        "INSERT INTO activity.role_tenants (role_name, tenant_id) VALUES ('{pinned}', '{TENANT}')"
    );
    database.superuser().batch_execute(&pin).unwrap();
    let mut session = database.connect_as(&pinned);
    assert_eq!(
        session
            .text(&format!("SELECT activity.listen('{TENANT}')"))
            .unwrap(),
        channel(TENANT)
    );
    expect_error(
        session.query(&format!("SELECT activity.listen('{OTHER}')"), &[]),
        "42501",
    );
    // Nobody names a tenant: the context does, or the reader has to.
    expect_error(session.query("SELECT activity.listen()", &[]), "22004");
    let in_context = format!("SELECT activity.channel() FROM activity.set_context('{TENANT}')");
    assert_eq!(session.text(&in_context).unwrap(), channel(TENANT));
    let system = "00000000-0000-0000-0000-000000000000";
    expect_error(
        session.query(&format!("SELECT activity.listen('{system}')"), &[]),
        "42501",
    );
    let mut writer = database.connect_as(&database.create_login(&["activity_writer"]));
    expect_error(
        writer.query(&format!("SELECT activity.listen('{TENANT}')"), &[]),
        "42501",
    );
}

#[test]
fn without_preloading_nobody_rings_and_status_says_so() {
    let cluster = Cluster::start(&Options {
        preload: false,
        settings: &[],
    });
    let database = cluster.database();
    let mut reader = listening(&database, TENANT);
    let mut writer = database.superuser();
    writer
        .batch_execute("SELECT activity.register_action('a.b')")
        .unwrap();
    writer.batch_execute(&record(TENANT)).unwrap();
    assert!(heard(&mut reader, QUIET).is_empty());
    let told = writer.texts(
        "SELECT concat(item, ': ', value, ' ', ok) FROM activity.status() WHERE area = 'worker'",
    );
    assert_eq!(told, ["state: none f", "notification: polling f"]);
    writer
        .batch_execute("SET activity.notify = commit")
        .unwrap();
    writer.batch_execute(&record(TENANT)).unwrap();
    assert_eq!(channels(&heard(&mut reader, QUIET)), [channel(TENANT)]);
}
