//! What orders events and keeps them: takes publications in, and hands every stored event, in
//! order, to the hub of this node. Where several nodes share one, it also keeps what they must agree
//! on: uses of a limit, revocations, how many streams somebody has.
//!
//! It does not know who publishes or who listens. With `memory` the log *is* the hub and an event
//! is stored the moment it is appended.

mod disk;
mod idempotency;
mod memory;
mod nats;
mod record;
mod redis;
mod replica;

use std::net::IpAddr;
use std::time::Duration;

use tidings_hub::{Cursor, Event, EventType, Payload, Topic};

use crate::delivery::{AdmissionBounds, Full};
use crate::limits::{Quota, SharedKey, Verdict};
use crate::revocations::Revocation;
use crate::traces::Passage;

pub(crate) use self::redis::Redis;
pub(crate) use disk::{Disk, Inspection, LogStats};
pub(crate) use idempotency::{Fingerprint, IdempotencyKey};
pub(crate) use memory::Memory;
pub(crate) use nats::Nats;
pub(crate) use replica::{OnRevoked, OnStored, Replica};

/// How long a reader waits for this node to reach a cursor that another node has given out.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(2);
/// How long a publisher waits for this node to have what is stored elsewhere, so that whoever has the
/// answer finds the event here too.
const APPLIED_WITHIN: Duration = Duration::from_millis(250);

/// The brokers there are.
#[derive(Debug)]
pub(crate) enum Broker {
    /// The log lives in this process and dies with it.
    Memory(Memory),
    /// The log is in a folder of this machine.
    Disk(Disk),
    /// The log is in a Redis that nodes share.
    Redis(Redis),
    /// The log is in a NATS that nodes share.
    Nats(Nats),
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
    /// It is not known to be stored.
    Failed(Failure),
}

/// Why a broker did not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It cannot be reached, or does not answer: nothing was stored.
    Unreachable,
    /// It was asked and has not answered: whether it has stored is not known.
    Unknown,
    /// It takes nothing more until somebody has looked after it.
    Broken,
    /// It has no room.
    NoRoom,
}

impl Failure {
    /// What an operator is told.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "it cannot be reached",
            Self::Unknown => "it has not answered",
            Self::Broken => "it has failed and takes nothing more; see the node's log",
            Self::NoRoom => "it has no room",
        }
    }
}

/// A stream's place among those that all nodes count, given back when dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "it is held to be dropped")]
pub(crate) enum Seat {
    Redis(redis::Seat),
    Nats(nats::Seat),
}

impl Broker {
    /// Stores each publication or says why not, in order; each is stored whole or not at all.
    pub(crate) async fn publish(&self, publications: Vec<Publication>) -> Vec<Outcome> {
        match self {
            Self::Memory(memory) => memory.publish(publications),
            Self::Disk(disk) => disk.publish(publications).await,
            Self::Redis(redis) => redis.publish(publications).await,
            Self::Nats(nats) => nats.publish(publications).await,
        }
    }

    /// What an acknowledgement promises, in the word of the publish answer.
    pub(crate) fn durability(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Disk(disk) => disk.durability(),
            Self::Redis(_) => "redis",
            Self::Nats(_) => "nats",
        }
    }

    /// What it is called.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Disk(_) => "disk",
            Self::Redis(_) => "redis",
            Self::Nats(_) => "nats",
        }
    }

    /// Whether it takes events, in a word: `ok` or `down`.
    pub(crate) fn status(&self) -> &'static str {
        match self {
            // There is nothing between it and us.
            Self::Memory(_) => "ok",
            Self::Disk(disk) => disk.status(),
            Self::Redis(redis) => redis.status(),
            Self::Nats(nats) => nats.status(),
        }
    }

    /// Stores an event of the hub's own, which counts in no metric. Nobody waits for it.
    pub(crate) fn publish_own(&self, event: Event) {
        match self {
            Self::Memory(memory) => {
                memory.publish_own(event);
            }
            Self::Disk(disk) => disk.publish_own(event),
            Self::Redis(redis) => redis.publish_own(&event),
            Self::Nats(nats) => nats.publish_own(event),
        }
    }

    /// Shows that events are taken: by where one of the node's own stands that was published to
    /// `topic` just now. It is this node's affair: a broker that several share is not written to
    /// for it, but asked, and answers with a cursor that this node is to reach.
    pub(crate) async fn probe(&self, topic: Topic) -> Result<Probed, &'static str> {
        let event = || {
            let nothing = Payload::text("");
            Event::new(EventType::default(), [topic], nothing, None, 0)
                .map_err(|_| "it takes no event")
        };
        match self {
            Self::Memory(memory) => Ok(Probed::Event(memory.publish_own(event()?))),
            Self::Disk(disk) => disk.probe(event()?).await.map(Probed::Event),
            Self::Redis(redis) => redis.probe().await.map(Probed::Answer),
            Self::Nats(nats) => nats.probe().await.map(Probed::Answer),
        }
    }

    /// Waits, for a moment, until this node has reached a cursor that another may have given out.
    pub(crate) async fn catch_up(&self, cursor: Cursor) {
        let Some(replica) = self.shared_replica() else { return };
        replica.reach(cursor, CATCHES_UP_WITHIN).await;
    }

    /// This node's copy of a log that others write to as well.
    fn shared_replica(&self) -> Option<&Replica> {
        match self {
            Self::Memory(_) | Self::Disk(_) => None,
            Self::Redis(redis) => Some(redis.replica()),
            Self::Nats(nats) => Some(nats.replica()),
        }
    }

    /// Takes one use of a limit, if all nodes count it together and the broker answers; else it is for
    /// this node alone to count.
    pub(crate) async fn take(&self, key: SharedKey<'_>, quota: Quota) -> Option<Verdict> {
        match self {
            Self::Memory(_) | Self::Disk(_) => None,
            Self::Redis(redis) => redis.take(key, quota).await,
            Self::Nats(nats) => nats.take(key, quota).await,
        }
    }

    /// Remembers a revocation for as long as it lasts, and has every node follow it.
    pub(crate) async fn revoke(&self, revocation: Revocation) -> Result<(), Failure> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Disk(disk) => disk.revoke(revocation).await,
            Self::Redis(redis) => redis.revoke(revocation).await,
            Self::Nats(nats) => nats.revoke(revocation).await,
        }
    }

    /// Takes a place for a stream of this user and from this address, if all nodes count them together
    /// and each bound has one left. While the broker does not answer, this node's own count is all
    /// there is.
    pub(crate) async fn admit(
        &self,
        user: Option<&str>,
        address: IpAddr,
        bounds: AdmissionBounds,
    ) -> Result<Option<Seat>, Full> {
        match self {
            Self::Memory(_) | Self::Disk(_) => Ok(None),
            Self::Redis(redis) => {
                redis.admit(user, address, bounds).await.map(|seat| seat.map(Seat::Redis))
            }
            Self::Nats(nats) => {
                nats.admit(user, address, bounds).await.map(|seat| seat.map(Seat::Nats))
            }
        }
    }

    /// Drops what has outlived its time. To be called about once a second.
    pub(crate) fn expire(&self) {
        match self {
            Self::Memory(memory) => memory.expire(),
            Self::Disk(disk) => disk.expire(),
            Self::Redis(redis) => redis.expire(),
            Self::Nats(nats) => nats.expire(),
        }
    }

    /// Ends what it has begun. Whatever was acknowledged is kept.
    pub(crate) async fn stop(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Disk(disk) => disk.stop().await,
            Self::Redis(redis) => redis.stop().await,
            Self::Nats(nats) => nats.stop().await,
        }
    }
}

/// How a broker shows that it takes events.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probed {
    /// By an event that stands here in the log.
    Event(Cursor),
    /// By an answer: the log has come this far.
    Answer(Cursor),
}
