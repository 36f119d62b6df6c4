//! Capture: every change of an attached table is in the log, once, as it was stored.

mod captured;
mod chinook;
mod hostile;
mod memory;
mod names;
mod nesting;
mod partitions;
mod redaction;
mod replay;
mod replication;
mod summary;
mod tenants;
mod transactions;
mod types;
mod values;
mod ways;
