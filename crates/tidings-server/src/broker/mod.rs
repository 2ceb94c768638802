//! What orders events and keeps them: takes publications in, and hands every stored event, in
//! order, to the hub of this node.
//!
//! It does not know who publishes or who listens. With `memory` the log *is* the hub and an event
//! is stored the moment it is appended.

mod idempotency;
mod memory;

use tidings_hub::{Cursor, Event, EventType, Payload, Topic};

use crate::traces::Passage;

pub(crate) use idempotency::{Fingerprint, IdempotencyBounds, IdempotencyKey};
pub(crate) use memory::Memory;

/// The brokers there are.
#[derive(Debug)]
pub(crate) enum Broker {
    /// The log lives in this process and dies with it.
    Memory(Memory),
}

/// An event to be stored, and the key that makes storing it again harmless.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) event: Event,
    pub(crate) key: Option<IdempotencyKey>,
    /// When its request had been read, in nanoseconds of uptime.
    pub(crate) received_ns: u64,
    /// What is told of its trace, if it has one.
    pub(crate) passage: Passage,
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is stored, now or by an earlier publication with the same key.
    Stored(Cursor),
    /// Its key was used before, for something else.
    Conflict,
}

impl Broker {
    /// Stores each publication or says why not, in order; each is stored whole or not at all.
    pub(crate) fn publish(&self, publications: Vec<Publication>) -> Vec<Outcome> {
        match self {
            Self::Memory(memory) => memory.publish(publications),
        }
    }

    /// What an acknowledgement promises, in the word of the publish answer.
    pub(crate) fn durability(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
        }
    }

    /// What it is called.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
        }
    }

    /// Whether it takes events, in a word.
    pub(crate) fn status(&self) -> &'static str {
        match self {
            // There is nothing between it and us.
            Self::Memory(_) => "ok",
        }
    }

    /// Stores an event of the hub's own, which counts in no metric.
    pub(crate) fn publish_own(&self, event: Event) -> Cursor {
        match self {
            Self::Memory(memory) => memory.publish_own(event),
        }
    }

    /// Shows that events are taken: by where one of the node's own stands that was published to
    /// `topic` just now. It is this node's affair: a broker that several share must not be written to
    /// for it, but asked, and answer with a position that this node is to reach.
    pub(crate) fn probe(&self, topic: Topic) -> Result<Cursor, &'static str> {
        match self {
            Self::Memory(memory) => {
                let nothing = Payload::text("");
                let event = Event::new(EventType::default(), [topic], nothing, None, 0);
                Ok(memory.publish_own(event.map_err(|_| "it takes no event")?))
            }
        }
    }

    /// Drops what has outlived its time. To be called about once a second.
    pub(crate) fn expire(&self) {
        match self {
            Self::Memory(memory) => memory.expire(),
        }
    }
}
