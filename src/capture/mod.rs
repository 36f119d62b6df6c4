//! Changes of tenant tables, captured by triggers: which tables and how (`attach` and the others),
//! and the functions that their triggers call (`trigger`).

mod attach;
mod attachment;
mod coverage;
mod expression;
mod memory;
mod pause;
mod rules;
mod target;
mod transition;
mod trigger;
mod triggers;
