//! Changes of tenant tables, captured by triggers: which tables and how (`attach` and the others),
//! and the functions that their triggers call (`trigger`).

mod as_of;
mod attach;
mod attachment;
mod command;
mod condition;
mod coverage;
mod expression;
mod history;
mod lives;
mod partitions;
mod pause;
mod prepared;
mod rules;
mod schema_changes;
mod shape;
mod target;
mod timeline;
mod transition;
mod trigger;
mod triggers;

pub use condition::{Place, put_right};
