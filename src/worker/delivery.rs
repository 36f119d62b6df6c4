//! Writes the events that others have handed over, and says so.

use super::process::{Failed, transaction};
use crate::db::{self, Scope};
use crate::record::durable;
use crate::shared::{self, Counter, Database, Shared, Taken};
use pgrx::{PgSqlErrorCode, pg_sys};

/// Writes what waits: all in one transaction, or each in its own if that fails.
pub fn deliver(shared: &Shared, database: &Database) {
    let taken = shared.queue.take(database.oid());
    if taken.is_empty() {
        return;
    }
    let all = transaction(|| {
        bound_waiting();
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
        Err(_) => taken.iter().for_each(|one| {
            let written = transaction(|| {
                bound_waiting();
                durable::write(&one.bytes)
            });
            answer(shared, one, written);
        }),
    }
}

/// A caller may hold the very lock that its event needs, and it waits for us. And what is
/// acknowledged has to be flushed, whatever the database's setting says.
fn bound_waiting() {
    db::set_option(c"lock_timeout", c"1s", Scope::Transaction);
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
