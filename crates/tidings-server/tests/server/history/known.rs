//! What publishers and readers together know to be stored, and whether they agree: on what is where, and
//! on what came first. What a single reader was to get is not known here.

use std::collections::{BTreeMap, HashMap};

use tidings_hub::{Cursor, Epoch, Position, Topic};

use super::account::{Answer, History, Publish, Tick, What};
use super::checker::{Fault, Rule};

/// What all publishers and readers together say of the log.
pub struct Log<'a> {
    pub epochs: HashMap<Epoch, BTreeMap<Position, Known<'a>>>,
    pub faults: Vec<Fault>,
}

/// An event that is known to have been stored.
pub struct Known<'a> {
    pub value: &'a str,
    pub topics: &'a [Topic],
    pub acknowledged: bool,
    pub invoked: Tick,
    /// When it was certainly stored: answered, or read by somebody.
    stored: Tick,
}

impl<'a> Log<'a> {
    pub fn of(history: &'a History) -> Self {
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

    /// Whatever was certainly stored before something else was first attempted comes before it.
    pub fn inversions(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (epoch, events) in &self.epochs {
            let mut by_stored: Vec<_> = events.iter().collect();
            by_stored.sort_by_key(|(_, known)| known.stored);
            let mut by_invoked: Vec<_> = events.iter().collect();
            by_invoked.sort_by_key(|(_, known)| known.invoked);
            let mut stored = by_stored.into_iter().peekable();
            let mut newest: Option<(&Position, &Known<'_>)> = None;
            for (position, known) in by_invoked {
                while let Some(earlier) =
                    stored.next_if(|(_, earlier)| earlier.stored < known.invoked)
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

    fn fault(&mut self, rule: Rule, what: String) {
        self.faults.push(Fault { rule, what });
    }
}
