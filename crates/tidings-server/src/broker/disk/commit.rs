//! Up to where the log has been acknowledged, in a file of its own.
//!
//! It is written after the log and before anybody is answered, and not synced: whatever ends the
//! process leaves it right, and what ends the machine leaves an older one. So a bad entry before it is
//! damage, one behind it was never acknowledged, and only after a power cut the latter is not sure.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::entry::{long_at, number_at};
use super::folder::Folder;

const NAME: &str = "commit";
const BYTES: usize = 4 + 8 + 8;

/// A place in the log: everything before it was acknowledged, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    /// The number of a segment.
    pub(super) segment: u64,
    /// Bytes of it.
    pub(super) bytes: u64,
}

impl Commit {
    /// The place that was written last, if it can be read.
    pub(super) fn read(folder: &Folder) -> io::Result<Option<Self>> {
        let Some(bytes) = folder.read(NAME)? else { return Ok(None) };
        let is_right = bytes.len() == BYTES && crc32c::crc32c(&bytes[4..]) == number_at(&bytes, 0);
        Ok(is_right.then(|| Self { segment: long_at(&bytes, 4), bytes: long_at(&bytes, 12) }))
    }

    fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[4..12].copy_from_slice(&self.segment.to_le_bytes());
        bytes[12..].copy_from_slice(&self.bytes.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

/// The file, to be written to again and again.
#[derive(Debug)]
pub(super) struct CommitFile {
    file: File,
}

impl CommitFile {
    /// Begins with a place that is on the disk afterwards.
    pub(super) fn begin(folder: &Folder, commit: Commit) -> io::Result<Self> {
        folder.replace(NAME, &commit.to_bytes())?;
        let file = File::options().write(true).open(folder.file(NAME))?;
        Ok(Self { file })
    }

    /// In one page, so that whatever ends the process leaves the old one or this one.
    pub(super) fn write(&self, commit: Commit) -> io::Result<()> {
        self.file.write_all_at(&commit.to_bytes(), 0)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
