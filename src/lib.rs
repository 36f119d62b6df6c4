//! An audit trail inside PostgreSQL: the boundary between the server and `activity_log_core`.
//!
//! One module per noun. A capability translates its arguments, calls the core, and writes through
//! `record`, the only module that writes events.

// The workspace denies unsafe code. The modules that talk to the server's C API allow it
// themselves, with a reason at each block.

use pgrx::prelude::*;

mod access;
mod archive;
mod capture;
mod clock;
mod context;
mod db;
mod erasure;
mod error;
mod home;
mod metrics;
mod notify;
mod privacy;
mod read;
mod record;
mod registry;
mod retention;
mod schema;
mod settings;
mod setup;
mod shared;
mod stream;
mod value;
mod worker;

pgrx::pg_module_magic!();

/// Called once when a process loads the library: by the postmaster when it is preloaded, otherwise
/// by each backend at its first call. It must work in a database that is half restored, so it
/// touches no catalog and no table.
#[allow(non_snake_case)]
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    error::hide_backtraces();
    settings::define();
    db::watch_relations();
    context::watch_transactions();
    retention::watch_transactions();
    shared::watch_transactions();
    worker::register();
}

#[cfg(any(test, feature = "pg_test"))]
mod server_tests;

/// Read by pgrx's test framework.
#[cfg(test)]
pub mod pg_test {
    /// Called before the first test.
    pub fn setup(_options: Vec<&str>) {}

    /// Settings of the server that the tests run in.
    #[must_use]
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec!["shared_preload_libraries = 'activity_log'"]
    }
}
