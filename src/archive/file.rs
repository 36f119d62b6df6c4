//! The files of an archive: opened without following links, and checked against the manifest.

use super::folder;
use crate::error::Error;
use activity_log_core::archive::{self, Manifest, Problem};
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Far above what a manifest with the most tenants takes.
const MAX_MANIFEST: u64 = 16 << 20;

/// An archive whose compressed file has the size and digest of the manifest.
pub(super) struct Opened {
    pub(super) manifest: Manifest,
    pub(super) path: PathBuf,
    file: File,
}

/// Opens the archive that is meant by the path of its manifest or of its file.
pub(super) fn open(path: &str) -> Result<Opened, Error> {
    let path = archive::manifest_path(path)
        .ok_or_else(|| Error::invalid("path", "it must end with .manifest.json or .ndjson.gz"))?;
    let folder = folder::readable(path.parent().unwrap_or(Path::new("/")))?;
    let mut text = String::new();
    open_plain(&path)?
        .take(MAX_MANIFEST)
        .read_to_string(&mut text)
        .map_err(|_| Problem::Manifest)?;
    let manifest = Manifest::parse(&text)?;
    let mut file = open_plain(&folder.join(&manifest.file))?;
    archive::check_file(&manifest, &mut file, || {
        pgrx::check_for_interrupts!();
        Ok::<_, Error>(())
    })?;
    file.rewind()?;
    Ok(Opened {
        manifest,
        path,
        file,
    })
}

impl Opened {
    /// Hands the cells of every row to `each`. What that has done must be undone when this fails.
    pub(super) fn rows(
        self,
        mut each: impl FnMut(Vec<Option<&str>>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Self { manifest, file, .. } = self;
        let columns = &manifest.origin.columns;
        archive::read_lines(&manifest, file, |number, line| {
            pgrx::check_for_interrupts!();
            let cells = archive::read_line(line, columns)
                .map_err(|problem| Problem::Row(number, problem))?;
            each(cells.iter().map(|cell| cell.as_deref()).collect())
        })
    }
}

/// Reads an archive to its end: the digests of file and lines, the number of rows, and every line.
///
/// # Errors
/// [`Error::ArchiveDamaged`] if anything differs from the manifest.
pub fn verify(path: &str) -> Result<Manifest, Error> {
    let opened = open(path)?;
    let manifest = opened.manifest.clone();
    opened.rows(|_| Ok(()))?;
    Ok(manifest)
}

/// Opens an ordinary file, and no link, device or pipe that stands in its place.
fn open_plain(path: &Path) -> Result<File, Error> {
    let named = fs::symlink_metadata(path)?;
    if !named.is_file() {
        return Err(std::io::Error::from(std::io::ErrorKind::NotFound).into());
    }
    let file = File::open(path)?;
    let opened = file.metadata()?;
    if (opened.dev(), opened.ino()) == (named.dev(), named.ino()) {
        Ok(file)
    } else {
        Err(std::io::Error::from(std::io::ErrorKind::NotFound).into())
    }
}
