//! What it costs to be rid of a month: retention against DELETE.

use crate::Outcome;
use activity_log_integration::{Cluster, Session};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// One way of being rid of a month.
pub struct Removal {
    name: &'static str,
    events: u64,
    took: Duration,
    wal_bytes: i64,
    /// What it leaves on disk.
    left_bytes: i64,
}

/// Removes a month with so many events in both ways.
pub fn measure(cluster: &Cluster, events: u64) -> Outcome<Vec<Removal>> {
    let database = cluster.database();
    let mut session = database.superuser();
    let script = include_str!("../sql/retention.sql").replace("{events}", &events.to_string());
    // VACUUM refuses to be one of many statements.
    for statement in split(&script) {
        session.batch_execute(statement)?;
    }
    let dropped = remove(
        &mut session,
        "maintain()",
        events,
        "CALL activity.maintain()",
        "activity.events_p2019_01",
    )?;
    let deleted = remove(
        &mut session,
        "DELETE, then VACUUM",
        events,
        "DELETE FROM plain_month WHERE recorded_at < '2019-02-01 00:00+00'",
        "plain_month",
    )?;
    Ok(vec![dropped, deleted])
}

/// The statements of a script; those in dollar quotes keep their semicolons.
fn split(script: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let (mut begin, mut is_quoted) = (0, false);
    for (at, character) in script.char_indices() {
        match character {
            '$' if script[at..].starts_with("$$") => is_quoted = !is_quoted,
            ';' if !is_quoted => {
                statements.push(&script[begin..=at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    statements
}

fn remove(
    session: &mut Session,
    name: &'static str,
    events: u64,
    statement: &str,
    table: &str,
) -> Outcome<Removal> {
    let before = wal_position(session)?;
    let begin = Instant::now();
    session.batch_execute(statement)?;
    if statement.starts_with("DELETE") {
        session.batch_execute(&format!("VACUUM {table}"))?;
    }
    let took = begin.elapsed();
    let left =
        format!("SELECT coalesce(pg_total_relation_size(to_regclass('{table}')), 0)::bigint");
    Ok(Removal {
        name,
        events,
        took,
        wal_bytes: wal_position(session)? - before,
        left_bytes: session.query_one(&left, &[])?.get(0),
    })
}

fn wal_position(session: &mut Session) -> Outcome<i64> {
    let position = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint";
    Ok(session.query_one(position, &[])?.get(0))
}

/// Prints them for people.
pub fn print(removals: &[Removal]) {
    let events = removals.first().map_or(0, |removal| removal.events);
    println!(
        "\n{:<34}{:>12}{:>14}{:>16}",
        format!("a month of {events} events"),
        "ms",
        "WAL kB",
        "left on disk kB"
    );
    for removal in removals {
        println!(
            "{:<34}{:>12.1}{:>14}{:>16}",
            removal.name,
            removal.took.as_secs_f64() * 1e3,
            removal.wal_bytes / 1024,
            removal.left_bytes / 1024,
        );
    }
}

/// The figures for programs.
pub fn json(removal: &Removal) -> Value {
    json!({
        "kind": "removal",
        "how": removal.name,
        "events": removal.events,
        "ms": removal.took.as_secs_f64() * 1e3,
        "wal_bytes": removal.wal_bytes,
        "left_bytes": removal.left_bytes,
    })
}
