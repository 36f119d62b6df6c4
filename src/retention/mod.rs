//! Partitions from beginning to end: made ahead, closed, kept as policies and holds say, archived,
//! detached, dropped.
//!
//! | file | what |
//! |---|---|
//! | `partition` | which partitions are attached; making them ahead |
//! | `range` | when the events of closed ones occurred, for readers |
//! | `ledger` | `activity.partition_ranges`: what is written down of each |
//! | `policy`, `change`, `preview` | the rules in force; `set_retention()`; `retention_preview()` |
//! | `hold` | `hold()`, `release_hold()`, and the condition for a held event |
//! | `expiry`, `sweep` | what of a partition goes; removing single rows |
//! | `stages`, `close` | what `maintain()` does with attached partitions |
//! | `detach`, `removal` | taking a partition out without a stall, and dropping it |
//! | `purge` | what goes after the events: keys of idempotency, old entries, old archives |
//! | `run`, `maintain` | a run of `maintain()` and its steps |
//! | `schedule`, `driver` | pg_cron; the worker |
//!
//! A partition that has to go is archived while it is attached (`archive::write`), then detached,
//! then dropped. Where some of its rows stay, `carry_over` puts a partition with these in its
//! place: it copies them first, and then exchanges the two in one short transaction, under
//! `hold::lock()` and with at most 40 ms for the lock on the parent.

pub mod carry;
mod change;
mod close;
mod detach;
mod driver;
pub mod expiry;
pub mod hold;
mod ledger;
mod maintain;
mod partition;
mod policy;
mod preview;
mod purge;
pub mod range;
mod removal;
mod run;
mod schedule;
mod stages;
mod sweep;

pub use driver::drive;
pub use partition::{Partition, make_ahead, name, partition_at, partitions};
pub use run::watch_transactions;
