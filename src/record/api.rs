//! `record()` as SQL calls it.

use super::{Event, Input, Stamp, durable, idempotency, prepare, ready, write};
use crate::context;
use crate::db::{self, Failure};
use crate::error::{self, Error};
use crate::settings::{self, OnError};
use crate::value::{Address, JsonbArg};
use pgrx::Uuid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Records one event and returns its id; NULL where `activity.on_error` is `warn` and it was lost.
#[expect(clippy::too_many_arguments, reason = "named notation is the contract")]
#[pg_extern(volatile, parallel_unsafe)]
fn record(
    action: default!(Option<&str>, "NULL"),
    metadata: default!(Option<JsonbArg<'_>>, "'{}'"),
    tenant_id: default!(Option<Uuid>, "NULL"),
    actor_id: default!(Option<&str>, "NULL"),
    actor_type: default!(Option<&str>, "NULL"),
    object_type: default!(Option<&str>, "NULL"),
    object_id: default!(Option<&str>, "NULL"),
    status: default!(Option<&str>, "'success'"),
    client_ip: default!(Option<Address>, "NULL"),
    user_agent: default!(Option<&str>, "NULL"),
    request_id: default!(Option<&str>, "NULL"),
    occurred_at: default!(Option<TimestampWithTimeZone>, "NULL"),
    idempotency_key: default!(Option<&str>, "NULL"),
) -> Result<Option<Uuid>, ErrorReport> {
    let input = Input {
        action,
        metadata,
        tenant_id: tenant_id.map(|id| *id.as_bytes()),
        actor_id,
        actor_type,
        object_type,
        object_id,
        status,
        client_ip,
        user_agent,
        request_id,
        occurred_at: occurred_at.map(i64::from),
        idempotency_key,
    };
    Ok(tolerate_for(Some(&input), || record_one(&input))?.map(Uuid::from_bytes))
}

fn record_one(input: &Input<'_>) -> Result<[u8; 16], Error> {
    ready()?;
    let context = context::current();
    let event = prepare(input, &context)?;
    let stamped = [(Stamp::next()?, event)];
    let [(stamp, _)] = &stamped;
    if let Some(earlier) = taken(&stamped)? {
        return Ok(earlier);
    }
    write(&stamped)?;
    Ok(stamp.event_id)
}

fn taken(stamped: &[(Stamp, Event<'_>); 1]) -> Result<Option<[u8; 16]>, Error> {
    let [(_, event)] = stamped;
    if event.idempotency_key.is_none() {
        return Ok(None);
    }
    Ok(idempotency::claim(stamped)?.remove(&0))
}

/// Runs a recording as `activity.on_error` says: `raise` lets the statement fail; `warn` rolls
/// back what was half done, warns and goes on without the event.
pub fn tolerate<R>(work: impl FnOnce() -> Result<R, Error>) -> Result<Option<R>, Error> {
    tolerate_for(None, work)
}

/// The same for the recording of an input.
pub(super) fn tolerate_for<R>(
    input: Option<&Input<'_>>,
    work: impl FnOnce() -> Result<R, Error>,
) -> Result<Option<R>, Error> {
    if settings::ON_ERROR.get() == OnError::Raise {
        return watched(input, work).map(Some);
    }
    match db::in_subtransaction(work) {
        Ok(result) => Ok(Some(result)),
        Err(Failure::Refused(error)) => {
            durable::lost(Some(&error));
            error::warn_of_loss(&error);
            Ok(None)
        }
        Err(Failure::Raised { code }) => {
            durable::lost(None);
            error::warn_of_refusal(code);
            Ok(None)
        }
    }
}

/// Runs a recording; one that fails is counted, and leaves an event that outlives it.
fn watched<R>(
    input: Option<&Input<'_>>,
    work: impl FnOnce() -> Result<R, Error>,
) -> Result<R, Error> {
    let result = db::observed(work, durable::rejected_by_server);
    if let Err(error) = &result {
        durable::refused(error, input);
    }
    result
}
