//! Archives: a partition's rows as compressed lines of JSON, and a manifest that says what they
//! are and how to tell that they are whole.
//!
//! Two files lie beside each other: `<name>.ndjson.gz`, one JSON object per row in the order of
//! `event_id`, and `<name>.manifest.json`. The name carries a part of the lines' digest, so that a
//! file is never written over by one with other content.

mod line;
mod manifest;
mod name;
mod reader;
mod writer;

pub use line::{Column, LineProblem, read_line, write_line};
pub use manifest::{Contents, MAX_TENANTS, Manifest, Origin, Range};
pub use name::{
    FolderProblem, MAX_TABLE_NAME, check_folder, file_names, is_table_name, manifest_path, stem,
};
pub use reader::{Problem, check_file, read_lines};
pub use writer::{RowKey, Summary, Writer};

use sha2::{Digest, Sha256};

/// Longest line: the server can't hold a longer text either.
pub const MAX_LINE: u64 = 1 << 30;

/// The digits of a digest.
fn hex(digest: Sha256) -> String {
    data_encoding::HEXLOWER.encode(&digest.finalize())
}
