//! Looks through a log that nobody writes to: what is in it, and whether all is there that was ever
//! acknowledged. It changes nothing.
//!
//! Where that cannot be told, the answer is no: a gap too many, never one too few.

use std::collections::VecDeque;
use std::io;
use std::num::NonZero;
use std::thread;

use tidings_hub::Position;

use super::commit::Commit;
use super::entry::Kind;
use super::folder::Folder;
use super::meta::{Left, Meta};
use super::segment::{HEADER_BYTES, Header, NoHeader, Walk};
use crate::config::Durability;

/// What is in a folder.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) left: Left,
    pub(super) commit: Option<Commit>,
    /// In order.
    pub(super) segments: Vec<Segment>,
}

/// What is in a segment, up to where it can be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) file_bytes: u64,
    /// What it says of the one before it, if it has a head.
    pub(super) previous_bytes: Option<u64>,
    /// Where reading ended early, and why.
    pub(super) damage: Option<(u64, String)>,
    pub(super) is_newer: bool,
    pub(super) entries: u32,
    /// How often something was written to it.
    pub(super) writes: u64,
    pub(super) events: u64,
    pub(super) keys: u64,
    pub(super) revocations: u64,
    /// Bytes of its events.
    pub(super) events_bytes: u64,
    /// Positions of its first and its last event.
    pub(super) positions: Option<(Position, Position)>,
    /// No position beyond this was given out, as far as this segment knows.
    pub(super) reserved: Position,
    /// When its first and its last event were published, in milliseconds since the Unix epoch.
    pub(super) times_ms: Option<(u64, u64)>,
    /// When a key was last used.
    pub(super) key_ms: Option<u64>,
}

/// Whether a log is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is none yet.
    New,
    /// All that was acknowledged is there. Whatever comes after `end` was not.
    Whole { end: Commit, is_cut: bool },
    /// Something that was acknowledged may be missing.
    Lost(Vec<Finding>),
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// A file, and where in it.
    pub(super) place: String,
    pub(super) what: String,
}

impl Survey {
    /// Reads all of it.
    pub(super) fn take(folder: &Folder) -> io::Result<Self> {
        // In this order, so that what a node writes meanwhile lies behind what it has acknowledged.
        let left = Meta::read(folder)?;
        let commit = Commit::read(folder)?;
        let mut segments = Vec::new();
        let read = |number| Segment::read(folder, number);
        in_order(&folder.segments()?, read, |segment| segments.push(segment));
        let segments = segments.into_iter().collect::<io::Result<_>>()?;
        Ok(Self { left, commit, segments })
    }

    /// No position beyond this was given out.
    pub(super) fn reserved(&self) -> Position {
        self.segments.iter().map(|segment| segment.reserved).max().unwrap_or_default()
    }

    pub(super) fn verdict(&self) -> Verdict {
        let is_empty = self
            .segments
            .iter()
            .all(|segment| segment.entries == 0 && segment.file_bytes <= HEADER_BYTES as u64);
        if self.left == Left::Nothing && is_empty {
            return Verdict::New;
        }
        let mut findings = Vec::new();
        // Whether what was written last is there for certain, so that what is not there never was.
        let mut is_sure = false;
        match &self.left {
            Left::Nothing => findings.push(Finding::new("meta", "is missing")),
            Left::Unreadable => findings.push(Finding::new("meta", "cannot be read")),
            Left::Meta(meta) => {
                is_sure = meta.has_all_that_was_written();
                if !is_sure && meta.durability == Durability::Os {
                    let what = "says that the machine went down, and with durability = \"os\" the \
                                last events may not have reached the disk";
                    findings.push(Finding::new("meta", what));
                }
            }
        }
        let commit = self.commit.unwrap_or_else(|| {
            findings.push(Finding::new("commit", "is missing or cannot be read"));
            Commit { segment: 0, bytes: 0 }
        });
        if self.commit.is_some() && !self.segments.iter().any(|it| it.number == commit.segment) {
            let place = super::segment::name(commit.segment);
            findings.push(Finding::new(place, "is missing, and was acknowledged"));
        }
        let cut = self.find_cut(commit, is_sure, &mut findings);
        if !findings.is_empty() {
            return Verdict::Lost(findings);
        }
        let whole =
            self.segments.last().map(|it| Commit { segment: it.number, bytes: it.file_bytes });
        let end = cut.or(whole).expect("a log that was acknowledged has the segment it was in");
        Verdict::Whole { end, is_cut: cut.is_some() }
    }

    /// The end of what is to be kept, if that is not the end of it all.
    fn find_cut(
        &self,
        commit: Commit,
        is_sure: bool,
        findings: &mut Vec<Finding>,
    ) -> Option<Commit> {
        let mut before: Option<&Segment> = None;
        let mut newest = Position::START;
        for (index, segment) in self.segments.iter().enumerate() {
            let next = self.segments.get(index + 1);
            if before.is_some_and(|before| before.number + 1 != segment.number) {
                let what = "is there, and the one before it is not";
                findings.push(Finding::new(segment.name(), what));
            }
            let fault = segment.fault(next, newest);
            if let Some((at, what)) = fault {
                let is_acknowledged = segment.number < commit.segment
                    || (segment.number == commit.segment && at < commit.bytes);
                let place = format!("{} at byte {at}", segment.name());
                if !is_acknowledged && is_sure && at >= HEADER_BYTES as u64 {
                    return Some(Commit { segment: segment.number, bytes: at });
                }
                if !is_acknowledged
                    && is_sure
                    && let Some(before) = before
                {
                    // It never came to be a segment.
                    return Some(Commit { segment: before.number, bytes: before.file_bytes });
                }
                let doubt = if is_acknowledged {
                    String::new()
                } else {
                    "; the machine went down, so that it cannot be told whether this was \
                     acknowledged"
                        .to_owned()
                };
                findings.push(Finding { place, what: what + &doubt });
            } else if segment.number == commit.segment && segment.file_bytes < commit.bytes {
                let (is, was) = (segment.file_bytes, commit.bytes);
                let what = format!("is {is} bytes long, and {was} bytes of it were acknowledged");
                findings.push(Finding::new(segment.name(), what));
            }
            newest = segment.positions.map_or(newest, |(_, last)| last.max(newest));
            before = Some(segment);
        }
        None
    }
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl Segment {
    fn read(folder: &Folder, number: u64) -> io::Result<Self> {
        Ok(Self::look_through(number, &std::fs::read(folder.segment(number))?))
    }

    fn look_through(number: u64, bytes: &[u8]) -> Self {
        let file_bytes = bytes.len() as u64;
        let mut segment = Self { number, file_bytes, ..Self::default() };
        match Header::read(bytes) {
            Ok(header) if header.number == number => {
                segment.previous_bytes = Some(header.previous_bytes);
            }
            Ok(_) => segment.damage = Some((0, "its head is that of another".to_owned())),
            Err(error) => {
                segment.is_newer = error == NoHeader::Version;
                segment.damage = Some((0, error.to_string()));
            }
        }
        if segment.damage.is_some() {
            return segment;
        }
        let mut walk = Walk::new(bytes);
        loop {
            let at = walk.at() as u64;
            let entry = match walk.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(damage) => {
                    segment.damage = Some((at, damage.to_string()));
                    break;
                }
            };
            let last = segment.positions.map(|(_, last)| last);
            if entry.kind.is_event() && last.is_some_and(|last| entry.position <= last) {
                segment.damage = Some((at, "positions do not grow".to_owned()));
                break;
            }
            segment.count(&entry);
        }
        segment.entries = walk.number();
        segment
    }

    fn count(&mut self, entry: &super::entry::Entry<'_>) {
        self.writes += u64::from(entry.begins);
        self.reserved = self.reserved.max(entry.position);
        match entry.kind {
            Kind::Mark => {}
            Kind::Revocation => self.revocations += 1,
            Kind::Event | Kind::KeyedEvent => {
                self.events += 1;
                self.events_bytes += entry.len() as u64;
                let first = self.positions.map_or(entry.position, |(first, _)| first);
                self.positions = Some((first, entry.position));
                let first_ms = self.times_ms.map_or(entry.time_ms, |(first_ms, _)| first_ms);
                self.times_ms = Some((first_ms, entry.time_ms));
                if entry.kind == Kind::KeyedEvent {
                    self.keys += 1;
                    self.key_ms = Some(entry.time_ms);
                }
            }
        }
    }

    pub(super) fn name(&self) -> String {
        super::segment::name(self.number)
    }

    /// What is wrong with it, given the one after it and the newest position before it.
    fn fault(&self, next: Option<&Self>, newest: Position) -> Option<(u64, String)> {
        if let Some((at, what)) = &self.damage {
            return Some((*at, what.clone()));
        }
        if self.positions.is_some_and(|(first, _)| first <= newest) {
            let what = "its positions are not after those before it";
            return Some((HEADER_BYTES as u64, what.to_owned()));
        }
        let was = next.and_then(|next| next.previous_bytes)?;
        let is = self.file_bytes;
        (was != is).then(|| (is.min(was), format!("it is {is} bytes long, and was {was}")))
    }
}

/// Does a work that takes long for each of many, by all cores, and takes the results in order.
pub(super) fn in_order<T: Send>(
    numbers: &[u64],
    work: impl Fn(u64) -> T + Sync,
    mut take: impl FnMut(T),
) {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let work = &work;
    thread::scope(|scope| {
        let mut working = VecDeque::new();
        for &number in numbers {
            // One more than there are cores, so that none waits while a result is taken.
            if working.len() > cores {
                take(join(working.pop_front()));
            }
            working.push_back(scope.spawn(move || work(number)));
        }
        while !working.is_empty() {
            take(join(working.pop_front()));
        }
    });
}

fn join<T>(handle: Option<thread::ScopedJoinHandle<'_, T>>) -> T {
    let handle = handle.expect("looked at before");
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
