//! The lives of a database: stretches of its history in which a transaction id means one thing.

use sha2::{Digest, Sha256};

/// Where a life stands among the others of a log: homes follow each other, and so do the timelines
/// of one home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The how-manieth home of the log: a restore, a clone or an upgrade begins another.
    pub home: u32,
    /// The server's timeline: a promotion begins another.
    pub timeline: u32,
}

/// A life: its place, and the number that its events carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Where it stands.
    pub place: Place,
    /// What `activity.events.gen` says.
    pub number: i32,
}

/// The number of the first life of a log.
pub const FIRST: i32 = 1;

impl Life {
    /// The life that a server is in when nobody has written it down: every session works out the
    /// same number, and two different lives practically never get the same one.
    #[must_use]
    pub fn derived(place: Place, system_identifier: &str, database: u32) -> Self {
        let digest = Sha256::new()
            .chain_update(b"activity_log/life/v1\n")
            .chain_update(place.home.to_be_bytes())
            .chain_update(place.timeline.to_be_bytes())
            .chain_update(database.to_be_bytes())
            .chain_update(system_identifier)
            .finalize();
        let drawn = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        // Small numbers are left to lives that are written down.
        let number = (drawn & 0x7FFF_FFFF) | 0x0001_0000;
        Self {
            place,
            number: number as i32,
        }
    }
}
