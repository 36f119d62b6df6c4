//! Which transactions a reader has seen.

use super::bytes::{self, Reader};

/// The transactions below `xmax` that were not in flight.
///
/// Ids are those of top-level transactions in one history of a database; they never repeat in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    xmax: u64,
    /// Ascending, all below `xmax`.
    in_flight: Vec<u64>,
}

/// A bounded snapshot takes at most this many bytes.
pub const MAX_BYTES: usize = 1_500;

impl Snapshot {
    /// What is seen when everything below `xmax` has ended except `in_flight`.
    #[must_use]
    pub fn new(xmax: u64, mut in_flight: Vec<u64>) -> Self {
        in_flight.retain(|xid| *xid < xmax);
        in_flight.sort_unstable();
        in_flight.dedup();
        Self { xmax, in_flight }
    }

    /// The snapshot as a cursor may carry it.
    ///
    /// With so many in flight that they don't fit into [`MAX_BYTES`], `xmax` is lowered to the
    /// first that does not fit: what is above counts as not yet seen, and is seen later.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        // The count, `xmax`, and each id as its distance from the one before.
        let mut size = 3 + 10;
        let mut before = 0;
        let fits = self.in_flight.iter().take_while(|xid| {
            size += bytes::length(**xid - before);
            before = **xid;
            size <= MAX_BYTES
        });
        let fits = fits.count();
        if let Some(first_left_out) = self.in_flight.get(fits) {
            self.xmax = *first_left_out;
            self.in_flight.truncate(fits);
        }
        self
    }

    /// The first transaction that had not begun.
    #[must_use]
    pub fn xmax(&self) -> u64 {
        self.xmax
    }

    /// Those below `xmax` that had not ended, ascending.
    #[must_use]
    pub fn in_flight(&self) -> &[u64] {
        &self.in_flight
    }

    /// Whether the transaction had ended.
    #[must_use]
    pub fn sees(&self, xid: u64) -> bool {
        xid < self.xmax && self.in_flight.binary_search(&xid).is_err()
    }

    /// Everything below this has been seen.
    #[must_use]
    pub fn lowest_unseen(&self) -> u64 {
        self.in_flight.first().copied().unwrap_or(self.xmax)
    }

    /// Whether everything that `other` sees is seen here as well.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.xmax <= self.xmax
            && self
                .in_flight
                .iter()
                .take_while(|xid| **xid < other.xmax)
                .all(|xid| !other.sees(*xid))
    }

    /// What at least one of both sees.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (lower, higher) = if self.xmax < other.xmax {
            (self, other)
        } else {
            (other, self)
        };
        Self {
            xmax: higher.xmax,
            in_flight: higher
                .in_flight
                .iter()
                .copied()
                .filter(|xid| !lower.sees(*xid))
                .collect(),
        }
    }

    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        bytes::put(into, self.xmax);
        bytes::put(into, self.in_flight.len() as u64);
        let mut before = 0;
        for xid in &self.in_flight {
            bytes::put(into, xid - before);
            before = *xid;
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let xmax = from.number()?;
        let count = usize::try_from(from.number()?).ok()?;
        if count > from.0.len() {
            return None;
        }
        let mut in_flight = Vec::with_capacity(count);
        let mut before = 0u64;
        for _ in 0..count {
            before = before.checked_add(from.number()?)?;
            in_flight.push(before);
        }
        let is_sorted = in_flight.is_sorted_by(|a, b| a < b);
        let is_below = in_flight.last().is_none_or(|last| *last < xmax);
        (is_sorted && is_below).then_some(Self { xmax, in_flight })
    }
}
