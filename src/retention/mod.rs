//! Partitions from beginning to end: made ahead, closed, kept as policies and holds say, archived,
//! detached, dropped.
//!
//! | file | what |
//! |---|---|
//! | `partition` | which partitions are attached; making them ahead |
//! | `range` | what is recorded of closed ones (`activity.partition_ranges`) |
//! | `policy` | `set_retention()`, `retention_preview()` |
//! | `hold` | `hold()`, `release_hold()`, and the condition for a held event |
//! | `expiry` | what is to be removed from a partition, and removing it |
//! | `detach` | taking a partition out without a stall, and dropping it |
//! | `maintain` | the steps of `maintain()` |
//! | `schedule` | pg_cron |
//!
//! A partition that has to go is archived while it is attached (`archive::write`), then detached,
//! then dropped. Where some of its rows stay, `archive::carry_over` puts a partition with these in
//! its place: it copies them first, and then exchanges the two in one short transaction, under
//! `hold::lock()` and with at most 40 ms for the lock on the parent.

pub mod hold;
mod partition;

pub use partition::{Partition, make_ahead, name, partition_at, partitions};
