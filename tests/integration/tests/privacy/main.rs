//! Secrets and addresses: what is planted is found nowhere, what is to be compared compares, and
//! keys stay where they belong.

mod addresses;
mod key_file;
mod secrets;

use activity_log_integration::{Cluster, Database, Session};
use serde_json::Value;

const TENANT: &str = "97140000-0000-4000-8000-0000000000aa";
const OTHER_TENANT: &str = "97140000-0000-4000-8000-0000000000bb";

/// A fresh log that knows the action `thing.noted`.
fn log(cluster: &Cluster) -> Database<'_> {
    let database = cluster.database();
    register(&mut database.superuser());
    database
}

fn register(session: &mut Session) {
    session
        .batch_execute("SELECT activity.register_action('thing.noted')")
        .unwrap();
}

/// Records an event with this metadata and gives what is stored of it.
fn stored(session: &mut Session, tenant: &str, metadata: &Value) -> Value {
    let id: uuid::Uuid = session
        .query_one(
            &format!("SELECT activity.record('thing.noted', $1, tenant_id => '{tenant}')"),
            &[metadata],
        )
        .unwrap()
        .get(0);
    session
        .query_one("SELECT metadata FROM activity.get($1)", &[&id])
        .unwrap()
        .get(0)
}

/// Records an event from an address; its hash in hexadecimal digits, if it has one.
fn hash_of(session: &mut Session, tenant: &str, address: &str) -> Option<String> {
    let id: uuid::Uuid = session
        .query_one(
            &format!("SELECT activity.record('thing.noted', tenant_id => '{tenant}', client_ip => '{address}')"),
            &[],
        )
        .unwrap()
        .get(0);
    session
        .query_one("SELECT encode(ip_hash, 'hex'), ip_prefix::text FROM activity.events WHERE event_id = $1", &[&id])
        .map(|row| {
            assert!(row.get::<_, Option<String>>(1).is_some(), "the network is always stored");
            row.get(0)
        })
        .unwrap()
}

/// How many events the raw address finds.
fn found(session: &mut Session, tenant: &str, address: &str) -> i64 {
    session.number(&format!(
        "SELECT count(*) FROM activity.list(tenant_id => '{tenant}', client_ip => '{address}')"
    ))
}
