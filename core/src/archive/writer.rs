//! Writing lines: compressed, digested, counted, in bounded memory.

use std::collections::BTreeMap;
use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat};
use flate2::{Compression, GzBuilder, write::GzEncoder};
use sha2::{Digest, Sha256};

use super::hex;
use super::manifest::{Contents, MAX_TENANTS, Range};

/// What the manifest says of a row.
#[derive(Clone, Copy, Debug)]
pub struct RowKey {
    /// The tenant.
    pub tenant_id: [u8; 16],
    /// The event.
    pub event_id: [u8; 16],
    /// Microseconds since 1970.
    pub recorded_at: i64,
    /// Microseconds since 1970; the ends of the range stand for the infinities.
    pub occurred_at: i64,
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The size of the compressed file.
    pub bytes: u64,
    /// Its digest.
    pub sha256: String,
    /// Its lines.
    pub contents: Contents,
}

/// Compresses and digests lines.
pub struct Writer<W: Write> {
    encoder: GzEncoder<Digesting<W>>,
    lines: Sha256,
    lines_bytes: u64,
    rows: u64,
    ends: Option<Ends>,
    tenants: Option<BTreeMap<[u8; 16], u64>>,
}

/// First and last of what is ordered.
#[derive(Clone, Copy)]
struct Ends {
    event_id: ([u8; 16], [u8; 16]),
    recorded_at: (i64, i64),
    occurred_at: (i64, i64),
}

impl Ends {
    fn of(key: &RowKey) -> Self {
        Self {
            event_id: (key.event_id, key.event_id),
            recorded_at: (key.recorded_at, key.recorded_at),
            occurred_at: (key.occurred_at, key.occurred_at),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            event_id: widened(self.event_id, other.event_id),
            recorded_at: widened(self.recorded_at, other.recorded_at),
            occurred_at: widened(self.occurred_at, other.occurred_at),
        }
    }
}

fn widened<T: Ord>(one: (T, T), other: (T, T)) -> (T, T) {
    (one.0.min(other.0), one.1.max(other.1))
}

impl<W: Write> Writer<W> {
    /// Begins a file. The same lines give the same bytes: the header tells no time and no name.
    pub fn new(output: W) -> Self {
        Self {
            encoder: GzBuilder::new().write(Digesting::new(output), Compression::new(6)),
            lines: Sha256::new(),
            lines_bytes: 0,
            rows: 0,
            ends: None,
            tenants: Some(BTreeMap::new()),
        }
    }

    /// Adds a line, with its line break.
    ///
    /// # Errors
    /// What the output says.
    pub fn write(&mut self, line: &[u8], key: &RowKey) -> io::Result<()> {
        self.encoder.write_all(line)?;
        self.lines.update(line);
        self.lines_bytes += line.len() as u64;
        self.rows += 1;
        let ends = Ends::of(key);
        self.ends = Some(self.ends.map_or(ends, |before| before.and(ends)));
        if let Some(tenants) = &mut self.tenants {
            *tenants.entry(key.tenant_id).or_default() += 1;
            if tenants.len() > MAX_TENANTS {
                self.tenants = None;
            }
        }
        Ok(())
    }

    /// Ends the file; the output, everything written to it, and what was written.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(self) -> io::Result<(W, Summary)> {
        let Digesting {
            mut output,
            digest,
            bytes,
        } = self.encoder.finish()?;
        output.flush()?;
        let times = |(first, last)| Range {
            first: time_text(first),
            last: time_text(last),
        };
        let contents = Contents {
            rows: self.rows,
            lines_bytes: self.lines_bytes,
            lines_sha256: hex(self.lines),
            event_id: self.ends.map(|ends| Range {
                first: uuid_text(&ends.event_id.0),
                last: uuid_text(&ends.event_id.1),
            }),
            recorded_at: self.ends.map(|ends| times(ends.recorded_at)),
            occurred_at: self.ends.map(|ends| times(ends.occurred_at)),
            tenants: self.tenants.map(|tenants| {
                let named = tenants.iter().map(|(id, rows)| (uuid_text(id), *rows));
                named.collect()
            }),
        };
        let summary = Summary {
            bytes,
            sha256: hex(digest),
            contents,
        };
        Ok((output, summary))
    }
}

/// A time of the manifest. What no calendar names stands as its number of microseconds.
pub(super) fn time_text(unix_micros: i64) -> String {
    match (unix_micros, DateTime::from_timestamp_micros(unix_micros)) {
        (i64::MAX, _) => "infinity".to_owned(),
        (i64::MIN, _) => "-infinity".to_owned(),
        (_, Some(time)) => time.to_rfc3339_opts(SecondsFormat::Micros, true),
        (micros, None) => micros.to_string(),
    }
}

fn uuid_text(id: &[u8; 16]) -> String {
    let digits = data_encoding::HEXLOWER.encode(id);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
    parts.join("-")
}

/// Passes bytes on and digests them.
struct Digesting<W> {
    output: W,
    digest: Sha256,
    bytes: u64,
}

impl<W> Digesting<W> {
    fn new(output: W) -> Self {
        Self {
            output,
            digest: Sha256::new(),
            bytes: 0,
        }
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
