//! The rules of the promise, held against a history. It is told everything and asks nobody, so that a
//! history can be replayed, cut down, and damaged on purpose.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use tidings_client::GapReason;
use tidings_hub::{Cursor, Epoch, Pattern, Position, Topic};

use super::account::{Answer, History, Note, Publish, Reading, Tick, What};

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Every acknowledged event is read by every reader that was to get it, or lies in a gap.
    AcknowledgedIsRead,
    /// There is one value at a position.
    OneValue,
    /// A key is stored once.
    KeyOnce,
    /// Only what was published, and not refused, is read.
    OnlyPublished,
    /// Positions grow: on a connection, and from a publish that has ended to one that begins then.
    Order,
    /// An event that others have read is missing only after a gap, and an epoch ends with one.
    NoHole,
    /// Whoever was told that they resumed has everything that follows the cursor they offered.
    Resumed,
}

/// A rule that was broken, and by what.
#[derive(Clone, Debug)]
pub struct Fault {
    pub rule: Rule,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// Every fault there is.
pub fn check(history: &History) -> Vec<Fault> {
    let mut log = Log::of(history);
    let mut faults = std::mem::take(&mut log.faults);
    faults.extend(inversions(&log));
    for reading in &history.readings {
        faults.extend(Walk::new(&log, reading).walk());
    }
    faults
}

/// Fails with all faults if there are any.
pub fn assert_holds(history: &History) {
    let faults = check(history);
    let shown: Vec<_> = faults.iter().take(20).map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} faults, the first: {shown:#?}", faults.len());
}

/// What all publishers and readers together say of the log.
struct Log<'a> {
    epochs: HashMap<Epoch, BTreeMap<Position, Known<'a>>>,
    faults: Vec<Fault>,
}

/// An event that is known to have been stored.
struct Known<'a> {
    value: &'a str,
    topics: &'a [Topic],
    acknowledged: bool,
    invoked: Tick,
    /// When it was certainly stored: answered, or read by somebody.
    stored: Tick,
}

impl<'a> Log<'a> {
    fn of(history: &'a History) -> Self {
        let mut log = Self { epochs: HashMap::new(), faults: Vec::new() };
        let publishes: HashMap<&str, &Publish> =
            history.publishes.iter().map(|publish| (publish.value.as_str(), publish)).collect();
        assert_eq!(publishes.len(), history.publishes.len(), "a value was published twice");
        for publish in &history.publishes {
            if let Answer::Stored(cursor) = publish.answer {
                log.learn(cursor, publish, publish.answered, "its publisher");
                let events = log.epochs.get_mut(&cursor.epoch).expect("it was learnt");
                let known = events.get_mut(&cursor.position).expect("it was learnt");
                known.acknowledged |= known.value == publish.value;
            }
        }
        for reading in &history.readings {
            for note in &reading.notes {
                let What::Event { cursor, value } = &note.what else { continue };
                match publishes.get(value.as_str()) {
                    Some(publish) if publish.answer == Answer::Refused => log.fault(
                        Rule::OnlyPublished,
                        format!("{} read {value:?} at {cursor}, which was refused", reading.reader),
                    ),
                    Some(publish) => log.learn(*cursor, publish, note.at, &reading.reader),
                    None => log.fault(
                        Rule::OnlyPublished,
                        format!(
                            "{} read {value:?} at {cursor}, which nobody published",
                            reading.reader
                        ),
                    ),
                }
            }
        }
        log.check_keys();
        log
    }

    fn learn(&mut self, cursor: Cursor, publish: &'a Publish, stored: Tick, who: &str) {
        let events = self.epochs.entry(cursor.epoch).or_default();
        let known = events.entry(cursor.position).or_insert(Known {
            value: &publish.value,
            topics: &publish.topics,
            acknowledged: false,
            invoked: publish.invoked,
            stored,
        });
        known.stored = known.stored.min(stored);
        if known.value != publish.value {
            let what =
                format!("{who} has {:?} at {cursor}, others {:?}", publish.value, known.value);
            self.fault(Rule::OneValue, what);
        }
    }

    fn check_keys(&mut self) {
        let mut twice = Vec::new();
        for (epoch, events) in &self.epochs {
            let mut places: HashMap<&str, Position> = HashMap::new();
            for (position, known) in events {
                if let Some(first) = places.insert(known.value, *position) {
                    let value = known.value;
                    twice.push(format!("{value:?} is stored at {epoch}-{first} and at {position}"));
                }
            }
        }
        for what in twice {
            self.fault(Rule::KeyOnce, what);
        }
    }

    fn fault(&mut self, rule: Rule, what: String) {
        self.faults.push(Fault { rule, what });
    }
}

/// Whatever was certainly stored before something else was first attempted comes before it.
fn inversions(log: &Log<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (epoch, events) in &log.epochs {
        let mut by_stored: Vec<_> = events.iter().collect();
        by_stored.sort_by_key(|(_, known)| known.stored);
        let mut by_invoked: Vec<_> = events.iter().collect();
        by_invoked.sort_by_key(|(_, known)| known.invoked);
        let mut stored = by_stored.into_iter().peekable();
        let mut newest: Option<(&Position, &Known<'_>)> = None;
        for (position, known) in by_invoked {
            while let Some(earlier) = stored.next_if(|(_, earlier)| earlier.stored < known.invoked)
            {
                if newest.is_none_or(|(newest, _)| earlier.0 > newest) {
                    newest = Some(earlier);
                }
            }
            if let Some((above, earlier)) = newest.filter(|(above, _)| *above > position) {
                let what = format!(
                    "{:?} was stored at {epoch}-{above} before {:?} was published, which is at {position}",
                    earlier.value, known.value
                );
                faults.push(Fault { rule: Rule::Order, what });
            }
        }
    }
    faults
}

/// A walk through what one reader was sent.
struct Walk<'a> {
    log: &'a Log<'a>,
    reading: &'a Reading,
    /// The reader was sent everything up to here, or told of a gap.
    reached: Option<Cursor>,
    /// The gaps it was told of since it last had no excuse.
    gaps: Vec<(Tick, &'a [Pattern])>,
    /// It was told that it resumed, and has had no event since.
    has_resumed: bool,
    /// It was told that it did not resume: a gap must say so before anything else comes.
    awaits_gap: bool,
    faults: Vec<Fault>,
}

impl<'a> Walk<'a> {
    fn new(log: &'a Log<'a>, reading: &'a Reading) -> Self {
        Self {
            log,
            reading,
            reached: None,
            gaps: Vec::new(),
            has_resumed: false,
            awaits_gap: false,
            faults: Vec::new(),
        }
    }

    fn walk(mut self) -> Vec<Fault> {
        for Note { at, what } in &self.reading.notes {
            match what {
                What::Connected { offered, cursor, resumed } => {
                    self.connect(*offered, *cursor, *resumed);
                }
                What::Event { cursor, value } => {
                    self.come_to(*cursor, value);
                    self.has_resumed = false;
                }
                What::Moved(cursor) => self.move_to(*cursor),
                What::Gap { reason, patterns, cursor } => {
                    self.gaps.push((*at, patterns));
                    self.gap(*reason, *cursor);
                }
            }
        }
        self.faults
    }

    fn connect(&mut self, offered: Option<Cursor>, cursor: Cursor, resumed: bool) {
        self.awaits_gap = offered.is_some() && !resumed;
        self.has_resumed = offered.is_some() && resumed;
        if !self.awaits_gap {
            self.gaps.clear();
        }
        let Some(offered) = offered else {
            self.reached = Some(cursor);
            return;
        };
        self.reached = Some(offered);
        if resumed {
            // Where nothing follows, it may go on from a later cursor.
            let is_after = cursor.epoch == offered.epoch && cursor.position >= offered.position;
            if is_after {
                self.pass(offered, cursor.position);
                self.reached = Some(cursor);
            } else {
                self.fault(Rule::Resumed, format!("offered {offered}, resumed after {cursor}"));
            }
        }
    }

    fn come_to(&mut self, cursor: Cursor, value: &str) {
        let Some(reached) = self.on_the_way_to(cursor) else { return };
        if cursor.position <= reached.position {
            let what = format!("was sent {value:?} at {cursor}, having reached {reached}");
            self.fault(Rule::Order, what);
            return;
        }
        self.pass(reached, cursor.position.previous());
        self.reached = Some(cursor);
    }

    fn move_to(&mut self, cursor: Cursor) {
        let Some(reached) = self.on_the_way_to(cursor) else { return };
        if cursor.position < reached.position {
            self.fault(Rule::Order, format!("was moved to {cursor}, having reached {reached}"));
            return;
        }
        self.pass(reached, cursor.position);
        self.reached = Some(cursor);
    }

    fn gap(&mut self, reason: GapReason, cursor: Cursor) {
        self.awaits_gap = false;
        self.has_resumed = false;
        match self.reached {
            Some(reached) if reached.epoch == cursor.epoch => {
                if cursor.position > reached.position {
                    self.pass(reached, cursor.position);
                    self.reached = Some(cursor);
                } else if reason != GapReason::Expired && reason != GapReason::Slow {
                    // The cursor was not one of this log's: what follows may have come before.
                    self.reached = Some(cursor);
                }
            }
            _ => self.reached = Some(cursor),
        }
    }

    /// Where the reader stands, which must be in the same epoch, without a gap that is to be told.
    fn on_the_way_to(&mut self, cursor: Cursor) -> Option<Cursor> {
        if std::mem::take(&mut self.awaits_gap) {
            self.fault(Rule::NoHole, format!("came to {cursor}, not resumed and told of no gap"));
        }
        let Some(reached) = self.reached else {
            self.fault(Rule::Order, format!("came to {cursor} before it was connected"));
            return None;
        };
        if reached.epoch == cursor.epoch {
            return Some(reached);
        }
        self.fault(Rule::NoHole, format!("came from {reached} to {cursor} and was told of no gap"));
        self.reached = Some(cursor);
        None
    }

    /// What lies behind one cursor up to a position must have been sent, or lie in a gap.
    fn pass(&mut self, behind: Cursor, up_to: Position) {
        let Some(events) = self.log.epochs.get(&behind.epoch) else { return };
        if behind.position >= up_to {
            return;
        }
        for (position, known) in events.range(behind.position.next()..=up_to) {
            if !is_among(known.topics, &self.reading.patterns) || self.is_in_gap(known) {
                continue;
            }
            let rule = match (known.acknowledged, self.has_resumed) {
                (true, _) => Rule::AcknowledgedIsRead,
                (false, true) => Rule::Resumed,
                (false, false) => Rule::NoHole,
            };
            let how = if self.has_resumed { "resumed after" } else { "came from" };
            let value = known.value;
            self.fault(rule, format!("{how} {behind} to {up_to} past {value:?} at {position}"));
        }
    }

    /// What was published after a gap was told cannot be what it told of.
    fn is_in_gap(&self, known: &Known<'_>) -> bool {
        self.gaps.iter().any(|(told, patterns)| {
            known.invoked < *told && (patterns.is_empty() || is_among(known.topics, patterns))
        })
    }

    fn fault(&mut self, rule: Rule, what: String) {
        self.faults.push(Fault { rule, what: format!("{} {what}", self.reading.reader) });
    }
}

fn is_among(topics: &[Topic], patterns: &[Pattern]) -> bool {
    topics.iter().any(|topic| patterns.iter().any(|pattern| pattern.matches(topic)))
}
