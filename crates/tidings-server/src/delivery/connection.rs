//! One stream on a socket of our own: a cursor, and what its socket would not take yet.
//!
//! It is live when everything read for the shard was written to it. When its socket is full it
//! falls behind: what is left of one frame is kept, and everything after that is read from the log,
//! from its own cursor, when there is room again. Who else listens is not known here.

use std::io::{self, Read, Write};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mio::event::Source as _;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use tidings_hub::{Cursor, PageBounds, Position, Reader, Selection};

use super::batch::{Batch, Written, write_some};
use super::census::Arrival;
use super::closing::Owner;
use super::groups::GroupKey;
use super::wire::{self, ExpiringReason};
use super::{Reservation, SharedLog};
use crate::metrics::{Delivered, Outcome, Work};

/// Pages a connection that catches up is given before the others get their turn.
const PAGES_PER_TURN: usize = 4;
/// Bytes looked at at once of what a subscriber sends, which is nothing we need.
const DISCARD_BYTES: usize = 4096;
/// Looks at what one subscriber sends before the others get their turn. What is left stays with the
/// kernel: more to come is a new event, and so is a hang-up; who floods us fills its own window.
const DISCARDS_PER_TURN: usize = 4;

/// A tenth of a second of the shard's life: four bytes for thirteen years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(pub(super) u32);

impl Tick {
    /// Never.
    pub(super) const MAX: Self = Self(u32::MAX);

    pub(super) fn of(time: Duration) -> Self {
        Self(u32::try_from(time.as_millis() / 100).unwrap_or(u32::MAX))
    }

    /// The first tick that is not before a time: what ends then does not end too soon.
    pub(super) fn not_before(time: Duration) -> Self {
        Self(Self::of(time).0.saturating_add(1))
    }

    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::from(self.0.saturating_sub(earlier.0)) * 100)
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    pub(super) group: GroupKey,
    /// Its place among the group's members.
    pub(super) place: u32,
    /// While live: the last event written.
    position: Position,
    behind: Option<Box<Behind>>,
    pub(super) last_write: Tick,
    pub(super) heartbeat_secs: u16,
    pub(super) end_reason: ExpiringReason,
    pub(super) end_at: Tick,
    /// When to say that the end is near; never, once it was said.
    pub(super) warn_at: Tick,
    /// Whether it stands in the shard's queue.
    pub(super) is_queued: bool,
    pub(super) owner: Owner,
    pub(super) arrival: Arrival,
    /// What it was written.
    sent: Delivered,
    /// How many of these events are counted for its user.
    settled: u64,
    reservation: Reservation,
}

/// What a connection needs that reads the log by itself.
#[derive(Debug)]
pub(super) struct Behind {
    /// To be written before anything else. The reader's place is the one after it.
    rest: Bytes,
    /// The event that `rest` is the end of.
    cut: Delivered,
    reader: Reader,
    /// What lies up to here is from before the stream began.
    replay_end: Position,
    /// When the socket last took something.
    progress: Tick,
    /// Whether a gap was told and the client's cursor has not been moved past it.
    is_untold: bool,
    /// Whether the stream ends after `rest`.
    is_closing: bool,
    /// Whether the socket was full at the last write.
    is_blocked: bool,
}

/// What one who catches up reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) log: &'a SharedLog,
    pub(super) selection: &'a Selection,
    pub(super) page: PageBounds,
}

/// How a turn of catching up ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Everything in the log is written: it is live.
    CaughtUp,
    /// The socket is full.
    Blocked,
    /// There is more to write, after the others.
    More,
    /// The last bytes are written.
    Finished,
}

/// How a connection begins.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) first_bytes: Bytes,
    pub(super) reader: Reader,
    pub(super) told_gap: bool,
    /// The newest event when the stream was opened.
    pub(super) replay_end: Position,
    pub(super) heartbeat_secs: u16,
    pub(super) end_reason: ExpiringReason,
    pub(super) end_at: Tick,
    pub(super) warn_at: Tick,
    pub(super) owner: Owner,
    pub(super) arrival: Arrival,
    pub(super) reservation: Reservation,
}

impl Connection {
    pub(super) fn new(
        socket: TcpStream,
        (group, place): (GroupKey, u32),
        beginning: Beginning,
        now: Tick,
    ) -> Self {
        let Beginning { first_bytes, reader, told_gap, .. } = beginning;
        let mut behind = Behind::new(first_bytes, reader, told_gap, now);
        behind.replays_up_to(beginning.replay_end);
        Self {
            socket,
            group,
            place,
            position: Position::START,
            behind: Some(Box::new(behind)),
            last_write: now,
            heartbeat_secs: beginning.heartbeat_secs,
            end_reason: beginning.end_reason,
            end_at: beginning.end_at,
            warn_at: beginning.warn_at,
            is_queued: false,
            owner: beginning.owner,
            arrival: beginning.arrival,
            sent: Delivered::default(),
            settled: 0,
            reservation: beginning.reservation,
        }
    }

    pub(super) fn register(
        socket: &mut TcpStream,
        registry: &Registry,
        token: Token,
    ) -> io::Result<()> {
        socket.register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket.deregister(registry)
    }

    pub(super) fn is_live(&self) -> bool {
        self.behind.is_none()
    }

    /// Whether it has its last bytes and waits for room for them.
    pub(super) fn is_closing(&self) -> bool {
        self.behind.as_ref().is_some_and(|behind| behind.is_closing)
    }

    /// Whether its socket takes nothing at the moment.
    pub(super) fn is_blocked(&self) -> bool {
        self.behind.as_ref().is_some_and(|behind| behind.is_blocked)
    }

    /// How long nothing was taken of what waits for it.
    pub(super) fn stalled_for(&self, now: Tick) -> Duration {
        self.behind.as_ref().map_or(Duration::ZERO, |behind| now.since(behind.progress))
    }

    /// Where it is, if everything up to `floor` is known to be behind whoever is live.
    pub(super) fn cursor(&self, floor: Cursor) -> Cursor {
        match &self.behind {
            None => Cursor { position: self.position.max(floor.position), ..floor },
            Some(behind) => behind.reader.cursor(),
        }
    }

    /// Writes the events of a batch that a live connection does not have yet. Whatever its socket
    /// does not take is left in the log.
    pub(super) fn send(
        &mut self,
        batch: &Batch,
        floor: Cursor,
        now: Tick,
        work: &mut Work,
    ) -> io::Result<()> {
        let Some(last) = batch.last() else { return Ok(()) };
        let position = self.position.max(floor.position);
        if position >= last {
            return Ok(());
        }
        let from = batch.index_after(position);
        match batch.write(&mut self.socket, from, position)? {
            Written::All { delivered } => {
                self.position = last;
                self.count(delivered, work);
            }
            Written::Blocked { position, rest, delivered, cut, .. } => {
                self.count(delivered, work);
                let reader = Reader::at(Cursor { position, ..floor });
                let mut behind = Behind::new(rest, reader, false, now);
                behind.cut = cut;
                behind.is_blocked = true;
                self.behind = Some(Box::new(behind));
            }
        }
        self.last_write = now;
        Ok(())
    }

    fn count(&mut self, delivered: Delivered, work: &mut Work) {
        self.sent += delivered;
        work.delivered += delivered;
    }

    /// What it was written.
    pub(super) fn sent(&self) -> Delivered {
        self.sent
    }

    pub(super) fn reservation(&self) -> &Reservation {
        &self.reservation
    }

    /// Counts for its user what it was written.
    pub(super) fn settle(&mut self) {
        self.reservation.count_delivered(self.sent.events - self.settled);
        self.settled = self.sent.events;
    }

    /// Says why it ends.
    pub(super) fn ends(&mut self, outcome: Outcome) {
        self.reservation.ends(outcome);
    }

    /// Writes a few bytes of the hub's own to a live connection.
    pub(super) fn send_own(&mut self, bytes: &Bytes, floor: Cursor, now: Tick) -> io::Result<()> {
        let written = write_some(&mut self.socket, bytes)?;
        if written < bytes.len() {
            self.fall_behind(floor, bytes.slice(written..), now);
            if let Some(behind) = &mut self.behind {
                behind.is_blocked = true;
            }
        }
        self.last_write = now;
        Ok(())
    }

    /// Leaves a live connection to read the log by itself, if everything up to `floor` is known to be
    /// behind whoever is live.
    pub(super) fn fall_behind(&mut self, floor: Cursor, rest: Bytes, now: Tick) {
        let reader = Reader::at(self.cursor(floor));
        self.behind = Some(Box::new(Behind::new(rest, reader, false, now)));
    }

    /// Makes these bytes the last ones, after those of a frame that was cut.
    pub(super) fn end_with(&mut self, bytes: &[u8], floor: Cursor, now: Tick) {
        if self.behind.is_none() {
            self.fall_behind(floor, Bytes::new(), now);
        }
        if let Some(behind) = &mut self.behind
            && !behind.is_closing
        {
            behind.is_closing = true;
            let mut rest = BytesMut::from(&behind.rest[..]);
            rest.extend_from_slice(bytes);
            behind.rest = rest.freeze();
        }
    }

    /// Writes what waits, then reads on in the log: until live, or blocked, or the turn is over.
    pub(super) fn go_on(
        &mut self,
        source: Source<'_>,
        batch: &mut Batch,
        now: Tick,
        work: &mut Work,
    ) -> io::Result<Turn> {
        let Some(mut behind) = self.behind.take() else { return Ok(Turn::CaughtUp) };
        let before = work.delivered;
        let turn = behind.go_on(&mut self.socket, source, batch, now, work);
        self.sent += work.delivered - before;
        let turn = turn?;
        behind.is_blocked = turn == Turn::Blocked;
        self.last_write = now;
        if turn == Turn::CaughtUp {
            self.position = behind.position();
        } else {
            self.behind = Some(behind);
        }
        Ok(turn)
    }

    /// Takes and forgets what the subscriber sends; false when it has hung up.
    pub(super) fn discard_input(&mut self) -> bool {
        let mut buffer = [0; DISCARD_BYTES];
        for _ in 0..DISCARDS_PER_TURN {
            match self.socket.read(&mut buffer) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.settle();
    }
}

impl Behind {
    pub(super) fn new(rest: Bytes, reader: Reader, is_untold: bool, now: Tick) -> Self {
        Self {
            rest,
            cut: Delivered::default(),
            reader,
            replay_end: Position::START,
            progress: now,
            is_untold,
            is_closing: false,
            is_blocked: false,
        }
    }

    /// What lies up to this position is from before the stream began.
    pub(super) fn replays_up_to(&mut self, position: Position) {
        self.replay_end = position;
    }

    pub(super) fn position(&self) -> Position {
        self.reader.position()
    }

    pub(super) fn go_on(
        &mut self,
        socket: &mut impl Write,
        source: Source<'_>,
        batch: &mut Batch,
        now: Tick,
        work: &mut Work,
    ) -> io::Result<Turn> {
        let written = write_some(socket, &self.rest)?;
        if written > 0 {
            self.progress = now;
        }
        self.rest =
            if written == self.rest.len() { Bytes::new() } else { self.rest.slice(written..) };
        if !self.rest.is_empty() {
            return Ok(Turn::Blocked);
        }
        let cut = std::mem::take(&mut self.cut);
        let was_replay = self.reader.position() <= self.replay_end;
        work.delivered += cut;
        work.replayed += if was_replay { cut.events } else { 0 };
        if self.is_closing {
            return Ok(Turn::Finished);
        }
        for _ in 0..PAGES_PER_TURN {
            let before = self.reader.clone();
            let (more, gaps) = self.read(source, batch);
            if batch.is_empty() {
                if more {
                    continue;
                }
                return Ok(Turn::CaughtUp);
            }
            match batch.write(socket, 0, before.position())? {
                Written::All { delivered } => {
                    self.progress = now;
                    work.gaps += gaps;
                    self.count(delivered, batch, work);
                }
                Written::Blocked { position, rest, progress, delivered, cut } => {
                    self.count(delivered, batch, work);
                    self.cut = cut;
                    if progress {
                        work.gaps += gaps;
                        self.progress = now;
                        self.reader.move_to(position);
                        // The part that leads to the end of the log moves the client's cursor there.
                        self.is_untold &= more || batch.last() != Some(position);
                    } else {
                        // Also a gap was not told.
                        self.reader = before;
                    }
                    self.rest = rest;
                    return Ok(Turn::Blocked);
                }
            }
            if !more {
                return Ok(Turn::CaughtUp);
            }
        }
        Ok(Turn::More)
    }

    fn count(&self, delivered: Delivered, batch: &Batch, work: &mut Work) {
        work.delivered += delivered;
        work.replayed += delivered.events.min(batch.events_up_to(self.replay_end));
    }

    /// Fills the batch with the next page; whether there may be more, and how many gaps are in it.
    fn read(&mut self, source: Source<'_>, batch: &mut Batch) -> (bool, u64) {
        let Source { log, selection, page } = source;
        batch.clear();
        let advance = log.advance(&mut self.reader, selection, page);
        if let Some(gap) = &advance.gap {
            // In another epoch the reader is not where it was.
            batch.push(wire::gap(gap), gap.cursor.position);
            self.is_untold = true;
        }
        for event in &advance.page.events {
            batch.push_event(event);
        }
        let position = self.reader.position();
        if self.is_untold && !advance.page.more && batch.last() != Some(position) {
            // What was missing is behind the reader now: coming back, it is not told again.
            batch.push(wire::heartbeat(self.reader.cursor()), position);
        }
        (advance.page.more, u64::from(advance.gap.is_some()))
    }
}
