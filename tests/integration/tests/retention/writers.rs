//! Writers at full speed while partitions are made, closed, detached and dropped.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a writer may wait for a lock. The rest of a statement's time is noise of the machine: the
/// waits of the server's own statistics tell which is which.
const LIMIT: Duration = Duration::from_millis(50);

/// The longest that any session was seen waiting for a lock on the log.
fn watch(database: &Database<'_>, is_over: &AtomicBool) -> Duration {
    let mut session = database.superuser();
    let mut longest = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        let waited: Option<f64> = session
            .query_one(
                "SELECT max(extract(epoch FROM clock_timestamp() - l.waitstart))::float8 FROM pg_locks l \
                 JOIN pg_stat_activity a ON a.pid = l.pid \
                 WHERE NOT l.granted AND a.application_name = 'writer' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                &[],
            )
            .unwrap()
            .get(0);
        longest = longest.max(Duration::from_secs_f64(waited.unwrap_or(0.0).max(0.0)));
        std::thread::sleep(Duration::from_millis(2));
    }
    longest
}

fn write_until(database: &Database<'_>, is_over: &AtomicBool) -> (u64, Vec<Duration>) {
    let mut session = database.superuser();
    session
        .batch_execute("SET application_name = 'writer'")
        .unwrap();
    let record = session
        .prepare(&format!(
            "SELECT activity.record('user.created', tenant_id => '{TENANT_A}')"
        ))
        .unwrap();
    let (mut written, mut slow) = (0, Vec::new());
    while !is_over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        session.execute(&record, &[]).unwrap();
        written += 1;
        let took = begin.elapsed();
        if took > LIMIT {
            slow.push(took);
        }
    }
    (written, slow)
}

#[test]
fn no_writer_waits_or_fails_while_partitions_come_and_go() {
    let months: Vec<i32> = (14..22).collect();
    let database = log_with_months(quiet_cluster(), &months);
    let mut session = database.superuser();
    session
        .batch_execute("SELECT activity.register_action('user.created')")
        .unwrap();
    // Of two months something stays, so they are replaced instead of detached.
    session
        .batch_execute(
            "SELECT activity.hold(reason => 'a case', object_type => 'doc', object_id => 'held')",
        )
        .unwrap();
    for back in [15, 18] {
        session
            .batch_execute(&format!(
                "INSERT INTO activity.events (recorded_at, occurred_at, xact, gen, event_id, tenant_id, action, status, source, object_type, object_id, metadata) \
                 VALUES (test.month({back}), test.month({back}), '1', 1, gen_random_uuid(), '{TENANT_A}', 'doc.read', 'success', 'api', 'doc', 'held', '{{}}')"
            ))
            .unwrap();
    }
    let is_over = AtomicBool::new(false);
    let (written, longest) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| write_until(&database, &is_over)))
            .collect();
        let watcher = scope.spawn(|| watch(&database, &is_over));
        std::thread::sleep(Duration::from_millis(300));
        maintain(&mut session);
        keep_for(&mut session, "keep => '1 year'");
        let begin = Instant::now();
        while months.iter().any(|back| is_attached(&mut session, *back)) {
            maintain(&mut session);
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "the partitions never go"
            );
        }
        session
            .batch_execute("SELECT activity.setup(premake => 40)")
            .unwrap();
        maintain(&mut session);
        is_over.store(true, Ordering::Relaxed);
        let mut written = 0;
        let mut slow = Vec::new();
        for writer in writers {
            let (count, waits) = writer.join().unwrap();
            written += count;
            slow.extend(waits);
        }
        eprintln!("{written} events, statements over 50 ms: {slow:?}");
        (written, watcher.join().unwrap())
    });
    assert!(longest < LIMIT, "a writer waited {longest:?} for a lock");
    let held = session.number("SELECT count(*) FROM activity.events WHERE object_id = 'held'");
    assert_eq!(held, 2);
    let kept = session.number("SELECT count(*) FROM activity.events WHERE action = 'user.created'");
    assert_eq!(kept.unsigned_abs(), written);
}

#[test]
fn the_watcher_notices_a_detach_that_stalls() {
    let database = log_with_months(quiet_cluster(), &[14]);
    let mut session = database.superuser();
    session
        .batch_execute("SELECT activity.register_action('user.created')")
        .unwrap();
    let name = name_of(&mut session, 14);
    let mut reader = database.superuser();
    let mut transaction = reader.transaction().unwrap();
    transaction
        .simple_query("SELECT count(*) FROM activity.events")
        .unwrap();
    let is_over = AtomicBool::new(false);
    let longest = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&database, &is_over));
        let watcher = scope.spawn(|| watch(&database, &is_over));
        session.batch_execute("SET lock_timeout = '400ms'").unwrap();
        let detach = format!("ALTER TABLE activity.events DETACH PARTITION activity.{name}");
        expect_error(session.simple_query(&detach), "55P03");
        is_over.store(true, Ordering::Relaxed);
        let _ = writer.join().unwrap();
        watcher.join().unwrap()
    });
    assert!(longest > LIMIT, "{longest:?}");
}
