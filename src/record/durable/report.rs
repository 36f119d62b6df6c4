//! Events of the log about refusals and reads: sent to the worker, because the transaction they
//! come from rolls back, or writes nothing. Like ones are added up, so that one client in a loop
//! does not fill the log, and none carries a payload.

#![allow(unsafe_code)]

use super::super::{Background, Event, Input, Stamp, origin, system_event};
use super::parcel;
use crate::access::{Roles, SYSTEM_TENANT};
use crate::context;
use crate::error::{Error, sqlstate};
use crate::metrics;
use crate::shared::{self, Admission, Counter, Database, Outcome, SLOT_BYTES, Shared};
use crate::value::{self, given};
use activity_log_core::record::{Source, Status};
use activity_log_core::registry::action::check_action_name;
use pgrx::{PgSqlErrorCode, Uuid, pg_sys};
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};

const DENIED: &str = "activity.access.denied";
const REJECTED: &str = "activity.record.rejected";
const AUDITED: &str = "activity.read.audited";

/// Reports an access that is refused; the event's id, if it is on its way.
pub fn access_denied(tenant: &[u8; 16], purpose: &str, reason: &str) -> Option<Uuid> {
    metrics::add(Counter::Denied, 1);
    let report = Report {
        action: DENIED,
        status: Status::Denied,
        tenant: Some(*tenant),
        reason,
        metadata: json!({"purpose": purpose, "reason": reason}),
        is_each_tenant: false,
    };
    report.send()
}

/// Reports a read by somebody who may read every tenant; without a tenant, of all of them.
pub fn read_audited(tenant: Option<[u8; 16]>) {
    let report = Report {
        action: AUDITED,
        status: Status::Success,
        tenant,
        reason: "read",
        metadata: json!({"all_tenants": tenant.is_none()}),
        is_each_tenant: true,
    };
    report.send();
}

/// Counts an event that was refused, and reports it unless the refused access was reported.
pub fn refused(error: &Error, input: Option<&Input<'_>>) {
    metrics::add(metrics::reason(error), 1);
    // What the queue itself refused would only fill it further.
    let is_told = !matches!(
        error,
        Error::Denied { .. }
            | Error::NotSetUp
            | Error::NoWorker { .. }
            | Error::NotTaken { .. }
            | Error::Unanswered
    );
    if !is_told {
        return;
    }
    let code = sqlstate(error.report().code);
    let action = input
        .and_then(|input| given(input.action))
        .filter(|action| check_action_name(action).is_ok());
    let tenant = input.and_then(|input| input.tenant_id.or(context::current().tenant_id));
    let report = Report {
        action: REJECTED,
        status: Status::Failure,
        tenant,
        reason: metrics::reason_name(error),
        metadata: json!({"sqlstate": code, "reason": metrics::reason_name(error), "action": action}),
        is_each_tenant: false,
    };
    report.send();
}

/// Counts an event that `record_many()` left out of its batch.
pub fn skipped(error: &Error) {
    metrics::add(metrics::reason(error), 1);
}

/// Counts an event that was lost because `activity.on_error` is `warn`.
pub fn lost(error: Option<&Error>) {
    let reason = error.map_or(Counter::RejectedByServer, metrics::reason);
    metrics::add(reason, 1);
    metrics::add(Counter::Lost, 1);
}

/// Reports an event that the server itself refused. The transaction has failed by now, so nothing
/// may be looked up any more.
pub fn rejected_by_server(code: PgSqlErrorCode) {
    metrics::add(Counter::RejectedByServer, 1);
    let code = sqlstate(code);
    let metadata = json!({"sqlstate": code, "reason": "server"});
    let Ok(metadata) = value::container(&metadata) else {
        return;
    };
    let nobody = Background::nobody(SYSTEM_TENANT);
    let event = Event {
        status: Status::Failure,
        metadata: metadata.into(),
        ..Event::of(REJECTED, Source::System, &nobody)
    };
    let Some((shared, database)) = reachable() else {
        return;
    };
    if let (Ok(stamp), Some(role)) = (Stamp::next(), origin::known_role_name()) {
        let parcel = parcel::pack_for(&stamp, &event, &role);
        hand_over(shared, database, key(REJECTED, &code, None), &parcel, false);
    }
}

/// What is reported.
struct Report<'r> {
    action: &'static str,
    status: Status,
    tenant: Option<[u8; 16]>,
    reason: &'r str,
    metadata: Value,
    /// Whether each tenant is reported by itself. It is not where callers name tenants at will.
    is_each_tenant: bool,
}

impl Report<'_> {
    /// The id of the event, if it is on its way.
    fn send(self) -> Option<Uuid> {
        let (shared, database) = reachable()?;
        let tenant = self.tenant.filter(|_| self.is_each_tenant);
        let key = key(self.action, self.reason, tenant);
        if shared.windows.counts(database.oid(), key) {
            metrics::add(Counter::Coalesced, 1);
            return None;
        }
        if !database.admits_event() {
            metrics::add(Counter::DroppedRateLimit, 1);
            return None;
        }
        let is_each_tenant = self.is_each_tenant;
        let Ok((stamp, parcel)) = self.parcel() else {
            metrics::add(Counter::DroppedByError, 1);
            return None;
        };
        hand_over(shared, database, key, &parcel, is_each_tenant)
            .then(|| Uuid::from_bytes(stamp.event_id))
    }

    fn parcel(self) -> Result<(Stamp, Vec<u8>), Error> {
        let background = Background::of(&context::current(), SYSTEM_TENANT)?;
        let mut event = system_event(self.action, &self.metadata, &background)?;
        event.status = self.status;
        if let Some(tenant) = self.tenant {
            event.object_type = Some("tenant".into());
            event.object_id = Some(Uuid::from_bytes(tenant).to_string().into());
        }
        let stamp = Stamp::next()?;
        Ok((stamp, parcel::pack(&stamp, &event)))
    }
}

/// The way to the worker, if there is one that will take an event.
fn reachable() -> Option<(&'static Shared, &'static Database)> {
    let shared = shared::get()?;
    // SAFETY: reads the state of the server.
    if unsafe { pg_sys::RecoveryInProgress() } {
        return None;
    }
    let database = shared::database()?;
    let is_expected = matches!(
        database.outcome(),
        Outcome::Running | Outcome::Unknown | Outcome::GaveWay
    );
    if !is_expected {
        metrics::add(Counter::DroppedNoWorker, 1);
    }
    is_expected.then_some((shared, database))
}

/// What makes two reports alike.
fn key(action: &str, reason: &str, tenant: Option<[u8; 16]>) -> u64 {
    let roles = Roles::current();
    let mut hasher = DefaultHasher::new();
    (action, reason, tenant).hash(&mut hasher);
    (roles.session.to_u32(), roles.outer.to_u32()).hash(&mut hasher);
    hasher.finish()
}

fn hand_over(
    shared: &'static Shared,
    database: &Database,
    key: u64,
    parcel: &[u8],
    evicts: bool,
) -> bool {
    if parcel.len() > SLOT_BYTES {
        metrics::add(Counter::DroppedTooLarge, 1);
        return false;
    }
    match shared.windows.open(database.oid(), key, parcel, evicts) {
        Admission::First => {}
        Admission::Repeat => {
            metrics::add(Counter::Coalesced, 1);
            return false;
        }
        Admission::Full => {
            metrics::add(Counter::DroppedRateLimit, 1);
            return false;
        }
    }
    let sent = shared.queue.send(database.oid(), parcel, false).is_ok();
    if sent {
        database.wake();
    } else {
        metrics::add(Counter::DroppedQueueFull, 1);
    }
    sent
}
