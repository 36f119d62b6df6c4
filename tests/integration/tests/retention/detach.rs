//! Taking partitions out while others read and write.

use super::maintain::until;
use super::*;
use std::time::{Duration, Instant};

#[test]
fn a_long_reader_makes_it_back_off_and_stops_no_writer() {
    let database = log_with_months(quiet_cluster(), &[14]);
    let mut session = database.superuser();
    session
        .batch_execute("SELECT activity.register_action('user.created')")
        .unwrap();
    keep_for(&mut session, "keep => '1 year'");
    let mut reader = database.superuser();
    let mut transaction = reader.transaction().unwrap();
    transaction
        .simple_query("SELECT count(*) FROM activity.events")
        .unwrap();

    let slowest = std::thread::scope(|scope| {
        let run = scope.spawn(|| maintain(&mut database.superuser()));
        let mut writer = database.superuser();
        let record = format!("SELECT activity.record('user.created', tenant_id => '{TENANT_A}')");
        let mut slowest = Duration::ZERO;
        while !run.is_finished() {
            let begin = Instant::now();
            writer.batch_execute(&record).unwrap();
            slowest = slowest.max(begin.elapsed());
        }
        let summary = run.join().unwrap();
        assert_eq!(summary["detach"]["gave_up"], 1, "{summary}");
        slowest
    });
    // It tries five times; a wait that is not bounded would last as long as the reader.
    assert!(slowest < Duration::from_millis(400), "{slowest:?}");
    assert!(is_attached(&mut session, 14));
    let advice = advice(&mut session, "steps that did not get through").unwrap();
    assert!(
        advice.contains("detach") && advice.contains("55P03"),
        "{advice}"
    );

    drop(transaction);
    assert_eq!(maintain(&mut session)["ok"], true);
    assert!(!is_attached(&mut session, 14));
}

#[test]
fn a_concurrent_detach_that_was_interrupted_is_brought_to_its_end() {
    let database = log_with_months(quiet_cluster(), &[14]);
    let mut session = database.superuser();
    keep_for(&mut session, "keep => '1 year'");
    let name = name_of(&mut session, 14);
    let mut reader = database.superuser();
    let mut transaction = reader.transaction().unwrap();
    transaction
        .simple_query("SELECT count(*) FROM activity.events")
        .unwrap();
    session.batch_execute("SET lock_timeout = '100ms'").unwrap();
    let detach =
        format!("ALTER TABLE activity.events DETACH PARTITION activity.{name} CONCURRENTLY");
    expect_error(session.simple_query(&detach), "55P03");
    session.batch_execute("RESET lock_timeout").unwrap();
    drop(transaction);

    // To readers it is gone already, and so it is to the view.
    let listed = format!("SELECT count(*) FROM activity.list(tenant_id => '{TENANT_A}')");
    assert_eq!(session.number(&listed), 0);
    assert_eq!(state(&mut session, 14).as_deref(), Some("detached"));
    let summary = maintain(&mut session);
    assert_eq!(summary["finalize"]["done"], 1, "{summary}");
    let pending = session.number("SELECT count(*) FROM pg_inherits WHERE inhdetachpending");
    assert_eq!(pending, 0);
    // Whoever detached it by hand keeps the table.
    let rows = session.number(&format!("SELECT count(*) FROM activity.{name}"));
    assert!(rows > 0);
}

#[test]
fn a_reader_in_an_old_snapshot_sees_the_partition_until_it_ends() {
    let database = log_with_months(quiet_cluster(), &[14]);
    let mut session = database.superuser();
    keep_for(&mut session, "keep => '1 year'");
    let mut reader = database.superuser();
    reader
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .unwrap();
    let all = "SELECT count(*) FROM activity.events WHERE tenant_id <> '00000000-0000-0000-0000-000000000000'";
    let before = reader.number(all);
    maintain(&mut session);
    assert_eq!(reader.number(all), before);
    reader.batch_execute("COMMIT").unwrap();
    maintain(&mut session);
    until("the partition is gone", || !is_attached(&mut session, 14));
    assert_eq!(reader.number(all), 0);
}
