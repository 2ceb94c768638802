//! The thread that writes: takes all orders that wait, gives them places, has them on the disk, and
//! only then hands them to the hub and answers.
//!
//! A turn is all or nothing. If it cannot be written, its positions are given out again and its keys
//! are as if never used.

use std::sync::Arc;

use tidings_hub::{Cursor, Event, EventType, Position};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::super::idempotency::{Idempotency, IdempotencyKey, Seen};
use super::super::replica::{Arrival, Replica};
use super::super::{Failure, Outcome, Publication};
use super::folder::Lock;
use super::journal::{Appended, Fault, Journal};
use super::meta::Meta;
use super::restore::{Restored, Revoked, revoke};
use super::{Order, State};
use crate::revocations::Revocation;

/// Events written at once, and KiB of them; the last order goes whole.
const TURN_EVENTS_MAX: usize = 4096;
const TURN_KIB_MAX: usize = 4096;
/// Positions that are set aside for what is not kept, each time there are none left.
const RESERVED_AT_ONCE: u64 = 4096;
/// The buffer of a turn that is kept for the next.
const BUFFER_BYTES_MAX: usize = 8 << 20;
/// What must fit again before a full disk counts as no longer full, if what did not fit was less.
const ROOM_BYTES_MIN: usize = 65_536;

/// Owns everything that is written.
#[derive(Debug)]
pub(super) struct Writer {
    journal: Journal,
    replica: Arc<Replica>,
    keys: Idempotency,
    revoked: Revoked,
    /// Up to here positions may be given to what is not kept: the disk knows that they are taken.
    reserved: Position,
    key_window_ms: u64,
    state: Arc<State>,
    buffer: Vec<u8>,
    full: Option<Full>,
}

/// While there is no room.
#[derive(Clone, Copy, Debug)]
struct Full {
    since_ns: u64,
    /// What did not fit.
    bytes: usize,
}

/// What is written at once.
#[derive(Debug)]
struct Turn {
    /// The newest position before it.
    base: Cursor,
    position: Position,
    reserved: Position,
    steps: Vec<Step>,
    replies: Vec<Reply>,
    is_written: bool,
}

#[derive(Debug)]
enum Step {
    Event(Arrival, Option<IdempotencyKey>),
    Own(Event, Option<oneshot::Sender<Result<Cursor, Failure>>>),
    Revocation(Revocation),
    Mark(Position),
}

#[derive(Debug)]
enum Reply {
    Published {
        outcomes: Vec<Outcome>,
        types: Vec<EventType>,
        duplicates: u64,
        asked_ns: u64,
        answer: oneshot::Sender<Vec<Outcome>>,
    },
    Revoked(Revocation, oneshot::Sender<Result<(), Failure>>),
}

impl Writer {
    pub(super) fn new(
        journal: Journal,
        replica: Arc<Replica>,
        restored: Restored,
        reserved: Position,
        key_window_ms: u64,
        state: Arc<State>,
    ) -> Self {
        let Restored { keys, revoked, .. } = restored;
        let buffer = Vec::new();
        let full = None;
        Self { journal, replica, keys, revoked, reserved, key_window_ms, state, buffer, full }
    }

    /// Until it is told to stop, or nobody is left who could ask for anything.
    pub(super) fn run(mut self, mut orders: mpsc::Receiver<Order>, ended: Meta, lock: Lock) {
        let mut end = End { state: Arc::clone(&self.state), is_orderly: false };
        while let Some(first) = orders.blocking_recv() {
            let mut room = Vec::new();
            let (mut events, mut kib) = (0, 0);
            let mut turn = Turn::after(self.replica.newest(), self.reserved);
            let mut next = Some(first);
            while let Some(order) = next.take() {
                if matches!(order, Order::Stop) {
                    // What was handed in before is done; nothing more is taken.
                    orders.close();
                }
                if let Order::Publish { publications, room, .. } = &order {
                    events += publications.len();
                    kib += room.num_permits();
                }
                room.extend(self.stage(order, &mut turn));
                if events < TURN_EVENTS_MAX && kib < TURN_KIB_MAX {
                    next = orders.try_recv().ok();
                }
            }
            self.take(turn);
        }
        if self.state.failure() != Some(Failure::Broken) {
            match self.journal.finish().and_then(|()| ended.write(self.journal.folder())) {
                Ok(()) => info!("the log is closed"),
                Err(error) => error!(%error, "the log could not be closed in order"),
            }
        }
        end.is_orderly = true;
        drop(lock);
    }

    /// Puts an order into the turn. Returns the room that it takes in the queue until that is written.
    fn stage(
        &mut self,
        order: Order,
        turn: &mut Turn,
    ) -> Option<tokio::sync::OwnedSemaphorePermit> {
        match order {
            Order::Publish { publications, asked_ns, room, answer } => {
                let mut reply = Published::default();
                for publication in publications {
                    let outcome = self.stage_event(publication, turn, &mut reply);
                    reply.outcomes.push(outcome);
                }
                let Published { outcomes, types, duplicates } = reply;
                turn.replies.push(Reply::Published {
                    outcomes,
                    types,
                    duplicates,
                    asked_ns,
                    answer,
                });
                return Some(room);
            }
            Order::Revoke(revocation, answer) => {
                turn.steps.push(Step::Revocation(revocation));
                turn.is_written = true;
                turn.replies.push(Reply::Revoked(revocation, answer));
            }
            Order::Own(event) => turn.stage_own(event, None),
            Order::Probe(event, answer) => match self.find_room() {
                Ok(()) => turn.stage_own(event, Some(answer)),
                Err(failure) => {
                    // It may be that nobody waits any more.
                    let _ = answer.send(Err(failure));
                }
            },
            Order::Retire => {
                self.keys.expire(self.replica.clock.now().uptime_ms);
                self.retire();
            }
            Order::Stop => {}
        }
        None
    }

    fn stage_event(
        &mut self,
        publication: Publication,
        turn: &mut Turn,
        reply: &mut Published,
    ) -> Outcome {
        let Publication { event, key, received_ns, passage } = publication;
        let now = self.replica.clock.now();
        let position = turn.position.next();
        let cursor = Cursor { position, ..turn.base };
        if let Some(key) = &key {
            match self.keys.look_up(key, now.uptime_ms) {
                Seen::Same(cursor) => {
                    reply.duplicates += 1;
                    return Outcome::Stored(cursor);
                }
                Seen::Different => return Outcome::Conflict,
                Seen::Never => self.keys.remember(key, cursor, now.uptime_ms),
            }
        }
        reply.types.push(event.event_type().clone());
        turn.position = position;
        turn.is_written = true;
        let (time_ms, received_ns) = (now.unix_ms, Some(received_ns));
        let arrival = Arrival { position, event, time_ms, received_ns, passage };
        turn.steps.push(Step::Event(arrival, key));
        Outcome::Stored(cursor)
    }

    fn take(&mut self, turn: Turn) {
        if !turn.is_written {
            return self.finish(turn);
        }
        if self.state.failure() == Some(Failure::Broken) {
            return self.give_up(turn, Failure::Broken);
        }
        match self.write(&turn) {
            Ok(()) => {
                self.room_again();
                self.finish(turn);
            }
            Err(fault) => {
                let failure = self.fail(fault);
                self.give_up(turn, failure);
            }
        }
    }

    fn write(&mut self, turn: &Turn) -> Result<(), Fault> {
        let now_ms = self.replica.clock.now().unix_ms;
        if self.journal.is_full() {
            let (reserved, revoked) = (self.reserved.max(turn.base.position), &mut self.revoked);
            revoked.retain(|_, revocation| revocation.until_ms > now_ms);
            self.journal.begin_segment(|entries| {
                entries.mark(reserved, now_ms);
                for revocation in revoked.values() {
                    entries.revocation(reserved, *revocation, now_ms);
                }
            })?;
            self.retire();
        }
        let mut entries = self.journal.entries(std::mem::take(&mut self.buffer));
        let mut appended = Appended { last: Position::START, key_ms: None };
        for step in &turn.steps {
            match step {
                Step::Event(arrival, key) => {
                    let Arrival { position, event, time_ms, .. } = arrival;
                    entries.event(*position, event, key.as_ref(), *time_ms);
                    appended.last = *position;
                    if key.is_some() {
                        appended.key_ms = Some(*time_ms);
                    }
                }
                Step::Own(..) => {}
                Step::Revocation(revocation) => {
                    entries.revocation(turn.base.position, *revocation, now_ms);
                }
                Step::Mark(position) => entries.mark(*position, now_ms),
            }
        }
        let written = self.journal.append(&entries, appended);
        if let Err(Fault::NoRoom(_)) = written {
            let since_ns =
                self.full.map_or_else(|| self.replica.clock.uptime_ns(), |it| it.since_ns);
            self.full = Some(Full { since_ns, bytes: entries.bytes.len().max(ROOM_BYTES_MIN) });
        }
        self.buffer = entries.bytes;
        if self.buffer.capacity() > BUFFER_BYTES_MAX {
            self.buffer = Vec::new();
        }
        written
    }

    /// Hands a turn to the hub, and answers.
    fn finish(&mut self, turn: Turn) {
        self.reserved = turn.reserved;
        let mut arrivals = Vec::new();
        for step in turn.steps {
            match step {
                Step::Event(arrival, _) => arrivals.push(arrival),
                Step::Own(event, answer) => {
                    self.replica.apply(std::mem::take(&mut arrivals));
                    let cursor = self.replica.store_own(event);
                    if let Some(answer) = answer {
                        let _ = answer.send(Ok(cursor));
                    }
                }
                Step::Revocation(_) | Step::Mark(_) => {}
            }
        }
        self.replica.apply(arrivals);
        let stored_ns = self.replica.clock.uptime_ns();
        let metrics = &self.replica.metrics;
        for reply in turn.replies {
            match reply {
                Reply::Published { outcomes, types, duplicates, asked_ns, answer } => {
                    let took_ns = stored_ns.saturating_sub(asked_ns);
                    metrics.appended(types.iter().map(EventType::as_str), took_ns);
                    for _ in 0..duplicates {
                        metrics.deduplicated();
                    }
                    let _ = answer.send(outcomes);
                }
                Reply::Revoked(revocation, answer) => {
                    revoke(&mut self.revoked, revocation);
                    let _ = answer.send(Ok(()));
                }
            }
        }
    }

    /// Answers for a turn of which nothing was written.
    fn give_up(&mut self, turn: Turn, failure: Failure) {
        for step in turn.steps {
            match step {
                Step::Event(_, Some(key)) => self.keys.forget(&key),
                Step::Own(event, answer) => {
                    let position = self.replica.newest().position.next();
                    let answered = if position <= self.reserved {
                        Ok(self.replica.store_own(event))
                    } else {
                        Err(failure)
                    };
                    if let Some(answer) = answer {
                        let _ = answer.send(answered);
                    }
                }
                Step::Event(_, None) | Step::Revocation(_) | Step::Mark(_) => {}
            }
        }
        for reply in turn.replies {
            match reply {
                Reply::Published { mut outcomes, types, answer, .. } => {
                    for outcome in &mut outcomes {
                        // What was stored before this turn stays so.
                        if matches!(outcome, Outcome::Stored(it) if it.position > turn.base.position)
                        {
                            *outcome = Outcome::Failed(failure);
                        }
                    }
                    self.replica.metrics.append_failed(types.len() as u64);
                    let _ = answer.send(outcomes);
                }
                Reply::Revoked(_, answer) => {
                    let _ = answer.send(Err(failure));
                }
            }
        }
    }

    /// Whether events can be taken, found out anew where they could not.
    fn find_room(&mut self) -> Result<(), Failure> {
        match (self.state.failure(), self.full) {
            (None, _) => Ok(()),
            (Some(Failure::NoRoom), Some(full)) => match self.journal.has_room(full.bytes) {
                Ok(()) => {
                    self.room_again();
                    Ok(())
                }
                Err(fault) => Err(self.fail(fault)),
            },
            (Some(failure), _) => Err(failure),
        }
    }

    fn room_again(&mut self) {
        if let Some(full) = self.full.take() {
            let lasted_ns = self.replica.clock.uptime_ns().saturating_sub(full.since_ns);
            self.state.set(None);
            info!(lasted_ms = lasted_ns / 1_000_000, "the log has room again");
        }
    }

    /// Remembers that nothing can be written, and tells an operator once.
    fn fail(&mut self, fault: Fault) -> Failure {
        let before = self.state.failure();
        match fault {
            Fault::NoRoom(cause) => {
                let since_ns = self.replica.clock.uptime_ns();
                self.full.get_or_insert(Full { since_ns, bytes: ROOM_BYTES_MIN });
                if before.is_none() {
                    warn!(
                        %cause,
                        "the log has no room: nothing is taken until there is some; reading goes on"
                    );
                }
                self.state.set(Some(Failure::NoRoom));
                Failure::NoRoom
            }
            Fault::Broken(cause) => {
                if before != Some(Failure::Broken) {
                    error!(
                        %cause,
                        "the log cannot be relied on: nothing more is taken by this process; reading \
                         goes on. Look after the disk, then start it anew"
                    );
                }
                self.state.set(Some(Failure::Broken));
                Failure::Broken
            }
        }
    }

    fn retire(&mut self) {
        let now_ms = self.replica.clock.now().unix_ms;
        let keys_since_ms = now_ms.saturating_sub(self.key_window_ms);
        self.journal.retire(self.replica.kept_after(), keys_since_ms);
    }
}

/// What is being found out for one order.
#[derive(Debug, Default)]
struct Published {
    outcomes: Vec<Outcome>,
    types: Vec<EventType>,
    duplicates: u64,
}

impl Turn {
    fn after(base: Cursor, reserved: Position) -> Self {
        let position = base.position;
        let (steps, replies) = (Vec::new(), Vec::new());
        Self { base, position, reserved, steps, replies, is_written: false }
    }

    /// The disk must know that the position is taken, before anybody can.
    fn stage_own(
        &mut self,
        event: Event,
        answer: Option<oneshot::Sender<Result<Cursor, Failure>>>,
    ) {
        self.position = self.position.next();
        if self.position > self.reserved {
            self.reserved = Position::new(self.position.get() + RESERVED_AT_ONCE - 1);
            self.steps.push(Step::Mark(self.reserved));
            self.is_written = true;
        }
        self.steps.push(Step::Own(event, answer));
    }
}

/// A thread that has panicked takes nothing more.
struct End {
    state: Arc<State>,
    is_orderly: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.is_orderly {
            self.state.set(Some(Failure::Broken));
        }
    }
}
