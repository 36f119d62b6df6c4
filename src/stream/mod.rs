//! What has become visible since: the log as a stream, in the order of transactions, each event
//! once, without waiting for anybody.

mod consumer;
mod everyone;
mod lease;
mod now;
mod read;
mod retained;
mod row;
mod scan;
mod tenant;
mod unseen;

use crate::access;
use crate::access::readable_tenant;
use crate::context;
use crate::db::{self, Relation};
use crate::error::Error;
use crate::home;
use crate::value::{JsonbOut, given};
use activity_log_core::registry::action::ActionPattern;
use activity_log_core::stream::{Base, Cursor, Scope};
use pgrx::Uuid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use read::Request;
use row::stream_rows;

const DEFAULT_PAGE: i32 = 500;
const MAX_PAGE: i32 = 10_000;

/// The events that have become visible since the cursor, oldest transaction first, and behind the
/// last of them a row that only has a cursor.
#[expect(
    clippy::type_complexity,
    reason = "pgrx reads the columns from the type"
)]
#[pg_extern(volatile, parallel_unsafe)]
fn read_stream(
    tenant_id: default!(Option<Uuid>, "NULL"),
    cursor: default!(Option<&str>, "NULL"),
    page_size: default!(Option<i32>, "500"),
    actions: default!(Option<Vec<Option<String>>>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(event_id, Option<Uuid>),
            name!(tenant_id, Option<Uuid>),
            name!(recorded_at, Option<TimestampWithTimeZone>),
            name!(occurred_at, Option<TimestampWithTimeZone>),
            name!(action, Option<String>),
            name!(action_version, Option<i32>),
            name!(status, Option<String>),
            name!(source, Option<String>),
            name!(actor_type, Option<String>),
            name!(actor_id, Option<String>),
            name!(object_type, Option<String>),
            name!(object_id, Option<String>),
            name!(request_id, Option<String>),
            name!(ip_prefix, Option<String>),
            name!(user_agent, Option<String>),
            name!(db_role, Option<String>),
            name!(metadata, Option<JsonbOut>),
            name!(changes, Option<JsonbOut>),
            name!(next_cursor, String),
        ),
    >,
    ErrorReport,
> {
    db::oid(Relation::Events)?;
    let scope = readable_scope(tenant_id.map(|id| *id.as_bytes()))?;
    let request = Request {
        scope,
        cursor: checked_cursor(given(cursor), scope)?,
        actions: &checked_actions(actions)?,
        page_size: checked_page_size(page_size)?,
    };
    Ok(TableIterator::new(stream_rows(read::read(request)?)))
}

/// A cursor for what comes from now on, or for what was recorded at a time and later.
#[pg_extern(volatile, parallel_unsafe)]
fn stream_start(
    at: default!(Option<TimestampWithTimeZone>, "NULL"),
) -> Result<String, ErrorReport> {
    db::oid(Relation::Events)?;
    let cursor = read::start(at.map(i64::from))?;
    Ok(cursor.encode(&home::log_id()?, Scope::Any))
}

/// Whose events the caller reads: those of the tenant of the argument or the context, or
/// everybody's for who may read every tenant and names none.
fn readable_scope(argument: Option<[u8; 16]>) -> Result<Scope, Error> {
    let is_named = argument.is_some() || context::current().tenant_id.is_some();
    if !is_named && access::reads_all_tenants() {
        access::audit_read(None)?;
        return Ok(Scope::All);
    }
    readable_tenant(argument).map(Scope::Tenant)
}

fn checked_cursor(cursor: Option<&str>, scope: Scope) -> Result<Cursor, Error> {
    let Some(text) = cursor else {
        return Ok(Cursor {
            base: Base::Beginning { since: None },
            page: None,
        });
    };
    Cursor::decode(text, &home::log_id()?, scope).map_err(|_| Error::Invalid {
        argument: "cursor",
        problem: "it was not given out by this log's stream for this tenant".into(),
        hint: Some("Give the next_cursor of the last row, unchanged, with the same tenant_id; stream_start() gives one for any tenant."),
    })
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

/// The patterns of actions; none means every action.
fn checked_actions(actions: Option<Vec<Option<String>>>) -> Result<Vec<ActionPattern>, Error> {
    actions
        .into_iter()
        .flatten()
        .flatten()
        .filter(|action| !action.is_empty())
        .map(|action| {
            ActionPattern::parse(&action).map_err(|problem| Error::Invalid {
                argument: "actions",
                problem: problem.to_string().into(),
                hint: Some("Give actions, or prefixes of actions as in 'auth.*'."),
            })
        })
        .collect()
}
