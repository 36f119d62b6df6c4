//! A statement of many rows needs no memory for each row beyond what the server itself keeps.

use crate::captured::{LEVELS, attach, count, log};
use activity_log_integration::Session;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const MEGABYTE: u64 = 1 << 20;

/// What a statement may need at any size: its transition tables up to work_mem, caches, a batch.
const FIXED: u64 = 12 * MEGABYTE;

/// Anonymous memory of a process in bytes; shared buffers don't count.
fn resident(process: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Runs a statement; by how much the backend had grown at most while it ran.
fn growth(session: &mut Session, statement: &str) -> Option<u64> {
    let process: i32 = session
        .query_one("SELECT pg_backend_pid()", &[])
        .unwrap()
        .get(0);
    let before = resident(process)?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = before;
            while !done.load(Ordering::Relaxed) {
                most = most.max(resident(process).unwrap_or(0));
                std::thread::sleep(Duration::from_millis(5));
            }
            most - before
        });
        let outcome = session.batch_execute(statement);
        done.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        Some(watch.join().unwrap())
    })
}

/// What the server's own queue of row triggers may take a row, with a trigger that does nothing.
fn baseline(rows: u64, statements: &[&str; 3]) -> Option<[u64; 3]> {
    let database = log();
    let mut session = database.superuser();
    session
        .batch_execute(&format!(
            "CREATE TABLE item (id int PRIMARY KEY, n int, note text) WITH (fillfactor = 50);
             CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
             CREATE TRIGGER nothing AFTER INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION nothing();
             -- {rows} rows"
        ))
        .unwrap();
    let mut grown = [0; 3];
    for (grown, statement) in grown.iter_mut().zip(statements) {
        *grown = growth(&mut session, statement)?;
    }
    Some(grown)
}

fn check(rows: u64) {
    let statements = [
        &format!("INSERT INTO item SELECT n, n, 'note ' || n FROM generate_series(1, {rows}) n")[..],
        "UPDATE item SET n = n + 1",
        "DELETE FROM item",
    ];
    let Some(baseline) = baseline(rows, &statements) else {
        eprintln!("skipped: /proc of the server's processes can't be read");
        return;
    };
    for level in LEVELS {
        let database = log();
        let mut session = database.superuser();
        session
            .batch_execute(
                "CREATE TABLE item (id int PRIMARY KEY, n int, note text) WITH (fillfactor = 50)",
            )
            .unwrap();
        attach(&mut session, "item", &format!(", level => '{level}'"));
        for (statement, queue) in statements.iter().zip(baseline) {
            let grown = growth(&mut session, statement).unwrap();
            eprintln!(
                "{level} level, {rows} rows, {}: {} MB, with a trigger that does nothing {} MB",
                &statement[..6],
                grown / MEGABYTE,
                queue / MEGABYTE
            );
            // At statement level there is no such queue, and the transition tables go to disk.
            let allowed = FIXED + if level == "row" { queue } else { 0 };
            assert!(
                grown <= allowed,
                "{} at {level} level grew by {} MB, allowed are {} MB",
                &statement[..6],
                grown / MEGABYTE,
                allowed / MEGABYTE
            );
        }
        assert_eq!(
            count(&mut session, "true"),
            3 * i64::try_from(rows).unwrap()
        );
    }
}

#[test]
fn a_hundred_thousand_rows_in_a_statement_take_no_more_memory_than_few() {
    check(100_000);
}

#[test]
#[ignore = "long"]
fn five_million_rows_in_a_statement_take_no_more_memory_than_few() {
    check(5_000_000);
}
