//! Changes of tables, captured by triggers.

mod attach;
mod attachment;
mod coverage;
mod expression;
mod memory;
mod pause;
mod rules;
mod target;
mod transition;
mod triggers;
