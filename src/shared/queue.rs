//! Events on their way to the worker: slots of one size. A slot has one owner at a time, and its
//! state says who that is.

use super::set_latch;
use crate::db;
use pgrx::{check_for_interrupts, pg_sys};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The largest parcel: metadata of the default limit, and all the texts.
pub const SLOT_BYTES: usize = 24 * 1024;
const SLOTS: usize = 64;
/// Slots that events without a waiting caller may take, so that a flood of them stops nobody.
const SLOTS_WITHOUT_WAITER: usize = SLOTS / 2;
/// How many of these one database may take, so that a flood in it stops no other one.
const SLOTS_WITHOUT_WAITER_OF_A_DATABASE: usize = SLOTS_WITHOUT_WAITER * 3 / 4;

const FREE: u32 = 0;
const FILLING: u32 = 1;
const READY: u32 = 2;
/// The worker writes it, and somebody may wait for it.
const TAKEN: u32 = 3;
/// The worker writes it, and whoever waited has gone.
const ABANDONED: u32 = 4;
const WRITTEN: u32 = 5;
const FAILED: u32 = 6;

#[repr(C)]
struct Slot {
    state: AtomicU32,
    database: AtomicU32,
    /// Slots are written in the order of these.
    number: AtomicU64,
    waiter: AtomicPtr<pg_sys::Latch>,
    length: AtomicUsize,
    /// The SQLSTATE of a failure, as the server packs it.
    code: AtomicU32,
    event_id: UnsafeCell<[u8; 16]>,
    bytes: UnsafeCell<[u8; SLOT_BYTES]>,
}

#[repr(C)]
pub struct Queue {
    next: AtomicU64,
    slots: [Slot; SLOTS],
}

// SAFETY: the cells of a slot are touched only by the owner that its state names.
unsafe impl Sync for Queue {}

/// No slot is free.
#[derive(Debug)]
pub struct Full;

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is written and flushed, under this id.
    Written([u8; 16]),
    /// The server raised this SQLSTATE.
    Failed(u32),
    /// Nobody took it in time, and now nobody will.
    Withdrawn,
    /// The worker has it, and did not say in time what became of it.
    Unknown,
}

/// An event that the worker has taken.
pub struct Taken {
    index: usize,
    number: u64,
    pub bytes: Vec<u8>,
}

/// The caller's side of a slot.
pub struct Ticket {
    queue: &'static Queue,
    index: usize,
}

impl Queue {
    /// Sends a parcel to the worker of a database; with a ticket to wait for its answer.
    pub fn send(
        &'static self,
        database: u32,
        bytes: &[u8],
        waits: bool,
    ) -> Result<Option<Ticket>, Full> {
        if !waits && !self.takes_without_waiter(database) {
            return Err(Full);
        }
        let index = self.slots.iter().position(Slot::claim).ok_or(Full)?;
        let ticket = waits.then(|| Ticket::hold(self, index));
        let latch = if waits {
            // SAFETY: a variable of the process.
            unsafe { pg_sys::MyLatch }
        } else {
            std::ptr::null_mut()
        };
        let slot = &self.slots[index];
        slot.waiter.store(latch, Ordering::Relaxed);
        slot.fill(bytes);
        slot.database.store(database, Ordering::Relaxed);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        slot.number.store(number, Ordering::Relaxed);
        slot.state.store(READY, Ordering::Release);
        Ok(ticket)
    }

    /// Whether there is room for an event that nobody waits for.
    fn takes_without_waiter(&self, database: u32) -> bool {
        let (mut all, mut own) = (0, 0);
        for slot in self.slots.iter().filter(|slot| slot.has_no_waiter()) {
            all += 1;
            own += usize::from(slot.database.load(Ordering::Relaxed) == database);
        }
        all < SLOTS_WITHOUT_WAITER && own < SLOTS_WITHOUT_WAITER_OF_A_DATABASE
    }

    /// How many events of a database are under way.
    pub fn depth(&self, database: u32) -> usize {
        let waiting = self.slots.iter().filter(|slot| {
            matches!(
                slot.state.load(Ordering::Acquire),
                READY | TAKEN | ABANDONED
            ) && slot.database.load(Ordering::Relaxed) == database
        });
        waiting.count()
    }

    /// The events that wait for the worker of a database, in their order.
    pub fn take(&self, database: u32) -> Vec<Taken> {
        let mut taken: Vec<Taken> = (0..SLOTS)
            .filter_map(|index| self.slots[index].take(index, database))
            .collect();
        taken.sort_by_key(|taken| taken.number);
        taken
    }

    /// Gives back what a worker had taken that is no more.
    pub fn take_back(&self, database: u32) {
        for slot in &self.slots {
            if slot.database.load(Ordering::Relaxed) != database {
                continue;
            }
            slot.change(TAKEN, READY);
            if slot.state.load(Ordering::Acquire) == ABANDONED {
                slot.waiter.store(std::ptr::null_mut(), Ordering::Relaxed);
                slot.change(ABANDONED, READY);
            }
        }
    }

    /// Throws away what waits for a database that is gone.
    pub fn forget(&self, database: u32) {
        self.take_back(database);
        for slot in &self.slots {
            if slot.database.load(Ordering::Relaxed) == database {
                slot.change(READY, FREE);
            }
        }
    }

    /// Says what became of an event.
    pub fn answer(&self, taken: &Taken, written: Result<[u8; 16], u32>) {
        let slot = &self.slots[taken.index];
        let waiter = slot.waiter.load(Ordering::Relaxed);
        if waiter.is_null() {
            slot.state.store(FREE, Ordering::Release);
            return;
        }
        let state = match written {
            Ok(event_id) => {
                // SAFETY: the slot is the worker's until its state changes.
                unsafe { *slot.event_id.get() = event_id };
                WRITTEN
            }
            Err(code) => {
                slot.code.store(code, Ordering::Relaxed);
                FAILED
            }
        };
        if slot.change(TAKEN, state) {
            // SAFETY: the waiting process stored its own latch.
            unsafe { set_latch(waiter) };
        } else {
            slot.change(ABANDONED, FREE);
        }
    }
}

impl Slot {
    fn has_no_waiter(&self) -> bool {
        self.state.load(Ordering::Acquire) != FREE && self.waiter.load(Ordering::Relaxed).is_null()
    }

    fn claim(&self) -> bool {
        self.change(FREE, FILLING)
    }

    fn change(&self, from: u32, to: u32) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    fn fill(&self, bytes: &[u8]) {
        let length = bytes.len().min(SLOT_BYTES);
        // SAFETY: the slot is this process's while its state is FILLING, and has room for this.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.bytes.get().cast(), length);
        }
        self.length.store(length, Ordering::Relaxed);
    }

    fn take(&self, index: usize, database: u32) -> Option<Taken> {
        // A slot that is withdrawn and filled again in between may be another database's.
        if self.database.load(Ordering::Relaxed) != database || !self.change(READY, TAKEN) {
            return None;
        }
        if self.database.load(Ordering::Relaxed) != database {
            self.change(TAKEN, READY);
            return None;
        }
        let length = self.length.load(Ordering::Relaxed).min(SLOT_BYTES);
        // SAFETY: a taken slot is the worker's, and `length` bytes of it have been written.
        let bytes = unsafe { std::slice::from_raw_parts(self.bytes.get().cast::<u8>(), length) };
        Some(Taken {
            index,
            number: self.number.load(Ordering::Relaxed),
            bytes: bytes.to_vec(),
        })
    }

    /// The answer, once there is one.
    fn answer(&self) -> Option<Answer> {
        match self.state.load(Ordering::Acquire) {
            // SAFETY: the worker has given the slot back.
            WRITTEN => Some(Answer::Written(unsafe { *self.event_id.get() })),
            FAILED => Some(Answer::Failed(self.code.load(Ordering::Relaxed))),
            _ => None,
        }
    }

    /// The caller leaves: it no longer waits, or it has its answer.
    fn leave(&self) -> u32 {
        for (from, to) in [(READY, FREE), (FILLING, FREE), (TAKEN, ABANDONED)] {
            if self.change(from, to) {
                return from;
            }
        }
        // The answer came after all.
        let state = self.state.load(Ordering::Acquire);
        self.state.store(FREE, Ordering::Release);
        state
    }
}

/// The slot that this process holds, plus one: it is given back also when the process is ended in
/// the middle of waiting, which unwinds nothing.
static HELD: AtomicUsize = AtomicUsize::new(0);
static WATCHES_EXIT: AtomicBool = AtomicBool::new(false);

unsafe extern "C-unwind" fn leave_at_exit(_code: std::ffi::c_int, _argument: pg_sys::Datum) {
    let held = HELD.swap(0, Ordering::Relaxed).checked_sub(1);
    if let (Some(index), Some(shared)) = (held, super::get()) {
        shared.queue.slots[index].leave();
    }
}

impl Ticket {
    fn hold(queue: &'static Queue, index: usize) -> Self {
        if !WATCHES_EXIT.swap(true, Ordering::Relaxed) {
            // SAFETY: the callback touches only atomics and shared memory.
            unsafe { pg_sys::before_shmem_exit(Some(leave_at_exit), pg_sys::Datum::from(0usize)) };
        }
        HELD.store(index + 1, Ordering::Relaxed);
        Self { queue, index }
    }

    /// Waits for the worker's answer.
    pub fn wait(self, limit: Duration) -> Answer {
        let begun = Instant::now();
        let slot = &self.queue.slots[self.index];
        loop {
            if let Some(answer) = slot.answer() {
                return answer;
            }
            let Some(left) = limit.checked_sub(begun.elapsed()) else {
                return self.give_up();
            };
            db::wait_latch(left);
            check_for_interrupts!();
        }
    }

    fn give_up(self) -> Answer {
        let slot = &self.queue.slots[self.index];
        if slot.change(READY, FILLING) {
            // It is ours again, and goes back when the ticket is dropped.
            return Answer::Withdrawn;
        }
        slot.answer().unwrap_or(Answer::Unknown)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if HELD.swap(0, Ordering::Relaxed) != 0 {
            self.queue.slots[self.index].leave();
        }
    }
}
