//! Changes of tables, captured by triggers.

mod attach;
mod attachment;
mod coverage;
mod pause;
mod target;
mod triggers;
