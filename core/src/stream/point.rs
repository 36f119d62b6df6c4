//! A point of the stream: what was seen, in which life, when.

use super::bytes::{self, Reader};
use super::life::{Life, Place};
use super::snapshot::Snapshot;

/// Everything that a reader has been given when it has read up to here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The life that the snapshot was taken in.
    pub life: Life,
    /// The transactions of that life, and of earlier timelines of its home, that were seen.
    pub snapshot: Snapshot,
    /// No transaction with this id or a higher one had got its id.
    pub next: u64,
    /// When the snapshot was taken, in the microseconds of the server.
    pub at: i64,
    /// What was not seen was recorded after this time.
    pub floor: i64,
    /// No transaction of an earlier timeline is among those not seen.
    pub is_settled: bool,
}

impl Point {
    /// Whether an event of that life and transaction has been seen, provided it is visible.
    #[must_use]
    pub fn sees(&self, place: Place, xact: u64) -> bool {
        let own = self.life.place;
        if place.home != own.home {
            place.home < own.home
        } else {
            place.timeline <= own.timeline && self.snapshot.sees(xact)
        }
    }

    /// The point that follows when everything up to `later` was read as well.
    ///
    /// A standby that lags, or a transaction with an old snapshot, may see less than the reader
    /// has been given already: nothing is forgotten.
    #[must_use]
    pub fn advanced_to(&self, later: &Self) -> Self {
        if self.life != later.life {
            return later.clone();
        }
        let (old, new) = if later.snapshot.xmax() >= self.snapshot.xmax() {
            (self, later)
        } else {
            (later, self)
        };
        Self {
            snapshot: old.snapshot.union(&new.snapshot),
            is_settled: self.is_settled || later.is_settled,
            floor: self.floor.max(later.floor),
            ..new.clone()
        }
    }

    /// The time after which everything was recorded that a snapshot taken after this point does
    /// not see: transactions that got their ids after this point recorded after it.
    #[must_use]
    pub fn floor_of(&self, snapshot: &Snapshot) -> i64 {
        if snapshot.lowest_unseen() >= self.next {
            self.at
        } else {
            self.floor
        }
    }

    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        bytes::put(into, u64::from(self.life.place.home));
        bytes::put(into, u64::from(self.life.place.timeline));
        into.extend(self.life.number.to_be_bytes());
        into.push(u8::from(self.is_settled));
        self.snapshot.encode(into);
        bytes::put(into, self.next);
        bytes::put_signed(into, self.at);
        bytes::put_signed(into, self.floor);
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let place = Place {
            home: u32::try_from(from.number()?).ok()?,
            timeline: u32::try_from(from.number()?).ok()?,
        };
        let number = i32::from_be_bytes(from.array()?);
        let is_settled = from.byte()? != 0;
        Some(Self {
            life: Life { place, number },
            is_settled,
            snapshot: Snapshot::decode(from)?,
            next: from.number()?,
            at: from.signed()?,
            floor: from.signed()?,
        })
    }
}
