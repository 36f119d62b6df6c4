//! Reading an archive back: nothing of it is believed that the manifest's digests don't cover.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::line::LineProblem;
use super::manifest::Manifest;
use super::{MAX_LINE, hex};

/// Why an archive is not what its manifest says.
#[derive(Debug)]
pub enum Problem {
    /// The manifest can't be read as one.
    Manifest,
    /// The file has another size.
    Size,
    /// The file has another digest.
    Digest,
    /// The file can't be decompressed.
    Compression,
    /// The lines have another digest.
    LinesDigest,
    /// There are more or fewer lines.
    Rows,
    /// A line is no text, too long, or without its line break.
    Line(u64),
    /// A line is no row.
    Row(u64, LineProblem),
    /// The file can't be read.
    Read(io::Error),
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest => formatter.write_str("the manifest is none of this format"),
            Self::Size => formatter.write_str("the file has not the size of the manifest"),
            Self::Digest => formatter.write_str("the file has not the digest of the manifest"),
            Self::Compression => formatter.write_str("the file can't be decompressed"),
            Self::LinesDigest => {
                formatter.write_str("the lines have not the digest of the manifest")
            }
            Self::Rows => formatter.write_str("there are not as many rows as the manifest says"),
            Self::Line(number) => write!(formatter, "line {number} is no line of text"),
            Self::Row(number, problem) => write!(formatter, "line {number}: {problem}"),
            Self::Read(error) => write!(formatter, "{}", error.kind()),
        }
    }
}

impl std::error::Error for Problem {}

const BUFFER: usize = 1 << 16;

/// Checks size and digest of the compressed file, without decompressing it: whatever comes out of
/// a file that fails here was not put in by us. `pause` is called often and may end the work.
///
/// # Errors
/// See [`Problem`], or what `pause` says.
pub fn check_file<E: From<Problem>>(
    manifest: &Manifest,
    mut file: impl Read,
    mut pause: impl FnMut() -> Result<(), E>,
) -> Result<(), E> {
    let mut digest = Sha256::new();
    let mut bytes = 0u64;
    let mut buffer = vec![0u8; BUFFER];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(Problem::Read(error).into()),
        };
        digest.update(&buffer[..count]);
        bytes += count as u64;
        pause()?;
    }
    if bytes != manifest.bytes {
        return Err(Problem::Size.into());
    }
    if hex(digest) != manifest.sha256 {
        return Err(Problem::Digest.into());
    }
    Ok(())
}

/// Hands every line, without its line break, to `each`, and checks digest and number at the end:
/// what `each` has done must be undone if this fails.
///
/// # Errors
/// See [`Problem`], or what `each` says.
pub fn read_lines<E: From<Problem>>(
    manifest: &Manifest,
    file: impl Read,
    mut each: impl FnMut(u64, &str) -> Result<(), E>,
) -> Result<(), E> {
    let mut lines = BufReader::with_capacity(BUFFER, GzDecoder::new(file));
    let mut digest = Sha256::new();
    let mut rows = 0u64;
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = (&mut lines)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .map_err(|error| match error.kind() {
                io::ErrorKind::InvalidInput
                | io::ErrorKind::InvalidData
                | io::ErrorKind::UnexpectedEof => Problem::Compression,
                _ => Problem::Read(error),
            })?;
        if count == 0 {
            break;
        }
        rows += 1;
        digest.update(&line);
        let text = line
            .strip_suffix(b"\n")
            .and_then(|text| str::from_utf8(text).ok())
            .ok_or(Problem::Line(rows))?;
        each(rows, text)?;
    }
    if rows != manifest.contents.rows {
        return Err(Problem::Rows.into());
    }
    if hex(digest) != manifest.contents.lines_sha256 {
        return Err(Problem::LinesDigest.into());
    }
    Ok(())
}
