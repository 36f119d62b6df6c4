//! A row of the stream as it is returned.

use super::read::Batch;
use crate::read::EventRow;
use crate::value::JsonbOut;
use pgrx::Uuid;
use pgrx::prelude::*;

/// The columns of an event, all NULL in a bookmark, and the cursor behind it.
pub(super) type StreamRow = (
    Option<Uuid>,
    Option<Uuid>,
    Option<TimestampWithTimeZone>,
    Option<TimestampWithTimeZone>,
    Option<String>,
    Option<i32>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<JsonbOut>,
    Option<JsonbOut>,
    String,
);

/// The rows of a page, and the bookmark where there is one.
pub(super) fn stream_rows(batch: Batch) -> impl Iterator<Item = StreamRow> {
    let events = batch
        .rows
        .into_iter()
        .map(|(event, cursor)| event_row(event, cursor));
    events.chain(batch.bookmark.map(bookmark))
}

fn event_row(e: EventRow, next_cursor: String) -> StreamRow {
    (
        Some(e.event_id),
        Some(e.tenant_id),
        Some(e.recorded_at),
        Some(e.occurred_at),
        Some(e.action),
        e.action_version,
        Some(e.status),
        Some(e.source),
        e.actor_type,
        e.actor_id,
        e.object_type,
        e.object_id,
        e.request_id,
        e.ip_prefix,
        e.user_agent,
        e.db_role,
        Some(e.metadata),
        e.changes,
        next_cursor,
    )
}

/// The row behind the last event: it has nothing but a cursor.
fn bookmark(next_cursor: String) -> StreamRow {
    (
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        next_cursor,
    )
}
