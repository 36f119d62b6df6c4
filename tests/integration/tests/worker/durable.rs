//! `record_durable()`: an event that stays though the caller's transaction does not.

use super::*;
use activity_log_integration::{Stop, expect_error};

fn durable(arguments: &str) -> String {
    format!("SELECT activity.record_durable('a.b', tenant_id => '{TENANT}'{arguments})::text")
}

fn count(session: &mut Session) -> i64 {
    session.number(&format!(
        "SELECT count(*) FROM activity.events WHERE tenant_id = '{TENANT}'"
    ))
}

#[test]
fn the_event_stays_when_its_transaction_is_rolled_back() {
    let database = log(Cluster::shared());
    let login = database.create_login(&["activity_writer"]);
    let mut session = database.connect_as(&login);
    session.batch_execute("BEGIN").unwrap();
    let id = session.text(&durable(
        r#", metadata => '{"password": "hunter2", "n": 1}', actor_id => 'u1', actor_type => 'user',
           object_type => 'door', object_id => 'd1', status => 'failure', client_ip => '192.0.2.7',
           user_agent => 'agent', request_id => 'r1', occurred_at => '2020-01-01Z'"#,
    ));
    session.batch_execute("ROLLBACK").unwrap();
    let written = database.superuser().text(&format!(
        "SELECT concat_ws('|', actor_type, actor_id, object_type, object_id, status, source, ip_prefix,
                          ip_hash IS NOT NULL, user_agent, request_id, occurred_at AT TIME ZONE 'UTC', db_role,
                          action_version, metadata ->> 'n', metadata::text LIKE '%hunter2%')
         FROM activity.events WHERE event_id = '{}'",
        id.unwrap()
    ));
    let expected = format!(
        "user|u1|door|d1|failure|api|192.0.2.0/24|t|agent|r1|2020-01-01 00:00:00|{login}|1|1|f"
    );
    assert_eq!(written.unwrap(), expected);
}

#[test]
fn it_equals_what_record_writes() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    let arguments = r#"('a.b', '{"a": [1, {"b": null}], "token": "x"}', tenant_id => 'TENANT',
        actor_id => 'u', client_ip => '2001:db8::1', occurred_at => '2020-01-01Z')"#
        .replace("TENANT", TENANT);
    session
        .batch_execute(&format!("SELECT activity.record{arguments}"))
        .unwrap();
    session
        .batch_execute(&format!("SELECT activity.record_durable{arguments}"))
        .unwrap();
    let kinds = session.number(&format!(
        "SELECT count(DISTINCT to_jsonb(e) - '{{event_id,recorded_at,xact}}'::text[]) FROM activity.events e
         WHERE tenant_id = '{TENANT}' HAVING count(*) = 2"
    ));
    assert_eq!(kinds, 1);
}

#[test]
fn it_is_written_from_a_transaction_that_is_read_only() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    session.batch_execute("BEGIN READ ONLY").unwrap();
    assert!(session.text(&durable("")).is_some());
    session.batch_execute("COMMIT").unwrap();
    assert_eq!(count(&mut session), 1);
    // Here nobody took a transaction id of the caller's for it.
    session.batch_execute("BEGIN").unwrap();
    session.text(&durable(""));
    assert_eq!(
        session.text("SELECT pg_current_xact_id_if_assigned()::text"),
        None
    );
    session.batch_execute("ROLLBACK").unwrap();
}

#[test]
fn a_bad_event_is_refused_like_any_other() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    for (call, sqlstate) in [
        ("SELECT activity.record_durable()".to_owned(), "22004"),
        ("SELECT activity.record_durable('a.b')".to_owned(), "22004"),
        (
            format!("SELECT activity.record_durable('x.y', tenant_id => '{TENANT}')"),
            "42704",
        ),
        (durable(", metadata => '[1]'"), "22023"),
        (durable(", status => 'odd'"), "22023"),
    ] {
        expect_error(session.query(&call, &[]), sqlstate);
    }
    session
        .batch_execute("SET activity.max_metadata_size = '1MB'")
        .unwrap();
    let large = durable(", metadata => jsonb_build_object('x', repeat('y ', 20000))");
    let refused = expect_error(session.query(&large, &[]), "54000");
    assert!(
        refused
            .message
            .contains("the queue of the worker takes 24576"),
        "{refused:?}"
    );
    assert_eq!(count(&mut session), 0);
    let mut reader = database.connect_as(&database.create_login(&["activity_reader"]));
    expect_error(reader.query(&durable(""), &[]), "42501");
    // One of the largest metadata that the default limit allows does fit.
    session
        .batch_execute("RESET activity.max_metadata_size")
        .unwrap();
    let full = durable(
        ", metadata => jsonb_build_object('x', repeat('y ', 8000)), user_agent => repeat('a', 500)",
    );
    assert!(session.text(&full).is_some());
}

#[test]
fn the_same_key_is_one_event_however_it_is_recorded() {
    let database = log(Cluster::shared());
    let mut session = database.superuser();
    session.batch_execute("BEGIN").unwrap();
    let first = session.text(&durable(", idempotency_key => 'k'")).unwrap();
    session.batch_execute("ROLLBACK").unwrap();
    assert_eq!(
        session.text(&durable(", idempotency_key => 'k'")).unwrap(),
        first
    );
    let again = format!(
        "SELECT activity.record('a.b', tenant_id => '{TENANT}', idempotency_key => 'k')::text"
    );
    assert_eq!(session.text(&again).unwrap(), first);
    assert_eq!(count(&mut session), 1);
    // A key that the caller's own transaction holds: the worker can't wait for it for ever.
    session.batch_execute("BEGIN").unwrap();
    session.text(&again.replace("'k'", "'held'"));
    let begun = Instant::now();
    expect_error(
        session.query(&durable(", idempotency_key => 'held'"), &[]),
        "55P03",
    );
    assert!(begun.elapsed() < Duration::from_secs(4));
    session.batch_execute("ROLLBACK").unwrap();
    assert!(
        session
            .text(&durable(", idempotency_key => 'held'"))
            .is_some()
    );
}

#[test]
fn many_callers_at_once_get_their_ids_or_a_clear_refusal() {
    let database = log(Cluster::shared());
    let recorded: usize = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let mut session = database.superuser();
                    (0..50)
                        .filter(|_| session.text(&durable("")).is_some())
                        .count()
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .sum()
    });
    assert_eq!(recorded, 800);
    assert_eq!(count(&mut database.superuser()), 800);
}

#[test]
fn without_an_answer_in_time_the_caller_is_told_which() {
    let cluster = own(&[]);
    let database = log(&cluster);
    let mut session = database.superuser();
    // The worker is stopped in its tracks: it takes nothing.
    let process = wait_for_worker(&mut session).to_string();
    let signal = |name: &str| {
        let done = std::process::Command::new("kill")
            .args([name, &process])
            .status();
        assert!(done.unwrap().success());
    };
    signal("-STOP");
    session
        .batch_execute("SET activity.durable_timeout = '300ms'")
        .unwrap();
    let refused = expect_error(session.query(&durable(""), &[]), "53000");
    assert!(
        refused.message.contains("nothing was recorded"),
        "{refused:?}"
    );
    // A caller that is cancelled, or whose session is ended, leaves nothing behind.
    session
        .batch_execute("SET activity.durable_timeout = '1min'; SET statement_timeout = '200ms'")
        .unwrap();
    expect_error(session.query(&durable(""), &[]), "57014");
    session.batch_execute("RESET statement_timeout").unwrap();
    let mut other = database.superuser();
    let caller = session.number("SELECT pg_backend_pid()::bigint");
    let ended = std::thread::spawn(move || session.query(&durable(""), &[]).is_err());
    eventually("the caller does not wait", || {
        let waits = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = {caller} AND wait_event_type = 'Extension'"
        );
        (other.number(&waits) == 1).then_some(())
    });
    other
        .batch_execute(&format!("SELECT pg_terminate_backend({caller})"))
        .unwrap();
    assert!(ended.join().unwrap());
    // Sixty-four callers fill the queue; the next is told so.
    other
        .batch_execute("SET activity.durable_timeout = '3s'")
        .unwrap();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..64)
            .map(|_| {
                scope.spawn(|| {
                    let mut session = database.superuser();
                    session
                        .batch_execute("SET activity.durable_timeout = '20s'")
                        .unwrap();
                    session.text(&durable("")).is_some()
                })
            })
            .collect();
        eventually("the queue is not full", || {
            (metric(&mut other, "activity_log_durable_queue_events", "") == 64).then_some(())
        });
        let refused = expect_error(other.query(&durable(""), &[]), "53000");
        assert!(refused.message.contains("full"), "{refused:?}");
        signal("-CONT");
        assert!(callers.into_iter().all(|caller| caller.join().unwrap()));
    });
    assert_eq!(count(&mut other), 64);
    assert_eq!(
        metric(
            &mut other,
            "activity_log_durable_dropped_total",
            "queue_full"
        ),
        1
    );
}

#[test]
fn events_that_are_stuck_hold_up_neither_others_nor_the_news() {
    let database = log(Cluster::shared());
    let mut listener = database.superuser();
    listener
        .batch_execute(&format!("LISTEN {}", channel(OTHER)))
        .unwrap();
    std::thread::scope(|scope| {
        for n in 0..12 {
            let database = &database;
            scope.spawn(move || {
                let mut session = database.superuser();
                let held = format!(
                    "SELECT activity.record('a.b', tenant_id => '{TENANT}', idempotency_key => 'k{n}')"
                );
                session.batch_execute(&format!("BEGIN; {held}")).unwrap();
                let stuck = durable(&format!(", idempotency_key => 'k{n}'"));
                expect_error(session.query(&stuck, &[]), "55P03");
            });
        }
        // All of them are on their way, most of them in one round.
        std::thread::sleep(Duration::from_millis(150));
        let mut session = database.superuser();
        let begun = Instant::now();
        session.batch_execute(&record(OTHER)).unwrap();
        let honest = format!("SELECT activity.record_durable('a.b', tenant_id => '{OTHER}')::text");
        assert!(session.text(&honest).is_some());
        assert!(begun.elapsed() < Duration::from_secs(2));
        let mut notifications = listener.notifications();
        let told = postgres::fallible_iterator::FallibleIterator::next(
            &mut notifications.timeout_iter(Duration::from_secs(1)),
        );
        assert!(told.unwrap().is_some());
    });
}

#[test]
fn what_was_acknowledged_survives_a_crash() {
    let cluster = own(&[("synchronous_commit", "off"), ("wal_writer_delay", "10s")]);
    let database = log(&cluster);
    let mut session = database.superuser();
    let id = session.text(&durable("")).unwrap();
    cluster.restart(Stop::Immediate);
    let mut session = database.superuser();
    assert_eq!(
        session.number(&format!("SELECT count(*) FROM activity.get('{id}')")),
        1
    );
}

#[test]
fn where_there_is_no_worker_it_is_refused() {
    let cluster = Cluster::start(&Options {
        preload: false,
        settings: &[],
    });
    let database = cluster.database();
    let mut session = database.superuser();
    session
        .batch_execute("SELECT activity.register_action('a.b')")
        .unwrap();
    let refused = expect_error(session.query(&durable(""), &[]), "0A000");
    assert!(
        refused.hint.contains("shared_preload_libraries"),
        "{refused:?}"
    );
    // With activity.on_error = warn the statement goes on.
    session
        .batch_execute("SET activity.on_error = warn")
        .unwrap();
    assert_eq!(session.text(&durable("")), None);

    let primary = own(&[]);
    let database = log(&primary);
    let standby = primary.start_standby();
    let mut session = standby.existing_database(database.name()).superuser();
    expect_error(session.query(&durable(""), &[]), "25006");
}
