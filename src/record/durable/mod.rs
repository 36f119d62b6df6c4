//! Events that survive the rollback of the transaction they come from: finished here, carried
//! through shared memory, written by the worker in a transaction of its own.

mod parcel;
mod report;

pub use parcel::{write, write_repeated, written_id};
pub use report::{access_denied, lost, read_audited, refused, rejected_by_server, skipped};

use super::{Input, Stamp, prepare};
use crate::context;
use crate::db::{self, Relation};
use crate::error::Error;
use crate::settings;
use crate::shared::{self, Answer, Counter, Database, Outcome, SLOT_BYTES, Shared};
use crate::value::{Address, JsonbArg};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{PgSqlErrorCode, Uuid};
use std::time::Duration;

/// Records one event so that it stays whatever becomes of the transaction; its id, once the worker
/// has written and flushed it.
#[expect(clippy::too_many_arguments, reason = "named notation is the contract")]
#[pg_extern(volatile, parallel_unsafe)]
fn record_durable(
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
    Ok(super::api::tolerate_for(Some(&input), || deliver(&input))?.map(Uuid::from_bytes))
}

fn deliver(input: &Input<'_>) -> Result<[u8; 16], Error> {
    db::refuse_in_recovery(c"activity.record_durable()");
    db::accept_changes();
    db::oid(Relation::Events)?;
    let (shared, database) = worker()?;
    let context = context::current();
    let event = prepare(input, &context)?;
    let parcel = parcel::pack(&Stamp::next()?, &event);
    if parcel.len() > SLOT_BYTES {
        return Err(Error::TooLargeForQueue {
            bytes: parcel.len(),
            limit: SLOT_BYTES,
        });
    }
    let ticket = shared.queue.send(database.oid(), &parcel, true);
    let ticket = ticket.ok().flatten().ok_or_else(|| {
        shared::add(Counter::DroppedQueueFull, 1);
        Error::NotTaken {
            why: "has a full queue",
        }
    })?;
    database.wake();
    let limit = Duration::from_millis(u64::from(settings::DURABLE_TIMEOUT.get().unsigned_abs()));
    match ticket.wait(limit) {
        Answer::Written(event_id) => Ok(event_id),
        Answer::Withdrawn => Err(Error::NotTaken {
            why: "did not take the event in time",
        }),
        Answer::Unknown => Err(Error::Unanswered),
        Answer::Failed(code) => Err(Error::NotWritten {
            code: PgSqlErrorCode::from(code.cast_signed()),
        }),
    }
}

const PRELOAD: &str = "Add activity_log to shared_preload_libraries and restart the server.";
const STATUS: &str = "SELECT * FROM activity.status(); says what to do.";

/// What leads to the worker of this database, which runs or will soon.
fn worker() -> Result<(&'static Shared, &'static Database), Error> {
    let missing = |why, hint| Error::NoWorker { why, hint };
    let shared = shared::get().ok_or(missing("the library is not preloaded", PRELOAD))?;
    let database = shared::database().ok_or(missing("too many databases have one", STATUS))?;
    match database.outcome() {
        Outcome::NotHome => Err(missing("the log is a restored copy", STATUS)),
        Outcome::NoRoom | Outcome::NoWorkerSlot => Err(missing(
            "there is no place for another background worker",
            STATUS,
        )),
        _ => Ok((shared, database)),
    }
}
