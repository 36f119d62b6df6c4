//! What the processes of a preloaded server share: who has news, what is to be written by the
//! worker, and what has been counted. Without preloading there is none of it.
//!
//! Everything is an atomic, or bytes that the state beside them guards, so nobody waits for a
//! lock; and everything is valid when it is zero, which is how the server hands it out.

#![allow(unsafe_code)]

mod bells;
mod counters;
mod database;
mod launcher;
mod prepared;
mod queue;
mod transaction;
mod windows;

pub use bells::Ring;
pub use counters::{COUNT, Counter, EVENTS, SOURCES, STATUSES, local};
pub use database::{Database, Outcome};
pub use queue::{Answer, SLOT_BYTES, Taken};
pub use transaction::{Teller, Written, announce_at_commit, count, watch_transactions, wrote};
pub use windows::Admission;

use launcher::Launcher;
use pgrx::{pg_guard, pg_sys};
use prepared::Prepared;
use queue::Queue;
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};
use windows::Windows;

/// Most databases of a cluster that can have a worker and counters of their own.
pub const MAX_DATABASES: usize = 64;

/// The whole of it.
#[repr(C)]
pub struct Shared {
    pub launcher: Launcher,
    pub queue: Queue,
    pub windows: Windows,
    pub prepared: Prepared,
    databases: [Database; MAX_DATABASES],
}

/// Null in a server that has not preloaded the library. Children of the postmaster inherit it.
static AREA: AtomicPtr<Shared> = AtomicPtr::new(std::ptr::null_mut());

type Hook = Option<unsafe extern "C-unwind" fn()>;

/// The hooks of libraries that were loaded before.
#[cfg(not(feature = "pg14"))]
static EARLIER_REQUEST: OnceLock<Hook> = OnceLock::new();
static EARLIER_STARTUP: OnceLock<Hook> = OnceLock::new();

/// Asks for the memory, while the postmaster preloads the library.
pub fn request() {
    // SAFETY: the postmaster has one thread, and these hooks are made to be chained.
    unsafe {
        #[cfg(feature = "pg14")]
        pg_sys::RequestAddinShmemSpace(size_of::<Shared>());
        #[cfg(not(feature = "pg14"))]
        {
            let _ = EARLIER_REQUEST.set(pg_sys::shmem_request_hook);
            pg_sys::shmem_request_hook = Some(on_request);
        }
        let _ = EARLIER_STARTUP.set(pg_sys::shmem_startup_hook);
        pg_sys::shmem_startup_hook = Some(on_startup);
    }
}

fn call(earlier: &OnceLock<Hook>) {
    if let Some(hook) = earlier.get().copied().flatten() {
        // SAFETY: what another library has registered; it may raise.
        unsafe { pg_sys::submodules::ffi::pg_guard_ffi_boundary(|| hook()) };
    }
}

#[cfg(not(feature = "pg14"))]
#[pg_guard]
unsafe extern "C-unwind" fn on_request() {
    call(&EARLIER_REQUEST);
    // SAFETY: the server calls this while it adds up what it has to allocate.
    unsafe { pg_sys::RequestAddinShmemSpace(size_of::<Shared>()) };
}

/// Called once the memory is there, again after a crash.
#[pg_guard]
unsafe extern "C-unwind" fn on_startup() {
    call(&EARLIER_STARTUP);
    let mut found = false;
    // SAFETY: the piece has this size, is aligned to a line of memory, and zeroed the first time.
    unsafe {
        let size = size_of::<Shared>();
        let start = pg_sys::ShmemInitStruct(c"activity_log".as_ptr(), size, &raw mut found);
        if !found {
            std::ptr::write_bytes(start.cast::<u8>(), 0, size);
        }
        AREA.store(start.cast(), Ordering::Release);
    }
}

/// What is shared, if the library was preloaded.
pub fn get() -> Option<&'static Shared> {
    // SAFETY: the memory lives as long as the server, was zeroed, and is only touched through
    // atomics and the cells that they guard.
    unsafe { AREA.load(Ordering::Relaxed).as_ref() }
}

/// The part of the present database; claims one the first time. `None` without preloading, or
/// where all are taken.
pub fn database() -> Option<&'static Database> {
    thread_local! {
        static FOUND: Cell<Option<usize>> = const { Cell::new(None) };
    }
    let shared = get()?;
    if let Some(index) = FOUND.get() {
        return Some(&shared.databases[index]);
    }
    let index = shared.claim(crate::home::database_oid().to_u32())?;
    FOUND.set(Some(index));
    Some(&shared.databases[index])
}

impl Shared {
    /// The part of a database, if it has one.
    pub fn find(&self, oid: u32) -> Option<&Database> {
        self.databases().find(|database| database.oid() == oid)
    }

    /// The parts that are taken.
    pub fn databases(&self) -> impl Iterator<Item = &Database> {
        self.databases.iter().filter(|database| database.oid() != 0)
    }

    fn claim(&self, oid: u32) -> Option<usize> {
        let known = self.databases.iter().position(|part| part.oid() == oid);
        known.or_else(|| {
            self.databases
                .iter()
                .position(|part| part.claim(oid) || part.oid() == oid)
        })
    }
}

fn wake_launcher() {
    if let Some(shared) = get() {
        shared.launcher.wake();
    }
}

/// Adds to a figure of this database at once, whatever becomes of the transaction.
pub fn add(counter: Counter, number: u64) {
    // SAFETY: a variable of the process.
    let process = unsafe { pg_sys::MyProcPid };
    match database() {
        Some(database) => database.counters.add(counter as usize, number, process),
        None => counters::add_locally(counter as usize, number),
    }
}

/// Wakes a process by its latch.
///
/// # Safety
/// The latch is null or that of a process slot of this server, which stays valid when the process
/// has gone; waking a later owner of the slot does no harm.
unsafe fn set_latch(latch: *mut pg_sys::Latch) {
    if !latch.is_null() {
        // SAFETY: promised by the caller.
        unsafe { pg_sys::SetLatch(latch) };
    }
}
