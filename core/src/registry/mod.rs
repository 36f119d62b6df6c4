//! What may be recorded: action names, the schemas of their metadata, typed wrappers.

pub mod action;
pub mod schema;
pub mod wrapper;
