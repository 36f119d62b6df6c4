//! `CALL activity.maintain()`: when it works, when it does nothing, and what it says.

use super::*;
use std::time::{Duration, Instant};

#[test]
fn a_run_says_what_it_did_and_the_next_finds_nothing_to_do() {
    let database = log_with_months(quiet_cluster(), &[3, 14]);
    let mut session = database.superuser();
    keep_for(&mut session, "keep => '1 year'");
    let summary = maintain(&mut session);
    assert_eq!(summary["ok"], true, "{summary}");
    assert_eq!(summary["close"]["done"], 3, "{summary}");
    assert_eq!(summary["drop"]["done"], 1, "{summary}");
    assert!(!is_attached(&mut session, 14));
    assert!(is_attached(&mut session, 3));
    let before = attached(&mut session);
    let summary = maintain(&mut session);
    assert_eq!(summary.as_object().unwrap().len(), 2, "{summary}");
    assert_eq!(attached(&mut session), before);
    let steps = session.number(
        "SELECT count(DISTINCT step) FROM activity.maintenance_log WHERE run_id = (SELECT run_id FROM activity.maintenance_log \
         WHERE step = 'run' ORDER BY started_at DESC LIMIT 1)",
    );
    assert!(steps >= 9, "every step is written down, not {steps}");
    assert_eq!(advice(&mut session, "maintain() ran last"), None);
}

#[test]
fn only_an_administrator_may_run_it() {
    let database = quiet_cluster().database();
    let admin = database.create_login(&["activity_admin"]);
    let summary = maintain(&mut database.connect_as(&admin));
    assert_eq!(summary["ok"], true);
    for group in ["activity_writer", "activity_reader", "activity_auditor"] {
        let login = database.create_login(&[group]);
        let refused = database
            .connect_as(&login)
            .simple_query("CALL activity.maintain()");
        expect_error(refused, "42501");
    }
}

#[test]
fn inside_a_transaction_block_it_refuses_with_advice() {
    let database = quiet_cluster().database();
    let mut session = database.superuser();
    let mut transaction = session.transaction().unwrap();
    let refusal = expect_error(
        transaction.simple_query("CALL activity.maintain()"),
        "2D000",
    );
    assert!(refusal.hint.contains("psql -c"), "{refusal:?}");
    drop(transaction);
    // A function is no place for it either, and leaves no lock behind.
    session
        .batch_execute(
            "CREATE FUNCTION upkeep() RETURNS void LANGUAGE plpgsql AS $$ DECLARE summary jsonb; BEGIN CALL activity.maintain(summary); END $$",
        )
        .unwrap();
    expect_error(session.simple_query("SELECT upkeep()"), "2D000");
    assert_eq!(maintain(&mut database.superuser())["ok"], true);
}

#[test]
fn before_setup_on_a_copy_and_on_a_standby_it_does_nothing() {
    let cluster = Cluster::start(&QUIET);
    let database = cluster.database_before_setup();
    let mut session = database.superuser();
    let summary = maintain(&mut session);
    assert!(
        summary["skipped"].as_str().unwrap().contains("not set up"),
        "{summary}"
    );

    session.batch_execute("SELECT activity.setup()").unwrap();
    let standby = cluster.start_standby();
    let copy = standby.existing_database(database.name());
    let summary = maintain(&mut copy.superuser());
    assert!(
        summary["skipped"].as_str().unwrap().contains("standby"),
        "{summary}"
    );

    session
        .batch_execute("UPDATE activity.log SET system_identifier = '1'")
        .unwrap();
    let summary = maintain(&mut session);
    assert!(
        summary["skipped"].as_str().unwrap().contains("migrate()"),
        "{summary}"
    );
    let written = session.number("SELECT count(*) FROM activity.maintenance_log");
    assert_eq!(written, 0);
}

#[test]
fn one_session_at_a_time_is_at_it() {
    let database = quiet_cluster().database();
    let (mut one, mut other) = (database.superuser(), database.superuser());
    assert_eq!(one.text("SELECT activity._begin_maintenance()"), None);
    let summary = maintain(&mut other);
    assert!(
        summary["skipped"]
            .as_str()
            .unwrap()
            .contains("another session"),
        "{summary}"
    );
    one.batch_execute("SELECT activity._end_maintenance()")
        .unwrap();
    assert_eq!(maintain(&mut other)["ok"], true);
}

#[test]
fn nobody_stops_it_with_an_advisory_lock() {
    let database = quiet_cluster().database();
    let login = database.create_login(&[]);
    let mut nobody = database.connect_as(&login);
    let (mut one, mut other) = (database.superuser(), database.superuser());
    assert_eq!(one.text("SELECT activity._begin_maintenance()"), None);
    // Whatever the numbers of the lock are, this is all that SQL can take of them.
    let keys = nobody.texts(
        "SELECT CASE WHEN objsubid = 1 THEN format('pg_advisory_lock(%s)', (classid::bigint << 32) | objid::bigint)
                     WHEN objsubid = 2 THEN format('pg_advisory_lock(%s, %s)', classid, objid)
                     ELSE format('pg_advisory_lock(%s, %s), pg_advisory_lock(%s)', classid, objid, (classid::bigint << 32) | objid::bigint) END
         FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    assert_eq!(keys.len(), 1, "{keys:?}");
    one.batch_execute("SELECT activity._end_maintenance()")
        .unwrap();
    nobody
        .batch_execute(&format!("SELECT {}", keys[0]))
        .unwrap();
    assert_eq!(maintain(&mut other)["ok"], true);
}

#[test]
fn a_run_that_is_cancelled_lets_the_next_one_in() {
    let database = log_with_months(quiet_cluster(), &[3]);
    let mut blocker = database.superuser();
    let partition = name_of(&mut blocker, 3);
    let mut transaction = blocker.transaction().unwrap();
    let lock = format!("LOCK TABLE activity.{partition} IN ROW EXCLUSIVE MODE");
    transaction.batch_execute(&lock).unwrap();

    let mut worker = database.superuser();
    let process: i32 = worker
        .query_one("SELECT pg_backend_pid()", &[])
        .unwrap()
        .get(0);
    std::thread::scope(|scope| {
        let run =
            scope.spawn(|| expect_error(worker.simple_query("CALL activity.maintain()"), "57014"));
        let mut watcher = database.superuser();
        until("the run waits", || {
            let waits: bool = watcher
                .query_one(
                    "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)",
                    &[&process],
                )
                .unwrap()
                .get(0);
            waits
        });
        watcher
            .execute("SELECT pg_cancel_backend($1)", &[&process])
            .unwrap();
        run.join().unwrap();
    });
    drop(transaction);
    // The session of the cancelled run is still there, and holds nothing.
    assert_eq!(maintain(&mut database.superuser())["ok"], true);
    assert_eq!(maintain(&mut worker)["ok"], true);
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_step_that_fails_is_reported_and_the_others_go_on() {
    let database = log_with_months(quiet_cluster(), &[3, 14]);
    let mut session = database.superuser();
    keep_for(&mut session, "keep => '1 year'");
    // Somebody has a table of the name of the partition that is to be made next.
    session
        .batch_execute(
            "SELECT activity.setup(premake => 12);
             DO $$ DECLARE last text := (SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                                         WHERE i.inhparent = 'activity.events'::regclass ORDER BY 1 DESC LIMIT 1);
             BEGIN EXECUTE format('ALTER TABLE activity.events DETACH PARTITION activity.%I', last); END $$",
        )
        .unwrap();
    let summary = maintain(&mut session);
    assert_eq!(summary["ok"], false, "{summary}");
    assert_eq!(entries(&mut session, "failed"), ["make_ahead"]);
    assert!(!is_attached(&mut session, 14), "the drop went on");
    let advice = advice(&mut session, "steps that did not get through").unwrap();
    assert!(advice.contains("make_ahead"), "{advice}");
}

#[test]
fn somebody_in_the_way_of_one_partition_does_not_keep_the_others() {
    let database = log_with_months(quiet_cluster(), &[3, 4]);
    let mut blocker = database.superuser();
    let partition = name_of(&mut blocker, 4);
    let mut transaction = blocker.transaction().unwrap();
    transaction
        .batch_execute(&format!(
            "LOCK TABLE activity.{partition} IN ROW EXCLUSIVE MODE"
        ))
        .unwrap();
    let mut session = database.superuser();
    let summary = maintain(&mut session);
    assert_eq!(summary["ok"], false, "{summary}");
    assert_eq!(
        entries(&mut session, "gave_up"),
        [format!("close {partition}")]
    );
    assert_eq!(state(&mut session, 3).as_deref(), Some("closed"));
    assert_eq!(state(&mut session, 4).as_deref(), Some("live"));
    drop(transaction);
    assert_eq!(maintain(&mut session)["ok"], true);
    assert_eq!(state(&mut session, 4).as_deref(), Some("closed"));
}

#[test]
fn a_new_partition_interval_holds_from_the_next_period_on() {
    let database = quiet_cluster().database();
    let mut session = database.superuser();
    let before = attached(&mut session);
    session
        .batch_execute("SELECT activity.setup(partition_interval => '1 week', premake => 80)")
        .unwrap();
    assert_eq!(maintain(&mut session)["ok"], true);
    let after = attached(&mut session);
    assert!(before.iter().all(|name| after.contains(name)), "{after:?}");
    assert!(after.len() > before.len(), "{after:?}");
    assert_eq!(advice(&mut session, "partitions ahead"), None);
}

#[test]
fn keys_of_idempotency_go_with_the_partition_of_their_event() {
    let database = log_with_months(quiet_cluster(), &[14]);
    let mut session = database.superuser();
    session
        .batch_execute(&format!(
            "SELECT activity.register_action('user.created');
             SELECT activity.record('user.created', tenant_id => '{TENANT_A}', idempotency_key => 'young');
             INSERT INTO activity.idempotency_keys SELECT '{TENANT_A}', 'old ' || i, gen_random_uuid(), test.month(14) + i * interval '1 minute'
             FROM generate_series(1, 25000) i"
        ))
        .unwrap();
    keep_for(&mut session, "preset => 'soc2'");
    assert_eq!(maintain(&mut session)["ok"], true);
    let left = session.texts("SELECT idempotency_key FROM activity.idempotency_keys");
    assert_eq!(left, ["young"]);
}

#[test]
fn a_session_whose_transactions_are_serializable_maintains_as_any_other() {
    for isolation in ["repeatable read", "serializable"] {
        let database = log_with_months(quiet_cluster(), &[14, 15]);
        let mut session = database.superuser();
        keep_for(&mut session, "keep => '1 year'");
        session
            .batch_execute(&format!(
                "SELECT activity.hold('{TENANT_A}', 'a case', actor_id => 'u1');
                 SET default_transaction_isolation = '{isolation}'"
            ))
            .unwrap();
        let summary = maintain(&mut session);
        assert_eq!(summary["ok"], true, "{isolation}: {summary}");
        assert_eq!(count(&mut session, TENANT_B, 15), 0);
    }
}
