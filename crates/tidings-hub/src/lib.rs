//! The core of Tidings: events, topics, cursors and the log.
//!
//! The log is the truth; a subscriber is a cursor. Publishing appends an event to one ordered log
//! and gives it a [`Position`]; every way of receiving is the same operation, *read what lies after
//! this cursor, for these topics*. Nothing here reads a clock, draws a random number or does I/O:
//! time and randomness are arguments, so that a test can replay any history.

mod event;
mod frame;
mod hub;
mod index;
mod log;
mod places;
mod position;
mod selection;
mod topic;
mod tree;

pub use event::{
    EVENT_TOPICS_MAX, EVENT_TYPE_CHARS_MAX, EVENT_TYPE_DEFAULT, EVENT_TYPE_RESERVED, Event,
    EventError, EventType, Payload, StoredEvent,
};
pub use hub::{Advance, Appended, Gap, GapReason, Hub, Moment, Opening, Reader, Start};
pub use index::PatternIndex;
pub use log::{
    History, LogBounds, LogSize, OWN_EVENTS_PER_TOPIC_MAX, Page, PageBounds, RECENT_SECS, Tail,
    TopicPage, TopicState,
};
pub use position::{Cursor, CursorError, Epoch, Position};
pub use selection::Selection;
pub use topic::{
    Pattern, PatternSegment, SEGMENT_BYTES_MAX, SEGMENTS_MAX, TOPIC_BYTES_MAX, Topic, TopicError,
};
