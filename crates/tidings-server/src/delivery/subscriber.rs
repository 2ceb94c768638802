//! A stream that hyper carries: what it is sent next, when its socket has room.
//!
//! A subscriber has no queue. It is woken, reads the log from its cursor, and sleeps again; when
//! its socket is full nobody asks it for more, and the log is its buffer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use tidings_hub::{Page, Position, Reader, Selection};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::opening::{End, OpenStream, RETRY_MS, StreamBounds, millis, nanos};
use super::waiters::Card;
use super::wire::{self, ClosingReason};
use super::{Delivery, Reservation, Waiter};
use crate::metrics::{Delivered, Outcome, Work};

#[derive(Debug)]
pub(crate) struct Subscriber {
    delivery: Arc<Delivery>,
    selection: Arc<Selection>,
    reader: Reader,
    /// What lies up to here is from before the stream began.
    replay_end: Position,
    waiter: Waiter,
    draining: watch::Receiver<bool>,
    /// Ready to be sent, before anything else.
    ready: VecDeque<Ready>,
    /// Whether the log may have more than was read.
    more: bool,
    /// Whether the client's cursor is behind ours with nothing on the way to tell it.
    untold: bool,
    closed: bool,
    next_heartbeat: Instant,
    bounds: StreamBounds,
    end: End,
    /// When to say that the end is near; nothing, once it was said.
    warn_at: Option<Instant>,
    /// Set when its socket has been full for too long.
    is_stalled: Arc<AtomicBool>,
    reservation: Reservation,
}

/// Bytes for the socket, and what they are.
#[derive(Debug)]
struct Ready {
    bytes: Bytes,
    work: Work,
}

impl From<Bytes> for Ready {
    /// What is no event.
    fn from(bytes: Bytes) -> Self {
        Self { bytes, work: Work::default() }
    }
}

impl Subscriber {
    /// `is_stalled` is set from outside, when the socket has been full for too long.
    pub(crate) fn new(
        delivery: &Arc<Delivery>,
        stream: OpenStream,
        is_stalled: Arc<AtomicBool>,
    ) -> Self {
        let selection = Arc::new(stream.selection);
        let left = stream.end.at.saturating_duration_since(Instant::now());
        let card = Card {
            user: stream.reservation.user().cloned(),
            address: stream.reservation.address(),
            arrival: stream.arrival,
            selection: Arc::clone(&selection),
            opened_ns: stream.reservation.opened_ns(),
            ends_ns: delivery.log().clock().uptime_ns().saturating_add(nanos(left)),
            sent_events: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            is_blocked: AtomicBool::new(false),
        };
        let position = stream.reader.position();
        // Before the log is first read, so that nothing published in between goes unnoticed.
        let waiter = delivery.wait_for(&selection, stream.owner, position, Some(card));
        Self {
            delivery: Arc::clone(delivery),
            draining: delivery.draining(),
            selection,
            reader: stream.reader,
            waiter,
            replay_end: stream.replay_end,
            ready: VecDeque::from([stream.greeting.into()]),
            more: true,
            untold: stream.told_gap,
            closed: false,
            next_heartbeat: Instant::now() + stream.bounds.heartbeat,
            bounds: stream.bounds,
            warn_at: Some(stream.end.warn_at),
            end: stream.end,
            is_stalled,
            reservation: stream.reservation,
        }
    }

    /// The next bytes for the socket; nothing when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        self.waiter.has_room();
        loop {
            if let Some(Ready { bytes, work }) = self.ready.pop_front() {
                self.delivery.metrics.worked(work);
                self.reservation.count_delivered(work.delivered.events);
                self.waiter.hands_on(work.delivered);
                self.next_heartbeat = Instant::now() + self.bounds.heartbeat;
                return Some(bytes);
            }
            if self.closed {
                return None;
            }
            if self.waiter.is_revoked() {
                self.ready.clear();
                self.close(ClosingReason::Revoked);
                continue;
            }
            if Instant::now() >= self.end.at {
                // Also for one that never catches up.
                self.close(ClosingReason::Expired);
            } else if self.more {
                self.read();
                // Passing over much that is not for this one is work, too: others get a turn.
                tokio::task::consume_budget().await;
            } else if *self.draining.borrow() {
                // What was published before the end is sent before the end, all of it.
                self.read();
                if self.ready.is_empty() && !self.more {
                    self.close(ClosingReason::Drain);
                }
            } else {
                self.rest().await;
            }
        }
    }

    /// Waits until there is something to do.
    async fn rest(&mut self) {
        let end = self.warn_at.unwrap_or(self.end.at);
        tokio::select! {
            () = self.waiter.woken() => self.more = true,
            () = sleep_until(self.next_heartbeat) => self.beat(),
            () = sleep_until(end) => self.age(),
            _ = self.draining.changed() => {}
        }
    }

    fn read(&mut self) {
        let log = self.delivery.log();
        self.waiter.begins_to_read();
        let advance = log.advance(&mut self.reader, &self.selection, self.bounds.page);
        if let Some(gap) = advance.gap {
            let work = Work { gaps: 1, ..Work::default() };
            self.ready.push_back(Ready { bytes: wire::gap(&gap), work });
            self.untold = true;
        }
        let Page { events, more, .. } = advance.page;
        self.waiter.has_read(self.reader.position(), more);
        let metrics = &self.delivery.metrics;
        let handed_on_ns = metrics.now_ns();
        let mut work = Work::default();
        for event in &events {
            let one = Delivered::of(event);
            work.delivered += one;
            if event.position() <= self.replay_end {
                work.replayed += one.events;
            } else {
                metrics.flights.heard(event.position(), || 1);
                metrics.flights.arrived(event.position(), Some(handed_on_ns));
            }
        }
        match &events[..] {
            [] => {}
            // The one event everyone gets is everyone's bytes.
            [event] => self.ready.push_back(Ready { bytes: event.frame().clone(), work }),
            events => {
                let bytes = events.iter().map(|event| event.frame().len()).sum();
                let mut page = BytesMut::with_capacity(bytes);
                for event in events {
                    page.extend_from_slice(event.frame());
                }
                self.ready.push_back(Ready { bytes: page.freeze(), work });
            }
        }
        self.more = more;
        if self.untold && !more {
            // What was missing is behind the reader now: coming back, it is not told again.
            self.untold = false;
            self.push_heartbeat();
        }
    }

    /// Nothing was sent for a while: moves the client's cursor past everything that was not for it.
    fn beat(&mut self) {
        self.read();
        if self.ready.is_empty() && !self.more {
            self.push_heartbeat();
        }
        self.next_heartbeat = Instant::now() + self.bounds.heartbeat;
    }

    fn push_heartbeat(&mut self) {
        let cursor = self.reader.cursor();
        self.ready.push_back(wire::heartbeat(cursor).into());
    }

    fn age(&mut self) {
        if self.warn_at.take().is_some() {
            self.ready.push_back(self.end.warning(Instant::now()).into());
        } else {
            self.close(ClosingReason::Expired);
        }
    }

    fn close(&mut self, reason: ClosingReason) {
        let (retry_ms, outcome) = match reason {
            ClosingReason::Drain => (millis(self.delivery.spread_out_retry()), Outcome::Drain),
            ClosingReason::Expired => (fastrand::u64(RETRY_MS), Outcome::Expired),
            ClosingReason::Revoked => (fastrand::u64(RETRY_MS), Outcome::Revoked),
        };
        self.reservation.ends(outcome);
        let cursor = self.reader.cursor();
        self.ready.push_back(wire::closing(cursor, reason, retry_ms).into());
        self.closed = true;
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if self.is_stalled.load(Ordering::Relaxed) {
            self.reservation.ends(Outcome::Stalled);
        }
    }
}
