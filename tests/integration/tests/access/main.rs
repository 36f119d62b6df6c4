//! Who may do what, by real logins: only this file connects as everybody, pins roles to tenants,
//! and tries to get around both.

mod append_only;
mod attackers;
mod grants;
mod pins;
mod readers;

use activity_log_integration::{Cluster, Database, Session, expect_error};

const TENANT_A: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const TENANT_B: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
const NIL: &str = "00000000-0000-0000-0000-000000000000";

const ROLES: [&str; 4] = [
    "activity_writer",
    "activity_reader",
    "activity_auditor",
    "activity_admin",
];

/// A log with one event of each of two tenants.
fn database() -> Database<'static> {
    let database = Cluster::shared().database();
    let mut owner = database.superuser();
    owner
        .batch_execute("SELECT activity.register_action('user.created')")
        .unwrap();
    owner.batch_execute(&record(TENANT_A)).unwrap();
    owner.batch_execute(&record(TENANT_B)).unwrap();
    database
}

fn login(database: &Database<'_>, role: &str) -> Session {
    database.connect_as(&database.create_login(&[role]))
}

fn record(tenant: &str) -> String {
    format!("SELECT activity.record('user.created', tenant_id => '{tenant}')")
}

fn list(tenant: &str) -> String {
    format!("SELECT * FROM activity.list(tenant_id => '{tenant}')")
}

fn set_tenant(tenant: &str) -> String {
    format!("SET activity.tenant_id = '{tenant}'")
}

/// The tenants of the events that a query gives.
fn tenants(session: &mut Session, from: &str) -> Vec<String> {
    session.texts(&format!(
        "SELECT DISTINCT tenant_id::text FROM {from} ORDER BY 1"
    ))
}

fn partition(session: &mut Session) -> String {
    session
        .text("SELECT min(tableoid::regclass::text) FROM activity.events")
        .expect("there are events")
}

fn pin(database: &Database<'_>, role: &str, tenant: &str) {
    // An admin pins, not the superuser.
    let statement = format!("INSERT INTO activity.role_tenants VALUES ('{role}', '{tenant}')");
    login(database, "activity_admin")
        .batch_execute(&statement)
        .unwrap();
}
