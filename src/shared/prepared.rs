//! Prepared transactions that have recorded events. COMMIT PREPARED calls nobody, so the worker
//! looks after them.

use super::bells::Ring;
use super::counters::AT_COMMIT;
use pgrx::pg_sys;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const PLACES: usize = 128;
/// Tenants that are kept of one transaction; of one with more, everybody is told.
const TENANTS: usize = 8;

const FREE: u32 = 0;
const WRITING: u32 = 1;
const SET: u32 = 2;

#[repr(C)]
struct Entry {
    state: AtomicU32,
    database: AtomicU32,
    transaction: AtomicU32,
    /// How many tenants; more than [`TENANTS`] means that they are not known.
    tenants: AtomicU32,
    ids: [[AtomicU64; 2]; TENANTS],
    counts: [AtomicU64; AT_COMMIT],
}

#[repr(C)]
pub struct Prepared {
    /// How many entries are taken, so that every commit can see at once that there are none.
    total: AtomicU32,
    entries: [Entry; PLACES],
}

/// What became of a prepared transaction.
pub struct Fate {
    pub is_committed: bool,
    pub ring: Ring,
    pub counts: [u64; AT_COMMIT],
}

impl Prepared {
    /// Notes a transaction that is being prepared; `false` if there is no place left.
    pub fn add<'t>(
        &self,
        database: u32,
        transaction: u32,
        tenants: impl Iterator<Item = &'t [u8; 16]> + Clone,
        overflowed: bool,
        counts: &[u64; AT_COMMIT],
    ) -> bool {
        let Some(entry) = self.entries.iter().find(|entry| entry.claim()) else {
            return false;
        };
        let number = tenants.clone().count();
        let number = if overflowed { TENANTS + 1 } else { number };
        entry.tenants.store(number as u32, Ordering::Relaxed);
        for (place, tenant) in entry.ids.iter().zip(tenants) {
            let whole = u128::from_be_bytes(*tenant);
            place[0].store((whole >> 64) as u64, Ordering::Relaxed);
            place[1].store(whole as u64, Ordering::Relaxed);
        }
        for (place, count) in entry.counts.iter().zip(counts) {
            place.store(*count, Ordering::Relaxed);
        }
        entry.database.store(database, Ordering::Relaxed);
        entry.transaction.store(transaction, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::AcqRel);
        entry.state.store(SET, Ordering::Release);
        true
    }

    /// The transactions of a database that have ended since.
    pub fn take_ended(&self, database: u32) -> Vec<Fate> {
        let ended = self
            .entries
            .iter()
            .filter(|entry| entry.is_of(database) && entry.has_ended());
        let fates: Vec<Fate> = ended.map(Entry::take).collect();
        self.total.fetch_sub(fates.len() as u32, Ordering::AcqRel);
        fates
    }

    /// Counts transactions that somebody else keeps track of.
    pub fn expect(&self, number: usize) {
        self.total.fetch_add(number as u32, Ordering::AcqRel);
    }

    /// Ends what [`Self::expect`] began.
    pub fn forget_expected(&self, number: usize) {
        self.total.fetch_sub(number as u32, Ordering::AcqRel);
    }

    /// Whether there are none, in any database.
    pub fn is_empty(&self) -> bool {
        self.total.load(Ordering::Relaxed) == 0
    }

    /// Whether the transaction is noted.
    pub fn knows(&self, database: u32, transaction: u32) -> bool {
        let mut entries = self.entries.iter().filter(|entry| entry.is_of(database));
        entries.any(|entry| entry.transaction.load(Ordering::Relaxed) == transaction)
    }

    /// Forgets the transactions of a database that is gone.
    pub fn forget(&self, database: u32) {
        let entries = self.entries.iter().filter(|entry| entry.is_of(database));
        entries.for_each(|entry| {
            entry.state.store(FREE, Ordering::Release);
            self.total.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

impl Entry {
    fn claim(&self) -> bool {
        self.state
            .compare_exchange(FREE, WRITING, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    fn is_of(&self, database: u32) -> bool {
        self.state.load(Ordering::Acquire) == SET
            && self.database.load(Ordering::Relaxed) == database
    }

    fn id(&self) -> pg_sys::TransactionId {
        pg_sys::TransactionId::from(self.transaction.load(Ordering::Relaxed))
    }

    fn has_ended(&self) -> bool {
        // SAFETY: reads the list of running transactions, which prepared ones are in.
        !unsafe { pg_sys::TransactionIdIsInProgress(self.id()) }
    }

    fn take(&self) -> Fate {
        let number = self.tenants.load(Ordering::Relaxed) as usize;
        let tenants = self
            .ids
            .iter()
            .take(if number > TENANTS { 0 } else { number });
        let tenants = tenants.map(|id| {
            let half = |n: usize| u128::from(id[n].load(Ordering::Relaxed));
            ((half(0) << 64) | half(1)).to_be_bytes()
        });
        let fate = Fate {
            // SAFETY: the transaction has ended.
            is_committed: unsafe { pg_sys::TransactionIdDidCommit(self.id()) },
            ring: Ring {
                tenants: tenants.collect(),
                everybody: number > TENANTS,
            },
            counts: std::array::from_fn(|n| self.counts[n].load(Ordering::Relaxed)),
        };
        self.state.store(FREE, Ordering::Release);
        fate
    }
}
