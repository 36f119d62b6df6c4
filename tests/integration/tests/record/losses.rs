//! `activity.on_error = warn`: the business goes on without its audit, and says so.

use super::{TENANT, call, log, noted, objects, process_of, record};
use activity_log_integration::{Database, Session, expect_error};
use std::time::{Duration, Instant};

/// A session that tolerates losses, with a business table.
fn tolerant(database: &Database<'_>) -> Session {
    let mut session = database.superuser();
    session
        .batch_execute("CREATE TABLE IF NOT EXISTS business (id int); SET activity.on_error = warn")
        .unwrap();
    session
}

/// Makes every event of the object `bad` fail in the server, with a message that holds payload.
fn add_failing_trigger(database: &Database<'_>, failure: &str) {
    database
        .superuser()
        .batch_execute(&format!(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {failure}; RETURN NEW; END $$;
             CREATE TRIGGER fail BEFORE INSERT ON activity.events FOR EACH ROW
                 WHEN (NEW.object_id = 'bad') EXECUTE FUNCTION fail()"
        ))
        .unwrap();
}

#[test]
fn a_refused_event_is_lost_with_a_warning_and_the_business_write_commits() {
    let database = log();
    let mut session = tolerant(&database);
    session
        .batch_execute("BEGIN; INSERT INTO business VALUES (1)")
        .unwrap();
    let _ = session.take_notices();
    let cases = [
        (
            "SELECT activity.record('thing.measured', '{\"note\": \"hunter2\"}', tenant_id => 'TENANT')",
            "23514",
        ),
        (
            "SELECT activity.record('thing.unheard', '{\"note\": \"hunter2\"}', tenant_id => 'TENANT')",
            "42704",
        ),
        (
            "SELECT activity.record('thing.noted', '[\"hunter2\"]', tenant_id => 'TENANT')",
            "22023",
        ),
        (
            "SELECT activity.record('thing.noted', object_id => repeat('hunter2', 100), tenant_id => 'TENANT')",
            "22001",
        ),
        (
            "SELECT activity.record(NULL, tenant_id => 'TENANT')",
            "22004",
        ),
        ("SELECT activity.record('thing.noted')", "22004"),
    ];
    for (call, sqlstate) in cases {
        let id = session
            .query_one(&call.replace("TENANT", TENANT), &[])
            .unwrap();
        assert_eq!(id.get::<_, Option<uuid::Uuid>>(0), None, "{call}");
        let notices = session.take_notices();
        assert_eq!(notices.len(), 1, "{call}: {notices:?}");
        assert_eq!(notices[0].severity, "WARNING");
        assert_eq!(notices[0].sqlstate, sqlstate, "{call}: {notices:?}");
        assert!(notices[0].message.contains("event lost"), "{notices:?}");
        assert!(!format!("{notices:?}").contains("hunter2"), "{notices:?}");
    }
    session.batch_execute("COMMIT").unwrap();
    assert_eq!(session.number("SELECT count(*) FROM business"), 1);
    assert!(objects(&mut session).is_empty());
}

#[test]
fn what_the_server_raises_is_tolerated_too_and_its_text_stays_inside() {
    let database = log();
    add_failing_trigger(
        &database,
        "RAISE EXCEPTION 'refused: %', NEW.metadata USING ERRCODE = 'P0001'",
    );
    let mut session = tolerant(&database);
    session
        .batch_execute("BEGIN; INSERT INTO business VALUES (1)")
        .unwrap();
    let _ = session.take_notices();
    let lost = record(
        &mut session,
        r#"object_id => 'bad', metadata => '{"note": "hunter2"}'"#,
    );
    assert_eq!(lost.unwrap(), None);
    let notices = session.take_notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!(notices[0].sqlstate, "P0001");
    assert!(!format!("{notices:?}").contains("hunter2"), "{notices:?}");
    noted(&mut session, "good");
    session.batch_execute("COMMIT").unwrap();
    assert_eq!(session.number("SELECT count(*) FROM business"), 1);
    assert_eq!(objects(&mut session), ["good"]);
    assert!(database.cluster().log().contains("SQLSTATE P0001"));
    let log = database.cluster().log();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("hunter2"))
        .collect();
    assert!(told.is_empty(), "{told:#?}");

    // A part of a batch has the same fate as the batch.
    let batch = format!(
        r#"SELECT * FROM activity.record_many('[{{"action": "thing.noted", "tenant_id": "{TENANT}", "object_id": "bad"}},
           {{"action": "thing.noted", "tenant_id": "{TENANT}", "object_id": "with it"}}]')"#
    );
    assert!(session.query(&batch, &[]).unwrap().is_empty());
    assert_eq!(objects(&mut session), ["good"]);
}

#[test]
fn an_error_with_a_code_of_its_own_is_tolerated_too() {
    let database = log();
    add_failing_trigger(
        &database,
        "RAISE EXCEPTION 'refused' USING ERRCODE = 'P0042'",
    );
    let mut session = tolerant(&database);
    assert_eq!(record(&mut session, "object_id => 'bad'").unwrap(), None);
    noted(&mut session, "good");
    assert_eq!(objects(&mut session), ["good"]);
}

#[test]
fn by_default_what_the_server_raises_fails_the_statement() {
    let database = log();
    add_failing_trigger(
        &database,
        "RAISE EXCEPTION 'refused' USING ERRCODE = 'P0001'",
    );
    let mut session = database.superuser();
    expect_error(record(&mut session, "object_id => 'bad'"), "P0001");
    assert!(objects(&mut session).is_empty());
}

#[test]
fn a_cancelled_statement_stays_cancelled() {
    let database = log();
    add_failing_trigger(&database, "PERFORM pg_sleep(30)");
    let mut session = tolerant(&database);
    let process = process_of(&mut session);
    let started = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| record(&mut session, "object_id => 'bad'"));
        let mut observer = database.superuser();
        let sleeping = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = {process} AND wait_event = 'PgSleep'"
        );
        while observer.number(&sleeping) == 0 {
            assert!(started.elapsed() < Duration::from_secs(20));
        }
        observer
            .execute("SELECT pg_cancel_backend($1)", &[&process])
            .unwrap();
        expect_error(waiting.join().unwrap(), "57014");
    });
    session
        .batch_execute("SET statement_timeout = '100ms'")
        .unwrap();
    expect_error(record(&mut session, "object_id => 'bad'"), "57014");
    assert!(started.elapsed() < Duration::from_secs(25));
}

#[test]
fn losses_inside_a_transaction_leave_it_and_its_savepoints_as_they_were() {
    let database = log();
    let mut session = tolerant(&database);
    session.batch_execute("BEGIN; SAVEPOINT before").unwrap();
    for _ in 0..300 {
        assert_eq!(record(&mut session, "status => 'great'").unwrap(), None);
    }
    noted(&mut session, "good");
    session.batch_execute("ROLLBACK TO before").unwrap();
    noted(&mut session, "after");
    session.batch_execute("COMMIT").unwrap();
    assert_eq!(objects(&mut session), ["after"]);
}

#[test]
fn only_a_superuser_may_choose_to_lose_events() {
    let database = log();
    let login = database.create_login(&["activity_writer", "activity_admin"]);
    let mut session = database.connect_as(&login);
    expect_error(
        session.batch_execute("SET activity.on_error = warn"),
        "42501",
    );
    expect_error(session.batch_execute(&call("status => 'great'")), "22023");
}
