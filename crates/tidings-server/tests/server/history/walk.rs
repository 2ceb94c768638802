//! A walk through what one reader was sent, from note to note: where it stands, what it was told of, and
//! what it should have been sent on the way.

use tidings_client::GapReason;
use tidings_hub::{Cursor, Pattern, Position, Topic};

use super::account::{Note, Reading, Tick, What};
use super::checker::{Fault, Rule};
use super::known::{Known, Log};

/// A walk through what one reader was sent.
pub struct Walk<'a> {
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
    pub fn new(log: &'a Log<'a>, reading: &'a Reading) -> Self {
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

    pub fn walk(mut self) -> Vec<Fault> {
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

    fn fault(&mut self, rule: Rule, mut what: String) {
        what.insert_str(0, &format!("{} ", self.reading.reader));
        self.faults.push(Fault { rule, what });
    }
}

fn is_among(topics: &[Topic], patterns: &[Pattern]) -> bool {
    topics.iter().any(|topic| patterns.iter().any(|pattern| pattern.matches(topic)))
}
