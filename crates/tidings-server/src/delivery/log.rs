//! The node's log as delivery sees it: read under one lock, a page at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_hub::{
    Advance, Cursor, Hub, LogSize, Moment, Opening, PageBounds, Position, Reader, Selection, Start,
    Tail,
};

use crate::clock::Clock;

/// A handle on the hub. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct SharedLog {
    hub: Arc<Mutex<Hub>>,
    clock: Clock,
}

impl SharedLog {
    pub(crate) fn new(hub: Arc<Mutex<Hub>>, clock: Clock) -> Self {
        Self { hub, clock }
    }

    /// Finds a subscriber's place in the log, and the newest position there is at that moment.
    pub(crate) fn open(&self, start: Start, selection: &Selection) -> (Opening, Position) {
        let hub = self.hub();
        (hub.open(start, selection, self.clock.now()), hub.cursor().position)
    }

    /// How many events lie after each of these positions; a few of them may be gone already.
    pub(crate) fn events_after(&self, positions: impl Iterator<Item = Position>) -> Vec<usize> {
        let hub = self.hub();
        positions.map(|position| hub.events_after(position)).collect()
    }

    /// Whether a reader of this selection gets the event that is here.
    pub(crate) fn has(&self, cursor: Cursor, selection: &Selection) -> bool {
        let before = Cursor { position: cursor.position.previous(), ..cursor };
        let mut reader = Reader::at(before);
        let bounds = PageBounds { events_max: 1, bytes_max: usize::MAX };
        let page = self.advance(&mut reader, selection, bounds).page;
        page.events.first().is_some_and(|event| event.cursor() == cursor)
    }

    /// Whether this node has everything up to a cursor.
    pub(crate) fn has_come_to(&self, cursor: Cursor) -> bool {
        let newest = self.newest();
        newest.epoch == cursor.epoch && newest.position >= cursor.position
    }

    /// Looks at the log as an operator does.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Hub, Moment) -> T) -> T {
        look(&self.hub(), self.clock.now())
    }

    /// How much the log holds.
    pub(crate) fn size(&self) -> LogSize {
        self.hub().size()
    }

    /// Reads on from a subscriber's place.
    pub(crate) fn advance(
        &self,
        reader: &mut Reader,
        selection: &Selection,
        bounds: PageBounds,
    ) -> Advance {
        self.hub().advance(reader, selection, bounds)
    }

    /// Reads every event after a cursor.
    pub(crate) fn tail(&self, after: Cursor, bounds: PageBounds) -> Tail {
        self.hub().tail(after, bounds)
    }

    /// The cursor of a reader that has seen everything.
    pub(crate) fn newest(&self) -> Cursor {
        self.hub().cursor()
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
