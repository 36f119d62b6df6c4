//! Durable consumers: readers whose place in the stream is kept in the database.

use super::lease;
use super::read::{self, Batch, Request};
use super::row::stream_rows;
use super::{checked_actions, checked_cursor, checked_page_size, readable_scope};
use crate::access;
use crate::access::readable_tenant;
use crate::clock;
use crate::db::{self, Mode, Parameter, Row};
use crate::error::Error;
use crate::home;
use crate::value::{JsonbOut, given};
use activity_log_core::stream::Scope;
use activity_log_core::stream::consumer::is_name;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{IntoDatum, Uuid, pg_sys};

/// A consumer as it is written down.
struct Consumer {
    name: String,
    tenant_id: Option<[u8; 16]>,
    actions: Vec<String>,
    cursor: String,
    role_name: String,
}

impl Consumer {
    fn from_row(row: &Row) -> Result<Self, Error> {
        const PLACE: &str = "consumer_cursors";
        Ok(Self {
            name: row.must(1, PLACE)?,
            tenant_id: row.get::<Uuid>(2).map(|id| *id.as_bytes()),
            actions: row.must(3, PLACE)?,
            cursor: row.must(4, PLACE)?,
            role_name: row.must(5, PLACE)?,
        })
    }

    /// The consumer of that name, as it is at this moment.
    fn find(name: &str) -> Result<Option<Self>, Error> {
        require_table()?;
        let found = db::query(
            Mode::ReadLatest,
            "SELECT name, tenant_id, actions, cursor, role_name \
             FROM activity.consumer_cursors WHERE name = $1",
            &[db::text(Some(name))],
            Self::from_row,
        )?;
        Ok(found.into_iter().next())
    }

    /// The consumer of that name, if the caller may use it.
    fn usable(name: &str) -> Result<Self, Error> {
        let consumer = Self::find(name)?.ok_or(Error::Unknown {
            what: "consumer with this name",
            hint: "SELECT activity.create_consumer(name, tenant_id, actions); makes one.",
        })?;
        if consumer.is_reachable() {
            Ok(consumer)
        } else {
            Err(Error::Denied {
                what: "a consumer of another role".into(),
                hint: "Members of the role that made it may use it, and activity_admin.",
            })
        }
    }

    fn is_reachable(&self) -> bool {
        access::is_admin() || access::has_role_named(&self.role_name)
    }

    /// Whose events it reads, if the caller may still read them.
    fn scope(&self) -> Result<Scope, Error> {
        match self.tenant_id {
            Some(tenant_id) => readable_tenant(Some(tenant_id)).map(Scope::Tenant),
            None if access::reads_all_tenants() => {
                access::audit_read(None)?;
                Ok(Scope::All)
            }
            None => Err(Error::Denied {
                what: "every tenant".into(),
                hint: "Only activity_auditor and activity_admin read every tenant.",
            }),
        }
    }

    fn is_like(&self, tenant_id: Option<[u8; 16]>, actions: &[String]) -> bool {
        self.tenant_id == tenant_id && self.actions == actions && self.is_reachable()
    }

    fn read(&self, page_size: usize) -> Result<Batch, Error> {
        let scope = self.scope()?;
        read::read(Request {
            scope,
            cursor: checked_cursor(Some(&self.cursor), scope)?,
            actions: &checked_actions(Some(self.actions.iter().cloned().map(Some).collect()))?,
            page_size,
        })
    }
}

/// Makes a consumer that begins now; one that is there already with the same arguments goes on.
/// Returns its cursor.
#[pg_extern(volatile, parallel_unsafe)]
fn create_consumer(
    name: default!(Option<&str>, "NULL"),
    tenant_id: default!(Option<Uuid>, "NULL"),
    actions: default!(Option<Vec<Option<String>>>, "NULL"),
) -> Result<String, ErrorReport> {
    let name = checked_name(name)?;
    require_table()?;
    let tenant_id = match readable_scope(tenant_id.map(|id| *id.as_bytes()))? {
        Scope::Tenant(tenant_id) => Some(tenant_id),
        Scope::All | Scope::Any => None,
    };
    checked_actions(actions.clone())?;
    let actions: Vec<String> = actions
        .into_iter()
        .flatten()
        .flatten()
        .filter(|action| !action.is_empty())
        .collect();
    let cursor = read::start(None)?.encode(&home::log_id()?, Scope::Any);
    let parameters = [
        db::text(Some(name)),
        tenant_id.map_or((pg_sys::UUIDOID, None), |id| db::uuid(&id)),
        (pg_sys::TEXTARRAYOID, actions.clone().into_datum()),
        db::text(Some(&cursor)),
        db::text(Some(&db::role_name(access::Roles::current().current))),
    ];
    if insert(&parameters)? {
        return Ok(cursor);
    }
    let known = Consumer::find(name)?.filter(|known| known.is_like(tenant_id, &actions));
    Ok(known
        .ok_or_else(|| Error::ConsumerExists {
            name: name.to_owned(),
        })?
        .cursor)
}

fn insert(parameters: &[Parameter]) -> Result<bool, Error> {
    let made = db::run(
        "INSERT INTO activity.consumer_cursors (name, tenant_id, actions, cursor, role_name) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO NOTHING",
        parameters,
    )?;
    Ok(made > 0)
}

/// The events that follow what the consumer has acknowledged. The session holds the consumer from
/// now on.
#[expect(
    clippy::type_complexity,
    reason = "pgrx reads the columns from the type"
)]
#[pg_extern(volatile, parallel_unsafe)]
fn poll(
    name: default!(Option<&str>, "NULL"),
    page_size: default!(Option<i32>, "500"),
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
    let name = checked_name(name)?;
    let page_size = checked_page_size(page_size)?;
    Consumer::usable(name)?.scope()?;
    lease::take(name)?;
    // Only now is it certain that nobody else moves it.
    let batch = Consumer::usable(name)?.read(page_size)?;
    Ok(TableIterator::new(stream_rows(batch)))
}

/// Moves the consumer to a cursor: what comes before it is not given again. An earlier one repeats
/// what followed it. Returns the cursor that it replaces.
#[pg_extern(volatile, parallel_unsafe)]
fn ack(
    name: default!(Option<&str>, "NULL"),
    cursor: default!(Option<&str>, "NULL"),
) -> Result<String, ErrorReport> {
    let name = checked_name(name)?;
    let cursor = given(cursor).ok_or(Error::Missing { argument: "cursor" })?;
    let scope = Consumer::usable(name)?.scope()?;
    checked_cursor(Some(cursor), scope)?;
    lease::take_for_transaction(name)?;
    let replaced = Consumer::usable(name)?.cursor;
    db::run(
        "UPDATE activity.consumer_cursors SET cursor = $2, acked_at = clock_timestamp() WHERE name = $1",
        &[db::text(Some(name)), db::text(Some(cursor))],
    )?;
    Ok(replaced)
}

/// Forgets a consumer and its cursor.
#[pg_extern(volatile, parallel_unsafe)]
fn drop_consumer(name: default!(Option<&str>, "NULL")) -> Result<bool, ErrorReport> {
    let name = checked_name(name)?;
    Consumer::usable(name)?;
    let dropped = db::run(
        "DELETE FROM activity.consumer_cursors WHERE name = $1",
        &[db::text(Some(name))],
    )?;
    Ok(dropped > 0)
}

/// More are not counted.
const MOST_COUNTED: i64 = 10_000;

/// What the view `consumers` says of a consumer; no row if the caller may not see it.
#[expect(
    clippy::type_complexity,
    reason = "pgrx reads the columns from the type"
)]
#[pg_extern(name = "_consumer_lag", volatile, parallel_unsafe)]
fn consumer_lag(
    name: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(lag_events, Option<i64>),
            name!(lag_seconds, Option<f64>),
            name!(held_by, Option<i32>),
            name!(problem, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let consumer = Consumer::find(checked_name(name)?)?
        .filter(|consumer| consumer.is_reachable() || access::reads_all_tenants());
    let lag = consumer.map(|consumer| lag(&consumer)).transpose()?;
    Ok(TableIterator::new(lag))
}

type Lag = (Option<i64>, Option<f64>, Option<i32>, Option<String>);

fn lag(consumer: &Consumer) -> Result<Lag, Error> {
    let held_by = lease::holder(&consumer.name)?;
    // One consumer that can't go on must not hide the others.
    match behind(consumer) {
        Ok((count, first)) => {
            let age = first.map_or(0, |first| clock::now().saturating_sub(first).max(0));
            Ok((Some(count), Some(age as f64 / 1e6), held_by, None))
        }
        Err(problem) => Ok((None, None, held_by, Some(problem.report().message))),
    }
}

/// How many events a consumer has before it, and when the oldest of them was recorded.
fn behind(consumer: &Consumer) -> Result<(i64, Option<i64>), Error> {
    let scope = match consumer.tenant_id {
        Some(tenant_id) => Scope::Tenant(tenant_id),
        None => Scope::All,
    };
    let actions = consumer.actions.iter().cloned().map(Some).collect();
    read::count(
        &Request {
            scope,
            cursor: checked_cursor(Some(&consumer.cursor), scope)?,
            actions: &checked_actions(Some(actions))?,
            page_size: 1,
        },
        MOST_COUNTED,
    )
}

fn checked_name(name: Option<&str>) -> Result<&str, Error> {
    let name = given(name).ok_or(Error::Missing { argument: "name" })?;
    if is_name(name) {
        Ok(name)
    } else {
        Err(Error::Invalid {
            argument: "name",
            problem: "it must be at most 63 lower-case letters, digits, underscores, dots and hyphens, a letter first".into(),
            hint: None,
        })
    }
}

fn require_table() -> Result<(), Error> {
    if db::exists("consumer_cursors")? {
        Ok(())
    } else {
        Err(Error::NotSetUp)
    }
}
