//! How a captured row is named and cut down, whatever its table.

mod object_id;
mod omitted;
mod text;

pub use object_id::{composite_key, object_id};
pub use omitted::write_omitted;
pub use text::{bytes_text, uuid_text};
