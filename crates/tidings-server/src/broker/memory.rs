//! The broker that is this process: appending to the hub stores the event.

use std::sync::{Arc, Mutex, PoisonError};

use tidings_hub::{Cursor, Event, StoredEvent};

use super::idempotency::{Idempotency, IdempotencyBounds, Seen};
use super::replica::{APPENDED_AT_ONCE_MAX, Replica};
use super::{Outcome, Publication};

#[derive(Debug)]
pub(crate) struct Memory {
    replica: Replica,
    idempotency: Mutex<Idempotency>,
}

impl Memory {
    pub(crate) fn new(replica: Replica, bounds: IdempotencyBounds) -> Self {
        Self { replica, idempotency: Mutex::new(Idempotency::new(bounds)) }
    }

    pub(super) fn publish(&self, publications: Vec<Publication>) -> Vec<Outcome> {
        let Replica { clock, metrics, .. } = &self.replica;
        let mut outcomes = Vec::with_capacity(publications.len());
        let mut publications = publications.into_iter().peekable();
        while publications.peek().is_some() {
            let begun_ns = clock.uptime_ns();
            let mut stored = Vec::new();
            for publication in publications.by_ref().take(APPENDED_AT_ONCE_MAX) {
                outcomes.push(self.append(publication, &mut stored));
            }
            let took_ns = clock.uptime_ns().saturating_sub(begun_ns);
            self.replica.announce(&stored);
            metrics.appended(stored.iter().map(|event| event.event_type().as_str()), took_ns);
        }
        outcomes
    }

    fn append(&self, mut publication: Publication, stored: &mut Vec<Arc<StoredEvent>>) -> Outcome {
        let Some(key) = publication.key.take() else {
            return Outcome::Stored(self.store(publication, stored));
        };
        let now = self.replica.clock.now();
        // Held over the append, so that of two publications with one key only the first is stored.
        let mut idempotency = self.idempotency();
        match idempotency.look_up(&key, now.uptime_ms) {
            Seen::Same(cursor) => {
                self.replica.metrics.deduplicated();
                Outcome::Stored(cursor)
            }
            Seen::Different => Outcome::Conflict,
            Seen::Never => {
                let cursor = self.store(publication, stored);
                idempotency.remember(&key, cursor, now.uptime_ms);
                Outcome::Stored(cursor)
            }
        }
    }

    fn store(&self, publication: Publication, stored: &mut Vec<Arc<StoredEvent>>) -> Cursor {
        let event = self.replica.store(publication);
        let cursor = event.cursor();
        stored.push(event);
        cursor
    }

    pub(super) fn publish_own(&self, event: Event) -> Cursor {
        self.replica.store_own(event)
    }

    pub(super) fn expire(&self) {
        self.replica.expire();
        self.idempotency().expire(self.replica.clock.now().uptime_ms);
    }

    fn idempotency(&self) -> std::sync::MutexGuard<'_, Idempotency> {
        self.idempotency.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
