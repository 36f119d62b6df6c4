//! Installation and `setup()`: only this file sees databases before it, clusters where it can't
//! be, the extension dropped under its data, and settings that a running server can't change.

mod installation;
mod once;
mod partitions;
mod reinstall;
mod status;

use activity_log_integration::{Cluster, Database, Options, Session, assert_same, expect_error};

const TENANT: &str = "11111111-1111-4111-8111-111111111111";

fn record(action: &str) -> String {
    format!("SELECT activity.record('{action}', tenant_id => '{TENANT}')")
}

/// Shows that the log is in use: an action, an event, a page.
fn record_and_list(session: &mut Session) {
    session
        .batch_execute("SELECT activity.register_action('user.created')")
        .unwrap();
    session.batch_execute(&record("user.created")).unwrap();
    let listed = format!("SELECT count(*) FROM activity.list(tenant_id => '{TENANT}')");
    assert_eq!(session.number(&listed), 1);
}

/// The advice of the item, if it is not well.
fn advice(session: &mut Session, item: &str) -> Option<String> {
    session
        .query_opt(
            "SELECT advice FROM activity.status() WHERE item = $1 AND ok IS NOT TRUE",
            &[&item],
        )
        .unwrap()
        .map(|row| row.get(0))
}

fn advice_count(session: &mut Session, item: &str) -> i64 {
    let count = "SELECT count(*) FROM activity.status() WHERE item = $1 AND ok IS NOT TRUE";
    session.query_one(count, &[&item]).unwrap().get(0)
}
