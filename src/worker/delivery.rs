//! Writes the events that others have handed over, and says so.

use super::process::{Failed, transaction};
use crate::db::{self, Scope};
use crate::record::durable;
use crate::shared::{self, Counter, Database, Shared, Taken};
use pgrx::{PgSqlErrorCode, pg_sys};
use std::ffi::CStr;
use std::time::{Duration, Instant};

/// How long an event waits for a lock that somebody else has; all others wait with it, and so does
/// whoever is to be told of news.
const PATIENCE: &CStr = c"100ms";
const NEXT_TO_NONE: &CStr = c"5ms";
/// How much of that one round has.
const ROUND: Duration = Duration::from_millis(300);

/// Writes what waits: all in one transaction, or each in its own if that fails; `false` if there
/// was nothing.
pub fn deliver(shared: &Shared, database: &Database) -> bool {
    let taken = shared.queue.take(database.oid());
    if taken.is_empty() {
        return false;
    }
    let all = transaction(|| {
        bound_waiting(PATIENCE);
        taken
            .iter()
            .map(|one| durable::write(&one.bytes))
            .collect::<Result<Vec<_>, _>>()
    });
    match all {
        Ok(ids) => {
            for (one, event_id) in taken.iter().zip(ids) {
                answer(shared, one, Ok(event_id));
            }
        }
        Err(_) => one_by_one(shared, &taken),
    }
    true
}

/// Whoever sends an event chooses what it has to wait for, and many may be stuck. Once the patience
/// of a round is used up, those that are left get next to none.
fn one_by_one(shared: &Shared, taken: &[Taken]) {
    let begun = Instant::now();
    for one in taken {
        let patience = if begun.elapsed() < ROUND {
            PATIENCE
        } else {
            NEXT_TO_NONE
        };
        let written = transaction(|| {
            bound_waiting(patience);
            durable::write(&one.bytes)
        });
        answer(shared, one, written);
    }
}

/// A caller may hold the very lock that its event needs, and it waits for us. And what is
/// acknowledged has to be flushed, whatever the database's setting says.
fn bound_waiting(patience: &CStr) {
    db::set_option(c"lock_timeout", patience, Scope::Transaction);
    // SAFETY: a variable of the process.
    if unsafe { pg_sys::synchronous_commit } == 0 {
        db::set_option(c"synchronous_commit", c"local", Scope::Transaction);
    }
}

fn answer(shared: &Shared, one: &Taken, written: Result<[u8; 16], Failed>) {
    let written = written.or_else(|failed| {
        // A worker before us wrote it, and ended before it could say so.
        let is_known = failed.code() == PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION;
        durable::written_id(&one.bytes)
            .filter(|_| is_known)
            .ok_or(failed)
    });
    match &written {
        Ok(_) => shared::add(Counter::Durable, 1),
        Err(failed) => {
            shared::add(Counter::DroppedByError, 1);
            failed.log(&named("an event could not be written", &one.bytes));
        }
    }
    let written = written.map_err(|failed| (failed.code() as i32).cast_unsigned());
    shared.queue.answer(one, written);
}

/// What happened, with the id of the event.
fn named(what: &str, bytes: &[u8]) -> String {
    let id = durable::written_id(bytes).map(pgrx::Uuid::from_bytes);
    id.map_or_else(|| what.to_owned(), |id| format!("{what} ({id})"))
}
