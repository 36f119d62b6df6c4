//! The rules of `activity_log` that can be stated without Postgres.
//!
//! One module per noun; the extension crate translates between these and the server.
#![forbid(unsafe_code)]

pub mod archive;
pub mod capture;
pub mod context;
pub mod durable;
pub mod erasure;
pub mod jsonb;
pub mod metrics;
pub mod notify;
pub mod privacy;
pub mod read;
pub mod record;
pub mod registry;
pub mod retention;
pub mod stream;
pub mod taxonomy;
