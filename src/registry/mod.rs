//! Which actions there are, and what their metadata looks like.

mod actions;
mod check;

pub use actions::register_missing;
pub use check::{check, check_registered};
