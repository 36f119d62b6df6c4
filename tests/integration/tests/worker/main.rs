//! The background worker: who is told of new events, what survives a rollback, and when the
//! worker comes and goes.

use activity_log_integration::{Cluster, Database, Options, Session};
use std::time::{Duration, Instant};

mod audited;
mod durable;
mod giving_way;
mod lifecycle;
mod metrics;
mod notification;

const TENANT: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const OTHER: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
const LIMIT: Duration = Duration::from_secs(20);

/// A fresh database of the cluster with one action, whose worker runs.
fn log(cluster: &Cluster) -> Database<'_> {
    let database = cluster.database();
    let mut session = database.superuser();
    session
        .batch_execute("SELECT activity.register_action('a.b')")
        .unwrap();
    wait_for_worker(&mut session);
    database
}

fn record(tenant: &str) -> String {
    format!("SELECT activity.record('a.b', tenant_id => '{tenant}')")
}

fn channel(tenant: &str) -> String {
    format!("activity_{}", tenant.replace('-', ""))
}

/// The process of the database's worker.
fn worker(session: &mut Session) -> Option<i32> {
    let query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'activity_log worker' \
                 AND datname = current_database() AND application_name = 'activity_log worker'";
    session
        .query(query, &[])
        .unwrap()
        .first()
        .map(|row| row.get(0))
}

fn wait_for_worker(session: &mut Session) -> i32 {
    eventually("the worker does not start", || worker(session))
}

/// Tries until there is a value.
#[track_caller]
fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Connects as soon as the server takes connections again.
fn reconnect(database: &Database<'_>) -> Session {
    eventually("the server does not come back", || {
        let mut client = database.config("postgres").connect(postgres::NoTls).ok()?;
        client.simple_query("SELECT 1").ok()?;
        drop(client);
        Some(database.superuser())
    })
}

fn state(session: &mut Session) -> String {
    session
        .text("SELECT value FROM activity.status() WHERE area = 'worker' AND item = 'state'")
        .unwrap()
}

/// The value of a metric, added up over its labels.
fn metric(session: &mut Session, name: &str, label: &str) -> i64 {
    session.number(&format!(
        "SELECT coalesce(sum(value), 0)::bigint FROM activity.metrics()
         WHERE name = '{name}' AND labels::text LIKE '%{label}%'"
    ))
}

fn own(settings: &[(&str, &str)]) -> Cluster {
    Cluster::start(&Options {
        preload: true,
        settings,
    })
}
