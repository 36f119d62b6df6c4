//! Legal holds.

use crate::db;
use crate::error::Error;

/// The condition under which an event `e` is held, as SQL.
pub const HELD: &str = "EXISTS (SELECT FROM activity.legal_holds h WHERE h.released_at IS NULL \
    AND (h.tenant_id IS NULL OR h.tenant_id = e.tenant_id) \
    AND (h.actor_id IS NULL OR h.actor_id = e.actor_id) \
    AND (h.object_type IS NULL OR h.object_type = e.object_type) \
    AND (h.object_id IS NULL OR h.object_id = e.object_id))";

/// Keeps holds as they are until the end of the transaction: `hold()` waits, so nothing that is
/// looked at and removed after this can have been put under hold in between.
///
/// What is read next has to be read with a snapshot of its own (`Mode::Write` or
/// `Mode::ReadLatest`), or it would not see a hold that was just committed.
pub fn lock() -> Result<(), Error> {
    db::run("LOCK TABLE activity.legal_holds IN SHARE MODE", &[]).map(|_| ())
}
