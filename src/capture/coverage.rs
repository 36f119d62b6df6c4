//! `coverage()`: every table and whether its changes are captured.

use crate::db::{self, Mode, Relation};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Every table of users with the state of its capture. A partition that is captured with its
/// parent has no row of its own; a capture whose table is gone has one.
#[expect(
    clippy::type_complexity,
    reason = "pgrx reads the columns from the type"
)]
#[pg_extern(stable, parallel_unsafe)]
fn coverage() -> Result<
    TableIterator<
        'static,
        (
            name!(schema_name, String),
            name!(table_name, String),
            name!(object_type, Option<String>),
            name!(captured, bool),
            name!(level, Option<String>),
            name!(state, String),
            name!(advice, Option<String>),
        ),
    >,
    ErrorReport,
> {
    const PLACE: &str = "coverage";
    db::oid(Relation::Captures)?;
    // As for the functions that it calls: compiling it would take longer than running it.
    let rows = db::with_options(&[(c"jit", c"off")], || {
        db::query(
            Mode::Read,
            include_str!("../../sql/query/coverage.sql"),
            &[],
            |row| {
                Ok((
                    row.must(1, PLACE)?,
                    row.must(2, PLACE)?,
                    row.get(3),
                    row.must(4, PLACE)?,
                    row.get(5),
                    row.must(6, PLACE)?,
                    row.get(7),
                ))
            },
        )
    })?;
    Ok(TableIterator::new(rows))
}
