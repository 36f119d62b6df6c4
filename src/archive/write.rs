//! Writing an archive: under another name first, synced, named, and read back.

#![allow(unsafe_code)]

use super::{file, folder, source};
use crate::db;
use crate::error::Error;
use activity_log_core::archive::{self, Manifest, Origin, Summary, Writer};
use pgrx::pg_sys;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Nobody but the server's user reads an archive, until somebody else decides so.
const MODE: u32 = 0o600;

/// An archive that was written and read back.
#[derive(Clone, Debug)]
pub struct Archived {
    /// The path of the compressed file.
    pub file: String,
    /// The path of its manifest, which `restore_archive()` takes.
    pub manifest: String,
    /// How many events it holds.
    pub rows: u64,
    /// The digest of the compressed file, in hexadecimal digits.
    pub sha256: String,
    /// The size of the compressed file.
    pub bytes: u64,
    /// Whose events it holds; `None` where there are too many tenants to list.
    pub tenants: Option<Vec<String>>,
}

/// Writes the rows of a partition, attached or not, to a folder, and reads them back.
///
/// Nothing writes to the partition until the end of the transaction. What an interrupted run left
/// behind is replaced; where the very same archive is there already, that one is read instead.
/// Memory is bounded whatever the number of rows, and a request to cancel is heeded.
///
/// # Errors
/// An invalid `archive_to`, [`Error::ArchiveFile`] where the folder takes no more, or
/// [`Error::ArchiveDamaged`] where what was read is not what was written.
pub fn write(partition: pg_sys::Oid, folder: &str) -> Result<Archived, Error> {
    write_under(pg_sys::ShareRowExclusiveLock, partition, folder)
}

/// The same for a partition that stays: what is written is what is committed at this moment, and
/// nobody who records waits.
pub(super) fn write_copy(partition: pg_sys::Oid, folder: &str) -> Result<Archived, Error> {
    write_under(pg_sys::ShareUpdateExclusiveLock, partition, folder)
}

fn write_under(lock: u32, partition: pg_sys::Oid, folder: &str) -> Result<Archived, Error> {
    let folder = folder::writable(folder)?;
    // SAFETY: any relation may be locked; the server releases the lock. Either lock holds off
    // another archiver, and none a reader.
    unsafe { pg_sys::LockRelationOid(partition, lock as i32) };
    let origin = source::origin(partition)?;
    let stem = archive::stem(&origin.partition, &origin.log_id);
    let partial = Partial::create(folder.join(format!(".{stem}.partial")))?;
    let summary = write_rows(&partial, partition, &origin)?;
    let (name, manifest_name) = archive::file_names(&stem, &summary.contents.lines_sha256);
    let path = text(&folder.join(&manifest_name))?;
    let manifest = match complete(&path, &summary)? {
        Some(manifest) => manifest,
        None => {
            publish(&folder, partial, origin, name, &manifest_name, summary)?;
            file::verify(&path)?
        }
    };
    archived(&folder, path, manifest)
}

/// The same archive, if an earlier run has brought it to its end.
fn complete(path: &str, summary: &Summary) -> Result<Option<Manifest>, Error> {
    match file::verify(path) {
        Ok(manifest) if manifest.contents.lines_sha256 == summary.contents.lines_sha256 => {
            Ok(Some(manifest))
        }
        Ok(_) | Err(Error::ArchiveDamaged { .. } | Error::ArchiveFile { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_rows(
    partial: &Partial,
    partition: pg_sys::Oid,
    origin: &Origin,
) -> Result<Summary, Error> {
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 16, &partial.file));
    let mut line = Vec::new();
    let query = source::query(partition, &origin.columns)?;
    source::printing(|| {
        db::stream(&query, |row| {
            let places = source::FIRST_COLUMN..;
            let cells = places
                .take(origin.columns.len())
                .map(|place| row.printed(place))
                .collect::<Result<Vec<_>, _>>()?;
            line.clear();
            archive::write_line(&mut line, &origin.columns, cells);
            Ok(writer.write(&line, &source::key(row)?)?)
        })
    })?;
    let (_, summary) = writer.finish()?;
    partial.file.sync_all()?;
    Ok(summary)
}

/// Gives the files their names, the manifest last: where there is one, its archive is complete.
fn publish(
    folder: &Path,
    partial: Partial,
    origin: Origin,
    name: String,
    manifest_name: &str,
    summary: Summary,
) -> Result<(), Error> {
    let partial_path = partial.path.clone();
    partial.rename(&folder.join(&name))?;
    sync(folder)?;
    let Summary {
        bytes,
        sha256,
        contents,
    } = summary;
    let manifest = Manifest::new(origin, name, bytes, sha256, contents);
    let partial = Partial::create(partial_path)?;
    (&partial.file).write_all(manifest.to_text().as_bytes())?;
    partial.file.sync_all()?;
    partial.rename(&folder.join(manifest_name))?;
    sync(folder)
}

fn archived(folder: &Path, path: String, manifest: Manifest) -> Result<Archived, Error> {
    Ok(Archived {
        file: text(&folder.join(&manifest.file))?,
        manifest: path,
        rows: manifest.contents.rows,
        sha256: manifest.sha256,
        bytes: manifest.bytes,
        tenants: manifest
            .contents
            .tenants
            .map(|tenants| tenants.into_keys().collect()),
    })
}

fn text(path: &Path) -> Result<String, Error> {
    path.to_str()
        .map(str::to_owned)
        .ok_or(Error::Internal { place: "path" })
}

/// Makes the names in a folder outlast a crash of the machine.
fn sync(folder: &Path) -> Result<(), Error> {
    Ok(File::open(folder)?.sync_all()?)
}

/// A file on its way, removed when it does not arrive.
struct Partial {
    path: PathBuf,
    file: File,
    is_kept: bool,
}

impl Partial {
    /// A new file; one that a run left behind which did not come to its end is removed first.
    /// `create_new` follows no link, so nothing else can be written over.
    fn create(path: PathBuf) -> Result<Self, Error> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&path)?;
        Ok(Self {
            path,
            file,
            is_kept: false,
        })
    }

    fn rename(mut self, target: &Path) -> Result<(), Error> {
        fs::rename(&self.path, target)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_kept {
            // The error that ended the work is the one to tell; the next run removes what is left.
            let _ = fs::remove_file(&self.path);
        }
    }
}
