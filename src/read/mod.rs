//! Reading a tenant's log: page by page, newest first, and one event by its id.

mod page;
mod probe;

use crate::access::{self, Purpose};
use crate::context;
use crate::db::{self, Mode, Parameter, Relation, Row};
use crate::error::Error;
use crate::privacy;
use crate::record::SERVER_EPOCH;
use crate::retention::{self, Partition};
use crate::setup;
use crate::value::{Address, JsonbArg, JsonbOut, given};
use activity_log_core::jsonb::{Jsonb, Value};
use activity_log_core::read::ListCursor;
use activity_log_core::record::{self as limits, Status};
use activity_log_core::registry::action::ActionPattern;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{Uuid, pg_sys};

const DEFAULT_PAGE: i32 = 50;
const MAX_PAGE: i32 = 1_000;

/// The public columns of an event, in the order of `activity.event`.
const COLUMNS: &str = "event_id, tenant_id, recorded_at, occurred_at, action, action_version, status, \
    source, actor_type, actor_id, object_type, object_id, request_id, ip_prefix::text, user_agent, \
    db_role, metadata, changes";

/// An event as it is read.
struct EventRow {
    event_id: Uuid,
    tenant_id: Uuid,
    recorded_at: TimestampWithTimeZone,
    occurred_at: TimestampWithTimeZone,
    action: String,
    action_version: Option<i32>,
    status: String,
    source: String,
    actor_type: Option<String>,
    actor_id: Option<String>,
    object_type: Option<String>,
    object_id: Option<String>,
    request_id: Option<String>,
    ip_prefix: Option<String>,
    user_agent: Option<String>,
    db_role: Option<String>,
    metadata: JsonbOut,
    changes: Option<JsonbOut>,
}

impl EventRow {
    fn read(row: &Row) -> Result<Self, Error> {
        const PLACE: &str = "events";
        Ok(Self {
            event_id: row.must(1, PLACE)?,
            tenant_id: row.must(2, PLACE)?,
            recorded_at: row.must(3, PLACE)?,
            occurred_at: row.must(4, PLACE)?,
            action: row.must(5, PLACE)?,
            action_version: row.get(6),
            status: row.must(7, PLACE)?,
            source: row.must(8, PLACE)?,
            actor_type: row.get(9),
            actor_id: row.get(10),
            object_type: row.get(11),
            object_id: row.get(12),
            request_id: row.get(13),
            ip_prefix: row.get(14),
            user_agent: row.get(15),
            db_role: row.get(16),
            metadata: row.must(17, PLACE)?,
            changes: row.get(18),
        })
    }

    fn place(&self) -> ListCursor {
        ListCursor {
            occurred_at: i64::from(self.occurred_at),
            event_id: *self.event_id.as_bytes(),
        }
    }
}

/// What `list()` is asked for, checked.
struct Query {
    tenant_id: [u8; 16],
    conditions: Vec<String>,
    parameters: Vec<Parameter>,
    /// The times of occurrence that can be in the page: from `since` up to `limit`, both included.
    since: i64,
    limit: i64,
    page_size: usize,
}

impl Query {
    fn new(tenant_id: [u8; 16], page_size: usize) -> Self {
        Self {
            tenant_id,
            conditions: vec!["tenant_id = $1".into()],
            parameters: vec![db::uuid(&tenant_id)],
            since: i64::MIN,
            limit: i64::MAX,
            page_size,
        }
    }

    /// Adds a condition; `$` in it stands for the place of its parameter.
    fn filter(&mut self, condition: &str, parameter: Parameter) {
        self.parameters.push(parameter);
        self.conditions
            .push(condition.replace('$', &format!("${}", self.parameters.len())));
    }

    fn filter_text(&mut self, condition: &str, text: Option<&str>) {
        if let Some(text) = given(text) {
            self.filter(condition, db::text(Some(text)));
        }
    }

    /// Rows that follow the cursor's.
    fn after(&mut self, cursor: ListCursor) {
        self.limit = self.limit.min(cursor.occurred_at);
        self.parameters.push(db::time(cursor.occurred_at));
        let at = self.parameters.len();
        self.parameters.push(db::uuid(&cursor.event_id));
        self.conditions
            .push(format!("(occurred_at, event_id) < (${at}, ${})", at + 1));
    }

    /// The page of one partition.
    fn sql(&self, partition: &str) -> String {
        format!(
            "SELECT {COLUMNS} FROM ONLY activity.{partition} WHERE {} \
             ORDER BY occurred_at DESC, event_id DESC LIMIT {}",
            self.conditions.join(" AND "),
            self.page_size
        )
    }
}

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
    let tenant_id = readable_tenant(tenant_id.map(|id| *id.as_bytes()))?;
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
    let log_id = setup::log_id()?;
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

/// The tenant to read: the argument's or the context's. A plain reader who has set a context
/// stays inside it: an argument that differs is a mistake or an attack.
fn readable_tenant(argument: Option<[u8; 16]>) -> Result<[u8; 16], Error> {
    let of_context = context::current().tenant_id;
    let tenant = argument.or(of_context).ok_or(Error::NoTenant)?;
    access::check_tenant(&tenant, Purpose::Read)?;
    if of_context.is_some_and(|context| context != tenant) && !access::reads_all_tenants() {
        return Err(Error::Denied {
            what: "a tenant other than that of the context".into(),
            hint: "Set the context to the tenant that is to be read.",
        });
    }
    Ok(tenant)
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

fn filter_action(query: &mut Query, action: Option<&str>) -> Result<(), Error> {
    let Some(action) = given(action) else {
        return Ok(());
    };
    let pattern = ActionPattern::parse(action).map_err(|problem| Error::Invalid {
        argument: "action",
        problem: problem.to_string().into(),
        hint: Some("Give an action, or a prefix of actions as in 'auth.*'."),
    })?;
    match pattern {
        ActionPattern::Exact(_) => query.filter("action = $", db::text(Some(action))),
        ActionPattern::Prefix(_) => {
            query.filter("action >= $", db::text(Some(pattern.lower_bound())));
            if let Some(upper) = pattern.upper_bound() {
                query.filter("action < $", db::text(Some(&upper)));
            }
        }
    }
    Ok(())
}

fn filter_status(query: &mut Query, status: Option<&str>) -> Result<(), Error> {
    let Some(status) = given(status) else {
        return Ok(());
    };
    Status::parse(status).ok_or_else(|| {
        Error::invalid(
            "status",
            "it must be one of success, failure, error and denied",
        )
    })?;
    query.filter("status = $", db::text(Some(status)));
    Ok(())
}

/// Addresses are found by their hashes under every key epoch that is still usable.
fn filter_address(query: &mut Query, client_ip: Option<Address>) -> Result<(), Error> {
    let Some(Address(ip)) = client_ip else {
        return Ok(());
    };
    let hashes = privacy::address_hashes(&query.tenant_id, ip)?;
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| &hash[..]).collect();
    query.filter(
        "ip_hash = ANY ($)",
        (pg_sys::BYTEAARRAYOID, hashes.into_datum()),
    );
    Ok(())
}

fn filter_times(
    query: &mut Query,
    since: Option<TimestampWithTimeZone>,
    until: Option<TimestampWithTimeZone>,
) {
    if let Some(since) = since.map(i64::from) {
        query.since = since;
        query.filter("occurred_at >= $", db::time(since));
    }
    if let Some(until) = until.map(i64::from) {
        query.limit = query.limit.min(until.saturating_sub(1));
        query.filter("occurred_at < $", db::time(until));
    }
}

fn filter_metadata(query: &mut Query, metadata: Option<JsonbArg<'_>>) -> Result<(), Error> {
    let Some(document) = metadata.and_then(JsonbArg::document) else {
        return Ok(());
    };
    let container = crate::record::metadata_object(Some(document))?;
    let is_empty = Jsonb::new(&container)
        .is_ok_and(|d| matches!(d.root(), Value::Object(object) if object.is_empty()));
    if !is_empty {
        query.filter("metadata @> $", db::jsonb(&container));
    }
    Ok(())
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
        Some(readable_tenant(None)?)
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
    Ok(is_visible.then_some(row))
}

fn lookup(
    partition: &Partition,
    recorded_at: i64,
    event_id: &[u8; 16],
) -> Result<Option<EventRow>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM ONLY activity.{} WHERE recorded_at = $1 AND event_id = $2",
        retention::name(partition)?
    );
    let parameters = [db::time(recorded_at), db::uuid(event_id)];
    Ok(db::query(Mode::Read, &sql, &parameters, EventRow::read)?.pop())
}
