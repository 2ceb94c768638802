//! What happened, as publishers and readers saw it: nothing but values. How it is recorded and what it
//! must be like is not known here.

use tidings_client::GapReason;
use tidings_hub::{Cursor, Pattern, Topic};

/// A moment: whatever ended before something else began has the smaller number.
pub type Tick = u64;

/// All that happened.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub publishes: Vec<Publish>,
    pub readings: Vec<Reading>,
}

/// An event that was published, in however many attempts it took. Its value is its key, and nobody
/// else's.
#[derive(Clone, Debug)]
pub struct Publish {
    pub value: String,
    pub topics: Vec<Topic>,
    /// Before the first attempt.
    pub invoked: Tick,
    /// After the last.
    pub answered: Tick,
    pub answer: Answer,
}

/// What its publisher was told in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Stored(Cursor),
    /// It was not taken, and will never be read.
    Refused,
    /// Whether it was stored is not known.
    Unknown,
}

/// All that one reader was sent, over however many connections.
#[derive(Clone, Debug)]
pub struct Reading {
    pub reader: String,
    pub patterns: Vec<Pattern>,
    pub notes: Vec<Note>,
}

/// One thing that a reader was sent, and when it was read.
#[derive(Clone, Debug)]
pub struct Note {
    pub at: Tick,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A connection begins. Without an offered cursor it starts at `cursor`.
    Connected {
        offered: Option<Cursor>,
        cursor: Cursor,
        resumed: bool,
    },
    Event {
        cursor: Cursor,
        value: String,
    },
    /// The reader's cursor without an event.
    Moved(Cursor),
    /// Events of these patterns, or of all if there are none, may be missing.
    Gap {
        reason: GapReason,
        patterns: Vec<Pattern>,
        cursor: Cursor,
    },
}
