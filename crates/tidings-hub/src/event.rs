//! What is published: a valid event, and the same event once it has a place in the log.
//!
//! The constructor is the only gate: whatever has become an [`Event`] can be written to a stream
//! without breaking a frame. Who may publish what, and how a request spells it, is not known here.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::frame::Frame;
use crate::position::{Cursor, Epoch, Position};
use crate::topic::Topic;

/// Characters in an event type.
pub const EVENT_TYPE_CHARS_MAX: usize = 64;
/// Topics one event may be published to.
pub const EVENT_TOPICS_MAX: usize = 100;
/// The type of an event that names none; left out on the stream, as the standard does.
pub const EVENT_TYPE_DEFAULT: &str = "message";
/// Types that begin with this are the hub's own.
pub const EVENT_TYPE_RESERVED: &str = "tidings.";

/// An event's type: 1 to 64 visible characters without a comma (types are joined by commas in a
/// subscriber's `types`), not beginning with `tidings.`. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Arc<str>);

impl EventType {
    /// Checks a type from outside.
    pub fn new(name: &str) -> Result<Self, EventError> {
        if name.starts_with(EVENT_TYPE_RESERVED) {
            return Err(EventError::TypeReserved);
        }
        let chars = name.chars().count();
        if chars == 0 || chars > EVENT_TYPE_CHARS_MAX {
            return Err(EventError::TypeLength);
        }
        if !name.chars().all(is_visible) || name.contains(',') {
            return Err(EventError::TypeCharacter);
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for EventType {
    fn default() -> Self {
        Self(EVENT_TYPE_DEFAULT.into())
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventType({})", self.0)
    }
}

/// Whether a character shows: no control, no white space, and none of the characters that are
/// invisible (fillers and tags among them) or turn the direction of the text around them.
fn is_visible(char: char) -> bool {
    !char.is_control()
        && !char.is_whitespace()
        && !matches!(char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// What an event carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// JSON text on one line, exactly as published but for line breaks between its tokens.
    Json(Box<str>),
    /// Raw text; its line ends are LF.
    Text(Box<str>),
}

impl Payload {
    /// JSON, carried as its text. A line break can only be white space there, so each becomes a
    /// space: the value is the same and it fits one line everywhere.
    pub fn json(value: &RawValue) -> Self {
        let text = value.get();
        if text.contains(['\r', '\n']) {
            Self::Json(text.replace(['\r', '\n'], " ").into())
        } else {
            Self::Json(text.into())
        }
    }

    /// Raw text. A stream cannot tell CR, LF and CR LF apart, so all become LF here, and every
    /// transport shows the same text.
    pub fn text(text: &str) -> Self {
        if text.contains('\r') {
            Self::Text(text.replace("\r\n", "\n").replace('\r', "\n").into())
        } else {
            Self::Text(text.into())
        }
    }

    /// The text of either.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Json(text) | Self::Text(text) => text,
        }
    }
}

/// A valid event that has not been given a place yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    event_type: EventType,
    topics: Box<[Topic]>,
    payload: Payload,
    ttl_secs: Option<u32>,
}

impl Event {
    /// An event for these topics, in this order; repeats are dropped.
    ///
    /// `event_bytes_max` bounds the payload; `ttl_secs` may only shorten the log's own age.
    pub fn new(
        event_type: EventType,
        topics: impl IntoIterator<Item = Topic>,
        payload: Payload,
        ttl_secs: Option<u32>,
        event_bytes_max: usize,
    ) -> Result<Self, EventError> {
        let mut unique: Vec<Topic> = Vec::new();
        for topic in topics {
            if !unique.contains(&topic) {
                unique.push(topic);
            }
            if unique.len() > EVENT_TOPICS_MAX {
                return Err(EventError::TooManyTopics);
            }
        }
        if unique.is_empty() {
            return Err(EventError::NoTopic);
        }
        let bytes = payload.as_str().len();
        if bytes > event_bytes_max {
            return Err(EventError::TooLarge { bytes, event_bytes_max });
        }
        if ttl_secs == Some(0) {
            return Err(EventError::Ttl);
        }
        Ok(Self { event_type, topics: unique.into(), payload, ttl_secs })
    }

    /// The type.
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// The topics, in the order given.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// What it carries.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// How long it may stay in the log, if that is shorter than the log's age.
    pub fn ttl_secs(&self) -> Option<u32> {
        self.ttl_secs
    }
}

/// An event with a place in the log: what every subscriber is given, shared and never changed.
#[derive(Debug)]
pub struct StoredEvent {
    cursor: Cursor,
    time_ms: u64,
    event_type: EventType,
    topics: Box<[Topic]>,
    frame: Frame,
    is_json: bool,
}

impl StoredEvent {
    /// Gives an event its place and its time, in milliseconds since the Unix epoch, and encodes
    /// its frame.
    pub fn new(event: Event, epoch: Epoch, position: Position, time_ms: u64) -> Self {
        let cursor = Cursor { epoch, position };
        let frame = Frame::encode(&event, cursor, time_ms);
        let is_json = matches!(event.payload, Payload::Json(_));
        Self { cursor, time_ms, event_type: event.event_type, topics: event.topics, frame, is_json }
    }

    /// The id: the place of a reader for whom this event was the last.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The place in the log.
    pub fn position(&self) -> Position {
        self.cursor.position
    }

    /// When it was published, in milliseconds since the Unix epoch.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// The type.
    pub fn event_type(&self) -> &EventType {
        &self.event_type
    }

    /// The topics, in the order the publisher gave them.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// Whether it is one of the hub's own: published to nothing but topics that begin with `$`.
    pub fn is_own(&self) -> bool {
        self.topics.iter().all(Topic::is_own)
    }

    /// Whether [`StoredEvent::data`] is JSON text rather than raw text.
    pub fn is_json(&self) -> bool {
        self.is_json
    }

    /// The payload.
    pub fn data(&self) -> &str {
        self.frame.data()
    }

    /// The bytes of this event on a stream.
    pub fn frame(&self) -> &Bytes {
        self.frame.bytes()
    }

    /// Bytes this event keeps in memory, roughly: what the log's byte bound counts.
    pub(crate) fn footprint_bytes(&self) -> usize {
        /// The struct, its slots in the log's indexes, and the allocator's share.
        const OVERHEAD_BYTES: usize = 256;
        /// A topic's handle and its slots in the indexes.
        const TOPIC_BYTES: usize = 48;
        OVERHEAD_BYTES + TOPIC_BYTES * self.topics.len() + self.frame.footprint_bytes()
    }
}

/// Why something is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// No topic to publish to.
    #[error("an event needs at least one topic")]
    NoTopic,
    /// More than [`EVENT_TOPICS_MAX`].
    #[error("an event is published to at most {EVENT_TOPICS_MAX} topics")]
    TooManyTopics,
    /// An empty type or one of more than [`EVENT_TYPE_CHARS_MAX`].
    #[error("an event's type is 1 to {EVENT_TYPE_CHARS_MAX} characters long")]
    TypeLength,
    /// A control character, white space, an invisible character or a comma in the type.
    #[error("an event's type is visible characters without white space and without ','")]
    TypeCharacter,
    /// A type of the hub's own.
    #[error("event types that begin with '{EVENT_TYPE_RESERVED}' are the hub's own")]
    TypeReserved,
    /// More payload than the bound.
    #[error("the event's data is {bytes} bytes; event_bytes_max is {event_bytes_max}")]
    TooLarge {
        /// Bytes of this payload.
        bytes: usize,
        /// The bound.
        event_bytes_max: usize,
    },
    /// A life of no time at all.
    #[error("ttlSecs must be at least 1")]
    Ttl,
}
