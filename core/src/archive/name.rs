//! Names of files, folders and tables.

use std::fmt;
use std::path::{Component, Path, PathBuf};

/// Longest name of a table.
pub const MAX_TABLE_NAME: usize = 63;

const FILE_ENDING: &str = ".ndjson.gz";
const MANIFEST_ENDING: &str = ".manifest.json";

/// Digits of the log's identity and of the lines' digest in a name.
const DIGITS: usize = 12;

/// What the names of a table's archives have in common: the table and the log.
#[must_use]
pub fn stem(partition: &str, log_id: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let partition: String = partition
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .collect();
    let log: String = log_id.chars().filter(char::is_ascii_hexdigit).collect();
    format!("{partition}.{}", log.get(..DIGITS).unwrap_or(&log))
}

/// The names of an archive and of its manifest.
#[must_use]
pub fn file_names(stem: &str, lines_sha256: &str) -> (String, String) {
    let digest = lines_sha256.get(..DIGITS).unwrap_or(lines_sha256);
    (
        format!("{stem}.{digest}{FILE_ENDING}"),
        format!("{stem}.{digest}{MANIFEST_ENDING}"),
    )
}

/// The manifest that is meant by the path of a manifest, or of the archive beside it.
#[must_use]
pub fn manifest_path(path: &str) -> Option<PathBuf> {
    let stem = path.strip_suffix(FILE_ENDING);
    match stem {
        Some(stem) => Some(PathBuf::from(format!("{stem}{MANIFEST_ENDING}"))),
        None => path.ends_with(MANIFEST_ENDING).then(|| PathBuf::from(path)),
    }
}

/// Whether a name that a manifest gives is that of an archive in the same folder.
pub(super) fn is_file_name(name: &str) -> bool {
    name.ends_with(FILE_ENDING) && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

/// Whether a restored table may have this name: it must need no quotes.
#[must_use]
pub fn is_table_name(name: &str) -> bool {
    let mut characters = name.chars();
    name.len() <= MAX_TABLE_NAME
        && characters
            .next()
            .is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Why a folder can't take archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderProblem {
    /// It does not begin at the root.
    Relative,
    /// It has a part `.` or `..`, or ends outside what can be a folder.
    Indirect,
    /// It is not there, or no folder.
    Missing,
    /// A symbolic link is part of it.
    Link,
    /// It lies where the server keeps its own data.
    ServerData,
    /// It belongs to somebody else than the server's user or root.
    Owner,
    /// Anybody may write to it, or replace it from the folder above.
    Open,
    /// The server can't write to it.
    Unwritable,
}

impl fmt::Display for FolderProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Relative => "it must be an absolute path",
            Self::Indirect => "it must have no part . or ..",
            Self::Missing => "it must be a folder that is there",
            Self::Link => "no part of it may be a symbolic link",
            Self::ServerData => "it must lie outside the data directory and every tablespace",
            Self::Owner => "it must belong to the user of the server",
            Self::Open => "neither it nor a folder above it may be writable for everybody",
            Self::Unwritable => "the server must be able to write to it",
        })
    }
}

impl std::error::Error for FolderProblem {}

/// The rules for the text of a folder's path, before anything is looked at.
///
/// # Errors
/// See [`FolderProblem`].
pub fn check_folder(folder: &str) -> Result<&Path, FolderProblem> {
    let path = Path::new(folder);
    if !path.is_absolute() {
        return Err(FolderProblem::Relative);
    }
    // `components()` drops a part `.` silently, so the text is looked at as well.
    let is_direct = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && !folder.split('/').any(|part| part == ".")
        && !folder.contains('\0')
        && path.parent().is_some();
    is_direct.then_some(path).ok_or(FolderProblem::Indirect)
}
