//! What the statement that reads can see, as a point of the stream.

#![allow(unsafe_code)]

use crate::clock;
use crate::db::{self, Mode};
use crate::error::Error;
use crate::home::{self, Lives};
use activity_log_core::stream::{Base, Life, Point, Snapshot};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// How long a transaction may have been open that a standby, or a prepared transaction, does not
/// tell the beginning of.
const LONGEST_UNKNOWN: i64 = 86_400_000_000;

/// The server as the statement sees it.
pub(super) struct Now {
    pub(super) life: Life,
    pub(super) snapshot: Snapshot,
    /// No transaction has got this id or a higher one.
    pub(super) next: u64,
    pub(super) at: i64,
    pub(super) is_standby: bool,
    /// The snapshot is from before the promotion of this server.
    pub(super) is_outlived: bool,
}

impl Now {
    /// Reads the snapshot of the statement that is running.
    pub(super) fn read(lives: &Lives) -> Self {
        // SAFETY: a statement that calls a function has an active snapshot; its arrays have the
        // lengths that stand beside them.
        unsafe {
            let seen = &*pg_sys::GetActiveSnapshot();
            let is_standby = pg_sys::RecoveryInProgress();
            let next = pg_sys::ReadNextFullTransactionId().value;
            let mut in_flight = in_flight(seen, next);
            // What this transaction has written counts as not committed.
            in_flight.extend(own_transaction());
            Self {
                life: lives.current(home::timeline_of_server()),
                snapshot: Snapshot::new(widen(seen.xmax, next), in_flight),
                next,
                at: if is_standby {
                    replayed_until()
                } else {
                    clock::now()
                },
                is_standby,
                is_outlived: seen.takenDuringRecovery && !is_standby,
            }
        }
    }

    /// The point that a reader has come to who has been given everything that is visible now.
    pub(super) fn point(&self, base: &Base, lives: &Lives) -> Result<Point, Error> {
        let (floor, was_settled) = match base {
            Base::Seen(point) => (
                point.floor_of(&self.snapshot),
                point.is_settled && point.life == self.life,
            ),
            Base::Beginning { .. } => (self.first_floor()?, false),
        };
        let is_settled = was_settled
            || lives.is_first(self.life.place.timeline)
            || self.snapshot.lowest_unseen() >= self.next;
        Ok(Point {
            life: self.life,
            snapshot: self.snapshot.clone().bounded(),
            next: self.next,
            at: self.at,
            floor,
            is_settled,
        })
    }

    /// Since when the transactions have been open that are not seen.
    fn first_floor(&self) -> Result<i64, Error> {
        if self.snapshot.lowest_unseen() >= self.next {
            return Ok(self.at);
        }
        let unknown = self.at.saturating_sub(LONGEST_UNKNOWN);
        if self.is_standby {
            return Ok(unknown);
        }
        let oldest = db::value::<TimestampWithTimeZone>(
            Mode::Read,
            "SELECT least(min(xact_start), (SELECT min(prepared) - interval '1 day' FROM pg_prepared_xacts)) \
             FROM pg_stat_activity",
            &[],
        )?;
        Ok(oldest.map_or(unknown, i64::from).min(self.at))
    }
}

/// Makes durable what the statement has seen, so that no crash can undo what a reader was given,
/// nor give its transaction ids to others.
pub(super) fn make_durable() {
    // SAFETY: all may be called by any process of a server that is not in recovery.
    unsafe {
        if !pg_sys::RecoveryInProgress() {
            pg_sys::XLogFlush(end_of_records(pg_sys::GetXLogInsertRecPtr()));
        }
    }
}

/// Where the last record ends, from where the next one begins: on a new page of the WAL that is
/// behind the page's header, and nothing can be flushed up to there while the page is empty.
fn end_of_records(next_record: u64) -> u64 {
    const PAGE: u64 = pg_sys::XLOG_BLCKSZ as u64;
    // SAFETY: set when the server starts, and never again.
    let segment = u64::from(unsafe { pg_sys::wal_segment_size }.unsigned_abs());
    let header = if next_record % segment < PAGE {
        size_of::<pg_sys::XLogLongPageHeaderData>()
    } else {
        size_of::<pg_sys::XLogPageHeaderData>()
    };
    if next_record % PAGE == header as u64 {
        next_record - header as u64
    } else {
        next_record
    }
}

/// The top-level transactions below the snapshot's end that had not ended, and on a standby some
/// of their subtransactions, which no event names.
///
/// # Safety
/// The arrays of the snapshot have the lengths that stand beside them.
unsafe fn in_flight(seen: &pg_sys::SnapshotData, next: u64) -> Vec<u64> {
    // A standby knows transactions only from the WAL, and keeps all of them in the second array.
    // Where that says that it overflowed, only subtransactions were left out.
    let (ids, count) = if seen.takenDuringRecovery {
        (seen.subxip, seen.subxcnt.unsigned_abs() as usize)
    } else {
        (seen.xip, seen.xcnt as usize)
    };
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: promised by the caller.
    let ids = unsafe { std::slice::from_raw_parts(ids, count) };
    ids.iter().map(|xid| widen(*xid, next)).collect()
}

/// A transaction id with its epoch: it is not younger than `next`.
fn widen(xid: pg_sys::TransactionId, next: u64) -> u64 {
    let xid = u64::from(xid.into_inner());
    let epoch = next >> 32;
    if xid > (next & 0xFFFF_FFFF) {
        (epoch.wrapping_sub(1) << 32) | xid
    } else {
        (epoch << 32) | xid
    }
}

fn own_transaction() -> Option<u64> {
    // SAFETY: gives an id if one is assigned, and assigns none.
    let own = unsafe { pg_sys::GetTopFullTransactionIdIfAny() }.value;
    (own != 0).then_some(own)
}

/// The commit time of the last transaction that a standby has replayed.
fn replayed_until() -> i64 {
    // SAFETY: reads a variable of the server.
    let replayed = unsafe { pg_sys::GetLatestXTime() };
    if replayed == 0 {
        clock::now().saturating_sub(LONGEST_UNKNOWN)
    } else {
        replayed
    }
}

/// Whether the server's timeline has grown out of that one.
pub(super) fn is_ancestor(timeline: u32, of: u32) -> bool {
    if timeline == of {
        return true;
    }
    // SAFETY: the first reads the history file of a timeline, or gives a list with that timeline
    // only if there is none; the second looks into the list. An error of either unwinds.
    unsafe {
        pg_sys::ffi::pg_guard_ffi_boundary(|| tliInHistory(timeline, readTimeLineHistory(of)))
    }
}

// The bindings leave these two out.
unsafe extern "C-unwind" {
    fn readTimeLineHistory(timeline: pg_sys::TimeLineID) -> *mut pg_sys::List;
    fn tliInHistory(timeline: pg_sys::TimeLineID, history: *mut pg_sys::List) -> bool;
}
