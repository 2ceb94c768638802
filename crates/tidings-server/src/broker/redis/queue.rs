//! Publications on their way to Redis: from whoever waits for the answer to the task that sends them,
//! many at a time.
//!
//! Whoever waits can take back what was not sent yet, and so knows that it is not stored. What was sent
//! is answered in the end, if only by being given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tidings_hub::{Cursor, Event, EventType};
use tokio::sync::oneshot;

use super::super::{Failure, IdempotencyKey, Publication, record};
use crate::revocations::Revocation;
use crate::traces::Passage;

/// One publication as Redis is told it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) record: String,
    pub(super) key: Option<IdempotencyKey>,
    /// When its request had been read, in nanoseconds of uptime.
    pub(super) received_ns: u64,
    pub(super) passage: Passage,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Event(EventType),
    /// Until when it holds, in Unix milliseconds.
    Revocation(u64),
}

/// What Redis says of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Stored(Cursor),
    /// By an earlier publication with the same key.
    Before(Cursor),
    Conflict,
}

/// What all of a request come to.
pub(super) type Answers = Result<Vec<Answer>, Failure>;

/// The publications of one request, which stay together.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) items: Vec<Item>,
    /// Nobody waits for the hub's own.
    pub(super) answer: Option<oneshot::Sender<Answers>>,
    place: Arc<AtomicU8>,
}

/// Where a request is.
const WAITS: u8 = 0;
const SENT: u8 = 1;
const TAKEN_BACK: u8 = 2;

/// Whoever waits for the answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) answers: oneshot::Receiver<Answers>,
    place: Arc<AtomicU8>,
}

impl Item {
    pub(super) fn event(publication: Publication, time_ms: u64) -> Self {
        let Publication { event, key, received_ns, passage } = publication;
        let kind = Kind::Event(event.event_type().clone());
        Self { kind, record: record::encode(&event, time_ms), key, received_ns, passage }
    }

    pub(super) fn own(event: &Event, time_ms: u64, now_ns: u64) -> Self {
        let kind = Kind::Event(event.event_type().clone());
        let passage = Passage::default();
        Self {
            kind,
            record: record::encode(event, time_ms),
            key: None,
            received_ns: now_ns,
            passage,
        }
    }

    pub(super) fn revocation(revocation: Revocation, now_ns: u64) -> Self {
        let record = serde_json::to_string(&revocation).expect("a struct of numbers");
        let kind = Kind::Revocation(revocation.until_ms);
        let passage = Passage::default();
        Self { kind, record, key: None, received_ns: now_ns, passage }
    }
}

impl Request {
    pub(super) fn new(items: Vec<Item>) -> (Self, Waiting) {
        let (answer, answers) = oneshot::channel();
        let place = Arc::new(AtomicU8::new(WAITS));
        let waiting = Waiting { answers, place: Arc::clone(&place) };
        (Self { items, answer: Some(answer), place }, waiting)
    }

    /// One that nobody waits for.
    pub(super) fn unattended(items: Vec<Item>) -> Self {
        Self { items, answer: None, place: Arc::default() }
    }

    /// Whether it may be sent: it was not taken back.
    pub(super) fn send(&self) -> bool {
        self.place.compare_exchange(WAITS, SENT, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub(super) fn answer(self, answers: Answers) {
        if let Some(answer) = self.answer {
            // Whoever asked may have gone.
            let _ = answer.send(answers);
        }
    }
}

impl Waiting {
    /// Takes it back; false when it was sent.
    pub(super) fn take_back(&self) -> bool {
        self.place.compare_exchange(WAITS, TAKEN_BACK, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}
