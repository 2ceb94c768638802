//! A stream that hyper carries: what it is sent next, when its socket has room.
//!
//! A subscriber has no queue. It is woken, reads the log from its cursor, and sleeps again; when
//! its socket is full nobody asks it for more, and the log is its buffer.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tidings_hub::{Page, Reader, Selection};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::opening::{End, OpenStream, RETRY_MS, StreamBounds, millis};
use super::wire::{self, ClosingReason};
use super::{Delivery, Reservation, Waiter};

#[derive(Debug)]
pub(crate) struct Subscriber {
    delivery: Arc<Delivery>,
    selection: Selection,
    reader: Reader,
    waiter: Waiter,
    draining: watch::Receiver<bool>,
    /// Ready to be sent, before anything else.
    ready: VecDeque<Bytes>,
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
    _reservation: Reservation,
}

impl Subscriber {
    pub(crate) fn new(delivery: &Arc<Delivery>, stream: OpenStream) -> Self {
        // Before the log is first read, so that nothing published in between goes unnoticed.
        let waiter = delivery.wait_for(&stream.selection, stream.owner);
        Self {
            delivery: Arc::clone(delivery),
            draining: delivery.draining(),
            selection: stream.selection,
            reader: stream.reader,
            waiter,
            ready: VecDeque::from([stream.greeting]),
            more: true,
            untold: stream.told_gap,
            closed: false,
            next_heartbeat: Instant::now() + stream.bounds.heartbeat,
            bounds: stream.bounds,
            warn_at: Some(stream.end.warn_at),
            end: stream.end,
            _reservation: stream.reservation,
        }
    }

    /// The next bytes for the socket; nothing when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
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
        let advance = log.advance(&mut self.reader, &self.selection, self.bounds.page);
        if let Some(gap) = advance.gap {
            self.ready.push_back(wire::gap(&gap));
            self.untold = true;
        }
        let Page { events, more, .. } = advance.page;
        match &events[..] {
            [] => {}
            // The one event everyone gets is everyone's bytes.
            [event] => self.ready.push_back(event.frame().clone()),
            events => {
                let bytes = events.iter().map(|event| event.frame().len()).sum();
                let mut page = BytesMut::with_capacity(bytes);
                for event in events {
                    page.extend_from_slice(event.frame());
                }
                self.ready.push_back(page.freeze());
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
        let cursor = self.delivery.log().cursor_at(self.reader.position());
        self.ready.push_back(wire::heartbeat(cursor));
    }

    fn age(&mut self) {
        if self.warn_at.take().is_some() {
            self.ready.push_back(self.end.warning(Instant::now()));
        } else {
            self.close(ClosingReason::Expired);
        }
    }

    fn close(&mut self, reason: ClosingReason) {
        let retry_ms = match reason {
            ClosingReason::Drain => millis(self.delivery.spread_out_retry()),
            ClosingReason::Expired | ClosingReason::Revoked => fastrand::u64(RETRY_MS),
        };
        let cursor = self.delivery.log().cursor_at(self.reader.position());
        self.ready.push_back(wire::closing(cursor, reason, retry_ms));
        self.closed = true;
    }
}
