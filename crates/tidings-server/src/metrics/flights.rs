//! From a publisher's request to the last socket: how long each event is on its way.
//!
//! An event departs when it is stored and lands when everyone who was told of it has written it, or
//! after a second. The newest events have a slot each, found by position; nothing is allocated and
//! nothing is locked. Where two threads meet in the moment a slot is given to another event, thousands
//! of events later, one of the two times may be off; no count ever is.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tidings_hub::Position;

use super::times::{Times, TimesReading};
use crate::traces::Traces;

/// Events that are on their way at once; the oldest land when there are more.
const FLIGHTS_MAX: usize = 8192;
/// How long is waited for a listener who was told and may not have wanted the event at all.
const LANDS_WITHIN_NS: u64 = 1_000_000_000;
/// Stands for everyone there may be to write an event, until their number is known.
const NOT_ANNOUNCED: i64 = 1 << 40;

#[derive(Debug)]
pub(crate) struct Flights {
    /// Told of what lands, for those that are traced.
    traces: Traces,
    slots: Box<[Slot]>,
    /// From the moment a request was read to the moment the last socket was written to.
    whole: Times,
    /// From the moment an event was stored on.
    fanout: Times,
}

#[derive(Debug, Default)]
struct Slot {
    /// Whose slot it is; 0 is nobody's.
    position: AtomicU64,
    received_ns: AtomicU64,
    stored_ns: AtomicU64,
    written_ns: AtomicU64,
    /// How many are still to write it or to pass it over.
    waiting: AtomicI64,
}

impl Flights {
    pub(super) fn new(traces: Traces) -> Self {
        Self {
            traces,
            slots: (0..FLIGHTS_MAX).map(|_| Slot::default()).collect(),
            whole: Times::in_nanos(),
            fanout: Times::in_nanos(),
        }
    }

    /// Whether any of the events that are on their way is traced.
    pub(crate) fn are_traced(&self) -> bool {
        self.traces.are_under_way()
    }

    /// So many listeners are about to be written an event: counted for those that are traced, before
    /// one of them says that it has arrived.
    pub(crate) fn heard(&self, position: Position, listeners: impl FnOnce() -> usize) {
        self.traces.heard(position, listeners);
    }

    /// An event was stored. To be said before anyone can read it.
    pub(crate) fn depart(&self, position: Position, received_ns: u64, stored_ns: u64) {
        let slot = self.slot(position);
        let earlier = slot.position.load(Ordering::Relaxed);
        if earlier != 0 {
            // Whoever has not written it yet, it took at least this long.
            slot.written_ns.fetch_max(stored_ns, Ordering::Relaxed);
            self.land(slot, earlier);
        }
        slot.received_ns.store(received_ns, Ordering::Relaxed);
        slot.stored_ns.store(stored_ns, Ordering::Relaxed);
        slot.written_ns.store(stored_ns, Ordering::Relaxed);
        slot.waiting.store(NOT_ANNOUNCED, Ordering::Relaxed);
        slot.position.store(position.get(), Ordering::Release);
    }

    /// So many were told of an event. With nobody, it has arrived as soon as it was stored.
    pub(crate) fn announced(&self, position: Position, listeners: usize) {
        let listeners = i64::try_from(listeners).unwrap_or(i64::MAX / 2);
        self.count(position, listeners - NOT_ANNOUNCED);
    }

    /// One of those who were told has written an event, then, or had nobody to write it to.
    pub(crate) fn arrived(&self, position: Position, written_ns: Option<u64>) {
        if let Some(written_ns) = written_ns {
            let slot = self.slot(position);
            if slot.position.load(Ordering::Acquire) == position.get() {
                slot.written_ns.fetch_max(written_ns, Ordering::Relaxed);
            }
        }
        self.count(position, -1);
    }

    /// Lands what has been on its way for long enough. To be called about once a second.
    pub(crate) fn settle(&self, now_ns: u64) {
        for slot in &self.slots {
            let position = slot.position.load(Ordering::Acquire);
            let stored_ns = slot.stored_ns.load(Ordering::Relaxed);
            if position != 0 && stored_ns.saturating_add(LANDS_WITHIN_NS) <= now_ns {
                self.land(slot, position);
            }
        }
        self.traces.settle(now_ns);
    }

    pub(super) fn whole(&self) -> TimesReading {
        self.whole.read()
    }

    pub(super) fn fanout(&self) -> TimesReading {
        self.fanout.read()
    }

    fn count(&self, position: Position, change: i64) {
        let slot = self.slot(position);
        if slot.position.load(Ordering::Acquire) == position.get() {
            // What others wrote is seen by whoever comes last.
            let waiting = slot.waiting.fetch_add(change, Ordering::AcqRel) + change;
            if waiting <= 0 {
                self.land(slot, position.get());
            }
        }
    }

    /// Once for each event.
    fn land(&self, slot: &Slot, position: u64) {
        let received_ns = slot.received_ns.load(Ordering::Relaxed);
        let stored_ns = slot.stored_ns.load(Ordering::Relaxed);
        let written_ns = slot.written_ns.load(Ordering::Relaxed);
        let is_first = slot
            .position
            .compare_exchange(position, 0, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if is_first {
            self.whole.record(written_ns.saturating_sub(received_ns), 1);
            self.fanout.record(written_ns.saturating_sub(stored_ns), 1);
            self.traces.landed(Position::new(position), written_ns);
        }
    }

    fn slot(&self, position: Position) -> &Slot {
        let index = position.get() % FLIGHTS_MAX as u64;
        &self.slots[usize::try_from(index).expect("below a few thousand")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn position(number: u64) -> Position {
        Position::new(number)
    }

    #[test]
    fn an_event_lands_when_the_last_who_was_told_has_written_it() {
        let flights = Flights::new(Traces::default());
        flights.depart(position(1), 0, MS);
        // One was faster than the publisher's thread.
        flights.arrived(position(1), Some(3 * MS));
        flights.announced(position(1), 3);
        flights.arrived(position(1), None);
        assert_eq!(flights.whole().count, 0);
        flights.arrived(position(1), Some(2 * MS));
        let (whole, fanout) = (flights.whole(), flights.fanout());
        assert_eq!((whole.count, fanout.count), (1, 1));
        assert!((whole.max_secs - 0.003).abs() < 1e-9 && (fanout.max_secs - 0.002).abs() < 1e-9);
    }

    #[test]
    fn an_event_that_nobody_hears_has_arrived_when_it_is_stored() {
        let flights = Flights::new(Traces::default());
        flights.depart(position(1), MS, 2 * MS);
        flights.announced(position(1), 0);
        let whole = flights.whole();
        assert!(whole.count == 1 && (whole.max_secs - 0.001).abs() < 1e-9, "{whole:?}");
    }

    #[test]
    fn every_event_is_counted_once_though_nobody_says_that_it_has_arrived() {
        let flights = Flights::new(Traces::default());
        let events = 3 * FLIGHTS_MAX as u64;
        for number in 1..=events {
            flights.depart(position(number), 0, number);
            flights.announced(position(number), 1);
        }
        assert_eq!(flights.whole().count, events - FLIGHTS_MAX as u64);
        flights.settle(LANDS_WITHIN_NS);
        assert_eq!(flights.whole().count, events - FLIGHTS_MAX as u64);
        flights.settle(2 * LANDS_WITHIN_NS);
        assert_eq!(flights.whole().count, events);
        flights.arrived(position(events), Some(7));
        assert_eq!(flights.whole().count, events);
    }
}
