//! One event per key and tenant, whoever asks and however often.

use super::{
    OTHER_TENANT, TENANT, count, log, noted, objects, process_of, record, wait_until_blocked,
};
use activity_log_integration::{Database, Session, expect_error};
use serde_json::{Value, json};
use std::sync::Barrier;
use uuid::Uuid;

fn keyed(session: &mut Session, object: &str) -> Result<Option<Uuid>, postgres::Error> {
    record(
        session,
        &format!("idempotency_key => 'k', object_id => '{object}'"),
    )
}

/// The first session records and waits; the second asks for the same key; then the first ends as
/// `end` says. What both got.
fn race(database: &Database<'_>, end: &str) -> (Uuid, Result<Option<Uuid>, postgres::Error>) {
    let (mut first, mut second) = (database.superuser(), database.superuser());
    let process = process_of(&mut second);
    first.batch_execute("BEGIN").unwrap();
    let id = keyed(&mut first, "first").unwrap().unwrap();
    let answer = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| keyed(&mut second, "second"));
        wait_until_blocked(&mut database.superuser(), process);
        first.batch_execute(end).unwrap();
        waiting.join().unwrap()
    });
    (id, answer)
}

#[test]
fn of_two_that_race_the_second_gets_the_id_of_the_first() {
    let database = log();
    let (id, answer) = race(&database, "COMMIT");
    assert_eq!(answer.unwrap(), Some(id));
    assert_eq!(objects(&mut database.superuser()), ["first"]);
}

#[test]
fn if_the_first_is_rolled_back_the_second_writes() {
    let database = log();
    let (id, answer) = race(&database, "ROLLBACK");
    let second = answer.unwrap().unwrap();
    assert_ne!(second, id);
    let mut session = database.superuser();
    assert_eq!(objects(&mut session), ["second"]);
    assert_eq!(keyed(&mut session, "third").unwrap(), Some(second));
}

#[test]
fn under_repeatable_read_a_concurrent_duplicate_is_a_serialization_failure() {
    let database = log();
    let (mut first, mut second) = (database.superuser(), database.superuser());
    for on_error in ["raise", "warn"] {
        second
            .batch_execute(&format!(
                "SET activity.on_error = {on_error}; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1"
            ))
            .unwrap();
        let arguments = format!("idempotency_key => '{on_error}', object_id => 'first'");
        let id = record(&mut first, &arguments).unwrap();
        // It is passed on whatever activity.on_error says: only a retry can help.
        expect_error(record(&mut second, &arguments), "40001");
        second
            .batch_execute("ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ")
            .unwrap();
        assert_eq!(record(&mut second, &arguments).unwrap(), id);
        second.batch_execute("COMMIT").unwrap();
    }
}

#[test]
fn batches_with_their_keys_in_opposite_order_do_not_deadlock() {
    const ROUNDS: usize = 25;
    const KEYS: usize = 20;
    let database = log();
    let barrier = Barrier::new(2);
    let inserted: i64 = std::thread::scope(|scope| {
        let workers: Vec<_> = [false, true]
            .map(|reversed| {
                let (mut session, barrier) = (database.superuser(), &barrier);
                scope.spawn(move || {
                    session
                        .batch_execute("SET deadlock_timeout = '50ms'")
                        .unwrap();
                    (0..ROUNDS)
                        .map(|round| {
                            let mut events: Vec<Value> = (0..KEYS)
                                .map(|key| {
                                    json!({
                            "action": "thing.noted", "tenant_id": TENANT,
                            "idempotency_key": format!("{round}-{key}")})
                                })
                                .collect();
                            if reversed {
                                events.reverse();
                            }
                            barrier.wait();
                            let row = session.query_one(
                            "SELECT count(*) FILTER (WHERE inserted) FROM activity.record_many($1)",
                            &[&Value::from(events)]);
                            row.unwrap().get::<_, i64>(0)
                        })
                        .sum::<i64>()
                })
            })
            .into_iter()
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    });
    let expected = i64::try_from(ROUNDS * KEYS).unwrap();
    assert_eq!(inserted, expected);
    assert_eq!(
        count(&mut database.superuser(), "action = 'thing.noted'"),
        expected
    );
}

#[test]
fn a_key_belongs_to_its_tenant() {
    let database = log();
    let (mut first, mut second) = (database.superuser(), database.superuser());
    first.batch_execute("BEGIN").unwrap();
    let id = keyed(&mut first, "ours").unwrap();
    // No waiting either: another tenant's key is another key.
    let theirs: Option<Uuid> = second
        .query_one(
            &format!("SELECT activity.record('thing.noted', tenant_id => '{OTHER_TENANT}', idempotency_key => 'k')"),
            &[],
        )
        .unwrap()
        .get(0);
    assert_ne!(theirs, id);
    first.batch_execute("COMMIT").unwrap();
    assert_eq!(count(&mut first, "action = 'thing.noted'"), 2);
}

#[test]
fn a_key_that_was_given_back_by_a_savepoint_is_free_for_others() {
    let database = log();
    let (mut first, mut second) = (database.superuser(), database.superuser());
    first.batch_execute("BEGIN; SAVEPOINT before").unwrap();
    keyed(&mut first, "undone").unwrap();
    first.batch_execute("ROLLBACK TO before").unwrap();
    let id = keyed(&mut second, "second").unwrap();
    assert_eq!(keyed(&mut first, "first").unwrap(), id);
    first.batch_execute("COMMIT").unwrap();
    assert_eq!(objects(&mut second), ["second"]);
}

#[test]
fn an_event_that_is_refused_leaves_its_key_free() {
    let database = log();
    let mut session = database.superuser();
    let bad = record(&mut session, "idempotency_key => 'k', status => 'great'");
    expect_error(bad, "22023");
    keyed(&mut session, "good").unwrap();
    assert_eq!(objects(&mut session), ["good"]);
}

#[test]
fn without_a_key_the_same_event_counts_as_often_as_it_is_recorded() {
    let database = log();
    let mut session = database.superuser();
    assert_ne!(noted(&mut session, "same"), noted(&mut session, "same"));
    assert_eq!(objects(&mut session), ["same", "same"]);
}
