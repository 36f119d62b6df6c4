//! Capture: every change of an attached table is in the log, once, as it was stored.

mod attach;
mod captured;
mod chinook;
mod coverage;
mod history;
mod hostile;
mod memory;
mod names;
mod nesting;
mod owners;
mod partitions;
mod pause;
mod redaction;
mod replay;
mod replication;
mod rules;
mod schema_changes;
mod summary;
mod tenants;
mod transactions;
mod triggers;
mod types;
mod values;
mod ways;
