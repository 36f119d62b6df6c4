//! The figures.

use super::*;
use activity_log_integration::expect_error;

#[test]
fn events_count_when_they_are_committed_and_only_then() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let count = |session: &mut Session| metric(session, "activity_log_events_total", "\"api\"");
    session
        .batch_execute(&format!(
            "BEGIN; {0}; {0}; SAVEPOINT s; {0}; ROLLBACK TO s; SAVEPOINT t; {0}; RELEASE t",
            record(TENANT)
        ))
        .unwrap();
    assert_eq!(count(&mut session), 0);
    session.batch_execute("COMMIT").unwrap();
    assert_eq!(count(&mut session), 3);
    session
        .batch_execute(&format!("BEGIN; {}; ROLLBACK", record(TENANT)))
        .unwrap();
    assert_eq!(count(&mut session), 3);
    let failed =
        format!("SELECT activity.record('a.b', tenant_id => '{TENANT}', status => 'failure')");
    // Another session's figures are the same.
    let mut other = database.superuser();
    other.batch_execute(&failed).unwrap();
    assert_eq!(count(&mut session), 4);
    assert_eq!(
        metric(&mut session, "activity_log_events_total", "failure"),
        1
    );
    assert!(metric(&mut session, "activity_log_event_bytes_total", "") > 4 * 3);
}

#[test]
fn many_writers_lose_no_count() {
    let database = log(Cluster::shared());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut session = database.superuser();
                for _ in 0..100 {
                    session.batch_execute(&record(TENANT)).unwrap();
                }
            });
        }
    });
    let mut session = database.superuser();
    assert_eq!(
        metric(&mut session, "activity_log_events_total", "\"api\""),
        800
    );
}

#[test]
fn each_database_has_its_own_figures() {
    let one = log(Cluster::shared());
    let two = log(Cluster::shared());
    one.superuser().batch_execute(&record(TENANT)).unwrap();
    let mut session = two.superuser();
    assert_eq!(
        metric(&mut session, "activity_log_events_total", "\"api\""),
        0
    );
    let labelled = session.number(&format!(
        "SELECT count(*) FROM activity.metrics() WHERE labels ->> 'database' <> '{}'",
        two.name()
    ));
    assert_eq!(labelled, 0);
}

#[test]
fn without_preloading_a_session_sees_its_own() {
    let cluster = Cluster::start(&Options {
        preload: false,
        settings: &[],
    });
    let database = cluster.database();
    let mut session = database.superuser();
    session
        .batch_execute("SELECT activity.register_action('a.b')")
        .unwrap();
    session.batch_execute(&record(TENANT)).unwrap();
    assert_eq!(
        metric(&mut session, "activity_log_events_total", "\"api\""),
        1
    );
    assert_eq!(metric(&mut session, "activity_log_preloaded", ""), 0);
    let mut other = database.superuser();
    assert_eq!(
        metric(&mut other, "activity_log_events_total", "\"api\""),
        0
    );
}

#[test]
fn monitoring_reads_figures_and_nothing_else() {
    let database = log(Cluster::shared());
    let mut monitor = database.connect_as(&database.create_login(&["pg_monitor"]));
    assert!(monitor.number("SELECT count(*) FROM activity.metrics()") > 30);
    assert!(
        monitor
            .text("SELECT activity.prometheus()")
            .unwrap()
            .contains("activity_log_worker_up{")
    );
    for call in [
        "SELECT * FROM activity.status()".to_owned(),
        "SELECT * FROM activity.events".to_owned(),
        format!("SELECT * FROM activity.list(tenant_id => '{TENANT}')"),
        record(TENANT),
    ] {
        expect_error(monitor.query(&call, &[]), "42501");
    }
    let mut reader = database.connect_as(&database.create_login(&["activity_reader"]));
    expect_error(reader.query("SELECT activity.prometheus()", &[]), "42501");
}

#[test]
fn the_lag_grows_while_the_worker_stands_still() {
    let cluster = own(&[]);
    let database = log(&cluster);
    let mut session = database.superuser();
    let process = wait_for_worker(&mut session).to_string();
    let lag = |session: &mut Session| {
        session.number("SELECT (value * 1000)::bigint FROM activity.metrics() WHERE name = 'activity_log_stream_lag_seconds'")
    };
    let signal = |name: &str| {
        std::process::Command::new("kill")
            .args([name, &process])
            .status()
            .unwrap();
    };
    signal("-STOP");
    session.batch_execute(&record(TENANT)).unwrap();
    std::thread::sleep(Duration::from_millis(400));
    assert!(lag(&mut session) >= 400);
    signal("-CONT");
    eventually("the lag stays", || (lag(&mut session) == 0).then_some(()));
}
