//! What a reader of the stream has seen, and how that travels as text.
//!
//! A point of the stream is a snapshot of transactions: what is new since then are the events of
//! transactions that were in flight, or had not begun, and have committed since.

mod bytes;
pub mod consumer;
pub mod cursor;
pub mod life;
pub mod point;
pub mod snapshot;

pub use cursor::{BadCursor, Base, Cursor, CursorWriter, Page, Position, Scope};
pub use life::{Life, Place};
pub use point::Point;
pub use snapshot::Snapshot;

#[cfg(test)]
mod tests;
