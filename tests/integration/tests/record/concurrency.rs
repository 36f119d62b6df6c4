//! Many writers at once, and what they leave behind.

use super::{TENANT, log};
use activity_log_integration::Session;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use uuid::Uuid;

const WRITERS: usize = 8;
const DURATION: Duration = Duration::from_secs(2);

fn write_until(session: &mut Session, writer: usize, end: Instant) -> Vec<Uuid> {
    let sql = format!(
        "SELECT activity.record('thing.noted', $1, tenant_id => '{TENANT}', actor_id => $2)"
    );
    let statement = session.prepare(&sql).unwrap();
    let actor = format!("writer {writer}");
    let mut ids = Vec::new();
    while Instant::now() < end {
        for number in 0..20 {
            let row = session.query_one(&statement, &[&json!({"n": number}), &actor]);
            ids.push(row.unwrap().get(0));
        }
        let batch: Vec<Value> = (0..150)
            .map(|n| json!({"action": "thing.noted", "tenant_id": TENANT, "actor_id": actor, "metadata": {"n": n}}))
            .collect();
        let rows = session
            .query(
                "SELECT event_id FROM activity.record_many($1)",
                &[&Value::from(batch)],
            )
            .unwrap();
        ids.extend(rows.iter().map(|row| row.get::<_, Uuid>(0)));
    }
    ids
}

#[test]
fn eight_writers_lose_nothing_and_leave_sound_partitions() {
    let database = log();
    let end = Instant::now() + DURATION;
    let per_writer: Vec<Vec<Uuid>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let mut session = database.superuser();
                scope.spawn(move || write_until(&mut session, writer, end))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    assert!(per_writer.iter().all(|ids| ids.is_sorted_by(|a, b| a < b)));
    let all: HashSet<Uuid> = per_writer.iter().flatten().copied().collect();
    assert_eq!(all.len(), per_writer.iter().map(Vec::len).sum::<usize>());
    let mut session = database.superuser();
    let stored = session.number(
        "SELECT count(DISTINCT event_id) FROM activity.events WHERE action = 'thing.noted'",
    );
    assert_eq!(stored, i64::try_from(all.len()).unwrap());
    check_partitions(&mut session);
}

/// The direct writer has to keep what the server would: bounds, checks, and every index entry.
fn check_partitions(session: &mut Session) {
    let partitions = session
        .query(
            "SELECT oid::regclass::text, bounds[1], bounds[2] FROM pg_inherits, pg_class, \
             regexp_match(pg_get_expr(relpartbound, oid), 'FROM \\(''(.+)''\\) TO \\(''(.+)''\\)') AS bounds \
             WHERE inhrelid = oid AND inhparent = 'activity.events'::regclass",
            &[],
        )
        .unwrap();
    for partition in &partitions {
        let [name, lower, upper] = [0, 1, 2].map(|column| partition.get::<_, String>(column));
        let outside = session.number(&format!(
            "SELECT count(*) FROM {name} WHERE recorded_at < '{lower}' OR recorded_at >= '{upper}'"
        ));
        assert_eq!(outside, 0, "{name}");
    }
    session
        .batch_execute("CREATE EXTENSION IF NOT EXISTS amcheck")
        .unwrap();
    let indexes = session.texts(
        "SELECT bt_index_check(x.indexrelid, true)::text || x.indexrelid::regclass::text \
         FROM pg_index x JOIN pg_inherits i ON i.inhrelid = x.indrelid \
         WHERE i.inhparent = 'activity.events'::regclass",
    );
    assert!(
        indexes.len() >= 8 * partitions.len(),
        "{} indexes",
        indexes.len()
    );
}
