//! The tenants of a database that have news nobody was told of: a set of bounded size that
//! writers add to, and the worker empties, without waiting for each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Places in the set.
const PLACES: usize = 1024;
/// How many places a tenant may be in.
const PROBES: usize = 8;

/// The low bits of an entry's state; the rest counts its changes, so that a reader notices when
/// the tenant was exchanged while it looked.
const FREE: u64 = 0;
const WRITING: u64 = 1;
const SET: u64 = 2;
const BITS: u64 = 3;

#[repr(C)]
struct Entry {
    state: AtomicU64,
    high: AtomicU64,
    low: AtomicU64,
}

/// The set of one database.
#[repr(C)]
pub struct Bells {
    /// A tenant did not fit: everybody has to be told.
    overflowed: AtomicBool,
    entries: [Entry; PLACES],
}

/// Whom the worker has to tell.
#[derive(Debug, Default)]
pub struct Ring {
    pub tenants: Vec<[u8; 16]>,
    /// It is not known who has news.
    pub everybody: bool,
}

impl Ring {
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty() && !self.everybody
    }

    /// Adds what another ring holds.
    pub fn absorb(&mut self, other: Self) {
        self.tenants.extend(other.tenants);
        self.tenants.sort_unstable();
        self.tenants.dedup();
        self.everybody |= other.everybody;
    }
}

fn halves(tenant: &[u8; 16]) -> (u64, u64) {
    let whole = u128::from_be_bytes(*tenant);
    ((whole >> 64) as u64, whole as u64)
}

fn place(high: u64, low: u64) -> usize {
    let mixed = (high ^ low.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 54) as usize % PLACES
}

impl Bells {
    /// Adds a tenant. The writer's transaction is visible by now, so whoever empties the set
    /// later tells listeners of rows that they can see.
    pub fn add(&self, tenant: &[u8; 16]) {
        let (high, low) = halves(tenant);
        let first = place(high, low);
        for probe in 0..PROBES {
            if self.entries[(first + probe) % PLACES].holds_or_takes(high, low) {
                return;
            }
        }
        self.overflow();
    }

    /// Asks to tell everybody.
    pub fn overflow(&self) {
        self.overflowed.store(true, Ordering::Release);
    }

    /// Empties the set.
    pub fn drain(&self) -> Ring {
        let everybody = self.overflowed.swap(false, Ordering::AcqRel);
        let tenants = self.entries.iter().filter_map(Entry::take).collect();
        Ring { tenants, everybody }
    }
}

impl Entry {
    /// Whether the tenant is in this place, perhaps only now.
    fn holds_or_takes(&self, high: u64, low: u64) -> bool {
        let state = self.state.load(Ordering::Acquire);
        match state & BITS {
            SET => {
                let same = self.high.load(Ordering::Relaxed) == high
                    && self.low.load(Ordering::Acquire) == low;
                same && self.state.load(Ordering::Acquire) == state
            }
            FREE => {
                let writing = (state & !BITS) | WRITING;
                let taken = self.state.compare_exchange(
                    state,
                    writing,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                );
                if taken.is_ok() {
                    self.high.store(high, Ordering::Relaxed);
                    self.low.store(low, Ordering::Relaxed);
                    self.state.store((state & !BITS) | SET, Ordering::Release);
                }
                taken.is_ok()
            }
            _ => false,
        }
    }

    fn take(&self) -> Option<[u8; 16]> {
        let state = self.state.load(Ordering::Acquire);
        if state & BITS != SET {
            return None;
        }
        let (high, low) = (
            self.high.load(Ordering::Relaxed),
            self.low.load(Ordering::Relaxed),
        );
        // The count of changes moves on.
        self.state.store(
            (state & !BITS).wrapping_add(BITS + 1) | FREE,
            Ordering::Release,
        );
        Some(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
    }
}
