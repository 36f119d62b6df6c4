//! When a worker starts and ends.

use super::*;
use activity_log_integration::Stop;
use std::process::Command;

fn no_worker(session: &mut Session) {
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(worker(session), None);
}

fn kill(signal: &str, process: i32) {
    let done = Command::new("kill")
        .args([signal, &process.to_string()])
        .status();
    assert!(done.unwrap().success());
}

#[test]
fn a_worker_comes_with_set_up_and_goes_with_the_extension() {
    let database = Cluster::shared().database_before_setup();
    let mut session = database.superuser();
    no_worker(&mut session);
    session
        .batch_execute("BEGIN; SELECT activity.setup(); ROLLBACK")
        .unwrap();
    no_worker(&mut session);
    session.batch_execute("SELECT activity.setup()").unwrap();
    wait_for_worker(&mut session);
    assert!(state(&mut session).starts_with("running, process "));
    session
        .batch_execute("DROP EXTENSION activity_log CASCADE")
        .unwrap();
    eventually("the worker stays", || {
        worker(&mut session).is_none().then_some(())
    });
    session
        .batch_execute("CREATE EXTENSION activity_log; SELECT activity.setup()")
        .unwrap();
    wait_for_worker(&mut session);
}

#[test]
fn after_a_restart_every_database_has_its_worker_before_anybody_writes() {
    let cluster = own(&[]);
    let one = log(&cluster);
    let two = log(&cluster);
    let without = cluster.database_before_setup();
    for how in [Stop::Fast, Stop::Immediate] {
        cluster.restart(how);
        for database in [&one, &two] {
            wait_for_worker(&mut database.superuser());
        }
        assert_eq!(worker(&mut without.superuser()), None);
    }
    let begun = Instant::now();
    cluster.stop(Stop::Fast);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    assert!(!cluster.log().contains("PANIC"), "{}", cluster.log());
}

#[test]
fn a_killed_worker_comes_back_and_rings_again() {
    let cluster = own(&[]);
    let database = log(&cluster);
    let mut session = database.superuser();
    let first = wait_for_worker(&mut session);
    kill("-9", first);
    eventually("the postmaster does not notice", || {
        cluster.log().contains("reinitializing").then_some(())
    });
    let mut session = reconnect(&database);
    assert_ne!(wait_for_worker(&mut session), first);
    session
        .batch_execute(&format!("SELECT activity.listen('{TENANT}')"))
        .unwrap();
    session.batch_execute(&record(TENANT)).unwrap();
    assert!(told(&mut session));
}

fn told(session: &mut Session) -> bool {
    use postgres::fallible_iterator::FallibleIterator;
    let mut notifications = session.notifications();
    notifications.timeout_iter(LIMIT).next().unwrap().is_some()
}

#[test]
fn a_terminated_worker_and_a_terminated_launcher_come_back() {
    let cluster = own(&[]);
    let database = log(&cluster);
    let mut session = database.superuser();
    let first = wait_for_worker(&mut session);
    session
        .batch_execute(&format!("SELECT pg_terminate_backend({first})"))
        .unwrap();
    let second = eventually("no new worker", || {
        worker(&mut session).filter(|process| *process != first)
    });
    session
        .batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'activity_log launcher'",
        )
        .unwrap();
    eventually("no new launcher", || {
        let launchers =
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'activity_log launcher'";
        (session.number(launchers) == 1 && cluster.log().contains("activity_log launcher"))
            .then_some(())
    });
    assert_eq!(
        worker(&mut session),
        Some(second),
        "the workers go on without the launcher"
    );
    // Once it is back it starts workers for new databases.
    wait_for_worker(&mut log(&cluster).superuser());
}

#[test]
fn a_restored_copy_has_no_worker_until_it_is_taken_over() {
    let cluster = own(&[]);
    let database = log(&cluster);
    database.superuser().batch_execute(&record(TENANT)).unwrap();
    let copying = format!("CREATE DATABASE copy TEMPLATE {}", database.name());
    cluster
        .existing_database("postgres")
        .superuser()
        .batch_execute(&copying)
        .unwrap();
    let copy = cluster.existing_database("copy");
    let mut session = copy.superuser();
    // Recording works at once, but nobody does anything by himself.
    session.batch_execute(&record(TENANT)).unwrap();
    no_worker(&mut session);
    assert_eq!(state(&mut session), "stopped: restored copy");
    session.batch_execute("SELECT activity.migrate()").unwrap();
    wait_for_worker(&mut session);
    wait_for_worker(&mut database.superuser());
}

#[test]
fn a_standby_has_no_worker_until_it_is_promoted() {
    let primary = own(&[]);
    let database = log(&primary);
    let standby = primary.start_standby();
    let copy = standby.existing_database(database.name());
    let mut session = copy.superuser();
    no_worker(&mut session);
    primary.stop(Stop::Immediate);
    standby.promote();
    wait_for_worker(&mut session);
    // The new life of the database is written down.
    eventually("the incarnation is not written down", || {
        (session.number("SELECT count(*) FROM activity.incarnations") == 2).then_some(())
    });
    session
        .batch_execute(&format!("SELECT activity.listen('{TENANT}')"))
        .unwrap();
    session.batch_execute(&record(TENANT)).unwrap();
    assert!(told(&mut session));
}

#[test]
fn without_a_place_for_workers_the_server_runs_and_status_says_so() {
    // One place, which the launcher takes.
    let cluster = own(&[
        ("max_worker_processes", "2"),
        ("max_logical_replication_workers", "0"),
    ]);
    let one = log(&cluster);
    let two = cluster.database();
    let mut session = two.superuser();
    session
        .batch_execute("SELECT activity.register_action('a.b')")
        .unwrap();
    session.batch_execute(&record(TENANT)).unwrap();
    eventually("status() does not say it", || {
        (state(&mut session) == "stopped: no place for another background worker").then_some(())
    });
    assert!(cluster.log().contains("raise max_worker_processes"));
    wait_for_worker(&mut one.superuser());
}

#[test]
fn the_worker_holds_no_transaction_while_it_is_idle() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let process = wait_for_worker(&mut session);
    let mut open = 0;
    for _ in 0..100 {
        open += session.number(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = {process}
             AND (xact_start < now() - interval '200 ms' OR state = 'idle in transaction')"
        ));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(open, 0);
    // A changed setting arrives without a restart.
    for statement in [
        "ALTER SYSTEM SET activity.notify_interval = '2s'",
        "SELECT pg_reload_conf()",
    ] {
        session.batch_execute(statement).unwrap();
    }
    std::thread::sleep(Duration::from_millis(600));
    for statement in [
        "ALTER SYSTEM RESET activity.notify_interval",
        "SELECT pg_reload_conf()",
    ] {
        session.batch_execute(statement).unwrap();
    }
    assert_eq!(worker(&mut session), Some(process));
}
