//! Memory of the server that we hold: for as long as something is kept, or while a batch is written.

#![allow(unsafe_code)]

use pgrx::pg_sys;
use std::ffi::CStr;

/// A memory context that lives until it is dropped.
pub struct OwnedMemory(pg_sys::MemoryContext);

impl OwnedMemory {
    /// Memory that outlives the transaction.
    pub fn lasting(name: &'static CStr) -> Self {
        // SAFETY: the context of the caches lives as long as the session.
        unsafe { Self::under(pg_sys::CacheMemoryContext, name) }
    }

    /// Memory that ends with the current context at the latest.
    pub fn passing(name: &'static CStr) -> Self {
        // SAFETY: the current context is always valid.
        unsafe { Self::under(pg_sys::CurrentMemoryContext, name) }
    }

    /// Memory that ends with the one that this was made in at the latest.
    pub fn beside(&self, name: &'static CStr) -> Self {
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

    pub fn context(&self) -> pg_sys::MemoryContext {
        self.0
    }

    /// Makes this the current context; the one that was goes to [`OwnedMemory::leave`]. What raises
    /// in between leaves it to the server's abort to go back.
    pub fn enter(&self) -> pg_sys::MemoryContext {
        // SAFETY: the context is valid while `self` lives.
        unsafe { pg_sys::MemoryContextSwitchTo(self.0) }
    }

    /// Goes back to the context that was current before [`OwnedMemory::enter`].
    pub fn leave(&self, outer: pg_sys::MemoryContext) {
        // SAFETY: the outer context outlives this one.
        unsafe { pg_sys::MemoryContextSwitchTo(outer) };
    }

    /// Runs `work` with this as the current context.
    pub fn within<R>(&self, work: impl FnOnce() -> R) -> R {
        let outer = self.enter();
        let result = work();
        self.leave(outer);
        result
    }

    /// Frees everything in it.
    pub fn reset(&self) {
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
