//! Retention: partitions made, closed, kept, held, detached and dropped while others work. Old
//! partitions are made by hand here, as years of service would have left them.

mod carried;
mod clock;
mod crash;
mod detach;
mod dump;
mod holds;
mod maintain;
mod partitions;
mod policies;
mod schedule;
mod scopes;
mod writers;

use activity_log_integration::{Cluster, Database, Options, Session, Stop, expect_error};
use serde_json::Value;
use std::sync::OnceLock;

const TENANT_A: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const TENANT_B: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
const SYSTEM: &str = "00000000-0000-0000-0000-000000000000";

/// Makes the partition of the month that lies some months back, and fills it: for each tenant one
/// event a day, by three actors in turn, alternating between two actions.
const OLD_MONTH: &str = "
CREATE SCHEMA IF NOT EXISTS test;
CREATE OR REPLACE FUNCTION test.month(back int) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') - back * interval '1 month') AT TIME ZONE 'UTC'
$$;
CREATE OR REPLACE FUNCTION test.name(back int) RETURNS text LANGUAGE sql AS $$
    SELECT 'events_p' || to_char(test.month(back) AT TIME ZONE 'UTC', 'YYYY_MM')
$$;
CREATE OR REPLACE FUNCTION test.fill(lower timestamptz, upper timestamptz, tenants uuid[], per_day int DEFAULT 1) RETURNS void LANGUAGE sql AS $$
    INSERT INTO activity.events (recorded_at, occurred_at, xact, gen, event_id, tenant_id, action, status, source,
                                 actor_type, actor_id, object_type, object_id, metadata)
    SELECT day + offs, day + offs, pg_current_xact_id(), 1, gen_random_uuid(), tenant,
           CASE WHEN n % 2 = 0 THEN 'auth.login' ELSE 'doc.read' END, 'success', 'api', 'user', 'u' || n % 3, 'doc', 'd' || n % 5, '{}'
    FROM unnest(tenants) tenant, generate_series(1, per_day) i,
         generate_series(lower, upper - interval '1 day', '1 day') WITH ORDINALITY d(day, n), make_interval(mins => i % 1400, secs => i % 60) offs
$$;
CREATE OR REPLACE FUNCTION test.old_month(back int, tenants uuid[], per_day int DEFAULT 1) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass('activity.' || test.name(back)) IS NULL THEN
        EXECUTE format('CREATE TABLE activity.%I (LIKE activity.events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', test.name(back));
        EXECUTE format('ALTER TABLE activity.events ATTACH PARTITION activity.%I FOR VALUES FROM (%L) TO (%L)',
                       test.name(back), test.month(back), test.month(back - 1));
    END IF;
    PERFORM test.fill(test.month(back), test.month(back - 1), tenants, per_day);
    RETURN test.name(back);
END
$$;
";

/// A cluster of which no worker does what a test does by itself.
fn quiet_cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(&QUIET))
}

const QUIET: Options<'static> = Options {
    preload: true,
    settings: &[("activity.maintenance_interval", "0")],
};

/// A log with the months before this one that are named, each with events of both tenants.
fn log_with_months<'c>(cluster: &'c Cluster, back: &[i32]) -> Database<'c> {
    let database = cluster.database();
    let mut session = database.superuser();
    session.batch_execute(OLD_MONTH).unwrap();
    for months in back {
        add_month(&mut session, *months);
    }
    session.batch_execute("SELECT activity.setup()").unwrap();
    database
}

fn add_month(session: &mut Session, back: i32) -> String {
    session
        .text(&format!(
            "SELECT test.old_month({back}, '{{{TENANT_A},{TENANT_B}}}')"
        ))
        .unwrap()
}

/// Runs `maintain()`; its summary.
fn maintain(session: &mut Session) -> Value {
    let row = session.query_one("CALL activity.maintain()", &[]).unwrap();
    row.get::<_, Value>(0)
}

fn name_of(session: &mut Session, back: i32) -> String {
    session.text(&format!("SELECT test.name({back})")).unwrap()
}

/// The partitions that are attached, in the order of time.
fn attached(session: &mut Session) -> Vec<String> {
    session.texts(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = 'activity.events'::regclass AND NOT i.inhdetachpending ORDER BY 1",
    )
}

fn is_attached(session: &mut Session, back: i32) -> bool {
    let name = name_of(session, back);
    attached(session).contains(&name)
}

/// How many events of a tenant there are in the month some months back.
fn count(session: &mut Session, tenant: &str, back: i32) -> i64 {
    session.number(&format!(
        "SELECT count(*) FROM activity.events WHERE tenant_id = '{tenant}' \
         AND recorded_at >= test.month({back}) AND recorded_at < test.month({back} - 1)"
    ))
}

fn state(session: &mut Session, back: i32) -> Option<String> {
    let name = name_of(session, back);
    session
        .query_opt(
            "SELECT state FROM activity.partitions WHERE partition = $1",
            &[&name],
        )
        .unwrap()
        .map(|row| row.get(0))
}

/// How many events the log has about itself with this action.
fn system_events(session: &mut Session, action: &str) -> i64 {
    session.number(&format!(
        "SELECT count(*) FROM activity.events WHERE tenant_id = '{SYSTEM}' AND action = '{action}'"
    ))
}

/// What the last run wrote down with this outcome: step and partition.
fn entries(session: &mut Session, outcome: &str) -> Vec<String> {
    session.texts(&format!(
        "SELECT concat_ws(' ', l.step, l.partition) FROM activity.maintenance_log l \
         WHERE l.outcome = '{outcome}' AND l.step <> 'run' AND l.run_id = \
             (SELECT run_id FROM activity.maintenance_log WHERE step = 'run' ORDER BY started_at DESC LIMIT 1) \
         ORDER BY l.finished_at"
    ))
}

fn keep_for(session: &mut Session, arguments: &str) {
    let call = format!("SELECT activity.set_retention({arguments}, confirm => true)");
    session.batch_execute(&call).unwrap();
}

/// The advice of `status()` for the item, if it is not well.
fn advice(session: &mut Session, item: &str) -> Option<String> {
    session
        .query_opt(
            "SELECT advice FROM activity.status() WHERE area = 'retention' AND item = $1 AND ok IS NOT TRUE",
            &[&item],
        )
        .unwrap()
        .map(|row| row.get(0))
}
