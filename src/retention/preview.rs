//! Seeing what retention would remove.

use super::expiry::{self, Closed, Exam};
use super::ledger::{self, Entry};
use super::partition::{self, Partition};
use super::policy::Rules;
use super::stages::{Clock, attached};
use crate::db::{self, Relation};
use crate::error::Error;
use activity_log_core::retention::Decision;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The attached partitions in which something is old enough under the rules, as they stand now.
pub fn preview(rules: &Rules) -> Result<Vec<(String, Partition, Exam)>, Error> {
    let clock = Clock::read()?;
    let entries = ledger::entries()?;
    let mut exams = Vec::new();
    for (name, partition) in attached()? {
        let Some(bounds) = partition::bounds_of(&partition) else {
            continue;
        };
        if clock.is_due(rules, bounds, None) {
            // A past one is closed before anything is removed from it.
            let closed = match entries.get(&name).map_or(Closed::No, Entry::closed) {
                Closed::No if bounds.upper <= clock.now => Closed::Yes,
                closed => closed,
            };
            let exam = expiry::examine(rules, &partition, clock.now, clock.required_from, closed)?;
            exams.push((name, partition, exam));
        }
    }
    Ok(exams)
}

/// What retention would remove if `maintain()` ran now.
#[expect(
    clippy::type_complexity,
    reason = "pgrx reads the columns from the type"
)]
#[pg_extern(volatile, parallel_unsafe)]
fn retention_preview() -> Result<
    TableIterator<
        'static,
        (
            name!(partition, String),
            name!(lower_bound, TimestampWithTimeZone),
            name!(upper_bound, TimestampWithTimeZone),
            name!(decision, String),
            name!(removes, i64),
            name!(held, i64),
            name!(keeps, i64),
            name!(archive_to, Option<String>),
        ),
    >,
    ErrorReport,
> {
    db::oid(Relation::Events)?;
    let mut rows = Vec::new();
    for (name, partition, exam) in preview(&Rules::read()?)? {
        let time = |at| {
            TimestampWithTimeZone::try_from(at).map_err(|_| Error::Internal { place: "bounds" })
        };
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        rows.push((
            name,
            time(partition.lower)?,
            time(partition.upper)?,
            decision_name(exam.decision).to_owned(),
            count(exam.share.leaving),
            count(exam.share.held),
            count(exam.share.kept),
            exam.archive_to,
        ));
    }
    Ok(TableIterator::new(rows))
}

fn decision_name(decision: Decision) -> &'static str {
    match decision {
        Decision::Keep => "keep",
        Decision::Held => "held",
        Decision::Sweep => "remove rows",
        Decision::CarryOver => "replace by what stays",
        Decision::Drop => "drop",
    }
}
