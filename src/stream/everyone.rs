//! The events of every tenant in the order of their ids, which is that of recording.
//!
//! No index has the transactions of all tenants in their order. Instead the reader walks the ids
//! from the time on after which everything was recorded that it has not seen, and passes over what
//! it has.

use super::scan::IndexScan;
use super::tenant::partitions;
use crate::clock::SERVER_EPOCH;
use crate::error::Error;
use crate::home::Lives;
use crate::retention::Partition;
use crate::value;
use activity_log_core::record::event_id;
use activity_log_core::stream::{Base, Place, Point, Position};
use pgrx::pg_sys;
use std::collections::HashMap;
use std::ffi::CStr;
use std::vec::IntoIter;

const KEY: [&CStr; 1] = [c"event_id"];

/// How far the server's clock may have been set back.
const CLOCK_SLACK: i64 = 600_000_000;

/// The stream of all tenants, one partition after the other.
pub(super) struct EveryoneWalk<'w> {
    base: &'w Base,
    target: &'w Point,
    lives: &'w Lives,
    places: HashMap<i32, Place>,
    after: [u8; 16],
    left: IntoIter<Partition>,
    open: Option<IndexScan>,
}

impl<'w> EveryoneWalk<'w> {
    pub(super) fn begin(
        base: &'w Base,
        target: &'w Point,
        after: Option<&Position>,
        lives: &'w Lives,
    ) -> Result<Self, Error> {
        let from = first_time(base, target);
        let first = from.map_or([0; 16], |time| {
            event_id(time.saturating_add(SERVER_EPOCH).max(0), [0; 8])
        });
        let after = after.map_or(first, |position| position.event_id.max(first));
        let from = activity_log_core::record::recorded_at(&after)
            .map(|time| time.saturating_sub(SERVER_EPOCH));
        Ok(Self {
            base,
            target,
            lives,
            places: HashMap::new(),
            after,
            left: partitions(from)?.into_iter(),
            open: None,
        })
    }

    /// The next row, and whether it belongs to what is to be read.
    pub(super) fn next(&mut self) -> Result<Option<(&IndexScan, bool)>, Error> {
        loop {
            if self.open.as_mut().is_some_and(IndexScan::advance) {
                break;
            }
            let Some(partition) = self.left.next() else {
                self.open = None;
                return Ok(None);
            };
            self.open = IndexScan::open(&partition, &KEY, 1)?;
            if let Some(scan) = &mut self.open {
                let after = value::uuid(&self.after);
                scan.seek(&[(1, pg_sys::BTGreaterStrategyNumber, pg_sys::F_UUID_GT, after)]);
            }
        }
        let Some(scan) = &self.open else {
            return Ok(None);
        };
        let (life, xact, _) = scan.key()?;
        let timeline = self.target.life.place.timeline;
        let place = *self
            .places
            .entry(life)
            .or_insert_with(|| self.lives.place(life, timeline));
        let is_seen = match self.base {
            Base::Beginning { .. } => false,
            Base::Seen(point) => point.sees(place, xact),
        };
        Ok(Some((scan, !is_seen && self.target.sees(place, xact))))
    }
}

/// The time from which on everything was recorded that is to be read.
fn first_time(base: &Base, target: &Point) -> Option<i64> {
    match base {
        Base::Beginning { since } => *since,
        // After a restore, what an earlier home recorded may be older than what was seen here.
        Base::Seen(point) if point.life.place.home != target.life.place.home => None,
        Base::Seen(point) => Some(point.floor.saturating_sub(CLOCK_SLACK)),
    }
}
