//! The segment that is written to, and those before it: entries are appended and made durable, a new
//! segment is begun when one is full, and the oldest are deleted.
//!
//! What the entries mean is not known here, and nothing is told to anybody: whoever appends has to
//! wait for the answer first.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use tidings_hub::Position;
use tracing::warn;

use super::commit::{Commit, CommitFile};
use super::entry::Entries;
use super::folder::Folder;
use super::segment::{self, HEADER_BYTES, Header};
use super::survey::{Segment, Survey};
use crate::config::{self, Durability};

/// Segments that `bytes_max` has room for at the least, so that there is something to delete.
const SEGMENTS_MIN: u64 = 4;

#[derive(Debug)]
pub(super) struct Journal {
    folder: Folder,
    /// The same, open, so that it can be synced without a descriptor to spare.
    directory: File,
    durability: Durability,
    bytes_max: u64,
    segment_bytes: u64,
    /// Those before the one that is written to, oldest first.
    older: VecDeque<Held>,
    active: Held,
    file: File,
    /// The number of the active segment's next entry.
    entry: u32,
    /// Bytes that the active segment began with.
    preface_bytes: u64,
    commit: CommitFile,
    /// Whether the folder has a segment that the disk may not know of.
    is_folder_changed: bool,
    is_warned: bool,
    /// Whether a new segment could not be begun.
    is_late: bool,
}

/// A segment, and what it is needed for.
#[derive(Clone, Copy, Debug)]
struct Held {
    number: u64,
    bytes: u64,
    /// The position of its last event, or of the last before it.
    last: Position,
    /// When a key was last used in it, in milliseconds since the Unix epoch.
    key_ms: u64,
}

/// Why entries were not appended. None of them is there.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no room; later there may be.
    NoRoom(io::Error),
    /// Nothing more can be promised, until the process begins anew.
    Broken(io::Error),
}

/// What is appended, as far as it matters to how long it is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appended {
    pub(super) last: Position,
    /// When it was written, if there is a key in it.
    pub(super) key_ms: Option<u64>,
}

impl Fault {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::NoRoom(error),
            _ => Self::Broken(error),
        }
    }
}

impl Journal {
    /// Goes on with a log that is whole, or begins one. All of it is on the disk afterwards.
    pub(super) fn open(folder: Folder, survey: &Survey, config: &config::Disk) -> io::Result<Self> {
        let mut older: VecDeque<Held> = survey.segments.iter().map(Held::from).collect();
        let mut last = Position::START;
        for held in &mut older {
            last = last.max(held.last);
            held.last = last;
        }
        for held in &older {
            File::open(folder.segment(held.number))?.sync_data()?;
        }
        let (active, file) = match older.pop_back() {
            Some(active) => {
                (active, File::options().write(true).open(folder.segment(active.number))?)
            }
            None => (Held { number: 1, bytes: HEADER_BYTES as u64, last, key_ms: 0 }, {
                let file = File::create_new(folder.segment(1))?;
                file.write_all_at(&Header { number: 1, previous_bytes: 0 }.to_bytes(), 0)?;
                file.sync_all()?;
                file
            }),
        };
        folder.sync()?;
        let commit = Commit { segment: active.number, bytes: active.bytes };
        Ok(Self {
            commit: CommitFile::begin(&folder, commit)?,
            directory: File::open(folder.path())?,
            folder,
            durability: config.durability,
            bytes_max: config.bytes_max,
            segment_bytes: config.segment_bytes.min(config.bytes_max / SEGMENTS_MIN),
            older,
            active,
            file,
            entry: survey.segments.last().map_or(0, |segment| segment.entries),
            preface_bytes: HEADER_BYTES as u64,
            is_folder_changed: false,
            is_warned: false,
            is_late: false,
        })
    }

    /// Entries to be appended next, in a buffer that is used again.
    pub(super) fn entries(&self, buffer: Vec<u8>) -> Entries {
        Entries::new(buffer, self.entry)
    }

    /// Whether a new segment should begin.
    pub(super) fn is_full(&self) -> bool {
        self.active.bytes - self.preface_bytes >= self.segment_bytes
    }

    /// Begins a new segment with a preface: what must be known when all before it is deleted. Where none
    /// can be begun now, as when the process has no descriptor left, the old one grows on.
    pub(super) fn begin_segment(
        &mut self,
        preface: impl FnOnce(&mut Entries),
    ) -> Result<(), Fault> {
        let number = self.active.number + 1;
        let header = Header { number, previous_bytes: self.active.bytes };
        let mut entries = Entries::new(Vec::new(), 0);
        preface(&mut entries);
        let path = self.folder.segment(number);
        let begin = || -> io::Result<File> {
            let file = File::create_new(&path)?;
            file.write_all_at(&header.to_bytes(), 0)?;
            file.write_all_at(&entries.bytes, HEADER_BYTES as u64)?;
            Ok(file)
        };
        let file = match begin() {
            Ok(file) => file,
            Err(error) => {
                if !self.is_late {
                    warn!(%error, "cannot begin a new segment of the log; the old one grows on");
                    self.is_late = true;
                }
                // It may not even have come to be. One that stayed would be taken for the next.
                return match fs::remove_file(&path) {
                    Err(left) if left.kind() != io::ErrorKind::NotFound => Err(Fault::Broken(left)),
                    _ => Ok(()),
                };
            }
        };
        self.is_late = false;
        self.file = file;
        self.is_folder_changed = true;
        self.preface_bytes = (HEADER_BYTES + entries.bytes.len()) as u64;
        self.entry = entries.number;
        let Held { last, .. } = self.active;
        let next = Held { number, bytes: self.preface_bytes, last, key_ms: 0 };
        self.older.push_back(std::mem::replace(&mut self.active, next));
        Ok(())
    }

    /// Appends entries and makes them durable: they are there for good, or not at all.
    pub(super) fn append(&mut self, entries: &Entries, appended: Appended) -> Result<(), Fault> {
        let end = self.active.bytes + entries.bytes.len() as u64;
        if let Err(error) = self.file.write_all_at(&entries.bytes, self.active.bytes) {
            return Err(self.take_back(Fault::of(error)));
        }
        if self.durability == Durability::Fsync
            && let Err(error) = self.sync()
        {
            // The system may have forgotten that this is not on the disk: it is never asked again.
            return Err(self.take_back(Fault::Broken(error)));
        }
        let commit = Commit { segment: self.active.number, bytes: end };
        if let Err(error) = self.commit.write(commit) {
            return Err(self.take_back(Fault::of(error)));
        }
        self.active.bytes = end;
        self.active.last = self.active.last.max(appended.last);
        self.active.key_ms = appended.key_ms.unwrap_or(self.active.key_ms);
        self.entry = entries.number;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if self.is_folder_changed {
            self.directory.sync_all()?;
            self.is_folder_changed = false;
        }
        Ok(())
    }

    /// Whether so many bytes could be appended.
    pub(super) fn has_room(&mut self, bytes: usize) -> Result<(), Fault> {
        let written = self.file.write_all_at(&vec![0; bytes], self.active.bytes);
        self.file.set_len(self.active.bytes).map_err(Fault::Broken)?;
        written.map_err(Fault::of)
    }

    /// Undoes what was written of entries that were not appended.
    fn take_back(&self, fault: Fault) -> Fault {
        match self.file.set_len(self.active.bytes) {
            Ok(()) => fault,
            Err(error) => Fault::Broken(error),
        }
    }

    /// Deletes the oldest segments that nothing is needed of, and those beyond the bound.
    pub(super) fn retire(&mut self, kept_after: Position, keys_since_ms: u64) {
        while let Some(oldest) = self.older.front() {
            let is_needed = oldest.last > kept_after || oldest.key_ms > keys_since_ms;
            if is_needed && self.bytes() <= self.bytes_max {
                return;
            }
            if is_needed && !self.is_warned {
                self.is_warned = true;
                warn!(
                    bytes_max = self.bytes_max,
                    "disk.bytes_max is reached: after a restart, some of what readers may still ask \
                     for or retry will not be there, and they will be told of a gap"
                );
            }
            if let Err(error) = fs::remove_file(self.folder.segment(oldest.number)) {
                warn!(%error, segment = segment::name(oldest.number), "cannot delete a segment");
                return;
            }
            self.older.pop_front();
        }
    }

    fn bytes(&self) -> u64 {
        self.older.iter().map(|held| held.bytes).sum::<u64>() + self.active.bytes
    }

    /// Has all of it on the disk, also what was not asked to be so far.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if self.durability == Durability::Os {
            for held in &self.older {
                File::open(self.folder.segment(held.number))?.sync_data()?;
            }
        }
        self.file.sync_data()?;
        self.folder.sync()?;
        self.commit.sync()
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }
}

impl From<&Segment> for Held {
    fn from(segment: &Segment) -> Self {
        Self {
            number: segment.number,
            bytes: segment.file_bytes,
            last: segment.positions.map_or(Position::START, |(_, last)| last),
            key_ms: segment.key_ms.unwrap_or_default(),
        }
    }
}
