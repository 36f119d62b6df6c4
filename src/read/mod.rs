//! Reading a tenant's log: page by page, newest first, and one event by its id.

mod columns;
mod event;
mod page;
mod probe;
mod query;

use crate::access::{self, Purpose};
use crate::clock::SERVER_EPOCH;
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use crate::home;
use crate::retention::{self, Partition};
use crate::value::{Address, JsonbArg, JsonbOut, given};
use activity_log_core::read::ListCursor;
use activity_log_core::record as limits;
pub use columns::EventColumns;
pub use event::{COLUMNS, EventRow};
use pgrx::Uuid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
pub use probe::begin_index_scan;
use query::{Query, filter_action, filter_address, filter_metadata, filter_status, filter_times};

const DEFAULT_PAGE: i32 = 50;
const MAX_PAGE: i32 = 1_000;

/// One page of a tenant's log, newest occurrence first. A row's cursor gives what follows it.
#[expect(clippy::too_many_arguments, reason = "named notation is the contract")]
#[expect(
    clippy::type_complexity,
    reason = "pgrx reads the columns from the type"
)]
#[pg_extern(stable, parallel_unsafe)]
fn list(
    tenant_id: default!(Option<Uuid>, "NULL"),
    action: default!(Option<&str>, "NULL"),
    actor_id: default!(Option<&str>, "NULL"),
    object_type: default!(Option<&str>, "NULL"),
    object_id: default!(Option<&str>, "NULL"),
    request_id: default!(Option<&str>, "NULL"),
    status: default!(Option<&str>, "NULL"),
    client_ip: default!(Option<Address>, "NULL"),
    since: default!(Option<TimestampWithTimeZone>, "NULL"),
    until: default!(Option<TimestampWithTimeZone>, "NULL"),
    metadata: default!(Option<JsonbArg<'_>>, "NULL"),
    cursor: default!(Option<&str>, "NULL"),
    page_size: default!(Option<i32>, "50"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(event_id, Uuid),
            name!(tenant_id, Uuid),
            name!(recorded_at, TimestampWithTimeZone),
            name!(occurred_at, TimestampWithTimeZone),
            name!(action, String),
            name!(action_version, Option<i32>),
            name!(status, String),
            name!(source, String),
            name!(actor_type, Option<String>),
            name!(actor_id, Option<String>),
            name!(object_type, Option<String>),
            name!(object_id, Option<String>),
            name!(request_id, Option<String>),
            name!(ip_prefix, Option<String>),
            name!(user_agent, Option<String>),
            name!(db_role, Option<String>),
            name!(metadata, JsonbOut),
            name!(changes, Option<JsonbOut>),
            name!(cursor, String),
        ),
    >,
    ErrorReport,
> {
    db::oid(Relation::Events)?;
    let tenant_id = access::readable_tenant(tenant_id.map(|id| *id.as_bytes()))?;
    let mut query = Query::new(tenant_id, checked_page_size(page_size)?);
    filter_action(&mut query, action)?;
    query.filter_text("actor_id = $", actor_id);
    query.filter_text("object_type = $", object_type);
    query.filter_text("object_id = $", object_id);
    query.filter_text("request_id = $", request_id);
    filter_status(&mut query, status)?;
    filter_address(&mut query, client_ip)?;
    filter_times(&mut query, since, until);
    filter_metadata(&mut query, metadata)?;
    let log_id = home::log_id()?;
    if let Some(cursor) = given(cursor) {
        query.after(
            ListCursor::decode(cursor, &log_id, &tenant_id).map_err(|_| Error::Invalid {
                argument: "cursor",
                problem: "it was not given out by this log for this tenant".into(),
                hint: Some("Give the cursor of a row of an earlier page, unchanged."),
            })?,
        );
    }
    let rows = page::collect(&query)?.into_iter().map(move |e| {
        let cursor = e.place().encode(&log_id, &tenant_id);
        (
            e.event_id,
            e.tenant_id,
            e.recorded_at,
            e.occurred_at,
            e.action,
            e.action_version,
            e.status,
            e.source,
            e.actor_type,
            e.actor_id,
            e.object_type,
            e.object_id,
            e.request_id,
            e.ip_prefix,
            e.user_agent,
            e.db_role,
            e.metadata,
            e.changes,
            cursor,
        )
    });
    Ok(TableIterator::new(rows))
}

fn checked_page_size(page_size: Option<i32>) -> Result<usize, Error> {
    let size = page_size.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&size) {
        return Err(Error::invalid(
            "page_size",
            format!("it must be between 1 and {MAX_PAGE}"),
        ));
    }
    Ok(size as usize)
}

/// One event by its id; no row if there is none, or if it is another tenant's.
#[expect(
    clippy::type_complexity,
    reason = "pgrx reads the columns from the type"
)]
#[pg_extern(stable, parallel_unsafe)]
fn get(
    event_id: default!(Option<Uuid>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(event_id, Uuid),
            name!(tenant_id, Uuid),
            name!(recorded_at, TimestampWithTimeZone),
            name!(occurred_at, TimestampWithTimeZone),
            name!(action, String),
            name!(action_version, Option<i32>),
            name!(status, String),
            name!(source, String),
            name!(actor_type, Option<String>),
            name!(actor_id, Option<String>),
            name!(object_type, Option<String>),
            name!(object_id, Option<String>),
            name!(request_id, Option<String>),
            name!(ip_prefix, Option<String>),
            name!(user_agent, Option<String>),
            name!(db_role, Option<String>),
            name!(metadata, JsonbOut),
            name!(changes, Option<JsonbOut>),
        ),
    >,
    ErrorReport,
> {
    let event_id = event_id.ok_or(Error::Missing {
        argument: "event_id",
    })?;
    let found = find(event_id.as_bytes())?.into_iter().map(|e| {
        (
            e.event_id,
            e.tenant_id,
            e.recorded_at,
            e.occurred_at,
            e.action,
            e.action_version,
            e.status,
            e.source,
            e.actor_type,
            e.actor_id,
            e.object_type,
            e.object_id,
            e.request_id,
            e.ip_prefix,
            e.user_agent,
            e.db_role,
            e.metadata,
            e.changes,
        )
    });
    Ok(TableIterator::new(found))
}

/// The id carries the time of recording to the microsecond, which leads to one partition and a
/// few of its pages.
fn find(event_id: &[u8; 16]) -> Result<Option<EventRow>, Error> {
    let root = db::oid(Relation::Events)?;
    let tenant = if access::reads_all_tenants() {
        None
    } else {
        Some(access::readable_tenant(None)?)
    };
    let Some(recorded_at) = limits::recorded_at(event_id) else {
        return Ok(None);
    };
    let recorded_at = recorded_at.saturating_sub(SERVER_EPOCH);
    db::lock_shared(root);
    let Some(partition) = retention::partition_at(root, recorded_at)? else {
        return Ok(None);
    };
    let Some(row) = lookup(&partition, recorded_at, event_id)? else {
        return Ok(None);
    };
    let is_visible = match tenant {
        Some(tenant) => tenant == *row.tenant_id.as_bytes(),
        None => access::may_reach(row.tenant_id.as_bytes(), Purpose::Read)?,
    };
    if is_visible && tenant.is_none() {
        access::audit_read(Some(*row.tenant_id.as_bytes()))?;
    }
    Ok(is_visible.then_some(row))
}

fn lookup(
    partition: &Partition,
    recorded_at: i64,
    event_id: &[u8; 16],
) -> Result<Option<EventRow>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM ONLY {} WHERE recorded_at = $1 AND event_id = $2",
        retention::name(partition)?
    );
    let parameters = [db::time(recorded_at), db::uuid(event_id)];
    Ok(db::query(Mode::Read, &sql, &parameters, EventRow::read)?.pop())
}
