//! The context across transactions, sessions and a pooler: only this file sees when a setting is
//! checked, when it vanishes, and whose it is behind a shared connection.

mod client_ip;
mod lifetime;
mod pooler;
mod settings;

use activity_log_integration::{Cluster, Database, Options, Session, expect_error};

const TENANT_A: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const TENANT_B: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

/// The context as its document.
const CONTEXT: &str = "SELECT activity.context()::text";

fn database() -> Database<'static> {
    let database = Cluster::shared().database();
    let register = "SELECT activity.register_action('user.created')";
    database.superuser().batch_execute(register).unwrap();
    database
}

fn writer(database: &Database<'_>) -> Session {
    database.connect_as(&database.create_login(&["activity_writer"]))
}

fn tenant(session: &mut Session) -> Option<String> {
    session.text("SELECT activity.context() ->> 'tenant_id'")
}
