//! Windows of time in which like events are added up: one client in a loop must not fill the log.

use crate::clock;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

const WINDOWS: usize = 128;
/// How long like events are added up, in microseconds.
const LENGTH: i64 = 60 * 1_000_000;
/// The largest parcel that is kept for the event that tells how often it came again.
const PARCEL_BYTES: usize = 4096;

const FREE: u32 = 0;
const CHANGING: u32 = 1;
const OPEN: u32 = 2;

#[repr(C)]
struct Window {
    state: AtomicU32,
    database: AtomicU32,
    key: AtomicU64,
    began_at: AtomicI64,
    repeats: AtomicU64,
    length: AtomicUsize,
    parcel: UnsafeCell<[u8; PARCEL_BYTES]>,
}

#[repr(C)]
pub struct Windows {
    windows: [Window; WINDOWS],
}

// SAFETY: the parcel of a window is touched only by who has moved its state to CHANGING.
unsafe impl Sync for Windows {}

/// What is to be done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is the first of its kind for a while: write it.
    First,
    /// One like it was written a moment ago; it has been counted there.
    Repeat,
    /// No window is free.
    Full,
}

impl Windows {
    /// Whether one like it was written a moment ago; then it is counted there.
    pub fn counts(&self, database: u32, key: u64) -> bool {
        let open = self
            .windows
            .iter()
            .find(|window| window.is_of(database) && window.key.load(Ordering::Relaxed) == key);
        if let Some(window) = open {
            window.repeats.fetch_add(1, Ordering::Relaxed);
        }
        open.is_some()
    }

    /// Opens a window with the event that is its first. `evicts` lets it take the place of the
    /// oldest one that has nothing to tell.
    pub fn open(&self, database: u32, key: u64, parcel: &[u8], evicts: bool) -> Admission {
        if self.counts(database, key) {
            return Admission::Repeat;
        }
        let free = self
            .windows
            .iter()
            .find(|window| window.change(FREE, CHANGING));
        let window = free.or_else(|| self.oldest(evicts));
        let Some(window) = window else {
            return Admission::Full;
        };
        let kept = if parcel.len() <= PARCEL_BYTES {
            parcel
        } else {
            &[]
        };
        // SAFETY: the window is this process's while its state is CHANGING, and has room for it.
        unsafe {
            std::ptr::copy_nonoverlapping(kept.as_ptr(), window.parcel.get().cast(), kept.len());
        }
        window.length.store(kept.len(), Ordering::Relaxed);
        window.database.store(database, Ordering::Relaxed);
        window.key.store(key, Ordering::Relaxed);
        window.began_at.store(clock::now(), Ordering::Relaxed);
        window.repeats.store(0, Ordering::Relaxed);
        window.state.store(OPEN, Ordering::Release);
        Admission::First
    }

    fn oldest(&self, evicts: bool) -> Option<&Window> {
        let quiet = self.windows.iter().filter(|window| {
            window.state.load(Ordering::Acquire) == OPEN
                && window.repeats.load(Ordering::Relaxed) == 0
        });
        let oldest = quiet.min_by_key(|window| window.began_at.load(Ordering::Relaxed));
        oldest.filter(|window| evicts && window.change(OPEN, CHANGING))
    }

    /// Closes the windows of a database whose time is over: the parcels of those whose event came
    /// again, and how often.
    pub fn close_old(&self, database: u32) -> Vec<(Vec<u8>, u64)> {
        let before = clock::now() - LENGTH;
        let old = self.windows.iter().filter(|window| {
            window.is_of(database) && window.began_at.load(Ordering::Relaxed) < before
        });
        old.filter_map(Window::close).collect()
    }

    /// Forgets the windows of a database that is gone.
    pub fn forget(&self, database: u32) {
        let windows = self.windows.iter().filter(|window| window.is_of(database));
        windows.for_each(|window| {
            window.change(OPEN, FREE);
        });
    }
}

impl Window {
    fn is_of(&self, database: u32) -> bool {
        self.state.load(Ordering::Acquire) == OPEN
            && self.database.load(Ordering::Relaxed) == database
    }

    fn change(&self, from: u32, to: u32) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    fn close(&self) -> Option<(Vec<u8>, u64)> {
        if !self.change(OPEN, CHANGING) {
            return None;
        }
        let repeats = self.repeats.swap(0, Ordering::Relaxed);
        let length = self.length.load(Ordering::Relaxed).min(PARCEL_BYTES);
        // SAFETY: the window is this process's, and `length` bytes of it have been written.
        let parcel = unsafe { std::slice::from_raw_parts(self.parcel.get().cast::<u8>(), length) };
        let told = (repeats > 0 && length > 0).then(|| (parcel.to_vec(), repeats));
        self.state.store(FREE, Ordering::Release);
        told
    }
}
