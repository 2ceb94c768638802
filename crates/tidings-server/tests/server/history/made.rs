//! Histories made up from a seed, as a hub without a fault would have brought them about: a log too
//! short for its readers, answers that get lost, connections that break, logs that begin anew.

use tidings_client::GapReason;
use tidings_hub::{Cursor, Epoch, Pattern, Position, Topic};

use super::account::{Answer, History, Note, Publish, Reading, Tick, What};

const TOPICS: [&str; 3] = ["a", "b", "c"];
/// Events kept for each topic.
const KEPT: usize = 6;
const STEPS: usize = 400;
const UNTOLD: [Position; TOPICS.len()] = [Position::START; TOPICS.len()];

/// A history of one hub and five readers.
pub fn history(seed: u64) -> History {
    let mut hub = Hub::new(fastrand::Rng::with_seed(seed));
    let selections = [&["a"][..], &["b"], &["a", "c"], &["**"], &["**"]];
    let mut readers: Vec<_> = selections.iter().enumerate().map(Reader::new).collect();
    for _ in 0..STEPS {
        match hub.rng.u8(..100) {
            0 => hub.begin_anew(),
            1..50 => hub.publish(),
            _ => {
                let index = hub.rng.usize(..readers.len());
                readers[index].take_a_step(&mut hub);
            }
        }
    }
    for reader in &mut readers {
        if !reader.is_connected {
            reader.connect(&mut hub);
        }
        reader.read(&mut hub, usize::MAX);
    }
    let readings = readers.into_iter().map(|reader| reader.reading).collect();
    History { publishes: hub.publishes, readings }
}

struct Hub {
    rng: fastrand::Rng,
    now: Tick,
    newest: Cursor,
    /// What is kept: position, the topic's number, value.
    log: Vec<(Position, usize, String)>,
    /// The newest that each topic has dropped.
    dropped: [Position; TOPICS.len()],
    publishes: Vec<Publish>,
}

impl Hub {
    fn new(rng: fastrand::Rng) -> Self {
        let newest = Cursor { epoch: Epoch::from_random(0), position: Position::START };
        let dropped = UNTOLD;
        Self { rng, now: 0, newest, log: Vec::new(), dropped, publishes: Vec::new() }
    }

    fn tick(&mut self) -> Tick {
        self.now += 1;
        self.now
    }

    fn begin_anew(&mut self) {
        self.newest = Cursor {
            epoch: Epoch::from_random(self.rng.u64(..)),
            position: Position::new(self.rng.u64(..10)),
        };
        self.log.clear();
        self.dropped = UNTOLD;
    }

    fn publish(&mut self) {
        let topic = self.rng.usize(..TOPICS.len());
        let value = format!("v{}", self.publishes.len());
        let invoked = self.tick();
        let fate = self.rng.u8(..10);
        let answer = if fate == 0 {
            *self.rng.choice(&[Answer::Refused, Answer::Unknown]).unwrap()
        } else {
            // Positions in between are the hub's own events.
            let position = self.newest.position.get() + self.rng.u64(1..4);
            self.newest.position = Position::new(position);
            self.log.push((self.newest.position, topic, value.clone()));
            self.drop_oldest(topic);
            if fate < 3 { Answer::Unknown } else { Answer::Stored(self.newest) }
        };
        let answered = self.tick();
        let topics = vec![Topic::new(TOPICS[topic]).unwrap()];
        self.publishes.push(Publish { value, topics, invoked, answered, answer });
    }

    fn drop_oldest(&mut self, topic: usize) {
        if self.log.iter().filter(|(_, its, _)| *its == topic).count() > KEPT {
            let oldest = self.log.iter().position(|(_, its, _)| *its == topic).unwrap();
            self.dropped[topic] = self.log.remove(oldest).0;
        }
    }
}

struct Reader {
    reading: Reading,
    cursor: Option<Cursor>,
    is_connected: bool,
    /// Of each topic it has been told what is missing up to here.
    told: [Position; TOPICS.len()],
}

impl Reader {
    fn new((index, patterns): (usize, &&[&str])) -> Self {
        let patterns = patterns.iter().map(|pattern| Pattern::new(pattern).unwrap()).collect();
        let reading = Reading { reader: format!("reader {index}"), patterns, notes: Vec::new() };
        Self { reading, cursor: None, is_connected: false, told: UNTOLD }
    }

    fn take_a_step(&mut self, hub: &mut Hub) {
        if !self.is_connected {
            return self.connect(hub);
        }
        // An epoch that ended takes its streams' readers to the next with a gap.
        if hub.rng.u8(..4) == 0 {
            self.is_connected = false;
            return;
        }
        let count = hub.rng.usize(..6);
        self.read(hub, count);
    }

    fn connect(&mut self, hub: &mut Hub) {
        self.is_connected = true;
        let offered = self.cursor;
        let Some(cursor) = offered else {
            let cursor = hub.newest;
            self.note(hub, What::Connected { offered, cursor, resumed: false });
            self.cursor = Some(cursor);
            self.told = UNTOLD;
            return;
        };
        self.told = UNTOLD;
        let resumed = cursor.epoch == hub.newest.epoch && self.incomplete(hub).is_empty();
        let cursor = if cursor.epoch == hub.newest.epoch { cursor } else { start_of(hub) };
        self.note(hub, What::Connected { offered, cursor, resumed });
        // It may break before the gap is told: then it has its old cursor still.
        if !resumed && hub.rng.u8(..8) == 0 {
            self.is_connected = false;
            return;
        }
        self.tell_gap(hub);
    }

    /// The topics that have dropped something after the cursor that it was not told of.
    fn incomplete(&self, hub: &Hub) -> Vec<usize> {
        let read = self.cursor.unwrap().position;
        let is_incomplete =
            |&topic: &usize| self.wants(topic) && hub.dropped[topic] > read.max(self.told[topic]);
        (0..TOPICS.len()).filter(is_incomplete).collect()
    }

    fn wants(&self, topic: usize) -> bool {
        let topic = Topic::new(TOPICS[topic]).unwrap();
        self.reading.patterns.iter().any(|pattern| pattern.matches(&topic))
    }

    fn tell_gap(&mut self, hub: &mut Hub) {
        let cursor = self.cursor.unwrap();
        if cursor.epoch != hub.newest.epoch {
            let cursor = start_of(hub);
            self.cursor = Some(cursor);
            self.told = UNTOLD;
            let (reason, patterns) = (GapReason::Epoch, self.reading.patterns.clone());
            self.note(hub, What::Gap { reason, patterns, cursor });
        }
        let incomplete = self.incomplete(hub);
        if !incomplete.is_empty() {
            let is_named = |pattern: &&Pattern| {
                incomplete.iter().any(|&topic| pattern.matches(&Topic::new(TOPICS[topic]).unwrap()))
            };
            let patterns = self.reading.patterns.iter().filter(is_named).cloned().collect();
            let (reason, cursor) = (GapReason::Expired, self.cursor.unwrap());
            self.note(hub, What::Gap { reason, patterns, cursor });
            for topic in incomplete {
                self.told[topic] = hub.dropped[topic];
            }
        }
    }

    fn read(&mut self, hub: &mut Hub, count: usize) {
        self.tell_gap(hub);
        let epoch = hub.newest.epoch;
        let after = self.cursor.unwrap().position;
        let events: Vec<_> = hub
            .log
            .iter()
            .filter(|(position, topic, _)| *position > after && self.wants(*topic))
            .take(count)
            .cloned()
            .collect();
        let is_whole = events.len() < count;
        for (position, _, value) in events {
            let cursor = Cursor { epoch, position };
            self.cursor = Some(cursor);
            self.note(hub, What::Event { cursor, value });
        }
        if is_whole && hub.rng.bool() {
            self.cursor = Some(hub.newest);
            self.note(hub, What::Moved(hub.newest));
        }
    }

    fn note(&mut self, hub: &mut Hub, what: What) {
        self.reading.notes.push(Note { at: hub.tick(), what });
    }
}

fn start_of(hub: &Hub) -> Cursor {
    Cursor { epoch: hub.newest.epoch, position: Position::START }
}
