//! One entry of a segment: its bytes, its checksum and what it can hold.
//!
//! What an entry holds is JSON. JSON has no control characters but white space, so that nothing a
//! publisher writes can look like the head of an entry (see [`CONTENT_BYTES_MAX`]): behind damage, the
//! next thing that passes for an entry is one. Files are not known here.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tidings_hub::{Event, Position};

use super::super::idempotency::{Fingerprint, IdempotencyKey};
use super::super::record;
use crate::revocations::Revocation;

/// Length, checksum, number, kind, position, time.
pub(super) const HEAD_BYTES: usize = 4 + 4 + 4 + 1 + 8 + 8;
/// The last byte of a length below this is below 8, and no JSON has such a byte.
pub(super) const CONTENT_BYTES_MAX: usize = 0x0800_0000;
/// Set in the kind of the first entry of what was written at once.
const BEGINS: u8 = 0x80;

const EVENT: u8 = 1;
const KEYED_EVENT: u8 = 2;
const REVOCATION: u8 = 3;
const MARK: u8 = 4;

/// An entry as it lies in a segment; its checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// Which one of its segment it is: one that is missing in between is noticed.
    pub(super) number: u32,
    pub(super) kind: Kind,
    /// Whether it is the first of what was written at once.
    pub(super) begins: bool,
    pub(super) position: Position,
    /// When it was written, in milliseconds since the Unix epoch.
    pub(super) time_ms: u64,
    content: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Event,
    /// An event, and the key it was published with.
    KeyedEvent,
    Revocation,
    /// Positions up to this one may have been given to events that are not kept.
    Mark,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Self::Event => EVENT,
            Self::KeyedEvent => KEYED_EVENT,
            Self::Revocation => REVOCATION,
            Self::Mark => MARK,
        }
    }

    fn of_number(number: u8) -> Option<Self> {
        match number {
            EVENT => Some(Self::Event),
            KEYED_EVENT => Some(Self::KeyedEvent),
            REVOCATION => Some(Self::Revocation),
            MARK => Some(Self::Mark),
            _ => None,
        }
    }

    pub(super) fn is_event(self) -> bool {
        matches!(self, Self::Event | Self::KeyedEvent)
    }
}

/// Why there is no entry at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoEntry {
    #[error("an entry is cut short")]
    Short,
    #[error("an entry has a length or a kind that there is not")]
    Shape,
    #[error("the checksum of an entry is wrong")]
    Checksum,
}

/// Why what an entry holds cannot be read, though it is what was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoContent {
    #[error("it is not UTF-8")]
    Utf8(#[from] std::str::Utf8Error),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Record(#[from] record::RecordError),
    #[error("it has no key that could be read")]
    NoKey,
}

impl<'a> Entry<'a> {
    /// The entry that these bytes begin with.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, NoEntry> {
        let head = bytes.get(..HEAD_BYTES).ok_or(NoEntry::Short)?;
        let length = number_at(head, 0) as usize;
        let kind = Kind::of_number(head[12] & !BEGINS).ok_or(NoEntry::Shape)?;
        if length >= CONTENT_BYTES_MAX {
            return Err(NoEntry::Shape);
        }
        let content = bytes.get(HEAD_BYTES..HEAD_BYTES + length).ok_or(NoEntry::Short)?;
        if checksum(head, content) != number_at(head, 4) {
            return Err(NoEntry::Checksum);
        }
        Ok(Self {
            number: number_at(head, 8),
            kind,
            begins: head[12] & BEGINS != 0,
            position: Position::new(long_at(head, 13)),
            time_ms: long_at(head, 21),
            content,
        })
    }

    /// Bytes it takes in a segment.
    pub(super) fn len(&self) -> usize {
        HEAD_BYTES + self.content.len()
    }

    /// Appends it as the entry with this number.
    pub(super) fn write(&self, number: u32, bytes: &mut Vec<u8>) {
        let (position, time_ms) = (self.position, self.time_ms);
        let head = Head { number, kind: self.kind, begins: self.begins, position, time_ms };
        head.write(bytes, |bytes| bytes.extend_from_slice(self.content));
    }

    /// The event, and when it was published.
    pub(super) fn event(&self) -> Result<(Event, u64), NoContent> {
        let text = std::str::from_utf8(self.content)?;
        let line = match self.kind {
            Kind::KeyedEvent => text.split_once('\n').ok_or(NoContent::NoKey)?.1,
            Kind::Event | Kind::Revocation | Kind::Mark => text,
        };
        Ok(record::decode(line)?)
    }

    /// The key that its event was published with, if any.
    pub(super) fn key(&self) -> Result<Option<IdempotencyKey>, NoContent> {
        if self.kind != Kind::KeyedEvent {
            return Ok(None);
        }
        let end = self.content.iter().position(|&byte| byte == b'\n').ok_or(NoContent::NoKey)?;
        let key: KeyLine<'_> = serde_json::from_slice(&self.content[..end])?;
        let fingerprint = URL_SAFE_NO_PAD.decode(key.of.as_bytes()).unwrap_or_default();
        let fingerprint = Fingerprint::try_from(fingerprint).map_err(|_| NoContent::NoKey)?;
        Ok(Some(IdempotencyKey {
            publisher: key.by.into(),
            text: key.key.into(),
            index: key.index,
            fingerprint,
        }))
    }

    pub(super) fn revocation(&self) -> Result<Option<Revocation>, NoContent> {
        if self.kind != Kind::Revocation {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(self.content)?))
    }
}

/// A key as it stands before its event.
#[derive(Debug, Serialize, Deserialize)]
struct KeyLine<'a> {
    #[serde(borrow)]
    by: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    index: usize,
    /// The fingerprint, in base 64.
    #[serde(borrow)]
    of: Cow<'a, str>,
}

/// What is written before the content of an entry.
#[derive(Clone, Copy, Debug)]
struct Head {
    number: u32,
    kind: Kind,
    begins: bool,
    position: Position,
    time_ms: u64,
}

impl Head {
    fn write(self, bytes: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
        let start = bytes.len();
        bytes.resize(start + HEAD_BYTES, 0);
        content(bytes);
        let (head, content) = bytes[start..].split_at_mut(HEAD_BYTES);
        assert!(content.len() < CONTENT_BYTES_MAX, "an event is bounded far below this");
        let length = u32::try_from(content.len()).expect("below its bound");
        head[0..4].copy_from_slice(&length.to_le_bytes());
        head[8..12].copy_from_slice(&self.number.to_le_bytes());
        head[12] = self.kind.number() | if self.begins { BEGINS } else { 0 };
        head[13..21].copy_from_slice(&self.position.get().to_le_bytes());
        head[21..29].copy_from_slice(&self.time_ms.to_le_bytes());
        let checksum = checksum(head, content);
        head[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Entries to be written at once, the first of them marked as such.
#[derive(Debug)]
pub(super) struct Entries {
    pub(super) bytes: Vec<u8>,
    /// The number of the next.
    pub(super) number: u32,
    begins: bool,
}

impl Entries {
    /// Entries from this number on, in a buffer that is used again.
    pub(super) fn new(mut buffer: Vec<u8>, number: u32) -> Self {
        buffer.clear();
        Self { bytes: buffer, number, begins: true }
    }

    pub(super) fn event(
        &mut self,
        position: Position,
        event: &Event,
        key: Option<&IdempotencyKey>,
        time_ms: u64,
    ) {
        let kind = if key.is_some() { Kind::KeyedEvent } else { Kind::Event };
        self.write(kind, position, time_ms, |bytes| {
            if let Some(key) = key {
                let by = Cow::Borrowed(&*key.publisher);
                let text = Cow::Borrowed(&*key.text);
                let of = URL_SAFE_NO_PAD.encode(key.fingerprint).into();
                let line = KeyLine { by, key: text, index: key.index, of };
                serde_json::to_writer(&mut *bytes, &line).expect("texts and numbers to memory");
                bytes.push(b'\n');
            }
            bytes.extend_from_slice(record::encode(event, time_ms).as_bytes());
        });
    }

    pub(super) fn revocation(&mut self, position: Position, revocation: Revocation, time_ms: u64) {
        self.write(Kind::Revocation, position, time_ms, |bytes| {
            serde_json::to_writer(bytes, &revocation).expect("numbers to memory");
        });
    }

    pub(super) fn mark(&mut self, position: Position, time_ms: u64) {
        self.write(Kind::Mark, position, time_ms, |_| {});
    }

    fn write(
        &mut self,
        kind: Kind,
        position: Position,
        time_ms: u64,
        content: impl FnOnce(&mut Vec<u8>),
    ) {
        let head = Head { number: self.number, kind, begins: self.begins, position, time_ms };
        head.write(&mut self.bytes, content);
        self.number += 1;
        self.begins = false;
    }
}

/// Of all but itself.
fn checksum(head: &[u8], content: &[u8]) -> u32 {
    let checksum = crc32c::crc32c(&head[..4]);
    let checksum = crc32c::crc32c_append(checksum, &head[8..]);
    crc32c::crc32c_append(checksum, content)
}

pub(super) fn number_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn long_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use tidings_hub::{EventType, Payload, Topic};

    use super::*;

    #[test]
    fn an_entry_comes_back_as_it_was() {
        let topics = [Topic::new("a").unwrap()];
        let event = Event::new(EventType::default(), topics, Payload::text("x"), None, 9).unwrap();
        let key = IdempotencyKey {
            publisher: "user:\n\u{0}\"".into(),
            text: "k".into(),
            index: 3,
            fingerprint: [7; 32],
        };
        let mut entries = Entries::new(Vec::new(), 5);
        entries.event(Position::new(9), &event, Some(&key), 1000);
        entries.event(Position::new(10), &event, None, 1001);
        let first = Entry::read(&entries.bytes).unwrap();
        assert_eq!((first.number, first.begins, first.position.get()), (5, true, 9));
        assert_eq!(first.event().unwrap(), (event.clone(), 1000));
        assert_eq!(first.key().unwrap(), Some(key));
        let second = Entry::read(&entries.bytes[first.len()..]).unwrap();
        assert_eq!((second.number, second.begins, second.time_ms), (6, false, 1001));
        assert_eq!((second.event().unwrap().0, second.key().unwrap()), (event, None));
        assert_eq!(first.len() + second.len(), entries.bytes.len());
    }

    #[test]
    fn nothing_that_is_published_looks_like_an_entry() {
        let topics = [Topic::new("a").unwrap()];
        let mut inner = Entries::new(Vec::new(), 0);
        inner.mark(Position::new(9), 1000);
        // The very bytes of an entry, as far as they can be published at all.
        let text = String::from_utf8_lossy(&inner.bytes).into_owned();
        let event = Event::new(EventType::default(), topics, Payload::text(&text), None, 999);
        let mut entries = Entries::new(Vec::new(), 0);
        entries.event(Position::new(9), &event.unwrap(), None, 1000);
        for at in 1..entries.bytes.len() {
            assert!(Entry::read(&entries.bytes[at..]).is_err(), "at {at}");
        }
    }
}
