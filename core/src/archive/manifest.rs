//! What an archive holds, and by which digests it is known to be whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::line::Column;
use super::name::is_file_name;
use super::reader::Problem;

/// The format that this code writes, and the only one that it reads.
const FORMAT: &str = "activity_log/archive/v1";

/// Most tenants that a manifest lists; beyond that it says only how many rows there are.
pub const MAX_TENANTS: usize = 10_000;

/// The manifest beside an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    /// Which table was archived.
    #[serde(flatten)]
    pub origin: Origin,
    /// The compressed file, in the same folder.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub sha256: String,
    /// What its lines are.
    #[serde(flatten)]
    pub contents: Contents,
}

/// Where an archive comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The identity of the log, which dump and restore keep.
    pub log_id: String,
    /// The shape of the log's tables.
    pub schema_version: i32,
    /// The name of the partition, without schema.
    pub partition: String,
    /// Its bounds, where they are known: first instant inside, first after it.
    pub bounds: Option<Range>,
    /// The server, as it names its version.
    pub server_version: String,
    /// When the archive was written.
    pub written_at: String,
    /// The columns, in their order.
    pub columns: Vec<Column>,
}

/// What the lines hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The number of lines.
    pub rows: u64,
    /// The size of all lines with their line breaks.
    pub lines_bytes: u64,
    /// The digest of all lines with their line breaks.
    pub lines_sha256: String,
    /// First and last in their own order; absent where there is no row.
    pub event_id: Option<Range>,
    /// Earliest and latest.
    pub recorded_at: Option<Range>,
    /// Earliest and latest.
    pub occurred_at: Option<Range>,
    /// Rows by tenant; absent where there are more than [`MAX_TENANTS`].
    pub tenants: Option<BTreeMap<String, u64>>,
}

/// The two ends of a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The first.
    pub first: String,
    /// The last; of bounds, the first that is not inside.
    pub last: String,
}

impl Manifest {
    /// The manifest of a file that was written.
    #[must_use]
    pub fn new(
        origin: Origin,
        file: String,
        bytes: u64,
        sha256: String,
        contents: Contents,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            origin,
            file,
            bytes,
            sha256,
            contents,
        }
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`Problem::Manifest`] if it is none of this format, or its file is not beside it.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let manifest: Self = serde_json::from_str(text).map_err(|_| Problem::Manifest)?;
        let is_known = manifest.format == FORMAT && is_file_name(&manifest.file);
        let names = manifest.origin.columns.iter();
        let are_named = names.clone().all(|column| !column.name.is_empty());
        if is_known && are_named && names.len() > 0 {
            Ok(manifest)
        } else {
            Err(Problem::Manifest)
        }
    }

    /// The text of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Plain data with string keys can't fail to serialize.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}
