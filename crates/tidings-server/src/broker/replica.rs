//! This node's copy of the log, and everyone who is told when it grows.
//!
//! What orders events elsewhere hands them in here in that order: each is given to the hub, starts its
//! flight, and is announced. Where the order comes from is not known here.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidings_hub::{Cursor, Event, Hub, Moment, Position, StoredEvent};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Publication;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::revocations::Revocation;
use crate::traces::Passage;

/// Events appended under one hold of the hub's lock; readers get a turn between them.
pub(super) const APPENDED_AT_ONCE_MAX: usize = 256;

/// Told of every run of stored events, in order.
pub(crate) type OnStored = Box<dyn Fn(&[Arc<StoredEvent>]) + Send + Sync>;
/// Told of who was revoked elsewhere, or before this process began.
pub(crate) type OnRevoked = Box<dyn Fn(Revocation) + Send + Sync>;

/// The hub, in the hands of whoever feeds it.
pub(crate) struct Replica {
    hub: Arc<Mutex<Hub>>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    on_stored: OnStored,
    on_revoked: OnRevoked,
    /// Uptime of the newest event.
    newest_uptime_ms: AtomicU64,
    /// Rung when there is more.
    news: Notify,
}

/// An event that has its place, on its way into the hub.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) position: Position,
    pub(super) event: Event,
    /// When it was published, in milliseconds since the Unix epoch.
    pub(super) time_ms: u64,
    /// When this node had read its request, in nanoseconds of uptime, where it was published here.
    pub(super) received_ns: Option<u64>,
    /// What is told of its trace, where it was published here and has one.
    pub(super) passage: Passage,
}

impl Replica {
    pub(crate) fn new(
        hub: Arc<Mutex<Hub>>,
        clock: Clock,
        metrics: Arc<Metrics>,
        on_stored: OnStored,
        on_revoked: OnRevoked,
    ) -> Self {
        Self {
            hub,
            clock,
            metrics,
            on_stored,
            on_revoked,
            newest_uptime_ms: AtomicU64::new(0),
            news: Notify::new(),
        }
    }

    /// Waits, for so long, until this node has come to a cursor of its epoch, or to another epoch.
    pub(super) async fn reach(&self, cursor: Cursor, patience: Duration) {
        let reached = async {
            loop {
                let mut news = pin!(self.news.notified());
                // From here on it hears of what it does not see.
                news.as_mut().enable();
                let newest = self.newest();
                if newest.epoch != cursor.epoch || newest.position >= cursor.position {
                    return;
                }
                news.await;
            }
        };
        // Where it takes longer, whoever waits goes on without.
        let _ = timeout(patience, reached).await;
    }

    /// The cursor of a reader that has seen everything.
    pub(super) fn newest(&self) -> Cursor {
        self.hub().cursor()
    }

    /// Takes events in that were stored elsewhere, in order, and tells whoever listens.
    pub(super) fn apply(&self, arrivals: Vec<Arrival>) {
        let mut arrivals = arrivals.into_iter().peekable();
        while arrivals.peek().is_some() {
            let now = self.clock.now();
            let mut stored = Vec::new();
            let mut hub = self.hub();
            for arrival in arrivals.by_ref().take(APPENDED_AT_ONCE_MAX) {
                let moment = self.moment(arrival.time_ms, now);
                let event = hub.append_at(arrival.position, arrival.event, moment).event;
                // While nobody can read it yet; its own, a hub does not count.
                if !event.is_own() {
                    let stored_ns = self.clock.uptime_ns();
                    let received_ns = arrival.received_ns.unwrap_or(stored_ns);
                    self.metrics.flights.depart(event.position(), received_ns, stored_ns);
                    arrival.passage.departs(event.position(), stored_ns);
                }
                stored.push(event);
            }
            drop(hub);
            (self.on_stored)(&stored);
            self.news.notify_waiters();
        }
    }

    /// Takes events in from before this process began: nobody has been waiting for them.
    pub(super) fn restore(&self, arrivals: Vec<Arrival>) {
        let now = self.clock.now();
        let mut hub = self.hub();
        for arrival in arrivals {
            let moment = self.moment(arrival.time_ms, now);
            hub.append_at(arrival.position, arrival.event, moment);
        }
    }

    /// Takes an event in whose place is the next one; it can be read from then on.
    pub(super) fn store(&self, publication: Publication) -> Arc<StoredEvent> {
        let now = self.clock.now();
        let mut hub = self.hub();
        let event = hub.append(publication.event, now).event;
        let stored_ns = self.clock.uptime_ns();
        self.metrics.flights.depart(event.position(), publication.received_ns, stored_ns);
        publication.passage.departs(event.position(), stored_ns);
        event
    }

    /// Takes an event of the hub's own in, whose place is the next one and which counts in no metric.
    pub(super) fn store_own(&self, event: Event) -> Cursor {
        let mut hub = self.hub();
        let now = self.clock.now();
        // What comes after it, by whatever clock, is not from before it.
        self.newest_uptime_ms.fetch_max(now.uptime_ms, Ordering::Relaxed);
        let stored = hub.append(event, now).event;
        drop(hub);
        let cursor = stored.cursor();
        (self.on_stored)(&[stored]);
        cursor
    }

    /// Tells whoever listens of events that [`Replica::store`] has taken in.
    pub(super) fn announce(&self, stored: &[Arc<StoredEvent>]) {
        (self.on_stored)(stored);
    }

    /// Goes on from a cursor with nothing of what came before; whoever reads is told.
    pub(super) fn begin_again(&self, cursor: Cursor) {
        let before = self.hub().begin_again(cursor);
        (self.on_stored)(&[]);
        self.news.notify_waiters();
        drop(before);
    }

    /// Positions up to this were given to what is not kept.
    pub(super) fn skip_to(&self, position: Position) {
        self.hub().skip_to(position);
        self.news.notify_waiters();
    }

    /// The position before the oldest event that is kept.
    pub(super) fn kept_after(&self) -> Position {
        self.hub().kept_after()
    }

    /// Somebody was revoked elsewhere, or before this process began.
    pub(super) fn revoke(&self, revocation: Revocation) {
        (self.on_revoked)(revocation);
    }

    /// Drops what has outlived its time.
    pub(super) fn expire(&self) {
        let now = self.clock.now();
        self.hub().expire(now);
    }

    /// When something was published, by the clock that events expire by. Whoever stamped it has a wall
    /// clock of their own: the order stands, and nothing is from later than now.
    fn moment(&self, time_ms: u64, now: Moment) -> Moment {
        let age_ms = now.unix_ms.saturating_sub(time_ms);
        let uptime_ms = now.uptime_ms.saturating_sub(age_ms);
        let newest_ms = self.newest_uptime_ms.fetch_max(uptime_ms, Ordering::Relaxed);
        Moment { unix_ms: time_ms, uptime_ms: uptime_ms.max(newest_ms) }
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replica")
    }
}
