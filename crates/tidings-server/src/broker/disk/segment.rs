//! One file of the log: its name, its head, and a walk over its entries.
//!
//! Segments are numbered without a hole, and each says how long the one before it is: so one that is
//! missing or shorter than it was is noticed. What follows from that is not known here.

use super::entry::{Entry, HEAD_BYTES, NoEntry, long_at, number_at};

const MAGIC: &[u8; 8] = b"tidings\n";
const VERSION: u32 = 1;
/// Magic, version, checksum, number, length of the segment before.
pub(super) const HEADER_BYTES: usize = 8 + 4 + 4 + 8 + 8;
const SUFFIX: &str = ".log";
const DIGITS: usize = 20;

/// What a segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) number: u64,
    /// The length of the one before, in bytes; 0 where there was none.
    pub(super) previous_bytes: u64,
}

/// Why a file does not begin as a segment does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoHeader {
    #[error("its head is cut short")]
    Short,
    #[error("its head is not that of a segment")]
    Magic,
    #[error("it was written by a newer version of Tidings")]
    Version,
    #[error("the checksum of its head is wrong")]
    Checksum,
}

impl Header {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, NoHeader> {
        let head = bytes.get(..HEADER_BYTES).ok_or(NoHeader::Short)?;
        if &head[..8] != MAGIC {
            return Err(NoHeader::Magic);
        }
        if checksum(head) != number_at(head, 12) {
            return Err(NoHeader::Checksum);
        }
        if number_at(head, 8) != VERSION {
            return Err(NoHeader::Version);
        }
        Ok(Self { number: long_at(head, 16), previous_bytes: long_at(head, 24) })
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut head = [0; HEADER_BYTES];
        head[..8].copy_from_slice(MAGIC);
        head[8..12].copy_from_slice(&VERSION.to_le_bytes());
        head[16..24].copy_from_slice(&self.number.to_le_bytes());
        head[24..].copy_from_slice(&self.previous_bytes.to_le_bytes());
        let checksum = checksum(&head);
        head[12..16].copy_from_slice(&checksum.to_le_bytes());
        head
    }
}

fn checksum(head: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&head[..12]), &head[16..])
}

/// The name of the segment with this number.
pub(super) fn name(number: u64) -> String {
    format!("{number:0DIGITS$}{SUFFIX}")
}

/// The number in a name, if it is that of a segment.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_number = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

/// Reads entry after entry, up to the first that is not right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    number: u32,
}

/// What stands in an entry's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error(transparent)]
    NoEntry(#[from] NoEntry),
    #[error("entries are missing")]
    Missing,
}

impl<'a> Walk<'a> {
    /// Over the bytes of a whole segment.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: HEADER_BYTES, number: 0 }
    }

    /// Where the next entry begins, in bytes of the segment.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The number that the next entry has to have.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The next entry, or nothing at the end. After damage it stays where it is.
    pub(super) fn next(&mut self) -> Result<Option<Entry<'a>>, Damage> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let entry = Entry::read(rest)?;
        if entry.number != self.number {
            return Err(Damage::Missing);
        }
        self.pass(&entry);
        Ok(Some(entry))
    }

    /// The next entry behind damage, if there is any. A byte at a time: entries begin anywhere.
    pub(super) fn skip(&mut self) -> Option<Entry<'a>> {
        // An entry that is right but out of its turn is where it is.
        while self.at + HEAD_BYTES <= self.bytes.len() {
            if let Ok(entry) = Entry::read(&self.bytes[self.at..])
                && entry.number >= self.number
            {
                self.pass(&entry);
                return Some(entry);
            }
            self.at += 1;
        }
        None
    }

    fn pass(&mut self, entry: &Entry<'_>) {
        self.at += entry.len();
        self.number = entry.number.saturating_add(1);
    }
}

/// Every entry of a segment that can be read, whatever lies between them.
pub(super) fn readable(bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    // One without its head may have lost it to another beginning.
    let at = if Header::read(bytes).is_ok() { HEADER_BYTES } else { 0 };
    let mut walk = Walk { bytes, at, number: 0 };
    std::iter::from_fn(move || walk.next().unwrap_or_else(|_| walk.skip()))
}
