//! One page out of many partitions, opening as few of them as it can.

use super::event::EventRow;
use super::probe;
use super::query::Query;
use crate::db::{self, Mode, Relation, Scope};
use crate::error::Error;
use crate::retention::{self, Partition};
use activity_log_core::record::MAX_FUTURE;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::CStr;

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
/// Partitions are taken in the order of the youngest event they can hold. That bound is first what
/// is known of the partition (its end, if nothing else: an event occurs at most five minutes after
/// it is recorded) and is then looked up; a partition is read only when its bound can still get into the page.
pub fn collect(query: &Query) -> Result<Vec<EventRow>, Error> {
    let root = db::oid(Relation::Events)?;
    db::lock_shared(root);
    let partitions = retention::partitions(root)?;
    let mut candidates = candidates(query, &partitions)?;
    let mut rows = Vec::new();
    while let Some(candidate) = candidates.pop() {
        if candidate.bound < query.since || is_settled(&rows, query, candidate.bound) {
            break;
        }
        pgrx::check_for_interrupts!();
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

/// The partitions that can hold events of the page. Of closed ones it is known when their events
/// occurred; of others only that none occurred long after it was recorded.
fn candidates(query: &Query, partitions: &[Partition]) -> Result<BinaryHeap<Candidate>, Error> {
    let closed = retention::range::closed()?;
    let candidate = |(position, partition): (usize, &Partition)| {
        let latest = match closed.get(&partition.relation) {
            None => partition.upper.saturating_add(MAX_FUTURE),
            Some(Some((oldest, newest))) if *oldest <= query.limit => *newest,
            Some(_) => return None,
        };
        Some(Candidate {
            bound: latest.min(query.limit),
            is_probed: false,
            position,
        })
    };
    Ok(partitions
        .iter()
        .enumerate()
        .filter_map(candidate)
        .collect())
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
    db::as_owner(|| {
        for method in avoided(query) {
            db::set_option(method, c"off", Scope::Block);
        }
        db::query(Mode::Read, &sql, &query.parameters, EventRow::read)
    })
}

/// Ways of reading that the planner must not take. A partition that is young or was filled at once
/// has poor statistics or none, and the planner may believe that reading all of it is cheap.
fn avoided(query: &Query) -> &'static [&'static CStr] {
    if query.is_filtered {
        &[c"enable_seqscan"]
    } else {
        // The timeline index gives the order; nothing has to be collected and sorted.
        &[c"enable_seqscan", c"enable_bitmapscan", c"enable_sort"]
    }
}

fn merge(rows: &mut Vec<EventRow>, more: Vec<EventRow>, page_size: usize) {
    rows.extend(more);
    rows.sort_by_key(|row| {
        let place = row.place();
        Reverse((place.occurred_at, place.event_id))
    });
    rows.truncate(page_size);
}
