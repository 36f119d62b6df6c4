//! An event as its readers see it.

use crate::db::Row;
use crate::error::Error;
use crate::value::JsonbOut;
use activity_log_core::read::ListCursor;
use pgrx::Uuid;
use pgrx::prelude::*;

/// The public columns of an event, in the order of `activity.event`.
pub const COLUMNS: &str = "event_id, tenant_id, recorded_at, occurred_at, action, action_version, status, \
    source, actor_type, actor_id, object_type, object_id, request_id, ip_prefix::text, user_agent, \
    db_role, metadata, changes";

/// An event as it is read.
pub struct EventRow {
    pub event_id: Uuid,
    pub tenant_id: Uuid,
    pub recorded_at: TimestampWithTimeZone,
    pub occurred_at: TimestampWithTimeZone,
    pub action: String,
    pub action_version: Option<i32>,
    pub status: String,
    pub source: String,
    pub actor_type: Option<String>,
    pub actor_id: Option<String>,
    pub object_type: Option<String>,
    pub object_id: Option<String>,
    pub request_id: Option<String>,
    pub ip_prefix: Option<String>,
    pub user_agent: Option<String>,
    pub db_role: Option<String>,
    pub metadata: JsonbOut,
    pub changes: Option<JsonbOut>,
}

impl EventRow {
    pub fn read(row: &Row) -> Result<Self, Error> {
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

    pub fn place(&self) -> ListCursor {
        ListCursor {
            occurred_at: i64::from(self.occurred_at),
            event_id: *self.event_id.as_bytes(),
        }
    }
}
