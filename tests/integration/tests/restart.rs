//! What outlives the server: only this file stops servers, kills them and promotes standbys.

use activity_log_integration::{Cluster, Database, Options, Session, Stop, expect_error};
use std::time::{Duration, Instant};

const TENANT: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";

fn record(count: usize) -> String {
    format!(
        "SELECT activity.record('user.created', jsonb_build_object('password', 'hunter2'),
                                tenant_id => '{TENANT}', client_ip => '192.0.2.1')
         FROM generate_series(1, {count})"
    )
}

fn prepared(cluster: &Cluster) -> Database<'_> {
    let database = cluster.database();
    database
        .superuser()
        .batch_execute("SELECT activity.register_action('user.created')")
        .unwrap();
    database
}

fn ids(session: &mut Session) -> Vec<String> {
    session.texts(&format!(
        "SELECT event_id::text FROM activity.events WHERE tenant_id = '{TENANT}' ORDER BY xact, event_id"
    ))
}

#[test]
fn a_crash_keeps_what_was_committed_and_the_order_of_ids() {
    let cluster = Cluster::start(&Options::default());
    let database = prepared(&cluster);
    let mut session = database.superuser();
    session.batch_execute(&record(10)).unwrap();
    let before = ids(&mut session);
    // One that never commits.
    session
        .batch_execute(&format!("BEGIN; {}", record(5)))
        .unwrap();

    cluster.restart(Stop::Immediate);
    let mut session = database.superuser();
    assert_eq!(ids(&mut session), before);
    session.batch_execute(&record(10)).unwrap();
    let after = ids(&mut session);
    assert_eq!(after.len(), 20);
    assert!(after.is_sorted() && after[..10] == before[..], "{after:#?}");
    assert_eq!(
        session.text("SELECT activity.setup()").unwrap(),
        "activity_log is already set up"
    );
    expect_error(session.simple_query("DELETE FROM activity.events"), "42501");
}

#[test]
fn after_a_restart_the_context_is_gone_and_the_keys_are_the_same() {
    let cluster = Cluster::start(&Options::default());
    let database = prepared(&cluster);
    let mut session = database.superuser();
    let set = format!("SELECT activity.set_context('{TENANT}', 'u1', is_local => false)");
    session.batch_execute(&set).unwrap();
    session.batch_execute(&record(1)).unwrap();

    for how in [Stop::Fast, Stop::Immediate] {
        cluster.restart(how);
        let mut session = database.superuser();
        assert_eq!(
            session.text("SELECT activity.context()::text").unwrap(),
            "{}"
        );
        session.batch_execute(&record(1)).unwrap();
    }
    let mut session = database.superuser();
    let same = "SELECT concat(count(*), ' ', count(DISTINCT ip_hash), ' ', count(DISTINCT metadata)) \
                FROM activity.events WHERE action = 'user.created'";
    assert_eq!(
        session.text(same).unwrap(),
        "3 1 1",
        "one hash, one fingerprint"
    );
    let found = format!(
        "SELECT count(*) FROM activity.list(tenant_id => '{TENANT}', client_ip => '192.0.2.1')"
    );
    assert_eq!(session.number(&found), 3);
    let cursors = format!("SELECT cursor FROM activity.list(tenant_id => '{TENANT}')");
    assert_eq!(session.texts(&cursors).len(), 3);
}

#[test]
fn a_cursor_from_before_a_restart_goes_on() {
    let cluster = Cluster::start(&Options::default());
    let database = prepared(&cluster);
    let mut session = database.superuser();
    session.batch_execute(&record(10)).unwrap();
    let page = format!(
        "SELECT cursor FROM activity.list(tenant_id => '{TENANT}', page_size => 4) OFFSET 3"
    );
    let cursor = session.text(&page).unwrap();
    cluster.restart(Stop::Immediate);
    let rest = format!(
        "SELECT count(*) FROM activity.list(tenant_id => '{TENANT}', cursor => '{cursor}')"
    );
    assert_eq!(database.superuser().number(&rest), 6);
}

#[test]
fn a_standby_reads_and_a_promoted_one_records_in_a_life_of_its_own() {
    let primary = Cluster::start(&Options::default());
    let database = prepared(&primary);
    let mut session = database.superuser();
    session.batch_execute(&record(3)).unwrap();
    let standby = primary.start_standby();
    session.batch_execute(&record(2)).unwrap();

    let copy = standby.existing_database(database.name());
    let mut reading = copy.superuser();
    wait_for_rows(&mut reading, 5);
    let listed = format!(
        "SELECT count(*) FROM activity.list(tenant_id => '{TENANT}', client_ip => '192.0.2.1')"
    );
    assert_eq!(reading.number(&listed), 5);
    let id = ids(&mut reading).pop().unwrap();
    assert_eq!(
        reading.number(&format!("SELECT count(*) FROM activity.get('{id}')")),
        1
    );
    assert!(reading.number("SELECT count(*) FROM activity.status()") > 5);
    expect_error(reading.batch_execute(&record(1)), "25006");

    primary.stop(Stop::Immediate);
    standby.promote();
    // In the session that was there before, and in a new one.
    for session in [&mut reading, &mut copy.superuser()] {
        session.batch_execute(&record(1)).unwrap();
    }
    let lives = reading.texts(&format!(
        "SELECT gen::text FROM activity.events WHERE tenant_id = '{TENANT}' ORDER BY event_id"
    ));
    assert_eq!(lives[..5], ["1"; 5]);
    assert!(lives[5] != "1" && lives[5] == lives[6], "{lives:?}");
    assert_eq!(
        reading.text("SELECT activity.migrate()").unwrap(),
        "nothing to migrate"
    );
    let written_down = "SELECT count(*) FROM activity.incarnations";
    assert_eq!(reading.number(written_down), 2);
    reading.batch_execute(&record(1)).unwrap();
    let latest = "SELECT gen::bigint FROM activity.events ORDER BY event_id DESC LIMIT 1";
    assert_eq!(reading.number(latest).to_string(), lives[5]);
}

fn wait_for_rows(session: &mut Session, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while ids(session).len() < count {
        assert!(Instant::now() < deadline, "the standby does not follow");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_fresh_connection_after_a_crash_of_one_backend_goes_on() {
    let cluster = Cluster::start(&Options::default());
    let database = prepared(&cluster);
    let mut session = database.superuser();
    session.batch_execute(&record(3)).unwrap();
    let backend = session.number("SELECT pg_backend_pid()::bigint");
    // The postmaster then restarts everybody, as after any crash.
    let kill = std::process::Command::new("kill")
        .args(["-9", &backend.to_string()])
        .status();
    assert!(kill.unwrap().success());
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut session = loop {
        // Until the postmaster has noticed, it still takes connections, and then cuts them.
        if cluster.log().contains("reinitializing")
            && let Ok(mut client) = database.config("postgres").connect(postgres::NoTls)
            && client.simple_query("SELECT 1").is_ok()
        {
            break database.superuser();
        }
        assert!(Instant::now() < deadline, "the server does not come back");
        std::thread::sleep(Duration::from_millis(50));
    };
    session.batch_execute(&record(1)).unwrap();
    assert_eq!(ids(&mut session).len(), 4);
}

#[test]
fn a_prepared_transaction_brings_its_events_through_a_crash() {
    let settings = [("max_prepared_transactions", "5")];
    let cluster = Cluster::start(&Options {
        preload: true,
        settings: &settings,
    });
    let database = prepared(&cluster);
    let mut session = database.superuser();
    session
        .batch_execute(&format!("BEGIN; {}; PREPARE TRANSACTION 'kept'", record(2)))
        .unwrap();
    session
        .batch_execute(&format!("BEGIN; {}; PREPARE TRANSACTION 'lost'", record(3)))
        .unwrap();
    cluster.restart(Stop::Immediate);
    let mut session = database.superuser();
    assert_eq!(ids(&mut session), [] as [&str; 0]);
    session.batch_execute("COMMIT PREPARED 'kept'").unwrap();
    session.batch_execute("ROLLBACK PREPARED 'lost'").unwrap();
    assert_eq!(ids(&mut session).len(), 2);
}
