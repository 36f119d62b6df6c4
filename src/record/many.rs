//! `record_many()`: a batch of events from one document.

use super::api::tolerate;
use super::{Event, Input, Stamp, durable, idempotency, prepare, ready, unwrapped, write};
use crate::context::{self, Context};
use crate::error::Error;
use crate::value::{self, Address, JsonbArg, JsonbOut, given};
use activity_log_core::context::parse_uuid;
use activity_log_core::jsonb::{Jsonb, Value};
use pgrx::Uuid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Most events of one call: all of them are in memory, some twice, until they are written.
const MAX_EVENTS: usize = 10_000;

/// What became of one event of a batch.
enum Outcome {
    Recorded([u8; 16]),
    /// The idempotency key already stood for this event.
    Known([u8; 16]),
    Refused(Error),
}

type ResultRow = (i32, Option<Uuid>, bool, Option<JsonbOut>);

/// Records an array of events, each an object with `record()`'s argument names.
///
/// With `on_error => 'raise'` a bad event fails the whole call, and the detail lists all of them;
/// with `'skip'` the good ones are recorded and the bad ones come back with their error.
#[expect(
    clippy::type_complexity,
    reason = "pgrx reads the columns from the type"
)]
#[pg_extern(volatile, parallel_unsafe)]
fn record_many(
    events: default!(Option<JsonbArg<'_>>, "NULL"),
    on_error: default!(Option<&str>, "'raise'"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(ordinal, i32),
            name!(event_id, Option<Uuid>),
            name!(inserted, bool),
            name!(error, Option<JsonbOut>),
        ),
    >,
    ErrorReport,
> {
    let skip = match given(on_error).unwrap_or("raise") {
        "raise" => false,
        "skip" => true,
        _ => return Err(Error::invalid("on_error", "it must be raise or skip").into()),
    };
    let outcomes = tolerate(|| {
        let events = events.ok_or(Error::Missing { argument: "events" })?;
        record_batch(events.document("events")?, skip)
    })?
    .unwrap_or_default();
    let rows = outcomes
        .into_iter()
        .enumerate()
        .map(|(index, outcome)| row(index, outcome))
        .collect::<Result<Vec<ResultRow>, Error>>()?;
    Ok(TableIterator::new(rows))
}

fn row(index: usize, outcome: Outcome) -> Result<ResultRow, Error> {
    let ordinal = i32::try_from(index + 1).unwrap_or(i32::MAX);
    Ok(match outcome {
        Outcome::Recorded(id) => (ordinal, Some(Uuid::from_bytes(id)), true, None),
        Outcome::Known(id) => (ordinal, Some(Uuid::from_bytes(id)), false, None),
        Outcome::Refused(error) => (
            ordinal,
            None,
            false,
            Some(JsonbOut::from_json(&error.to_json())?),
        ),
    })
}

fn record_batch(document: Jsonb<'_>, skip: bool) -> Result<Vec<Outcome>, Error> {
    ready()?;
    let container = unwrapped(document, "events")?;
    let document = Jsonb::new(&container).map_err(|_| Error::Internal { place: "events" })?;
    let Value::Array(array) = document.root() else {
        return Err(Error::invalid(
            "events",
            "it must be a JSON array of objects",
        ));
    };
    if array.len() > MAX_EVENTS {
        return Err(Error::invalid(
            "events",
            format!("it must hold at most {MAX_EVENTS} events"),
        ));
    }
    let context = context::current();
    let elements: Vec<Value<'_>> = array.iter().collect();
    // Metadata is handed on as a document of its own; these are the documents.
    let documents: Vec<Option<Vec<u8>>> = elements.iter().map(metadata_document).collect();
    let prepared: Vec<Result<Event<'_>, Error>> = elements
        .iter()
        .zip(&documents)
        .map(|(element, metadata)| {
            check_for_interrupts!();
            event(*element, metadata.as_deref(), &context)
        })
        .collect();
    if !skip {
        refuse_bad(&prepared)?;
    }
    store(prepared)
}

/// Fails with all bad events of the batch, if there are any.
fn refuse_bad(prepared: &[Result<Event<'_>, Error>]) -> Result<(), Error> {
    let problems: Vec<(usize, Error)> = prepared
        .iter()
        .enumerate()
        .filter_map(|(index, event)| Some((index + 1, event.as_ref().err()?.clone())))
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::Batch {
            total: prepared.len(),
            problems,
        })
    }
}

/// Claims the idempotency keys and writes what is new; the outcomes are in the batch's order.
fn store(prepared: Vec<Result<Event<'_>, Error>>) -> Result<Vec<Outcome>, Error> {
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(prepared.len());
    let mut good = Vec::with_capacity(prepared.len());
    let mut positions = Vec::with_capacity(prepared.len());
    for (position, event) in prepared.into_iter().enumerate() {
        outcomes.push(None);
        match event {
            Ok(event) => {
                good.push((Stamp::next()?, event));
                positions.push(position);
            }
            Err(error) => {
                durable::skipped(&error);
                outcomes[position] = Some(Outcome::Refused(error));
            }
        }
    }
    let taken = idempotency::claim(&good)?;
    let mut fresh = Vec::with_capacity(good.len());
    for (index, (stamp, event)) in good.into_iter().enumerate() {
        outcomes[positions[index]] = Some(match taken.get(&index) {
            Some(earlier) => Outcome::Known(*earlier),
            None => {
                let id = stamp.event_id;
                fresh.push((stamp, event));
                Outcome::Recorded(id)
            }
        });
    }
    write(&fresh)?;
    outcomes
        .into_iter()
        .map(|o| {
            o.ok_or(Error::Internal {
                place: "record_many",
            })
        })
        .collect()
}

/// The metadata of an element as a document; `None` if the element has none.
fn metadata_document(element: &Value<'_>) -> Option<Vec<u8>> {
    let Value::Object(object) = element else {
        return None;
    };
    value::document(object.get("metadata")?)
}

fn event<'a>(
    element: Value<'a>,
    metadata: Option<&'a [u8]>,
    context: &'a Context,
) -> Result<Event<'a>, Error> {
    let Value::Object(object) = element else {
        return Err(Error::invalid("event", "it must be a JSON object"));
    };
    let mut input = Input::default();
    for (name, value) in object.iter() {
        assign(&mut input, name, value)?;
    }
    input.metadata = metadata.map(JsonbArg::of);
    prepare(&input, context)
}

/// Sets one argument from its JSON form. JSON null means not given.
fn assign<'a>(input: &mut Input<'a>, name: &str, value: Value<'a>) -> Result<(), Error> {
    match name {
        "action" => input.action = text("action", value)?,
        "actor_id" => input.actor_id = text("actor_id", value)?,
        "actor_type" => input.actor_type = text("actor_type", value)?,
        "object_type" => input.object_type = text("object_type", value)?,
        "object_id" => input.object_id = text("object_id", value)?,
        "status" => input.status = text("status", value)?,
        "user_agent" => input.user_agent = text("user_agent", value)?,
        "request_id" => input.request_id = text("request_id", value)?,
        "idempotency_key" => input.idempotency_key = text("idempotency_key", value)?,
        "metadata" => {}
        "tenant_id" => {
            input.tenant_id = parsed("tenant_id", value, parse_uuid, "it must be a UUID")?
        }
        "client_ip" => {
            input.client_ip = parsed(
                "client_ip",
                value,
                |text| value::parse_address(text).map(Address::host),
                "it must be an IP address",
            )?;
        }
        "occurred_at" => {
            input.occurred_at = parsed(
                "occurred_at",
                value,
                value::parse_time,
                "it must be a time with time zone",
            )?;
        }
        _ => {
            return Err(Error::Invalid {
                argument: "event",
                problem: "it has a key that is no argument of record()".into(),
                hint: Some(
                    "The keys are action, metadata, tenant_id, actor_id, actor_type, object_type, \
                     object_id, status, client_ip, user_agent, request_id, occurred_at and idempotency_key.",
                ),
            });
        }
    }
    Ok(())
}

fn text<'a>(argument: &'static str, value: Value<'a>) -> Result<Option<&'a str>, Error> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(given(Some(text))),
        _ => Err(Error::invalid(argument, "it must be a JSON string")),
    }
}

fn parsed<T>(
    argument: &'static str,
    value: Value<'_>,
    parse: impl Fn(&str) -> Option<T>,
    expected: &'static str,
) -> Result<Option<T>, Error> {
    text(argument, value)?
        .map(|text| parse(text).ok_or_else(|| Error::invalid(argument, expected)))
        .transpose()
}
