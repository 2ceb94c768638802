//! From the stream of the log into this node's copy of it: which messages are events, where each
//! stands, and what is missing.

use std::sync::Arc;

use async_nats::jetstream::stream::State;
use tidings_hub::{Cursor, Epoch, Position};
use tracing::warn;

use super::super::record;
use super::super::replica::Arrival;
use super::Shared;
use super::envelope::{self, Envelope};
use super::layout::Kind;
use super::tail::Stored;
use super::trouble::Trouble;

/// How far this node has read the log.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// In which lifetime of it; none before the first.
    pub(super) epoch: Option<Epoch>,
    /// Every message up to this is behind.
    pub(super) read: u64,
    /// When that message was stored, if it was read and not passed over.
    pub(super) stamp_ns: Option<i128>,
}

/// Reads the log for this node.
#[derive(Debug)]
pub(super) struct Follower {
    shared: Arc<Shared>,
    pub(super) place: Place,
    epoch: Epoch,
    /// The newest message when the session began.
    settled: u64,
    /// Messages that were there when it began and have not come yet.
    left: u64,
    /// Nobody has listened so far.
    is_start: bool,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let epoch = shared.replica.newest().epoch;
        Self { shared, place: Place::default(), epoch, settled: 0, left: 0, is_start: true }
    }

    /// Whether nothing was ever read.
    pub(super) fn is_start(&self) -> bool {
        self.is_start
    }

    /// A session begins with a log of this epoch that holds so much. The sequence to read from.
    pub(super) fn begin(&mut self, epoch: Epoch, state: &State) -> u64 {
        self.epoch = epoch;
        self.settled = state.last_sequence;
        let kept_after = match state.messages {
            0 => state.last_sequence,
            _ => state.first_sequence.saturating_sub(1),
        };
        if self.place.epoch != Some(epoch) {
            self.shared.forget_keys();
            self.shared.departures.forget();
            self.begin_again(kept_after);
        } else if self.place.read < kept_after {
            self.lose(kept_after);
        }
        self.place.read + 1
    }

    /// So many messages are there and will come.
    pub(super) fn expect(&mut self, pending: u64) {
        self.left = pending;
        self.arrive(0);
    }

    /// Whether all that was there when the session began has come.
    pub(super) fn has_caught_up(&self) -> bool {
        self.left == 0
    }

    /// Takes messages in that have come.
    pub(super) fn take(&mut self, stored: Vec<Stored>) -> Result<(), Trouble> {
        let count = stored.len();
        let mut arrivals = Vec::with_capacity(count);
        let taken = stored.into_iter().try_for_each(|stored| self.read(&stored, &mut arrivals));
        self.feed(&mut arrivals);
        self.shared.replica.skip_to(Position::new(self.place.read));
        taken?;
        self.arrive(count as u64);
        Ok(())
    }

    fn read(&mut self, stored: &Stored, arrivals: &mut Vec<Arrival>) -> Result<(), Trouble> {
        let Stored { sequence, stamp_ns, message } = stored;
        if *sequence <= self.place.read {
            return Err(Trouble::Changed);
        }
        if *sequence > self.place.read + 1 {
            self.feed(arrivals);
            self.lose(sequence - 1);
        }
        let subject = self.shared.layout.read_subject(&message.subject);
        if subject.is_none_or(|(epoch, _)| epoch != self.epoch) && *sequence > self.settled {
            // Whether that is the epoch by now, a new session finds out.
            return Err(Trouble::Changed);
        }
        self.place.read = *sequence;
        self.place.stamp_ns = Some(*stamp_ns);
        if let Some((epoch, Kind::Event | Kind::Own)) = subject
            && epoch == self.epoch
        {
            match self.arrival(*sequence, message) {
                Ok(arrival) => arrivals.push(arrival),
                Err(cause) => {
                    // Somebody may have been told that it is stored.
                    warn!(sequence, cause, "a message of the log is no event");
                    self.feed(arrivals);
                    self.begin_again(*sequence);
                }
            }
        }
        Ok(())
    }

    fn arrival(
        &self,
        sequence: u64,
        message: &async_nats::jetstream::Message,
    ) -> Result<Arrival, String> {
        let decoded = std::str::from_utf8(&message.payload)
            .map_err(|error| error.to_string())
            .and_then(|line| record::decode(line).map_err(|error| error.to_string()));
        let (event, time_ms) = decoded?;
        let position = Position::new(sequence);
        let envelope = message.headers.as_ref().map(envelope::read).unwrap_or_default();
        let Envelope { key, from } = envelope;
        let number = from.and_then(|(node, number)| (node == self.shared.node).then_some(number));
        let departure = number.and_then(|number| self.shared.departures.take(number));
        if let Some(key) = key {
            let now = self.shared.replica.clock.now();
            let age_ms = now.unix_ms.saturating_sub(time_ms);
            let cursor = Cursor { epoch: self.epoch, position };
            self.shared.keys().remember(&key, cursor, now.uptime_ms.saturating_sub(age_ms));
        }
        let received_ns = departure.as_ref().map(|departure| departure.received_ns);
        let passage = departure.map(|departure| departure.passage).unwrap_or_default();
        Ok(Arrival { position, event, time_ms, received_ns, passage })
    }

    fn feed(&self, arrivals: &mut Vec<Arrival>) {
        let arrivals = std::mem::take(arrivals);
        if self.is_start {
            self.shared.replica.restore(arrivals);
        } else {
            self.shared.replica.apply(arrivals);
        }
    }

    fn arrive(&mut self, count: u64) {
        if self.left > 0 || count == 0 {
            self.left = self.left.saturating_sub(count);
            if self.left == 0 {
                // Whatever the end of it was, it is not there any more.
                if self.place.read < self.settled {
                    self.lose(self.settled);
                }
                self.shared.replica.expire();
                self.is_start = false;
            }
        }
    }

    /// Messages up to this are gone that this node has not read.
    fn lose(&mut self, up_to: u64) {
        if !self.is_start {
            warn!(
                from = self.place.read + 1,
                up_to, "the log has dropped what this node had not read"
            );
        }
        self.begin_again(up_to);
    }

    fn begin_again(&mut self, sequence: u64) {
        let cursor = Cursor { epoch: self.epoch, position: Position::new(sequence) };
        self.shared.replica.begin_again(cursor);
        self.place = Place { epoch: Some(self.epoch), read: sequence, stamp_ns: None };
    }
}
