//! The broker that is this process: appending to the hub stores the event.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tidings_hub::{Cursor, Event, Hub, Moment, StoredEvent};

use super::idempotency::{Idempotency, IdempotencyBounds, Seen};
use super::{Outcome, Publication};
use crate::clock::Clock;
use crate::metrics::Metrics;

/// Told of every run of stored events, in order.
type OnStored = Box<dyn Fn(&[Arc<StoredEvent>]) + Send + Sync>;

/// Publications appended under one hold of the hub's lock; readers get a turn between them.
const APPENDED_AT_ONCE_MAX: usize = 256;

pub(crate) struct Memory {
    hub: Arc<Mutex<Hub>>,
    idempotency: Mutex<Idempotency>,
    clock: Clock,
    metrics: Arc<Metrics>,
    on_stored: OnStored,
}

impl Memory {
    pub(crate) fn new(
        hub: Arc<Mutex<Hub>>,
        bounds: IdempotencyBounds,
        clock: Clock,
        metrics: Arc<Metrics>,
        on_stored: impl Fn(&[Arc<StoredEvent>]) + Send + Sync + 'static,
    ) -> Self {
        let idempotency = Mutex::new(Idempotency::new(bounds));
        Self { hub, idempotency, clock, metrics, on_stored: Box::new(on_stored) }
    }

    pub(super) fn publish(&self, publications: Vec<Publication>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(publications.len());
        let mut publications = publications.into_iter().peekable();
        while publications.peek().is_some() {
            let begun_ns = self.clock.uptime_ns();
            let mut stored = Vec::new();
            for publication in publications.by_ref().take(APPENDED_AT_ONCE_MAX) {
                outcomes.push(self.append(publication, &mut stored));
            }
            let took_ns = self.clock.uptime_ns().saturating_sub(begun_ns);
            (self.on_stored)(&stored);
            self.metrics.appended(&stored, took_ns);
        }
        outcomes
    }

    fn append(&self, mut publication: Publication, stored: &mut Vec<Arc<StoredEvent>>) -> Outcome {
        let now = self.clock.now();
        let Some(key) = publication.key.take() else {
            return Outcome::Stored(self.store(publication, now, stored));
        };
        // Held over the append, so that of two publications with one key only the first is stored.
        let mut idempotency = self.idempotency();
        match idempotency.look_up(&key, now.uptime_ms) {
            Seen::Same(cursor) => {
                self.metrics.deduplicated();
                Outcome::Stored(cursor)
            }
            Seen::Different => Outcome::Conflict,
            Seen::Never => {
                let cursor = self.store(publication, now, stored);
                idempotency.remember(&key, cursor, now.uptime_ms);
                Outcome::Stored(cursor)
            }
        }
    }

    fn store(
        &self,
        publication: Publication,
        now: Moment,
        stored: &mut Vec<Arc<StoredEvent>>,
    ) -> Cursor {
        let mut hub = self.hub();
        let event = hub.append(publication.event, now).event;
        // While nobody can read it yet.
        let stored_ns = self.clock.uptime_ns();
        self.metrics.flights.depart(event.position(), publication.received_ns, stored_ns);
        publication.passage.departs(event.position(), stored_ns);
        drop(hub);
        let cursor = event.cursor();
        stored.push(event);
        cursor
    }

    pub(super) fn publish_own(&self, event: Event) -> Cursor {
        let now = self.clock.now();
        let stored = self.hub().append(event, now).event;
        let cursor = stored.cursor();
        (self.on_stored)(&[stored]);
        cursor
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
