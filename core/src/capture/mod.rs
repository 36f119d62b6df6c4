//! Captured tables: what they and their rows are called, how their columns move, what is kept of
//! their values, and what their rows were.

pub mod columns;
pub mod naming;
mod object_id;
mod omitted;
pub mod replay;
mod text;

pub use object_id::{composite_key, object_id};
pub use omitted::write_omitted;
pub use text::{bytes_text, uuid_text};
