//! One page out of many partitions, opening as few of them as it can.

use super::{EventRow, Query, probe};
use crate::db::{self, Mode, Relation};
use crate::error::Error;
use crate::retention::{self, Partition};
use activity_log_core::record::MAX_FUTURE;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What is known of a partition: no event of the tenant in it is younger than the bound.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    bound: i64,
    /// Whether the bound was looked up, or only follows from the partition's own bounds.
    is_probed: bool,
    position: usize,
}

/// The page, newest occurrence first.
///
/// Partitions are taken in the order of the youngest event they can hold. That bound is first the
/// end of the partition (an event occurs at most five minutes after it is recorded) and is then
/// looked up; a partition is read only when its bound can still get into the page.
pub fn collect(query: &Query) -> Result<Vec<EventRow>, Error> {
    let root = db::oid(Relation::Events)?;
    db::lock_shared(root);
    let partitions = retention::partitions(root)?;
    let mut candidates: BinaryHeap<Candidate> = partitions
        .iter()
        .enumerate()
        .map(|(position, partition)| Candidate {
            bound: partition.upper.saturating_add(MAX_FUTURE).min(query.limit),
            is_probed: false,
            position,
        })
        .collect();
    let mut rows = Vec::new();
    while let Some(candidate) = candidates.pop() {
        if candidate.bound < query.since || is_settled(&rows, query, candidate.bound) {
            break;
        }
        let partition = &partitions[candidate.position];
        if candidate.is_probed {
            merge(&mut rows, read(query, partition)?, query.page_size);
        } else if let Some(bound) = probe::youngest(partition, &query.tenant_id, candidate.bound) {
            candidates.push(Candidate {
                bound,
                is_probed: true,
                ..candidate
            });
        }
    }
    Ok(rows)
}

/// Whether the page is full of events younger than the bound.
fn is_settled(rows: &[EventRow], query: &Query, bound: i64) -> bool {
    rows.len() == query.page_size
        && rows
            .last()
            .is_some_and(|last| last.place().occurred_at > bound)
}

fn read(query: &Query, partition: &Partition) -> Result<Vec<EventRow>, Error> {
    let sql = query.sql(&retention::name(partition)?);
    db::query(Mode::Read, &sql, &query.parameters, EventRow::read)
}

fn merge(rows: &mut Vec<EventRow>, more: Vec<EventRow>, page_size: usize) {
    rows.extend(more);
    rows.sort_by_key(|row| {
        let place = row.place();
        Reverse((place.occurred_at, place.event_id))
    });
    rows.truncate(page_size);
}
