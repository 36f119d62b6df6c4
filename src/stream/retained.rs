//! Whether what a reader has still to read is all there: retention may have dropped some of it.

use super::tenant::partitions;
use crate::clock::{self, SERVER_EPOCH};
use crate::error::Error;
use activity_log_core::record::recorded_at;
use activity_log_core::stream::{Base, Cursor};

/// Refuses a cursor that stands in a time whose partition is gone, so that a reader who has fallen
/// behind learns of it instead of silently getting less.
///
/// # Errors
/// [`Error::BehindRetention`].
pub(super) fn check(cursor: &Cursor) -> Result<(), Error> {
    let Some(reached) = reached(cursor) else {
        return Ok(());
    };
    let partitions = partitions(None)?;
    let now = clock::now();
    let mut until = reached;
    for partition in partitions
        .iter()
        .filter(|partition| partition.upper > reached)
    {
        if until >= now {
            break;
        }
        if partition.lower > until {
            return Err(Error::BehindRetention {
                reached,
                goes_on: partition.lower,
            });
        }
        until = partition.upper;
    }
    Ok(())
}

/// The time that a reader has come to, in the server's count; `None` if it has only begun.
fn reached(cursor: &Cursor) -> Option<i64> {
    if let Some(page) = &cursor.page {
        return recorded_at(&page.after.event_id).map(|time| time.saturating_sub(SERVER_EPOCH));
    }
    match &cursor.base {
        Base::Seen(point) => Some(point.at),
        Base::Beginning { .. } => None,
    }
}
