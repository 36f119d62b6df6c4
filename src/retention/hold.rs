//! Legal holds.

use crate::access::{self, Purpose};
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use crate::record;
use crate::value::given;
use pgrx::Uuid;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::json;

/// The holds that cover an event `e`.
macro_rules! covering {
    () => {
        "FROM activity.legal_holds h WHERE h.released_at IS NULL \
         AND (h.tenant_id IS NULL OR h.tenant_id = e.tenant_id) \
         AND (h.actor_id IS NULL OR h.actor_id = e.actor_id) \
         AND (h.object_type IS NULL OR h.object_type = e.object_type) \
         AND (h.object_id IS NULL OR h.object_id = e.object_id)"
    };
}

/// The condition under which an event `e` is held, as SQL.
pub const HELD: &str = concat!("EXISTS (SELECT ", covering!(), ")");

/// The oldest hold that covers an event `e`, as SQL; NULL if there is none.
pub const HOLDING: &str = concat!(
    "(SELECT h.hold_id ",
    covering!(),
    " ORDER BY h.placed_at, h.hold_id LIMIT 1)"
);

/// Keeps holds as they are until the end of the transaction: `hold()` waits, so nothing that is
/// looked at and removed after this can have been put under hold in between.
///
/// What is read next has to be read with a snapshot of its own (`Mode::Write` or
/// `Mode::ReadLatest`), or it would not see a hold that was just committed.
pub fn lock() -> Result<(), Error> {
    db::run("LOCK TABLE activity.legal_holds IN SHARE MODE", &[]).map(|_| ())
}

/// Puts a tenant, an actor or an object under legal hold; the hold's id.
#[pg_extern(volatile, parallel_unsafe)]
fn hold(
    tenant_id: default!(Option<Uuid>, "NULL"),
    reason: default!(Option<&str>, "NULL"),
    actor_id: default!(Option<&str>, "NULL"),
    object_type: default!(Option<&str>, "NULL"),
    object_id: default!(Option<&str>, "NULL"),
) -> Result<Uuid, ErrorReport> {
    db::oid(Relation::Events)?;
    let reason = given(reason).ok_or(Error::Missing { argument: "reason" })?;
    let parts = [actor_id, object_type, object_id].map(given);
    if tenant_id.is_none() && parts.iter().all(Option::is_none) {
        return Err(Error::Missing {
            argument: "tenant_id, actor_id, object_type or object_id",
        }
        .into());
    }
    if let Some(tenant) = tenant_id {
        access::check_tenant(tenant.as_bytes(), Purpose::Write)?;
    }
    let [actor_id, object_type, object_id] = parts;
    let id: Uuid = db::value(
        Mode::Write,
        "INSERT INTO activity.legal_holds (tenant_id, actor_id, object_type, object_id, reason, placed_by) \
         VALUES ($1, $2, $3, $4, $5, session_user) RETURNING hold_id",
        &[
            tenant(tenant_id),
            db::text(actor_id),
            db::text(object_type),
            db::text(object_id),
            db::text(Some(reason)),
        ],
    )?
    .ok_or(Error::Internal { place: "legal_holds" })?;
    record::write_system_event(
        "activity.hold.placed",
        &json!({
            "hold_id": id.to_string(), "tenant_id": tenant_id.map(|id| id.to_string()), "actor_id": actor_id,
            "object_type": object_type, "object_id": object_id, "reason": reason,
        }),
    )?;
    Ok(id)
}

/// Ends a legal hold; false if it was ended before.
#[pg_extern(volatile, parallel_unsafe)]
fn release_hold(
    id: default!(Option<Uuid>, "NULL"),
    reason: default!(Option<&str>, "NULL"),
) -> Result<bool, ErrorReport> {
    db::oid(Relation::Events)?;
    let id = id.ok_or(Error::Missing { argument: "id" })?;
    let reason = given(reason).ok_or(Error::Missing { argument: "reason" })?;
    let place = "legal_holds";
    let known = db::query(
        Mode::Write,
        "SELECT released_at IS NULL, tenant_id FROM activity.legal_holds WHERE hold_id = $1 FOR UPDATE",
        &[db::uuid(id.as_bytes())],
        |row| Ok((row.must::<bool>(1, place)?, row.get::<Uuid>(2))),
    )?;
    let (is_active, tenant) = known.into_iter().next().ok_or(Error::Unknown {
        what: "the legal hold",
        hint: "SELECT * FROM activity.legal_holds; lists them.",
    })?;
    if let Some(tenant) = tenant {
        access::check_tenant(tenant.as_bytes(), Purpose::Write)?;
    }
    if !is_active {
        return Ok(false);
    }
    db::run(
        "UPDATE activity.legal_holds SET released_at = clock_timestamp(), released_by = session_user, release_reason = $2 \
         WHERE hold_id = $1",
        &[db::uuid(id.as_bytes()), db::text(Some(reason))],
    )?;
    record::write_system_event(
        "activity.hold.released",
        &json!({"hold_id": id.to_string(), "reason": reason}),
    )?;
    Ok(true)
}

fn tenant(id: Option<Uuid>) -> db::Parameter {
    id.map_or((pg_sys::UUIDOID, None), |id| db::uuid(id.as_bytes()))
}
