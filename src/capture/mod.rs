//! Changes of tenant tables, captured by triggers: which tables and how (`attach` and the others),
//! and the functions that their triggers call (`trigger`).

mod attach;
mod attachment;
mod coverage;
mod pause;
mod target;
mod trigger;
mod triggers;
