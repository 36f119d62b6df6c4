//! Memory of the server that capture holds: for as long as a table is known, and for as long as
//! a batch of rows is read.

#![allow(unsafe_code)]

use pgrx::pg_sys;
use std::ffi::CStr;

/// A memory context that lives until it is dropped.
pub(super) struct OwnedMemory(pg_sys::MemoryContext);

impl OwnedMemory {
    /// Memory that outlives the transaction.
    pub(super) fn lasting(name: &'static CStr) -> Self {
        // SAFETY: the context of the caches lives as long as the session.
        unsafe { Self::under(pg_sys::CacheMemoryContext, name) }
    }

    /// Memory that ends with the current context at the latest.
    pub(super) fn passing(name: &'static CStr) -> Self {
        // SAFETY: the current context is always valid.
        unsafe { Self::under(pg_sys::CurrentMemoryContext, name) }
    }

    /// Memory that ends with the one that this was made in at the latest.
    pub(super) fn beside(&self, name: &'static CStr) -> Self {
        // SAFETY: a context that is valid has a valid parent.
        unsafe { Self::under(pg_sys::MemoryContextGetParent(self.0), name) }
    }

    /// # Safety
    /// `parent` is a valid context.
    unsafe fn under(parent: pg_sys::MemoryContext, name: &'static CStr) -> Self {
        // SAFETY: promised by the caller; the name is a constant.
        Self(unsafe {
            pg_sys::AllocSetContextCreateInternal(
                parent,
                name.as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            )
        })
    }

    pub(super) fn context(&self) -> pg_sys::MemoryContext {
        self.0
    }

    /// Makes this the current context; the one that was goes to [`OwnedMemory::leave`]. What raises
    /// in between leaves it to the server's abort to go back.
    pub(super) fn enter(&self) -> pg_sys::MemoryContext {
        // SAFETY: the context is valid while `self` lives.
        unsafe { pg_sys::MemoryContextSwitchTo(self.0) }
    }

    /// Goes back to the context that was current before [`OwnedMemory::enter`].
    pub(super) fn leave(&self, outer: pg_sys::MemoryContext) {
        // SAFETY: the outer context outlives this one.
        unsafe { pg_sys::MemoryContextSwitchTo(outer) };
    }

    /// Runs `work` with this as the current context.
    pub(super) fn within<R>(&self, work: impl FnOnce() -> R) -> R {
        let outer = self.enter();
        let result = work();
        self.leave(outer);
        result
    }

    /// Frees everything in it.
    pub(super) fn reset(&self) {
        // SAFETY: the context is valid, and nothing allocated in it is used any more.
        unsafe { pg_sys::MemoryContextReset(self.0) };
    }
}

impl Drop for OwnedMemory {
    fn drop(&mut self) {
        // After an error a passing context may be gone with its parent.
        if !std::thread::panicking() {
            // SAFETY: the context is valid and not the current one.
            unsafe { pg_sys::MemoryContextDelete(self.0) };
        }
    }
}
