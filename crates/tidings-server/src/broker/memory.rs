//! The broker that is this process: appending to the hub stores the event.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tidings_hub::{Hub, StoredEvent};

use super::idempotency::{Idempotency, IdempotencyBounds, Seen};
use super::{Outcome, Publication};
use crate::clock::Clock;

/// Told of every run of stored events, in order.
type OnStored = Box<dyn Fn(&[Arc<StoredEvent>]) + Send + Sync>;

/// Publications appended under one hold of the hub's lock; readers get a turn between them.
const APPENDED_AT_ONCE_MAX: usize = 256;

pub(crate) struct Memory {
    hub: Arc<Mutex<Hub>>,
    idempotency: Mutex<Idempotency>,
    clock: Clock,
    on_stored: OnStored,
}

impl Memory {
    pub(crate) fn new(
        hub: Arc<Mutex<Hub>>,
        bounds: IdempotencyBounds,
        clock: Clock,
        on_stored: impl Fn(&[Arc<StoredEvent>]) + Send + Sync + 'static,
    ) -> Self {
        let idempotency = Mutex::new(Idempotency::new(bounds));
        Self { hub, idempotency, clock, on_stored: Box::new(on_stored) }
    }

    pub(super) fn publish(&self, publications: Vec<Publication>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(publications.len());
        let mut publications = publications.into_iter().peekable();
        while publications.peek().is_some() {
            let mut stored = Vec::new();
            for publication in publications.by_ref().take(APPENDED_AT_ONCE_MAX) {
                outcomes.push(self.append(publication, &mut stored));
            }
            (self.on_stored)(&stored);
        }
        outcomes
    }

    fn append(&self, publication: Publication, stored: &mut Vec<Arc<StoredEvent>>) -> Outcome {
        let now = self.clock.now();
        let Some(key) = publication.key else {
            let appended = self.hub().append(publication.event, now);
            let cursor = appended.event.cursor();
            stored.push(appended.event);
            return Outcome::Stored(cursor);
        };
        // Held over the append, so that of two publications with one key only the first is stored.
        let mut idempotency = self.idempotency();
        match idempotency.look_up(&key, now.uptime_ms) {
            Seen::Same(cursor) => Outcome::Stored(cursor),
            Seen::Different => Outcome::Conflict,
            Seen::Never => {
                let appended = self.hub().append(publication.event, now);
                let cursor = appended.event.cursor();
                idempotency.remember(&key, cursor, now.uptime_ms);
                stored.push(appended.event);
                Outcome::Stored(cursor)
            }
        }
    }

    pub(super) fn expire(&self) {
        let now = self.clock.now();
        self.hub().expire(now);
        self.idempotency().expire(now.uptime_ms);
    }

    fn hub(&self) -> std::sync::MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idempotency(&self) -> std::sync::MutexGuard<'_, Idempotency> {
        self.idempotency.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}
