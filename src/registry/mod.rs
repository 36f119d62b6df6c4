//! Which actions there are, and what their metadata looks like.

mod actions;
mod check;

pub use check::check;
