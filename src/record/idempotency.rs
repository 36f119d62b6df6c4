//! One event per key and tenant, whoever asks and however often.

use super::{Event, Stamp};
use crate::db::{self, Mode};
use crate::error::Error;
use pgrx::Uuid;
use std::collections::HashMap;

/// Claims the keys of a batch for the events that carry them.
///
/// Returns the id that each taken key already stands for, by position in the batch; keys that
/// were free are claimed for the event's own id. Keys are taken in sorted order, so that
/// concurrent batches wait for each other instead of deadlocking. A claim waits for a concurrent
/// transaction that holds the same key; under REPEATABLE READ its commit is a serialization
/// failure (40001), which the server raises.
pub fn claim(events: &[(Stamp, Event<'_>)]) -> Result<HashMap<usize, [u8; 16]>, Error> {
    let mut keyed: Vec<(usize, [u8; 16], &str)> = events
        .iter()
        .enumerate()
        .filter_map(|(index, (_, event))| {
            Some((index, event.tenant_id, event.idempotency_key.as_deref()?))
        })
        .collect();
    keyed.sort_by(|a, b| (a.1, a.2).cmp(&(b.1, b.2)));
    let mut taken = HashMap::new();
    for (index, tenant, key) in keyed {
        let own = &events[index].0;
        if let Some(earlier) = claim_one(&tenant, key, own)? {
            taken.insert(index, earlier);
        }
    }
    Ok(taken)
}

/// Claims one key; the id it already stands for, if it was taken.
fn claim_one(tenant: &[u8; 16], key: &str, own: &Stamp) -> Result<Option<[u8; 16]>, Error> {
    let claimed = db::run(
        "INSERT INTO activity.idempotency_keys (tenant_id, idempotency_key, event_id, recorded_at) \
         VALUES ($1, $2, $3, $4) ON CONFLICT (tenant_id, idempotency_key) DO NOTHING",
        &[
            db::uuid(tenant),
            db::text(Some(key)),
            db::uuid(&own.event_id),
            db::time(own.recorded_at),
        ],
    )?;
    if claimed > 0 {
        return Ok(None);
    }
    let earlier = db::value::<Uuid>(
        Mode::Write,
        "SELECT event_id FROM activity.idempotency_keys WHERE tenant_id = $1 AND idempotency_key = $2",
        &[db::uuid(tenant), db::text(Some(key))],
    )?;
    earlier
        .map(|id| Some(*id.as_bytes()))
        .ok_or(Error::Internal {
            place: "idempotency_keys",
        })
}
