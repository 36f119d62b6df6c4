//! An event as its readers see it.

use crate::db::Row;
use crate::error::Error;
use crate::value::JsonbOut;
use activity_log_core::read::ListCursor;
use pgrx::Uuid;
use pgrx::prelude::*;

/// The public columns of an event, in the order of `activity.event`.
pub(super) const COLUMNS: &str = "event_id, tenant_id, recorded_at, occurred_at, action, action_version, status, \
    source, actor_type, actor_id, object_type, object_id, request_id, ip_prefix::text, user_agent, \
    db_role, metadata, changes";

/// An event as it is read.
pub(super) struct EventRow {
    pub(super) event_id: Uuid,
    pub(super) tenant_id: Uuid,
    pub(super) recorded_at: TimestampWithTimeZone,
    pub(super) occurred_at: TimestampWithTimeZone,
    pub(super) action: String,
    pub(super) action_version: Option<i32>,
    pub(super) status: String,
    pub(super) source: String,
    pub(super) actor_type: Option<String>,
    pub(super) actor_id: Option<String>,
    pub(super) object_type: Option<String>,
    pub(super) object_id: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) ip_prefix: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) db_role: Option<String>,
    pub(super) metadata: JsonbOut,
    pub(super) changes: Option<JsonbOut>,
}

impl EventRow {
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
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

    pub(super) fn place(&self) -> ListCursor {
        ListCursor {
            occurred_at: i64::from(self.occurred_at),
            event_id: *self.event_id.as_bytes(),
        }
    }
}
