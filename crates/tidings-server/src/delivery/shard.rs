//! One delivery thread and the connections it owns.
//!
//! The thread reads the log once for all of them: whatever was appended since it last looked, in
//! order, gathered by who wants it, and then written to each listener in one go. Under load events
//! coalesce by themselves; at rest an event leaves at once. A connection is a socket, a cursor and a
//! few words: it has no task, timer, channel or buffer of its own.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mio::net::TcpStream;
use mio::{Events, Poll, Token};
use slab::Slab;
use tidings_hub::{Cursor, PageBounds, Position};
use tokio::time::Instant;
use tracing::error;

use super::batch::Batch;
use super::census::Listed;
use super::closing::{Order, Target};
use super::connection::{Beginning, Connection, Source, Tick, Turn};
use super::groups::{Groups, Key};
use super::mailbox::{Mailbox, Newcomer};
use super::opening::{RETRY_MS, millis, nanos, spread_out_retry};
use super::survey::{Milestone, Survey};
use super::wire::{self, ClosingReason};
use super::{Admission, SharedLog};
use crate::metrics::{Metrics, Outcome, Work};
use crate::revocations::Revocations;

/// What is read of the log before it is written.
const TAIL: PageBounds = PageBounds { events_max: 1024, bytes_max: 1024 * 1024 };
/// How long those who catch up are served before the log is looked at again: thousands that resume
/// at once do not hold up who is live.
const CATCH_UP_FOR: Duration = Duration::from_millis(5);
/// Connections that a sweep looks at before the log is looked at again.
const SWEPT_AT_ONCE: usize = 4096;
/// How often all connections are looked at for heartbeats, ends and stalls.
const SWEEP_EVERY: Duration = Duration::from_millis(250);
/// Socket events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// The mailbox's token; no connection's key gets there.
pub(super) const MAILBOX: Token = Token(usize::MAX);

pub(super) struct Shard {
    /// Which of them it is.
    number: usize,
    poll: Poll,
    mailbox: Arc<Mailbox>,
    log: SharedLog,
    admission: Admission,
    revocations: Arc<Revocations>,
    metrics: Arc<Metrics>,
    is_draining: Arc<AtomicBool>,
    started: Instant,
    now: Tick,
    connections: Slab<Connection>,
    groups: Groups,
    /// How far the log was read: every live connection has what is before.
    place: Cursor,
    /// Whether the log has more than was read.
    has_more: bool,
    /// Connections to go on with.
    queue: VecDeque<Key>,
    batch: Batch,
    /// What was done since it was last counted: told once a turn, so that no delivery counts by itself.
    work: Work,
    /// What was read and is being written, and whether anyone wants it.
    read: Vec<(Position, bool)>,
    survey: Survey,
    /// Whoever waits for the log to be read.
    milestones: Vec<Milestone>,
    next_sweep: Instant,
    /// Where the sweep under way has come to.
    sweep_from: Option<usize>,
    /// How far the slowest that this sweep has seen is behind, in events.
    lag_events: u64,
    /// Of the newest settings seen.
    page: PageBounds,
    write_stall: Duration,
    is_closing: bool,
}

impl Shard {
    pub(super) fn new(
        number: usize,
        poll: Poll,
        mailbox: Arc<Mailbox>,
        log: SharedLog,
        admission: Admission,
        revocations: Arc<Revocations>,
        is_draining: Arc<AtomicBool>,
    ) -> Self {
        let started = Instant::now();
        Self {
            number,
            poll,
            mailbox,
            place: log.newest(),
            log,
            metrics: Arc::clone(admission.metrics()),
            admission,
            revocations,
            is_draining,
            started,
            now: Tick(0),
            connections: Slab::new(),
            groups: Groups::default(),
            has_more: false,
            queue: VecDeque::new(),
            batch: Batch::default(),
            work: Work::default(),
            read: Vec::new(),
            survey: Survey::default(),
            milestones: Vec::new(),
            next_sweep: started + SWEEP_EVERY,
            sweep_from: None,
            lag_events: 0,
            page: TAIL,
            write_stall: Duration::MAX,
            is_closing: false,
        }
    }

    /// Runs until it was told to drain and all its connections have ended.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !(self.is_closing && self.mailbox.connections() == 0) {
            if let Err(error) = self.poll.poll(&mut events, Some(self.time_to_wait()))
                && error.kind() != io::ErrorKind::Interrupted
            {
                error!(%error, "a shard cannot wait for its sockets and ends; restart the node");
                return;
            }
            self.now = Tick::of(self.started.elapsed());
            for event in &events {
                if event.token() != MAILBOX {
                    self.socket_event(event);
                }
            }
            self.mailbox.answer();
            self.is_closing = self.is_draining.load(Ordering::Acquire);
            for newcomer in self.mailbox.take() {
                self.adopt(newcomer);
            }
            for order in self.mailbox.take_orders() {
                self.follow(order);
            }
            self.deliver();
            self.reach();
            if self.is_closing {
                self.close_all();
            }
            self.go_on();
            self.sweep();
            self.answer_survey();
            self.metrics.worked(std::mem::take(&mut self.work));
        }
    }

    fn follow(&mut self, order: Order) {
        // Whoever asked may have gone.
        match order {
            Order::Close(target, closed) => {
                let _ = closed.send(self.close_those(&target));
            }
            Order::Survey(question) => self.survey.ask(question),
            Order::Reach(milestone) => self.milestones.push(milestone),
            Order::Settle(done) => {
                for (_, connection) in &mut self.connections {
                    connection.settle();
                }
                let _ = done.send(());
            }
        }
    }

    fn time_to_wait(&self) -> Duration {
        let has_work = !self.queue.is_empty()
            || self.sweep_from.is_some()
            || self.has_more
            || !self.survey.is_over();
        if has_work {
            Duration::ZERO
        } else {
            self.next_sweep.saturating_duration_since(Instant::now())
        }
    }

    fn socket_event(&mut self, event: &mio::event::Event) {
        let Token(index) = event.token();
        let Some(connection) = self.connections.get_mut(index) else { return };
        let is_gone = event.is_error() || event.is_read_closed() || event.is_write_closed();
        if is_gone || (event.is_readable() && !connection.discard_input()) {
            self.close(key(index));
        } else if event.is_writable() && !connection.is_live() {
            self.enqueue(key(index));
        }
    }

    fn adopt(&mut self, newcomer: Newcomer) {
        let Newcomer { socket, rest, mut stream } = newcomer;
        // Somebody may have been revoked between being let in and coming here. From here on an
        // order finds them.
        let is_revoked = self.revocations.is_revoked(&stream.owner.holder);
        let entry = self.connections.vacant_entry();
        let index = entry.key();
        let mut socket = TcpStream::from_std(socket);
        let registered = Connection::register(&mut socket, self.poll.registry(), Token(index));
        if let Err(error) = registered {
            error!(%error, "a stream could not be watched and was closed");
            stream.reservation.ends(Outcome::Unwatched);
            self.mailbox.forget();
            return;
        }
        if self.groups.is_empty() {
            // There was nobody to read for.
            self.place = self.log.newest();
        }
        (self.page, self.write_stall) = (stream.bounds.page, stream.bounds.write_stall);
        let heartbeat_secs = stream.bounds.heartbeat.as_secs();
        let beginning = Beginning {
            first_bytes: rest,
            reader: stream.reader,
            told_gap: stream.told_gap,
            replay_end: stream.replay_end,
            heartbeat_secs: u16::try_from(heartbeat_secs).unwrap_or(u16::MAX),
            end_reason: stream.end.reason,
            end_at: Tick::not_before(stream.end.at - self.started),
            warn_at: Tick::of(stream.end.warn_at - self.started),
            owner: stream.owner,
            arrival: stream.arrival,
            reservation: stream.reservation,
        };
        let membership = self.groups.join(stream.selection, key(index));
        entry.insert(Connection::new(socket, membership, beginning, self.now));
        if is_revoked {
            self.end_authority_of(key(index));
        } else {
            self.enqueue(key(index));
        }
    }

    /// Hands on what was appended since the last time, all that waits in one go. Where that is more
    /// than fits, the sockets get their turn in between.
    fn deliver(&mut self) {
        self.has_more = false;
        if self.groups.is_empty() {
            return;
        }
        let floor = self.place;
        let tail = self.log.tail(floor, TAIL);
        self.place = tail.cursor;
        if !tail.complete {
            // The log moved past this shard, or is another now. What each of its readers has missed, if anything, is
            // theirs to find out.
            self.leave_all_behind(floor);
            return;
        }
        let are_traced = self.metrics.flights.are_traced();
        for event in &tail.events {
            if are_traced {
                self.metrics.flights.heard(event.position(), || self.groups.wanting(event));
            }
            let is_wanted = self.groups.gather(event);
            self.read.push((event.position(), is_wanted));
        }
        self.flush(floor);
        let written_ns = self.metrics.now_ns();
        for (position, is_wanted) in self.read.drain(..) {
            self.metrics.flights.arrived(position, is_wanted.then_some(written_ns));
        }
        self.has_more = tail.more;
    }

    /// Tells those who wait for it how far the log was read.
    fn reach(&mut self) {
        if self.milestones.is_empty() {
            return;
        }
        // With nobody to read for, reading is finding the end.
        let place = if self.groups.is_empty() { self.log.newest() } else { self.place };
        let is_over = |one: &mut Milestone| one.is_reached(place) || one.reached.is_closed();
        for milestone in self.milestones.extract_if(.., is_over) {
            // Whoever waited may have gone.
            let _ = milestone.reached.send(());
        }
    }

    fn answer_survey(&mut self) {
        let Self { survey, connections, groups, place, now, log, has_more, .. } = self;
        let now_ns = log.clock().uptime_ns();
        survey.go_on(connections, groups, |connection| {
            let left = connection.end_at.since(*now);
            let reservation = connection.reservation();
            let is_behind = *has_more || !connection.is_live();
            Listed {
                connection: connection.owner.connection,
                user: reservation.user().cloned(),
                address: reservation.address(),
                arrival: connection.arrival,
                selection: Arc::clone(groups.selection(connection.group)),
                opened_ns: reservation.opened_ns(),
                ends_ns: now_ns.saturating_add(nanos(left)),
                behind_at: is_behind.then(|| connection.cursor(*place).position),
                sent: connection.sent(),
                is_blocked: connection.is_blocked(),
            }
        });
    }

    fn flush(&mut self, floor: Cursor) {
        while let Some((group, pending)) = self.groups.next_dirty() {
            self.batch.clear();
            for event in &pending {
                self.batch.push_event(event);
            }
            // Backwards: one that is closed is replaced by one that was served.
            for place in (0..self.groups.members(group).len()).rev() {
                let key = self.groups.members(group)[place];
                let connection = &mut self.connections[key as usize];
                if !connection.is_live() {
                    continue;
                }
                let sent = connection.send(&self.batch, floor, self.now, &mut self.work);
                if sent.is_err() {
                    self.close(key);
                }
            }
        }
    }

    fn leave_all_behind(&mut self, floor: Cursor) {
        let Self { connections, queue, now, .. } = self;
        for (index, connection) in connections.iter_mut() {
            if connection.is_live() {
                connection.fall_behind(floor, Bytes::new(), *now);
                if !std::mem::replace(&mut connection.is_queued, true) {
                    queue.push_back(key(index));
                }
            }
        }
    }

    /// Gives everyone who is behind and has room a turn, as far as the time goes.
    fn go_on(&mut self) {
        let until = Instant::now() + CATCH_UP_FOR;
        for _ in 0..self.queue.len() {
            let Some(key) = self.queue.pop_front() else { return };
            let Some(connection) = self.connections.get_mut(key as usize) else { continue };
            if !std::mem::take(&mut connection.is_queued) {
                continue;
            }
            let selection = Arc::clone(self.groups.selection(connection.group));
            let source = Source { log: &self.log, selection: &selection, page: self.page };
            let turn = connection.go_on(source, &mut self.batch, self.now, &mut self.work);
            match turn {
                Ok(Turn::CaughtUp | Turn::Blocked) => {}
                Ok(Turn::More) => self.enqueue(key),
                Ok(Turn::Finished) | Err(_) => self.close(key),
            }
            if Instant::now() >= until {
                return;
            }
        }
    }

    /// Looks at some of the connections for what is due by time; the rest follow soon.
    fn sweep(&mut self) {
        let from = match self.sweep_from {
            Some(from) => from,
            None if Instant::now() < self.next_sweep => return,
            None => {
                self.next_sweep = Instant::now() + SWEEP_EVERY;
                0
            }
        };
        let capacity = self.connections.capacity();
        let to = (from + SWEPT_AT_ONCE).min(capacity);
        let heartbeat = wire::heartbeat(self.place);
        for index in from..to {
            if self.connections.contains(index) {
                self.look_at(key(index), &heartbeat);
            }
        }
        self.sweep_from = (to < capacity).then_some(to);
        if self.sweep_from.is_none() {
            self.metrics.lags(self.number, std::mem::take(&mut self.lag_events));
        }
    }

    fn look_at(&mut self, key: Key, heartbeat: &Bytes) {
        let (now, floor) = (self.now, self.place);
        let connection = &mut self.connections[key as usize];
        if !connection.is_live() {
            // The log has what a slow reader misses when it comes back. Where authority has ended
            // it gets nothing more, not even a word.
            let is_stalled = connection.stalled_for(now) >= self.write_stall;
            if is_stalled || now >= connection.end_at {
                connection.ends(if is_stalled { Outcome::Stalled } else { Outcome::Expired });
                // Not reset, though the kernel would let go of what it holds at once: a peer with a
                // full window ignores a reset, and nothing would ever tell it again.
                self.close(key);
                return;
            }
            let position = connection.cursor(floor).position;
            let lag_events = floor.position.get().saturating_sub(position.get());
            self.lag_events = self.lag_events.max(lag_events);
            return;
        }
        // One that has just caught up by itself may be ahead of the others: no cursor goes back.
        let cursor = connection.cursor(floor);
        let sent = if now >= connection.end_at {
            let mut last = BytesMut::new();
            if connection.warn_at != Tick::MAX {
                // A life so short that both came due at once.
                last.extend_from_slice(&wire::expiring(0, connection.end_reason));
            }
            let retry_ms = fastrand::u64(RETRY_MS);
            last.extend_from_slice(&wire::closing(cursor, ClosingReason::Expired, retry_ms));
            connection.ends(Outcome::Expired);
            connection.end_with(&last, floor, now);
            self.enqueue(key);
            return;
        } else if now >= connection.warn_at {
            connection.warn_at = Tick::MAX;
            let left = connection.end_at.since(now);
            let warning = wire::expiring(millis(left).div_ceil(1000), connection.end_reason);
            connection.send_own(&warning, floor, now)
        } else if now.since(connection.last_write).as_secs() >= connection.heartbeat_secs.into() {
            if cursor == floor {
                connection.send_own(heartbeat, floor, now)
            } else {
                connection.send_own(&wire::heartbeat(cursor), floor, now)
            }
        } else {
            return;
        };
        if sent.is_err() {
            self.close(key);
        }
    }

    /// Tells everyone that the hub goes away, each to come back at a time of its own.
    fn close_all(&mut self) {
        let streams = self.admission.streams();
        let floor = self.place;
        let keys: Vec<Key> = self.connections.iter().map(|(index, _)| key(index)).collect();
        for key in keys {
            let connection = &mut self.connections[key as usize];
            // Whoever is behind gets what was published before the end, and the end when it is live.
            if connection.is_closing() || !connection.is_live() {
                continue;
            }
            let cursor = connection.cursor(floor);
            let retry_ms = millis(spread_out_retry(streams));
            let last = wire::closing(cursor, ClosingReason::Drain, retry_ms);
            connection.ends(Outcome::Drain);
            connection.end_with(&last, floor, self.now);
            self.enqueue(key);
        }
    }

    /// Closes the streams that are meant, at once; returns their number.
    fn close_those(&mut self, target: &Target) -> usize {
        let hit = |(index, connection): (usize, &Connection)| {
            target.hits(&connection.owner).then(|| key(index))
        };
        let keys: Vec<Key> = self.connections.iter().filter_map(hit).collect();
        for &key in &keys {
            self.end_authority_of(key);
        }
        keys.len()
    }

    /// A last word, as far as the socket takes it at once, and the end: whoever may not hear the log
    /// any more is not waited for.
    fn end_authority_of(&mut self, key: Key) {
        let floor = self.place;
        let connection = &mut self.connections[key as usize];
        let cursor = connection.cursor(floor);
        let last = wire::closing(cursor, ClosingReason::Revoked, fastrand::u64(RETRY_MS));
        connection.ends(Outcome::Revoked);
        connection.end_with(&last, floor, self.now);
        let selection = Arc::clone(self.groups.selection(connection.group));
        // It is closed whether or not that could be written.
        let source = Source { log: &self.log, selection: &selection, page: self.page };
        let _ = connection.go_on(source, &mut self.batch, self.now, &mut self.work);
        self.close(key);
    }

    fn enqueue(&mut self, key: Key) {
        let connection = &mut self.connections[key as usize];
        if !std::mem::replace(&mut connection.is_queued, true) {
            self.queue.push_back(key);
        }
    }

    fn close(&mut self, key: Key) {
        let mut connection = self.connections.remove(key as usize);
        // A socket that cannot be deregistered is closed all the same, and gone with that.
        let _ = connection.deregister(self.poll.registry());
        if let Some(moved) = self.groups.leave(connection.group, connection.place) {
            self.connections[moved as usize].place = connection.place;
        }
        self.mailbox.forget();
    }
}

pub(super) fn key(index: usize) -> Key {
    Key::try_from(index).expect("file descriptors run out long before")
}
