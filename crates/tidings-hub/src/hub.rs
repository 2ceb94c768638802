//! The hub: one epoch, one log, and what a reader is told.
//!
//! Publishing is [`Hub::append`]. Every way of receiving is [`Hub::open`] once, with whatever
//! cursor the subscriber offers, and [`Hub::advance`] as often as there is something to read. What
//! carries the events, and who may have them, is not known here.

use std::sync::Arc;

use crate::event::{Event, StoredEvent};
use crate::log::{History, Log, LogBounds, LogSize, Page, PageBounds, Tail, TopicPage, TopicState};
use crate::position::{Cursor, Epoch, Position};
use crate::selection::Selection;
use crate::topic::{Pattern, Topic};
use crate::tree::Complete;

/// A moment as the caller's clocks have it.
///
/// Wall time stamps events; uptime, which never jumps, expires them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Milliseconds since some fixed moment, never going back.
    pub uptime_ms: u64,
}

/// Branches of the index one read may look into to rule a gap out: under a millisecond. Only a
/// `*` among very many topics can need more, and is told of a gap to be safe.
const GAP_STEPS_MAX: usize = 10_000;

/// Where a subscriber without a cursor starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what is published from now on.
    Now,
    /// With the last so many matching events; the search looks at no more than 100,000 events.
    Events(usize),
    /// With what was published in the last so many milliseconds, to the second.
    AgeMs(u64),
    /// With everything the log holds.
    All,
    /// After a cursor that was given out before.
    After(Cursor),
}

/// Why events that lie after a cursor are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The log no longer reaches back to the cursor.
    Expired,
    /// The cursor is from another lifetime of the log.
    Epoch,
    /// The cursor lies ahead of the log.
    Unknown,
    /// The reader was too slow: the log moved past it.
    Slow,
}

impl GapReason {
    /// The reason as the wire has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Epoch => "epoch",
            Self::Unknown => "unknown",
            Self::Slow => "slow",
        }
    }
}

/// Events a reader will not get: it must refetch its state, then go on from `cursor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// Those of the reader's patterns that are incomplete.
    pub patterns: Vec<Pattern>,
    /// Where the reader goes on. What the log still has after it follows.
    pub cursor: Cursor,
}

/// A reader's place, and what it has been told is missing.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The lifetime of the log that the position belongs to.
    epoch: Epoch,
    position: Position,
    /// Patterns, by index, that a gap was told for, and how far the log reached then: the state
    /// refetched since covers everything up to there.
    told: Vec<(usize, Position)>,
    /// Drops that came before this many are not a loss: the reader had asked for what there was.
    releases: u64,
}

impl Reader {
    /// A reader that has missed nothing up to a cursor.
    pub fn at(cursor: Cursor) -> Self {
        Self::new(cursor, 0)
    }

    fn new(cursor: Cursor, releases: u64) -> Self {
        let Cursor { epoch, position } = cursor;
        Self { epoch, position, told: Vec::new(), releases }
    }

    /// Everything up to here is behind this reader.
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, position: self.position }
    }

    /// The last position behind this reader.
    pub fn position(&self) -> Position {
        self.position
    }

    fn tell(&mut self, pattern: usize, position: Position) {
        let here = self.position;
        self.told.retain(|&(told, reach)| told != pattern && reach > here);
        self.told.push((pattern, position));
    }

    /// What the reader misses nothing of: a drop past this would be news for this pattern.
    fn complete(&self, pattern: usize) -> Complete {
        let told = self.told.iter().find(|&&(told, _)| told == pattern);
        let position = told.map_or(self.position, |&(_, position)| position.max(self.position));
        Complete { position, releases: self.releases }
    }

    /// Moves the cursor: everything up to the position is behind the reader now. Whoever could not
    /// hand on all of a page moves back to what it did hand on; a gap it told stays told.
    pub fn move_to(&mut self, position: Position) {
        self.position = position;
    }
}

/// How a subscriber starts.
#[derive(Debug)]
pub struct Opening {
    /// Its place from now on.
    pub reader: Reader,
    /// The cursor it starts from.
    pub cursor: Cursor,
    /// Whether every matching event after the offered cursor follows.
    pub resumed: bool,
    /// What it must be told first.
    pub gap: Option<Gap>,
}

/// What a reader gets next: the gap first, then the events.
#[derive(Debug)]
pub struct Advance {
    /// What it must be told first.
    pub gap: Option<Gap>,
    /// The events after its cursor.
    pub page: Page,
}

/// What became of an event that was appended.
#[derive(Debug)]
pub struct Appended {
    /// The event with its place.
    pub event: Arc<StoredEvent>,
    /// Events dropped to make room, or because their time was over.
    pub dropped: usize,
}

/// One log and its lifetime.
#[derive(Debug)]
pub struct Hub {
    epoch: Epoch,
    log: Log,
}

impl Hub {
    /// An empty hub.
    pub fn new(epoch: Epoch, bounds: LogBounds) -> Self {
        Self { epoch, log: Log::new(bounds) }
    }

    /// Goes on from a cursor with nothing of what came before it: in the same epoch, because that is
    /// lost to this hub; in another, because the log is another. Whoever reads is told. Returns what
    /// the hub was until then, to be dropped where that holds nobody up.
    #[must_use = "dropping a large log takes a while: not under a lock"]
    pub fn begin_again(&mut self, cursor: Cursor) -> Self {
        let log = self.log.begin_again(cursor.position);
        std::mem::replace(self, Self { epoch: cursor.epoch, log })
    }

    /// The lifetime of this log.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The cursor of a reader that has seen everything.
    pub fn cursor(&self) -> Cursor {
        self.cursor_at(self.log.newest())
    }

    /// How much the log holds.
    pub fn size(&self) -> LogSize {
        self.log.size()
    }

    /// How many events lie after a position; a few of them may be gone already.
    pub fn events_after(&self, position: Position) -> usize {
        self.log.len_after(position)
    }

    /// Topics whose name begins with `prefix`, in the order of their segments, after the one named
    /// `after`: at most so many, and after a bounded number of steps. A prefix that begins with `$`
    /// finds the hub's own, and no other does.
    pub fn topics(
        &self,
        prefix: &str,
        after: Option<&str>,
        topics_max: usize,
        now: Moment,
    ) -> TopicPage {
        self.log.topics(prefix, after, topics_max, now.uptime_ms)
    }

    /// The topics whose name begins with `prefix` that were published to most recently, newest
    /// first: at most so many, and after a number of steps that grows with that.
    pub fn recent_topics(&self, prefix: &str, topics_max: usize, now: Moment) -> Vec<TopicState> {
        self.log.recent_topics(prefix, topics_max, now.uptime_ms)
    }

    /// How many topics there are whose name begins with `prefix`, counted up to a bound.
    pub fn count_topics(&self, prefix: &str) -> usize {
        self.log.count_topics(prefix)
    }

    /// The events that a topic holds, newest first, from before a position.
    pub fn events_before(&self, topic: &Topic, before: Position, bounds: PageBounds) -> History {
        self.log.events_before(topic, before, bounds)
    }

    /// Appends an event: gives it the next position and the time, encodes its frame, and drops
    /// what is out of bounds.
    pub fn append(&mut self, event: Event, now: Moment) -> Appended {
        self.append_at(self.log.newest().next(), event, now)
    }

    /// Appends an event that was given its position elsewhere, after that of every event so far. Its
    /// moment must not be before theirs in uptime.
    pub fn append_at(&mut self, position: Position, event: Event, now: Moment) -> Appended {
        let ttl_secs = event.ttl_secs();
        let event = Arc::new(StoredEvent::new(event, self.epoch, position, now.unix_ms));
        let dropped = self.log.append(&event, ttl_secs, now.uptime_ms);
        Appended { event, dropped }
    }

    /// Positions up to this are taken, by events that are not kept and that nobody misses.
    pub fn skip_to(&mut self, position: Position) {
        self.log.skip_to(position);
    }

    /// The position before the oldest event that is held, or the newest position when none is. The
    /// hub's own events do not count.
    pub fn kept_after(&self) -> Position {
        self.log.kept_after()
    }

    /// Drops events whose time is over; returns how many.
    pub fn expire(&mut self, now: Moment) -> usize {
        self.log.expire(now.uptime_ms)
    }

    /// Finds a subscriber's place, and whether anything is missing from there on.
    pub fn open(&self, start: Start, selection: &Selection, now: Moment) -> Opening {
        let newest = self.log.newest();
        match start {
            Start::After(cursor) => self.resume(cursor, selection),
            Start::Now => self.begin(newest),
            Start::All => self.begin(Position::START),
            Start::Events(count) => self.begin(self.log.before_newest(count, selection)),
            Start::AgeMs(age_ms) => {
                let since_ms = now.uptime_ms.saturating_sub(age_ms);
                self.begin(self.log.before_uptime(since_ms))
            }
        }
    }

    /// Reads what lies after a reader's cursor, and moves the cursor past it.
    pub fn advance(
        &self,
        reader: &mut Reader,
        selection: &Selection,
        bounds: PageBounds,
    ) -> Advance {
        let (gap, steps) = if reader.epoch == self.epoch {
            self.find_gap(reader, selection, GapReason::Slow)
        } else {
            // It began in a log that is no more: as if it came back now.
            let opening = self.resume(reader.cursor(), selection);
            *reader = opening.reader;
            (opening.gap, 0)
        };
        let mut page = self.log.read(reader.position, selection, bounds);
        page.examined += steps;
        reader.move_to(page.position);
        Advance { gap, page }
    }

    /// Reads every event after a cursor, for whoever hands them all on: at the cost of what it
    /// returns, with no index in between. After one of another epoch there is nothing to hand on.
    pub fn tail(&self, after: Cursor, bounds: PageBounds) -> Tail {
        if after.epoch == self.epoch {
            return self.log.tail(after, bounds);
        }
        Tail { events: Vec::new(), cursor: self.cursor(), more: false, complete: false }
    }

    /// A subscriber that offered no cursor: it has not missed anything yet, but from now on it
    /// may, if it reads more slowly than the log drops.
    fn begin(&self, position: Position) -> Opening {
        let cursor = self.cursor_at(position);
        let reader = Reader::new(cursor, self.log.releases());
        Opening { reader, cursor, resumed: false, gap: None }
    }

    fn resume(&self, offered: Cursor, selection: &Selection) -> Opening {
        let newest = self.log.newest();
        if offered.epoch != self.epoch {
            // Nothing in this log can have been seen by the reader: all of it follows.
            return self.restart(GapReason::Epoch, Position::START, selection);
        }
        if offered.position > newest {
            return self.restart(GapReason::Unknown, newest, selection);
        }
        let mut reader = Reader::at(offered);
        let (gap, _) = self.find_gap(&mut reader, selection, GapReason::Expired);
        self.skip_nothing(reader, gap, selection)
    }

    fn restart(&self, reason: GapReason, position: Position, selection: &Selection) -> Opening {
        let mut reader = Reader::at(self.cursor_at(position));
        for index in 0..selection.patterns().len() {
            reader.tell(index, self.log.newest());
        }
        let patterns = selection.patterns().to_vec();
        let gap = Gap { reason, patterns, cursor: self.cursor_at(position) };
        self.skip_nothing(reader, Some(gap), selection)
    }

    /// Where nothing follows, the cursor may as well be the newest: should the subscriber come
    /// back with it, the log will reach back to it the longer, and no gap is told twice.
    fn skip_nothing(
        &self,
        mut reader: Reader,
        mut gap: Option<Gap>,
        selection: &Selection,
    ) -> Opening {
        let peek = PageBounds { events_max: 1, bytes_max: usize::MAX };
        let page = self.log.read(reader.position, selection, peek);
        if page.events.is_empty() {
            reader.move_to(page.position);
        }
        let cursor = reader.cursor();
        if let Some(gap) = &mut gap {
            gap.cursor = cursor;
        }
        Opening { reader, cursor, resumed: gap.is_none(), gap }
    }

    /// The gap there is to tell, if any, and the steps it took to find out.
    fn find_gap(
        &self,
        reader: &mut Reader,
        selection: &Selection,
        reason: GapReason,
    ) -> (Option<Gap>, usize) {
        let mut steps_left = GAP_STEPS_MAX;
        let mut patterns = Vec::new();
        for (index, pattern) in selection.patterns().iter().enumerate() {
            if self.log.has_lost(pattern, reader.complete(index), &mut steps_left) {
                patterns.push(pattern.clone());
                reader.tell(index, self.log.newest());
            }
        }
        let cursor = reader.cursor();
        let gap = (!patterns.is_empty()).then_some(Gap { reason, patterns, cursor });
        (gap, GAP_STEPS_MAX - steps_left)
    }

    fn cursor_at(&self, position: Position) -> Cursor {
        Cursor { epoch: self.epoch, position }
    }
}
