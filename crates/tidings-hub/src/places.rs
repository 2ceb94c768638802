//! A queue of places in the log, in order, from which single places can be struck.
//!
//! The log keeps one for all its events and one per topic. A struck place stays as a hole until it
//! is at either end or holes outnumber the rest, so that striking costs a binary search and
//! nothing is ever moved one by one. What a place holds is its owner's business.

use std::collections::VecDeque;

use crate::position::Position;

/// The key of a struck place.
const STRUCK: u32 = u32::MAX;
/// Holes below this number are never worth closing.
const HOLES_MIN: usize = 32;
/// Room below this number of places is never worth giving back.
const ROOM_MIN: usize = 64;

/// One place: 16 bytes, of which the age comes free in what would be padding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) position: Position,
    pub(crate) entry: u32,
    pub(crate) uptime_secs: u32,
}

impl Place {
    fn is_struck(self) -> bool {
        self.entry == STRUCK
    }
}

#[derive(Debug, Default)]
pub(crate) struct Places {
    queue: VecDeque<Place>,
    holes: usize,
}

impl Places {
    /// Adds a place behind all others.
    pub(crate) fn push(&mut self, place: Place) {
        debug_assert!(self.queue.back().is_none_or(|last| last.position < place.position));
        debug_assert!(!place.is_struck());
        self.queue.push_back(place);
    }

    /// Takes the place at this position out; true if it was there.
    pub(crate) fn strike(&mut self, position: Position) -> bool {
        let index = self.index_after(position.previous());
        match self.queue.get_mut(index) {
            Some(place) if place.position == position && !place.is_struck() => {
                place.entry = STRUCK;
                self.holes += 1;
            }
            _ => return false,
        }
        while self.queue.front().is_some_and(|place| place.is_struck()) {
            self.queue.pop_front();
            self.holes -= 1;
        }
        while self.queue.back().is_some_and(|place| place.is_struck()) {
            self.queue.pop_back();
            self.holes -= 1;
        }
        if self.holes > HOLES_MIN && self.holes > self.len() {
            self.queue.retain(|place| !place.is_struck());
            self.holes = 0;
        }
        self.give_back_room();
        true
    }

    /// A topic that was busy once must not keep the room it needed then: there may be many.
    fn give_back_room(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        } else if self.queue.capacity() > ROOM_MIN && self.queue.capacity() / 4 > self.queue.len() {
            self.queue.shrink_to(2 * self.queue.len());
        }
    }

    /// Places that have not been struck.
    pub(crate) fn len(&self) -> usize {
        self.queue.len() - self.holes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The oldest place; never a hole.
    pub(crate) fn oldest(&self) -> Option<Place> {
        self.queue.front().copied()
    }

    /// The newest position; never of a hole.
    pub(crate) fn newest_position(&self) -> Option<Position> {
        self.queue.back().map(|place| place.position)
    }

    /// The places after a position, oldest first.
    pub(crate) fn after(&self, position: Position) -> impl Iterator<Item = Place> {
        self.queue.range(self.index_after(position)..).copied().filter(|place| !place.is_struck())
    }

    /// All places, newest first.
    pub(crate) fn backwards(&self) -> impl Iterator<Item = Place> {
        self.queue.iter().rev().copied().filter(|place| !place.is_struck())
    }

    /// The places before a position, newest first.
    pub(crate) fn backwards_before(&self, position: Position) -> impl Iterator<Item = Place> {
        let end = self.queue.partition_point(|place| place.position < position);
        self.queue.range(..end).rev().copied().filter(|place| !place.is_struck())
    }

    /// The newest place; never a hole.
    pub(crate) fn newest(&self) -> Option<Place> {
        self.queue.back().copied()
    }

    /// How many places are from this moment or later, holes included.
    pub(crate) fn len_since(&self, uptime_secs: u32) -> usize {
        self.queue.len() - self.queue.partition_point(|place| place.uptime_secs < uptime_secs)
    }

    /// The last position that is older than this moment, if any is.
    pub(crate) fn last_before(&self, uptime_secs: u32) -> Option<Position> {
        let index = self.queue.partition_point(|place| place.uptime_secs < uptime_secs);
        index.checked_sub(1).map(|index| self.queue[index].position)
    }

    /// How many places lie after a position, holes included.
    pub(crate) fn len_after(&self, position: Position) -> usize {
        self.queue.len() - self.index_after(position)
    }

    fn index_after(&self, position: Position) -> usize {
        // Most readers are close to the newest place.
        if self.queue.back().is_none_or(|last| last.position <= position) {
            return self.queue.len();
        }
        self.queue.partition_point(|place| place.position <= position)
    }
}
