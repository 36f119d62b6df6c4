//! `pause()` and `resume()`: a gap in a table's log that says who made it, why, and until when.

use super::attachment::Attachment;
use super::target::Target;
use crate::access::SYSTEM_TENANT;
use crate::clock;
use crate::db::{self, Relation};
use crate::error::Error;
use crate::privacy;
use crate::record;
use crate::value::{Regclass, given};
use activity_log_core::privacy::TextKind;
use pgrx::Uuid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Longest reason, in bytes.
const MAX_REASON: usize = 1_000;

/// Stops the capture of a table until it is resumed, or until a time; the capture's id.
#[pg_extern(volatile, parallel_unsafe)]
fn pause(
    target: default!(Option<Regclass>, "NULL"),
    reason: default!(Option<&str>, "NULL"),
    until: default!(Option<TimestampWithTimeZone>, "NULL"),
) -> Result<Uuid, ErrorReport> {
    db::oid(Relation::Captures)?;
    let attachment = find(target)?;
    let reason = given(reason).ok_or(Error::Missing { argument: "reason" })?;
    if reason.len() > MAX_REASON {
        return Err(Error::TooLarge {
            what: "reason",
            bytes: reason.len(),
            limit: MAX_REASON,
            setting: None,
        }
        .into());
    }
    // Somebody's words, which may hold a secret as any text may.
    let reason = privacy::scrub_text(&SYSTEM_TENANT, reason, TextKind::Free)?;
    let until = until.map(i64::from);
    if until.is_some_and(|until| until <= clock::now() || until == i64::MAX) {
        return Err(Error::Invalid {
            argument: "until",
            problem: "it must be in the future, and finite".into(),
            hint: Some("Without until the pause lasts until activity.resume()."),
        }
        .into());
    }
    db::run(
        "UPDATE activity.captures SET paused_at = clock_timestamp(), paused_until = $2, pause_reason = $3 \
         WHERE capture_id = $1",
        &[
            db::uuid(attachment.id.as_bytes()),
            until.map_or((pgrx::pg_sys::TIMESTAMPTZOID, None), db::time),
            db::text(Some(&reason)),
        ],
    )?;
    let until = until
        .map(TimestampWithTimeZone::try_from)
        .transpose()
        .map_err(|_| Error::Internal { place: "clock" })?
        .map(|until| until.to_iso_string());
    record::write_system_event(
        "activity.capture.paused",
        &serde_json::json!({
            "capture_id": attachment.id.to_string(),
            "object_type": attachment.object_type,
            "reason": reason,
            "until": until,
        }),
    )?;
    Ok(attachment.id)
}

/// Ends a pause, whether its time has come or not; the capture's id. Without a pause it does
/// nothing.
#[pg_extern(volatile, parallel_unsafe)]
fn resume(target: default!(Option<Regclass>, "NULL")) -> Result<Uuid, ErrorReport> {
    db::oid(Relation::Captures)?;
    let attachment = find(target)?;
    let resumed = db::run(
        "UPDATE activity.captures SET paused_at = NULL, paused_until = NULL, pause_reason = NULL \
         WHERE capture_id = $1 AND paused_at IS NOT NULL",
        &[db::uuid(attachment.id.as_bytes())],
    )?;
    if resumed > 0 {
        record::write_system_event(
            "activity.capture.resumed",
            &serde_json::json!({
                "capture_id": attachment.id.to_string(),
                "object_type": attachment.object_type,
            }),
        )?;
    }
    Ok(attachment.id)
}

fn find(target: Option<Regclass>) -> Result<Attachment, Error> {
    Attachment::must_be_of(&Target::seen(target)?)
}
