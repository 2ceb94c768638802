//! The retained events: one order, an index by topic, and bounds by count, bytes and age.
//!
//! What exceeds a bound is dropped oldest first, and every topic remembers the newest position it
//! has dropped, so that a reader is told of a gap exactly when one of its own topics has one. The
//! log does not know who reads; it is told the time and never asks.

mod listing;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use slab::Slab;

use crate::event::StoredEvent;
use crate::places::{Place, Places};
use crate::position::{Cursor, Position};
use crate::selection::Selection;
use crate::topic::{Pattern, SEGMENTS_MAX, Topic};
use crate::tree::{Complete, NodeKey, TopicTree, Walk};
pub use listing::{History, RECENT_SECS, TopicPage, TopicState};

/// How much the log keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// Events one topic may hold.
    pub events_per_topic_max: usize,
    /// Bytes of memory all events may take, their share of the indexes included; the hub's own do not
    /// count.
    pub bytes_max: usize,
    /// How long an event stays, in milliseconds of uptime.
    pub age_max_ms: u64,
    /// Emptied topics to remember the last drop of, at some 400 bytes a segment. Past that the oldest are forgotten together,
    /// and a reader whose cursor is older than the last of those is told of a gap to be safe.
    pub topics_remembered_max: usize,
}

/// How much one read may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageBounds {
    /// Events in one page.
    pub events_max: usize,
    /// Frame bytes in one page; a single larger event is returned alone.
    pub bytes_max: usize,
}

/// What one read returned.
#[derive(Debug)]
pub struct Page {
    /// The matching events, oldest first.
    pub events: Vec<Arc<StoredEvent>>,
    /// Where the next read goes on: the last event read or passed over, or the newest of the log
    /// when nothing is left.
    pub position: Position,
    /// Whether there may be more to read already. A page may be empty and say so, when finding
    /// out would have cost more than one read is allowed.
    pub more: bool,
    /// Events looked at and steps taken in the index: what this read cost.
    pub examined: usize,
}

/// What was read for whoever hands every event on.
#[derive(Debug)]
pub struct Tail {
    /// All events, oldest first.
    pub events: Vec<Arc<StoredEvent>>,
    /// Where the next read goes on.
    pub cursor: Cursor,
    /// Whether there is more to read already.
    pub more: bool,
    /// Whether nothing after the position was dropped before it was read.
    pub complete: bool,
}

/// How much the log holds, without the hub's own events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSize {
    /// Events held.
    pub events: usize,
    /// Bytes they take, as the bound counts them.
    pub bytes: usize,
    /// Topics that hold an event.
    pub topics: usize,
    /// Uptime of the oldest event, in milliseconds.
    pub oldest_uptime_ms: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Log {
    bounds: LogBounds,
    entries: Slab<Entry>,
    order: Places,
    tree: TopicTree,
    /// Entries with a life shorter than the log's, by when it ends.
    expiries: BTreeSet<(u64, u32)>,
    /// The hub's own events among the entries.
    own_events: usize,
    /// Bytes of the events alone, without the hub's own.
    bytes: usize,
    newest: Position,
    newest_dropped: Position,
}

#[derive(Debug)]
struct Entry {
    event: Arc<StoredEvent>,
    uptime_ms: u64,
    expires_ms: Option<u64>,
    /// For each topic of the event, the topic's key while that topic holds it.
    holders: Box<[Option<NodeKey>]>,
}

/// Events that one of the hub's own topics holds. They count against no other bound, so that what
/// the hub says of itself pushes nothing out of the log.
pub const OWN_EVENTS_PER_TOPIC_MAX: usize = 60;
/// Events a read may look at, and steps it may take to find them, for every event it may return;
/// and a floor to that.
const EXAMINED_PER_EVENT: usize = 16;
const EXAMINED_MIN: usize = 512;
/// Topics whose newest events are merged to find where a `rewind` starts; past that the whole log
/// is walked backwards.
const REWIND_TOPICS_MAX: usize = 10_000;
/// Events looked at, and steps taken, to find where a `rewind` starts: a few milliseconds.
pub(crate) const REWIND_EXAMINED_MAX: usize = 100_000;

impl Log {
    pub(crate) fn new(bounds: LogBounds) -> Self {
        assert!(bounds.events_per_topic_max > 0, "a topic holds at least its newest event");
        Self {
            bounds,
            entries: Slab::new(),
            order: Places::default(),
            tree: TopicTree::new(bounds.topics_remembered_max),
            expiries: BTreeSet::new(),
            own_events: 0,
            bytes: 0,
            newest: Position::START,
            newest_dropped: Position::START,
        }
    }

    /// A log that goes on after a position with nothing of what came before it.
    pub(crate) fn begin_again(&self, position: Position) -> Self {
        let mut log = Self::new(self.bounds);
        log.tree.have_dropped_up_to(position, self.releases());
        (log.newest, log.newest_dropped) = (position, position);
        log
    }

    /// Leaves positions out.
    pub(crate) fn skip_to(&mut self, position: Position) {
        self.newest = self.newest.max(position);
    }

    pub(crate) fn kept_after(&self) -> Position {
        // The hub has few of its own, so few are passed over.
        let mut places = self.order.after(Position::START);
        let oldest = places.find(|place| !self.entry(place.entry).event.is_own());
        oldest.map_or(self.newest, |oldest| oldest.position.previous())
    }

    /// The newest position ever appended.
    pub(crate) fn newest(&self) -> Position {
        self.newest
    }

    pub(crate) fn size(&self) -> LogSize {
        let entries = self.order.after(Position::START).map(|place| self.entry(place.entry));
        // The hub has few of its own, so few are passed over.
        let oldest = entries.into_iter().find(|entry| !entry.event.is_own());
        LogSize {
            events: self.entries.len() - self.own_events,
            bytes: self.bytes(),
            topics: self.tree.live_topics(),
            oldest_uptime_ms: oldest.map(|entry| entry.uptime_ms),
        }
    }

    /// How many events lie after a position, and perhaps a few that are gone.
    pub(crate) fn len_after(&self, position: Position) -> usize {
        self.order.len_after(position)
    }

    /// Appends the next event and drops what is out of bounds; returns how many events that was.
    pub(crate) fn append(
        &mut self,
        event: &Arc<StoredEvent>,
        ttl_secs: Option<u32>,
        uptime_ms: u64,
    ) -> usize {
        let position = event.position();
        assert!(position > self.newest, "positions grow");
        let mut dropped = self.expire(uptime_ms);
        self.newest = position;

        let expires_ms =
            ttl_secs.map(|ttl_secs| uptime_ms.saturating_add(u64::from(ttl_secs) * 1000));
        if event.is_own() {
            self.own_events += 1;
        } else {
            self.bytes += event.footprint_bytes();
        }
        let topics = event.topics().len();
        let entry = Entry {
            event: Arc::clone(event),
            uptime_ms,
            expires_ms,
            holders: vec![None; topics].into(),
        };
        let key = u32::try_from(self.entries.insert(entry))
            .expect("the byte bound is reached long before 2^32 events");
        let uptime_secs = u32::try_from(uptime_ms / 1000).unwrap_or(u32::MAX);
        let place = Place { position, entry: key, uptime_secs };
        self.order.push(place);
        if let Some(expires_ms) = expires_ms {
            self.expiries.insert((expires_ms, key));
        }
        for (index, topic) in event.topics().iter().enumerate() {
            let node = self.tree.insert(topic, place, frame_bytes(event));
            self.entries[key as usize].holders[index] = Some(node);
            if self.tree.places(node).len() > self.bounds.events_max_of(topic) {
                let oldest = self.tree.places(node).oldest().expect("it holds more than its bound");
                dropped += usize::from(self.release(oldest.entry, node));
            }
        }
        while self.bytes() > self.bounds.bytes_max
            && let Some(oldest) = self.order.oldest()
        {
            self.drop_entry(oldest.entry);
            dropped += 1;
        }
        dropped
    }

    /// Drops what is older than it may be; returns how many events that was.
    pub(crate) fn expire(&mut self, uptime_ms: u64) -> usize {
        let mut dropped = 0;
        while let Some(&(expires_ms, key)) = self.expiries.first()
            && expires_ms <= uptime_ms
        {
            self.drop_entry(key);
            dropped += 1;
        }
        while let Some(oldest) = self.order.oldest()
            && uptime_ms.saturating_sub(self.entry(oldest.entry).uptime_ms)
                >= self.bounds.age_max_ms
        {
            self.drop_entry(oldest.entry);
            dropped += 1;
        }
        dropped
    }

    /// The selected events after a position, oldest first, as far as the bounds reach.
    pub(crate) fn read(&self, after: Position, selection: &Selection, bounds: PageBounds) -> Page {
        let mut page = PageBuilder::new(after, selection, bounds);
        if self.newest <= after || self.order.is_empty() {
            return page.complete(self.newest);
        }
        let (topics, steps) = self.topics_of(selection, after, page.budget, usize::MAX);
        page.steps = steps;
        let Some(topics) = topics else { return self.scan(page) };
        if self.is_dense(topics.len(), after, bounds.events_max) {
            return self.scan(page);
        }
        if let [topic] = topics[..] {
            for place in self.tree.places(topic).after(after) {
                if !page.take(&self.entry(place.entry).event) {
                    return page.cut_short();
                }
            }
            return page.complete(self.newest);
        }
        let mut sources: Vec<_> =
            topics.iter().map(|&topic| self.tree.places(topic).after(after)).collect();
        let mut heap = BinaryHeap::with_capacity(sources.len());
        for (index, source) in sources.iter_mut().enumerate() {
            if let Some(place) = source.next() {
                heap.push(Reverse((place.position, place.entry, index)));
            }
        }
        let mut last = after;
        while let Some(Reverse((position, entry, index))) = heap.pop() {
            // An event published to several of the topics comes once.
            if position > last {
                if !page.take(&self.entry(entry).event) {
                    return page.cut_short();
                }
                last = position;
            }
            if let Some(place) = sources[index].next() {
                heap.push(Reverse((place.position, place.entry, index)));
            }
        }
        page.complete(self.newest)
    }

    /// All events after a cursor of this log, whatever their topics.
    pub(crate) fn tail(&self, after: Cursor, bounds: PageBounds) -> Tail {
        let Cursor { epoch, position: after } = after;
        let mut tail = Tail {
            events: Vec::new(),
            cursor: Cursor { epoch, position: self.newest.max(after) },
            more: false,
            complete: self.newest_dropped <= after,
        };
        let mut bytes = 0;
        for place in self.order.after(after) {
            let event = &self.entry(place.entry).event;
            bytes += event.frame().len();
            let full = tail.events.len() == bounds.events_max || bytes > bounds.bytes_max;
            if full && let Some(last) = tail.events.last() {
                tail.cursor = last.cursor();
                tail.more = true;
                break;
            }
            tail.events.push(Arc::clone(event));
        }
        tail
    }

    fn scan(&self, mut page: PageBuilder<'_>) -> Page {
        for place in self.order.after(page.position) {
            let entry = self.entry(place.entry);
            let taken = if entry.is_held_for(page.selection) {
                page.take(&entry.event)
            } else {
                page.pass(&entry.event)
            };
            if !taken {
                return page.cut_short();
            }
        }
        page.complete(self.newest)
    }

    /// Whether reading all that lies after a position in order, to fill one page, costs less than
    /// merging so many topics. A merge looks at each of them; a scan, if their events are spread
    /// evenly, at a page of theirs and the same share of the others.
    fn is_dense(&self, topics: usize, after: Position, events_max: usize) -> bool {
        topics > events_max
            && events_max.saturating_mul(self.order.len_after(after))
                <= topics.saturating_mul(topics)
    }

    /// The topics with something after a position, each once, or nothing when they are too many;
    /// and the steps it took to find out.
    fn topics_of(
        &self,
        selection: &Selection,
        after: Position,
        steps_max: usize,
        found_max: usize,
    ) -> (Option<Vec<NodeKey>>, usize) {
        // Topics named outright are always merged: there are few, and each is a few steps away.
        let found_max = found_max.max(selection.patterns().len());
        let named_steps = selection.patterns().len() * (SEGMENTS_MAX + 1);
        let steps_max = steps_max.saturating_add(named_steps);
        let mut walk = Walk { found: Vec::new(), steps_left: steps_max };
        let is_complete = selection
            .patterns()
            .iter()
            .all(|pattern| self.tree.walk(pattern, after, found_max, &mut walk));
        let steps = steps_max - walk.steps_left;
        let mut topics = walk.found;
        if selection.patterns().len() > 1 {
            topics.sort_unstable();
            topics.dedup();
        }
        (is_complete.then_some(topics), steps)
    }

    /// Whether a topic of this pattern has dropped an event that a reader needs; said to be so when
    /// finding out would take more steps than are left.
    pub(crate) fn has_lost(
        &self,
        pattern: &Pattern,
        complete: Complete,
        steps_left: &mut usize,
    ) -> bool {
        self.newest_dropped > complete.position && self.tree.has_lost(pattern, complete, steps_left)
    }

    /// Events that topics have let go of so far: how a reader says when it began.
    pub(crate) fn releases(&self) -> u64 {
        self.tree.releases()
    }

    /// The position before the selected event that is the `count`th from the end, or as far back
    /// as the search may go.
    pub(crate) fn before_newest(&self, count: usize, selection: &Selection) -> Position {
        if count == 0 {
            return self.newest;
        }
        let (topics, _) =
            self.topics_of(selection, Position::START, REWIND_EXAMINED_MAX, REWIND_TOPICS_MAX);
        let mut left = count;
        let mut examined = 0;
        let mut is_start = |entry: &Entry, is_held: bool| {
            examined += 1;
            left -= usize::from(is_held && selection.wants_type(entry.event.event_type()));
            left == 0 || examined == REWIND_EXAMINED_MAX
        };
        let Some(topics) = topics else {
            for place in self.order.backwards() {
                let entry = self.entry(place.entry);
                if is_start(entry, entry.is_held_for(selection)) {
                    return place.position.previous();
                }
            }
            return Position::START;
        };
        let mut sources: Vec<_> =
            topics.iter().map(|&topic| self.tree.places(topic).backwards()).collect();
        let mut heap = BinaryHeap::with_capacity(sources.len());
        for (index, source) in sources.iter_mut().enumerate() {
            if let Some(place) = source.next() {
                heap.push((place.position, place.entry, index));
            }
        }
        let mut last = Position::MAX;
        while let Some((position, entry, index)) = heap.pop() {
            if position < last {
                if is_start(self.entry(entry), true) {
                    return position.previous();
                }
                last = position;
            }
            if let Some(place) = sources[index].next() {
                heap.push((place.position, place.entry, index));
            }
        }
        Position::START
    }

    /// The last position from before a moment, to the second.
    pub(crate) fn before_uptime(&self, uptime_ms: u64) -> Position {
        let uptime_secs = u32::try_from(uptime_ms / 1000).unwrap_or(u32::MAX);
        self.order.last_before(uptime_secs).unwrap_or(Position::START)
    }

    /// Takes an event from one topic; true if that was its last, and it is gone.
    fn release(&mut self, key: u32, node: NodeKey) -> bool {
        let entry = &mut self.entries[key as usize];
        let holder = entry.holders.iter_mut().find(|holder| **holder == Some(node));
        *holder.expect("only a holder releases") = None;
        if entry.holders.iter().all(Option::is_none) {
            let event = self.forget_entry(key).0;
            self.let_go(node, &event);
            return true;
        }
        let event = Arc::clone(&entry.event);
        self.let_go(node, &event);
        false
    }

    fn drop_entry(&mut self, key: u32) {
        let (event, holders) = self.forget_entry(key);
        for node in holders.into_iter().flatten() {
            self.let_go(node, &event);
        }
    }

    fn let_go(&mut self, node: NodeKey, event: &StoredEvent) {
        self.newest_dropped = self.newest_dropped.max(event.position());
        self.tree.release(node, event.position(), frame_bytes(event));
    }

    fn forget_entry(&mut self, key: u32) -> (Arc<StoredEvent>, Box<[Option<NodeKey>]>) {
        let entry = self.entries.remove(key as usize);
        if entry.event.is_own() {
            self.own_events -= 1;
        } else {
            self.bytes -= entry.event.footprint_bytes();
        }
        self.order.strike(entry.event.position());
        if let Some(expires_ms) = entry.expires_ms {
            self.expiries.remove(&(expires_ms, key));
        }
        (entry.event, entry.holders)
    }

    /// What the byte bound counts: the events, and the part of the index that they need.
    fn bytes(&self) -> usize {
        self.bytes + self.tree.bytes()
    }

    fn entry(&self, key: u32) -> &Entry {
        &self.entries[key as usize]
    }
}

impl LogBounds {
    /// Events that this topic may hold.
    fn events_max_of(&self, topic: &Topic) -> usize {
        if topic.is_own() {
            self.events_per_topic_max.min(OWN_EVENTS_PER_TOPIC_MAX)
        } else {
            self.events_per_topic_max
        }
    }
}

fn frame_bytes(event: &StoredEvent) -> u64 {
    event.frame().len() as u64
}

impl Entry {
    /// Whether a topic of the selection still holds the event.
    fn is_held_for(&self, selection: &Selection) -> bool {
        self.event
            .topics()
            .iter()
            .zip(&self.holders)
            .any(|(topic, holder)| holder.is_some() && selection.matches_topic(topic))
    }
}

/// A page while it is filled.
struct PageBuilder<'a> {
    selection: &'a Selection,
    bounds: PageBounds,
    events: Vec<Arc<StoredEvent>>,
    bytes: usize,
    position: Position,
    steps: usize,
    passed: usize,
    budget: usize,
}

impl<'a> PageBuilder<'a> {
    fn new(position: Position, selection: &'a Selection, bounds: PageBounds) -> Self {
        let budget = bounds.events_max.saturating_mul(EXAMINED_PER_EVENT).max(EXAMINED_MIN);
        let events = Vec::new();
        Self { selection, bounds, events, bytes: 0, position, steps: 0, passed: 0, budget }
    }

    /// Takes the next event of the selected topics, if its type is wanted; false when the page
    /// has no room for it.
    fn take(&mut self, event: &Arc<StoredEvent>) -> bool {
        if !self.selection.wants_type(event.event_type()) {
            return self.pass(event);
        }
        let bytes = self.bytes + event.frame().len();
        let full = self.events.len() == self.bounds.events_max
            || (bytes > self.bounds.bytes_max && !self.events.is_empty());
        if full || !self.pass(event) {
            return false;
        }
        self.bytes = bytes;
        self.events.push(Arc::clone(event));
        true
    }

    /// Passes over an event; false when the read has looked at as many as it may.
    fn pass(&mut self, event: &StoredEvent) -> bool {
        if self.passed == self.budget {
            return false;
        }
        self.passed += 1;
        self.position = event.position();
        true
    }

    fn cut_short(self) -> Page {
        let position = self.position;
        self.finish(position, true)
    }

    fn complete(self, newest: Position) -> Page {
        let position = newest.max(self.position);
        self.finish(position, false)
    }

    fn finish(self, position: Position, more: bool) -> Page {
        Page { events: self.events, position, more, examined: self.steps + self.passed }
    }
}
