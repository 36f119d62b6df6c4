//! What the open transaction will publish when it commits: the tenants it has written for, and
//! its counts. Savepoints that are rolled back take theirs along.

use super::counters::{AT_COMMIT, Counter, add_locally, event_index};
use super::{Database, database, get, wake_launcher};
use crate::home;
use activity_log_core::record::{Source, Status};
use pgrx::{pg_guard, pg_sys};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// Tenants that are kept of one transaction; of one with more, everybody is told.
const MAX_TENANTS: usize = 1024;

/// What was written at one level of savepoints.
#[derive(Clone, Copy)]
struct Level {
    nesting: i32,
    /// Where this level's news begins.
    first_news: usize,
    overflowed: bool,
    announces: bool,
    counts: [u64; AT_COMMIT],
}

/// So many tenants are looked through one by one, before a set is worth its memory.
const FEW_TENANTS: usize = 8;

/// A tenant with news, and who tells its readers: the worker, or the transaction itself.
type News = ([u8; 16], Teller);

/// Who tells readers of new events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Teller {
    Worker,
    Transaction,
}

struct Pending {
    news: Vec<News>,
    /// The same, to find repetitions, where they are more than a few.
    known: BTreeSet<News>,
    /// From the transaction itself inwards; empty while nothing was written.
    levels: Vec<Level>,
}

thread_local! {
    static PENDING: RefCell<Pending> =
        const { RefCell::new(Pending {
            news: Vec::new(),
            known: BTreeSet::new(),
            levels: Vec::new(),
        }) };
}

/// Registers for the ends of transactions. Once per process.
pub fn watch_transactions() {
    // SAFETY: the callbacks stay valid for the life of the process.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_savepoint_end), std::ptr::null_mut());
    }
}

/// Runs `work` on what is pending. A callback must not fail, so it does nothing where that is
/// being changed already, which can't be.
fn with_pending<R>(work: impl FnOnce(&mut Pending) -> R) -> Option<R> {
    PENDING
        .try_with(|pending| {
            pending
                .try_borrow_mut()
                .ok()
                .map(|mut pending| work(&mut pending))
        })
        .ok()
        .flatten()
}

/// What is noted of an event that was written.
pub struct Written<'e> {
    pub tenant_id: &'e [u8; 16],
    pub source: Source,
    pub status: Status,
    pub bytes: usize,
}

/// Notes events that were written; `first` is told of each tenant that is new in this transaction,
/// as far as that is known. Without a teller nobody is told.
pub fn wrote<'e>(
    events: impl Iterator<Item = Written<'e>>,
    teller: Option<Teller>,
    mut first: impl FnMut(&[u8; 16]),
) {
    // SAFETY: reads the state of the transaction.
    let nesting = unsafe { pg_sys::GetCurrentTransactionNestLevel() };
    with_pending(|pending| {
        for event in events {
            let level = pending.level(nesting);
            level.counts[event_index(event.source, event.status)] += 1;
            level.counts[Counter::Bytes as usize] += event.bytes as u64;
            if teller.is_some_and(|teller| pending.add_news((*event.tenant_id, teller))) {
                first(event.tenant_id);
            }
        }
    });
}

/// Lets the launcher look at this database when the transaction has committed.
pub fn announce_at_commit() {
    // SAFETY: reads the state of the transaction.
    let nesting = unsafe { pg_sys::GetCurrentTransactionNestLevel() };
    with_pending(|pending| pending.level(nesting).announces = true);
}

impl Pending {
    fn level(&mut self, nesting: i32) -> &mut Level {
        let is_open = self
            .levels
            .last()
            .is_some_and(|level| level.nesting == nesting);
        if !is_open {
            self.levels.push(Level {
                nesting,
                first_news: self.news.len(),
                overflowed: false,
                announces: false,
                counts: [0; AT_COMMIT],
            });
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    fn add_news(&mut self, news: News) -> bool {
        let is_known = if self.news.len() <= FEW_TENANTS {
            self.news.contains(&news)
        } else {
            self.known.contains(&news)
        };
        if is_known {
            return false;
        }
        if self.news.len() < MAX_TENANTS {
            self.news.push(news);
            match self.news.len() {
                ..=FEW_TENANTS => {}
                number if number == FEW_TENANTS + 1 => self.known.extend(&self.news),
                _ => {
                    self.known.insert(news);
                }
            }
        } else if let Some(level) = self.levels.last_mut() {
            level.overflowed |= news.1 == Teller::Worker;
        }
        true
    }

    /// The tenants that the worker has to tell.
    fn for_worker(&self) -> impl Iterator<Item = &[u8; 16]> + Clone {
        let news = self
            .news
            .iter()
            .filter(|(_, teller)| *teller == Teller::Worker);
        news.map(|(tenant, _)| tenant)
    }

    fn clear(&mut self) {
        self.news.clear();
        self.known.clear();
        self.levels.clear();
    }

    /// A savepoint was released: what it held is its parent's.
    fn release(&mut self, nesting: i32) {
        let Some(inner) = self.levels.pop_if(|level| level.nesting == nesting) else {
            return;
        };
        match self
            .levels
            .last_mut()
            .filter(|level| level.nesting == nesting - 1)
        {
            Some(outer) => {
                outer.overflowed |= inner.overflowed;
                outer.announces |= inner.announces;
                for (sum, count) in outer.counts.iter_mut().zip(inner.counts) {
                    *sum += count;
                }
            }
            None => self.levels.push(Level {
                nesting: nesting - 1,
                ..inner
            }),
        }
    }

    fn roll_back(&mut self, nesting: i32) {
        if let Some(level) = self.levels.pop_if(|level| level.nesting == nesting) {
            for news in self.news.drain(level.first_news..) {
                self.known.remove(&news);
            }
        }
    }

    /// The sums over all levels.
    fn counts(&self) -> [u64; AT_COMMIT] {
        std::array::from_fn(|n| self.levels.iter().map(|level| level.counts[n]).sum())
    }

    fn overflowed(&self) -> bool {
        self.levels.iter().any(|level| level.overflowed)
    }

    fn publish(&self) {
        let database = database();
        count(database, &self.counts());
        let Some(database) = database else { return };
        if self.levels.iter().any(|level| level.announces) {
            database.announce();
            wake_launcher();
        }
        if self.for_worker().next().is_none() {
            return;
        }
        self.for_worker()
            .for_each(|tenant| database.bells.add(tenant));
        if self.overflowed() {
            database.bells.overflow();
        }
        database.note_news();
        database.wake();
    }

    /// COMMIT PREPARED will run in another session: the worker looks after the transaction.
    fn hand_over(&self) {
        let (Some(shared), Some(database)) = (get(), database()) else {
            return count(None, &self.counts());
        };
        // SAFETY: reads a variable of the transaction that is being prepared.
        let transaction = unsafe { pg_sys::GetTopTransactionIdIfAny() };
        let noted = shared.prepared.add(
            database.oid(),
            transaction.into_inner(),
            self.for_worker(),
            self.overflowed(),
            &self.counts(),
        );
        if noted {
            database.prepared.fetch_add(1, Ordering::AcqRel);
        } else {
            count(Some(database), &self.counts());
            database.unnoted.store(true, Ordering::Release);
            database.wake();
        }
    }
}

/// Adds counts to those of the database, or of this process.
pub fn count(database: Option<&Database>, counts: &[u64]) {
    // SAFETY: a variable of the process.
    let process = unsafe { pg_sys::MyProcPid };
    let counts = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    for (index, count) in counts {
        match database {
            Some(database) => database.counters.add(index, *count, process),
            None => add_locally(index, *count),
        }
    }
}

/// COMMIT PREPARED has no callback of its own, but the command that runs it commits as well.
fn wake_for_prepared() {
    let Some(shared) = get().filter(|shared| !shared.prepared.is_empty()) else {
        return;
    };
    let database = shared.find(home::database_oid().to_u32());
    // SAFETY: a variable of the process.
    let process = unsafe { pg_sys::MyProcPid };
    if let Some(database) = database.filter(|database| database.worker() != process)
        && database.prepared.load(Ordering::Acquire) > 0
    {
        database.wake();
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(
    event: pg_sys::XactEvent::Type,
    _argument: *mut std::ffi::c_void,
) {
    use pg_sys::XactEvent as Event;
    let ended = match event {
        Event::XACT_EVENT_COMMIT => with_pending(|pending| {
            if pending.levels.is_empty() {
                wake_for_prepared();
            } else {
                pending.publish();
            }
        }),
        Event::XACT_EVENT_PREPARE => with_pending(|pending| {
            if !pending.levels.is_empty() {
                pending.hand_over();
            }
        }),
        Event::XACT_EVENT_ABORT => Some(()),
        _ => None,
    };
    if ended.is_some() {
        with_pending(Pending::clear);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn at_savepoint_end(
    event: pg_sys::SubXactEvent::Type,
    _own: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _argument: *mut std::ffi::c_void,
) {
    use pg_sys::SubXactEvent as Event;
    // SAFETY: reads the state of the transaction, which is still that of the savepoint.
    let nesting = unsafe { pg_sys::GetCurrentTransactionNestLevel() };
    match event {
        Event::SUBXACT_EVENT_COMMIT_SUB => with_pending(|pending| pending.release(nesting)),
        Event::SUBXACT_EVENT_ABORT_SUB => with_pending(|pending| pending.roll_back(nesting)),
        _ => None,
    };
}
