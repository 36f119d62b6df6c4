//! The triggers of a captured table: made, brought to another level, put back, taken away.

use super::target::oid_parameter;
use crate::db::{self, Mode, Scope};
use crate::error::Error;
use pgrx::{Uuid, pg_sys};
use std::cell::Cell;

thread_local! {
    /// Whether the DDL that runs is ours, which the event triggers take no notice of.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// Whether the DDL that runs is capture's own.
pub(super) fn is_at_work() -> bool {
    AT_WORK.get()
}

/// Marks the DDL that runs while it is held as capture's own, also when an error ends it.
struct AtWork(bool);

impl AtWork {
    fn begin() -> Self {
        Self(AT_WORK.replace(true))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.set(self.0);
    }
}

/// After this many rounds of statements the triggers are as they should be, or never will be:
/// drop what is wrong, create, enable, and once more for the partitions.
const ROUNDS: usize = 6;

/// Brings the triggers of a table to a level; how many statements that took.
pub(super) fn ensure(
    capture: Uuid,
    relation: pg_sys::Oid,
    level: &str,
    replicated: bool,
) -> Result<usize, Error> {
    let _at_work = AtWork::begin();
    let mut run = 0;
    for _ in 0..ROUNDS {
        let statements = db::query(
            Mode::Write,
            include_str!("../../sql/query/capture_triggers.sql"),
            &[
                db::text(Some(&capture.to_string())),
                oid_parameter(relation),
                db::text(Some(level)),
                (pg_sys::BOOLOID, Some(pg_sys::Datum::from(replicated))),
            ],
            |row| row.must::<String>(1, "pg_trigger"),
        )?;
        if statements.is_empty() {
            return Ok(run);
        }
        run += statements.len();
        execute(&statements)?;
    }
    Err(Error::Internal {
        place: "capture triggers",
    })
}

/// Takes every trigger of a capture away.
pub(super) fn remove(capture: Uuid) -> Result<(), Error> {
    let _at_work = AtWork::begin();
    let statements = db::query(
        Mode::Write,
        "SELECT pg_catalog.format('DROP TRIGGER %I ON %s', t.name, t.relation::regclass) \
         FROM activity._capture_triggers() t \
         WHERE t.capture_id = $1::text AND NOT t.is_clone \
           AND (t.kind <> 'row' OR t.relation IN (SELECT c.relation FROM activity._captured_tables() c WHERE c.capture_id::text = $1))",
        &[db::text(Some(&capture.to_string()))],
        |row| row.must::<String>(1, "pg_trigger"),
    )?;
    execute(&statements)
}

/// Runs statements without the notices that DDL sends.
fn execute(statements: &[String]) -> Result<(), Error> {
    db::as_owner(|| {
        db::set_option(c"client_min_messages", c"warning", Scope::Block);
        // A table that is renamed between two statements must not be mistaken for another.
        statements
            .iter()
            .try_for_each(|statement| db::run(statement, &[]).map(|_| ()))
    })
}
