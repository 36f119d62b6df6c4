//! Who wants a database to himself gets it within a second.

use super::*;

fn quickly(cluster: &Cluster, statement: &str) {
    let mut session = cluster.existing_database("postgres").superuser();
    let begun = Instant::now();
    session.batch_execute(statement).unwrap();
    let took = begun.elapsed();
    assert!(
        took < Duration::from_millis(1500),
        "{statement} took {took:?}"
    );
    println!("{statement}: {took:?}");
}

#[test]
fn a_database_can_be_dropped_renamed_and_copied_under_its_worker() {
    let cluster = own(&[]);
    for round in 0..3 {
        let database = log(&cluster);
        let name = database.name();
        quickly(
            &cluster,
            &format!("CREATE DATABASE copy{round} TEMPLATE {name}"),
        );
        wait_for_worker(&mut database.superuser());
        quickly(
            &cluster,
            &format!("ALTER DATABASE {name} RENAME TO renamed{round}"),
        );
        let renamed = cluster.existing_database(&format!("renamed{round}"));
        wait_for_worker(&mut renamed.superuser());
        quickly(&cluster, &format!("DROP DATABASE renamed{round}"));
        quickly(&cluster, &format!("DROP DATABASE copy{round}"));
    }
    assert!(
        !cluster.log().contains("administrator command"),
        "it left by itself: {}",
        cluster.log()
    );
}

#[test]
fn a_worker_that_is_busy_is_ended() {
    let cluster = own(&[]);
    let database = log(&cluster);
    let mut blocker = database.superuser();
    // The worker wants to write an event and waits for the lock.
    blocker
        .batch_execute("BEGIN; LOCK TABLE activity.log IN ACCESS EXCLUSIVE MODE")
        .unwrap();
    std::thread::sleep(Duration::from_millis(1200));
    let name = database.name().to_owned();
    let mut session = cluster.existing_database("postgres").superuser();
    let waiting = session.number(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'
         AND backend_type = 'activity_log worker' AND wait_event_type = 'Lock'"
    ));
    assert_eq!(waiting, 1, "the worker was to be busy");
    drop(session);
    let dropping = std::thread::spawn({
        let mut config = cluster.existing_database("postgres").config("postgres");
        move || {
            let mut client = config.options("").connect(postgres::NoTls).unwrap();
            let begun = Instant::now();
            client
                .batch_execute(&format!("DROP DATABASE {name}"))
                .map(|()| begun.elapsed())
        }
    });
    std::thread::sleep(Duration::from_millis(50));
    drop(blocker);
    let took = dropping.join().unwrap().unwrap();
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[test]
fn a_database_of_the_same_name_gets_a_worker_of_its_own() {
    let cluster = own(&[]);
    for _ in 0..3 {
        cluster.create_database("again", "");
        let database = cluster.existing_database("again");
        let mut session = database.superuser();
        session
            .batch_execute("CREATE EXTENSION activity_log; SELECT activity.setup()")
            .unwrap();
        wait_for_worker(&mut session);
        assert_eq!(
            metric(&mut session, "activity_log_worker_starts_total", ""),
            1
        );
        drop(session);
        quickly(&cluster, "DROP DATABASE again");
    }
}

#[test]
fn a_database_that_refuses_connections_disturbs_nobody() {
    let cluster = own(&[]);
    let database = log(&cluster);
    let mut session = cluster.existing_database("postgres").superuser();
    session
        .batch_execute(&format!(
            "ALTER DATABASE {} ALLOW_CONNECTIONS false",
            database.name()
        ))
        .unwrap();
    cluster.restart(activity_log_integration::Stop::Fast);
    let other = log(&cluster);
    let mut session = other.superuser();
    let closed = session.number(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'",
        database.name()
    ));
    assert_eq!(closed, 0);
    session
        .batch_execute(&format!(
            "ALTER DATABASE {} ALLOW_CONNECTIONS true",
            database.name()
        ))
        .unwrap();
    eventually("the worker does not come back", || {
        let mut client = database.config("postgres").connect(postgres::NoTls).ok()?;
        let rows = client
            .query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'activity_log worker' AND datname = current_database()", &[])
            .ok()?;
        (rows.len() == 1).then_some(())
    });
}
