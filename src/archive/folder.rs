//! Where archives may lie: in a folder that nobody but the server and root can put files into or
//! exchange.

use crate::db;
use crate::error::Error;
use activity_log_core::archive::{self, FolderProblem};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const ROOT: u32 = 0;
const WRITABLE_FOR_ALL: u32 = 0o002;
/// In such a folder only the owner of a file can rename it.
const STICKY: u32 = 0o1000;

/// Refuses a folder that can't take archives.
///
/// # Errors
/// An invalid `archive_to`.
pub fn check_folder(folder: &str) -> Result<(), Error> {
    writable(folder).map(|_| ())
}

/// The folder, checked, and tried by making a file in it.
pub(super) fn writable(folder: &str) -> Result<PathBuf, Error> {
    inspect(folder)
        .and_then(|path| try_out(&path).map(|()| path))
        .map_err(|problem| Error::invalid("archive_to", problem.to_string()))
}

/// The folder that archives are read from, by the same rules.
pub(super) fn readable(folder: &Path) -> Result<PathBuf, Error> {
    let text = folder.to_str().ok_or(FolderProblem::Indirect);
    text.and_then(inspect)
        .map_err(|problem| Error::invalid("path", problem.to_string()))
}

fn inspect(folder: &str) -> Result<PathBuf, FolderProblem> {
    let path = archive::check_folder(folder)?;
    let metadata = fs::metadata(path).map_err(|_| FolderProblem::Missing)?;
    if !metadata.is_dir() {
        return Err(FolderProblem::Missing);
    }
    let resolved = path.canonicalize().map_err(|_| FolderProblem::Missing)?;
    if resolved != path {
        return Err(FolderProblem::Link);
    }
    let data = PathBuf::from(db::data_directory());
    if server_folders(&data).any(|kept| resolved.starts_with(kept)) {
        return Err(FolderProblem::ServerData);
    }
    // The server refuses to start where its data directory belongs to somebody else.
    let server = fs::metadata(&data).map_or(ROOT, |data| data.uid());
    if ![ROOT, server].contains(&metadata.uid()) {
        return Err(FolderProblem::Owner);
    }
    if metadata.mode() & WRITABLE_FOR_ALL != 0 || resolved.ancestors().skip(1).any(is_open) {
        return Err(FolderProblem::Open);
    }
    Ok(resolved)
}

/// The data directory, and what it leads to elsewhere: tablespaces and the log of writes.
fn server_folders(data: &Path) -> impl Iterator<Item = PathBuf> {
    let tablespaces = fs::read_dir(data.join("pg_tblspc")).into_iter().flatten();
    let links = tablespaces.flatten().map(|entry| entry.path());
    links
        .chain([data.to_owned(), data.join("pg_wal")])
        .filter_map(|folder| folder.canonicalize().ok())
}

fn is_open(folder: &Path) -> bool {
    fs::metadata(folder).map_or(true, |found| {
        found.mode() & WRITABLE_FOR_ALL != 0 && found.mode() & STICKY == 0
    })
}

fn try_out(folder: &Path) -> Result<(), FolderProblem> {
    let probe = folder.join(format!(".activity_log.{}.probe", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).open(&probe);
    let removed = fs::remove_file(&probe);
    made.and(removed)
        .map_err(|_: io::Error| FolderProblem::Unwritable)
}
