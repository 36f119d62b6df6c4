//! The log as a stream: everything that commits, once, in order, from wherever a reader left off.

mod consumers;
mod crash;
mod cursor;
mod read;
mod restore;
mod standby;
mod stress;

use activity_log_integration::{Cluster, Database, Session};
use uuid::Uuid;

const TENANT: &str = "57ea0000-0000-4000-8000-0000000000aa";
const OTHER_TENANT: &str = "57ea0000-0000-4000-8000-0000000000bb";

/// A fresh log that checks no action.
fn log(cluster: &Cluster) -> Database<'_> {
    let database = cluster.database();
    let name = database.name();
    database
        .superuser()
        .batch_execute(&format!(
            "ALTER DATABASE {name} SET activity.registry = off"
        ))
        .unwrap();
    database
}

/// Records one event of a tenant and returns its id.
fn record_for(session: &mut Session, tenant: &str, action: &str) -> Uuid {
    session
        .query_one(
            &format!("SELECT activity.record('{action}', tenant_id => '{tenant}')"),
            &[],
        )
        .unwrap()
        .get(0)
}

fn record(session: &mut Session) -> Uuid {
    record_for(session, TENANT, "a.b")
}

/// What one call of read_stream() gives.
struct Page {
    ids: Vec<Uuid>,
    /// Whether a row without an event ends it.
    is_drained: bool,
    cursor: String,
}

/// One page, with further arguments in SQL.
fn page(session: &mut Session, cursor: &str, arguments: &str) -> Page {
    let query = format!(
        "SELECT event_id, next_cursor FROM activity.read_stream(cursor => '{cursor}'{arguments})"
    );
    let rows = session
        .query(&query, &[])
        .unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let last = rows.last().expect("there is always a row");
    let ids: Vec<Option<Uuid>> = rows.iter().map(|row| row.get(0)).collect();
    Page {
        is_drained: last.get::<_, Option<Uuid>>(0).is_none(),
        cursor: last.get(1),
        ids: ids.into_iter().flatten().collect(),
    }
}

/// The arguments for a tenant and a page size.
fn of(tenant: &str, page_size: usize) -> String {
    format!(", tenant_id => '{tenant}', page_size => {page_size}")
}

/// Everything that there is to read, page by page, and the cursor behind it.
fn drain(session: &mut Session, cursor: &str, arguments: &str) -> (Vec<Uuid>, String) {
    let (mut ids, mut cursor) = (Vec::new(), cursor.to_owned());
    for _ in 0..10_000 {
        let page = page(session, &cursor, arguments);
        ids.extend(page.ids);
        cursor = page.cursor;
        if page.is_drained {
            return (ids, cursor);
        }
    }
    panic!("no end after {} events", ids.len());
}

/// A cursor for what comes from now on.
fn now(session: &mut Session) -> String {
    session.text("SELECT activity.stream_start()").unwrap()
}
