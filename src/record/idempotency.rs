//! One event per key and tenant, whoever asks and however often.

use super::{Event, Stamp};
use crate::db::{self, Mode, Parameter};
use crate::error::Error;
use pgrx::datum::{IntoDatum, TimestampWithTimeZone};
use pgrx::{Uuid, pg_sys};
use std::collections::{HashMap, HashSet};

/// A key that an event of a batch carries.
struct Claim<'a> {
    position: usize,
    tenant_id: [u8; 16],
    key: &'a str,
    stamp: &'a Stamp,
}

/// Claims the keys of a batch for the events that carry them.
///
/// Returns the id that each taken key already stands for, by position in the batch; keys that
/// were free are claimed for the event's own id. Keys are taken in sorted order, so that
/// concurrent batches wait for each other instead of deadlocking. A claim waits for a concurrent
/// transaction that holds the same key; under REPEATABLE READ its commit is a serialization
/// failure (40001), which the server raises.
pub fn claim(events: &[(Stamp, Event<'_>)]) -> Result<HashMap<usize, [u8; 16]>, Error> {
    let mut claims: Vec<Claim<'_>> = events
        .iter()
        .enumerate()
        .filter_map(|(position, (stamp, event))| {
            let key = event.idempotency_key.as_deref()?;
            Some(Claim {
                position,
                tenant_id: event.tenant_id,
                key,
                stamp,
            })
        })
        .collect();
    if claims.is_empty() {
        return Ok(HashMap::new());
    }
    claims.sort_by(|a, b| (a.tenant_id, a.key).cmp(&(b.tenant_id, b.key)));
    let claimed = insert(&claims)?;
    claims.retain(|claim| !claimed.contains(&claim.stamp.event_id));
    if claims.is_empty() {
        Ok(HashMap::new())
    } else {
        look_up(&claims)
    }
}

/// Writes the keys that are free; the ids of their events.
fn insert(claims: &[Claim<'_>]) -> Result<HashSet<[u8; 16]>, Error> {
    let ids: Vec<Uuid> = claims
        .iter()
        .map(|claim| Uuid::from_bytes(claim.stamp.event_id))
        .collect();
    let times = claims
        .iter()
        .map(|claim| TimestampWithTimeZone::try_from(claim.stamp.recorded_at))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Error::Internal { place: "clock" })?;
    let [tenants, keys] = names(claims);
    let claimed = db::query(
        Mode::Write,
        "INSERT INTO activity.idempotency_keys (tenant_id, idempotency_key, event_id, recorded_at) \
         SELECT * FROM unnest($1, $2, $3, $4) \
         ON CONFLICT (tenant_id, idempotency_key) DO NOTHING RETURNING event_id",
        &[
            tenants,
            keys,
            (pg_sys::UUIDARRAYOID, ids.into_datum()),
            (pg_sys::TIMESTAMPTZARRAYOID, times.into_datum()),
        ],
        |row| row.must::<Uuid>(1, "idempotency_keys"),
    )?;
    Ok(claimed.into_iter().map(|id| *id.as_bytes()).collect())
}

/// What the taken keys stand for, by position in the batch.
fn look_up(claims: &[Claim<'_>]) -> Result<HashMap<usize, [u8; 16]>, Error> {
    let [tenants, keys] = names(claims);
    let found = db::query(
        Mode::Write,
        "SELECT wanted.place::int, k.event_id \
         FROM unnest($1, $2) WITH ORDINALITY AS wanted (tenant_id, idempotency_key, place) \
         JOIN activity.idempotency_keys k USING (tenant_id, idempotency_key)",
        &[tenants, keys],
        |row| {
            let place = row.must::<i32>(1, "idempotency_keys")?.unsigned_abs() as usize;
            Ok((place, *row.must::<Uuid>(2, "idempotency_keys")?.as_bytes()))
        },
    )?;
    if found.len() != claims.len() {
        return Err(Error::Internal {
            place: "idempotency_keys",
        });
    }
    found
        .into_iter()
        .map(|(place, id)| {
            let claim = place.checked_sub(1).and_then(|index| claims.get(index));
            claim
                .map(|claim| (claim.position, id))
                .ok_or(Error::Internal {
                    place: "idempotency_keys",
                })
        })
        .collect()
}

/// The tenants and the keys, as two arrays.
fn names(claims: &[Claim<'_>]) -> [Parameter; 2] {
    let tenants: Vec<Uuid> = claims
        .iter()
        .map(|claim| Uuid::from_bytes(claim.tenant_id))
        .collect();
    let keys: Vec<&str> = claims.iter().map(|claim| claim.key).collect();
    [
        (pg_sys::UUIDARRAYOID, tenants.into_datum()),
        (pg_sys::TEXTARRAYOID, keys.into_datum()),
    ]
}
