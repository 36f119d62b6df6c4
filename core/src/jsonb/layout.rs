//! The words of the format: header, entry, alignment and the order of keys.

use std::cmp::Ordering;

/// The deepest nesting of containers that is read or written. The server's own limit is its
/// stack; this one keeps every recursive walk far below ours.
pub const MAX_DEPTH: usize = 1_024;

/// The bits of a header that hold the number of elements or members.
pub(super) const COUNT_MASK: u32 = 0x0FFF_FFFF;
/// Marks a root that is a scalar, stored as an array of one element.
pub(super) const SCALAR_FLAG: u32 = 0x1000_0000;
/// Marks an object.
pub(super) const OBJECT_FLAG: u32 = 0x2000_0000;
/// Marks an array.
pub(super) const ARRAY_FLAG: u32 = 0x4000_0000;

/// The bits of an entry that hold a length or an offset, which bound the size of a container.
pub(super) const LENGTH_MASK: u32 = 0x0FFF_FFFF;
/// Says that an entry holds the end of its data, counted from the start of the data area.
pub(super) const OFFSET_FLAG: u32 = 0x8000_0000;
/// Every entry whose index is a multiple of this is written with an offset. A reader relies on
/// the flag alone.
pub(super) const OFFSET_STRIDE: usize = 32;

const KIND_MASK: u32 = 0x7000_0000;
/// The kinds of an entry, in their place inside the word.
pub(super) const STRING: u32 = 0x0000_0000;
pub(super) const NUMERIC: u32 = 0x1000_0000;
pub(super) const FALSE: u32 = 0x2000_0000;
pub(super) const TRUE: u32 = 0x3000_0000;
pub(super) const NULL: u32 = 0x4000_0000;
pub(super) const CONTAINER: u32 = 0x5000_0000;

/// The word that describes one child of a container.
#[derive(Clone, Copy)]
pub(super) struct Entry(u32);

impl Entry {
    pub(super) fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(u32::from_ne_bytes(bytes))
    }

    pub(super) fn kind(self) -> u32 {
        self.0 & KIND_MASK
    }

    /// Where the data of this child ends, given where it starts.
    pub(super) fn end(self, start: usize) -> usize {
        match self.has_offset() {
            true => self.length_or_offset(),
            false => start.saturating_add(self.length_or_offset()),
        }
    }

    fn has_offset(self) -> bool {
        self.0 & OFFSET_FLAG != 0
    }

    fn length_or_offset(self) -> usize {
        (self.0 & LENGTH_MASK) as usize
    }
}

/// Where the data after `entries` starts: the lengths back to the nearest stored offset.
pub(super) fn end_of(entries: &[[u8; 4]]) -> usize {
    let mut end = 0_usize;
    for &bytes in entries.iter().rev() {
        let entry = Entry::from_bytes(bytes);
        end = end.saturating_add(entry.length_or_offset());
        if entry.has_offset() {
            break;
        }
    }
    end
}

/// A container cut into its parts.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) header: u32,
    pub(super) entries: &'a [[u8; 4]],
    pub(super) data: &'a [u8],
}

impl<'a> Parts<'a> {
    /// `None` if the entries that the header promises are not all there.
    pub(super) fn of(container: &'a [u8]) -> Option<Self> {
        let (header, rest) = container.split_first_chunk::<4>()?;
        let header = u32::from_ne_bytes(*header);
        let count = count(header);
        let entry_count = match header & OBJECT_FLAG {
            0 => count,
            _ => count.checked_mul(2)?,
        };
        let (entries, data) = rest.split_at_checked(entry_count.checked_mul(4)?)?;
        let (entries, _) = entries.as_chunks::<4>();
        Some(Self {
            header,
            entries,
            data,
        })
    }
}

/// The number of elements or members that a header announces.
pub(super) fn count(header: u32) -> usize {
    (header & COUNT_MASK) as usize
}

/// The header of a container, 0 where there is none.
pub(super) fn header(container: &[u8]) -> u32 {
    container
        .first_chunk::<4>()
        .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// The next multiple of four.
pub(super) fn align(offset: usize) -> usize {
    offset.saturating_add(3) & !3
}

/// The order of an object's keys: shorter first, then by bytes.
pub(super) fn compare_keys(left: &[u8], right: &[u8]) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}
