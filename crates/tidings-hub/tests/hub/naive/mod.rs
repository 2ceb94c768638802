//! A hub so naive that it can be seen to be right: every event ever appended, and for each of its
//! topics whether that topic still holds it. Everything else is found by looking at all of them.
//! It knows nothing of trees, queues, pages or budgets.

pub(crate) mod matching;

use std::collections::{BTreeMap, BTreeSet};

use matching::matches;
use tidings_hub::{
    Epoch, Event, EventType, Hub, LogBounds, Moment, OWN_EVENTS_PER_TOPIC_MAX, Pattern, Payload,
    Selection, Topic,
};

/// One event ever appended.
pub(crate) struct NaiveEvent {
    pub(crate) position: u64,
    pub(crate) event_type: String,
    /// Each topic, and whether it still holds the event.
    pub(crate) topics: Vec<(String, bool)>,
    pub(crate) data: String,
    pub(crate) unix_ms: u64,
    pub(crate) uptime_ms: u64,
    pub(crate) ttl_secs: Option<u32>,
    /// What the event weighs against the byte bound.
    pub(crate) footprint_bytes: usize,
}

impl NaiveEvent {
    fn is_held(&self) -> bool {
        self.topics.iter().any(|(_, held)| *held)
    }

    /// Whether it is the hub's own, which no size counts.
    pub(crate) fn is_own(&self) -> bool {
        self.topics.iter().all(|(name, _)| name.starts_with('$'))
    }
}

/// The naive log.
pub(crate) struct Naive {
    pub(crate) bounds: LogBounds,
    pub(crate) events: Vec<NaiveEvent>,
    /// The newest position each topic has dropped.
    dropped: BTreeMap<String, u64>,
    /// Every drop, in the order they came.
    pub(crate) drops: Vec<(String, u64)>,
    /// The newest drop of a topic that there was no room to remember.
    pub(crate) forgotten: u64,
    /// What a branch of the index weighs, by the length of its segment.
    bytes_by_segment: Vec<usize>,
}

/// No bound on anything.
pub(crate) const UNBOUNDED: LogBounds = LogBounds {
    events_per_topic_max: usize::MAX,
    bytes_max: usize::MAX,
    age_max_ms: u64::MAX,
    topics_remembered_max: usize::MAX,
};

/// Every topic and what leads to it, each once.
pub(crate) fn branches<'a>(topics: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut branches = BTreeSet::new();
    for topic in topics {
        let ends = topic.match_indices('/').map(|(end, _)| end).chain([topic.len()]);
        branches.extend(ends.map(|end| topic[..end].to_string()));
    }
    branches
}

/// Weighs a branch: the first event of a topic makes it, the second finds it there.
fn weigh_branch(segment_bytes: usize) -> usize {
    let mut hub = Hub::new(Epoch::from_random(0), UNBOUNDED);
    let mut sizes = vec![0];
    for _ in 0..2 {
        let topic = Topic::new(&"a".repeat(segment_bytes)).unwrap();
        let event = Event::new(EventType::default(), [topic], Payload::text(""), None, 0);
        hub.append(event.unwrap(), Moment::default());
        sizes.push(hub.size().bytes);
    }
    sizes[1] - (sizes[2] - sizes[1])
}

impl Naive {
    pub(crate) fn new(bounds: LogBounds) -> Self {
        let bytes_by_segment = [0].into_iter().chain((1..4).map(weigh_branch)).collect();
        Self {
            bytes_by_segment,
            bounds,
            events: Vec::new(),
            dropped: BTreeMap::new(),
            drops: Vec::new(),
            forgotten: 0,
        }
    }

    pub(crate) fn newest(&self) -> u64 {
        self.events.last().map_or(0, |event| event.position)
    }

    /// Appends an event and returns how many were dropped for it.
    pub(crate) fn append(&mut self, event: NaiveEvent) -> usize {
        let expired = self.expire(event.uptime_ms);
        let before = self.held_count();
        let topics: Vec<String> = event.topics.iter().map(|(name, _)| name.clone()).collect();
        self.events.push(event);
        for topic in topics {
            let holding: Vec<usize> =
                (0..self.events.len()).filter(|&index| self.holds(index, &topic)).collect();
            let own_max =
                if topic.starts_with('$') { OWN_EVENTS_PER_TOPIC_MAX } else { usize::MAX };
            if holding.len() > self.bounds.events_per_topic_max.min(own_max) {
                self.let_go(holding[0], &topic);
            }
        }
        while self.bounds.bytes_max < usize::MAX && self.bytes() > self.bounds.bytes_max {
            let oldest = self.events.iter().position(NaiveEvent::is_held).unwrap();
            self.drop_event(oldest);
        }
        self.forget();
        expired + (before + 1 - self.held_count())
    }

    /// Drops what is over age, and returns how many that were.
    pub(crate) fn expire(&mut self, uptime_ms: u64) -> usize {
        let before = self.held_count();
        for index in 0..self.events.len() {
            let event = &self.events[index];
            let age_ms = uptime_ms.saturating_sub(event.uptime_ms);
            let ttl_over = event.ttl_secs.is_some_and(|secs| age_ms >= u64::from(secs) * 1000);
            if age_ms >= self.bounds.age_max_ms || ttl_over {
                self.drop_event(index);
            }
        }
        self.forget();
        before - self.held_count()
    }

    /// The held events a selection gets that lie after a position.
    pub(crate) fn matching<'a>(
        &'a self,
        after: u64,
        selection: &'a Selection,
    ) -> impl DoubleEndedIterator<Item = &'a NaiveEvent> {
        self.events.iter().filter(move |event| {
            let mut held = event.topics.iter().filter(|(_, held)| *held);
            event.position > after
                && wants_type(selection, &event.event_type)
                && held.any(|(topic, _)| {
                    selection.patterns().iter().any(|pattern| matches(pattern.as_str(), topic))
                })
        })
    }

    /// The newest position that a topic of this pattern has dropped, leaving out so many drops
    /// that came first; nothing if there is none.
    pub(crate) fn newest_dropped(&self, pattern: &Pattern, drops_before: usize) -> Option<u64> {
        let drops = self.drops[drops_before..].iter();
        let matching = drops.filter(|(topic, _)| matches(pattern.as_str(), topic));
        matching.map(|&(_, position)| position).max()
    }

    pub(crate) fn held_count(&self) -> usize {
        self.events.iter().filter(|event| event.is_held()).count()
    }

    pub(crate) fn bytes(&self) -> usize {
        let held = self.events.iter().filter(|event| event.is_held() && !event.is_own());
        let events: usize = held.map(|event| event.footprint_bytes).sum();
        events + self.branch_bytes(&branches(self.live().into_iter()))
    }

    /// What these branches of the index weigh, without the hub's own.
    pub(crate) fn branch_bytes(&self, branches: &BTreeSet<String>) -> usize {
        let last = |branch: &String| branch.rsplit('/').next().unwrap().len();
        let branches = branches.iter().filter(|branch| !branch.starts_with('$'));
        branches.map(|branch| self.bytes_by_segment[last(branch)]).sum()
    }

    /// The topics that hold an event.
    pub(crate) fn live(&self) -> BTreeSet<&str> {
        let held = self.events.iter().flat_map(|event| &event.topics).filter(|(_, held)| *held);
        held.map(|(name, _)| name.as_str()).collect()
    }

    fn holds(&self, index: usize, topic: &str) -> bool {
        self.events[index].topics.iter().any(|(name, held)| *held && name == topic)
    }

    fn let_go(&mut self, index: usize, topic: &str) {
        let event = &mut self.events[index];
        for (name, held) in &mut event.topics {
            if name == topic && *held {
                *held = false;
                let dropped = self.dropped.entry(name.clone()).or_default();
                *dropped = (*dropped).max(event.position);
                self.drops.push((name.clone(), event.position));
            }
        }
    }

    fn drop_event(&mut self, index: usize) {
        let topics: Vec<String> =
            self.events[index].topics.iter().map(|(name, _)| name.clone()).collect();
        for topic in topics {
            self.let_go(index, &topic);
        }
    }

    /// Of all topics that hold nothing, only so many are remembered: those with the newest drops.
    fn forget(&mut self) {
        if self.dropped.len() <= self.bounds.topics_remembered_max {
            return;
        }
        let live = self.live();
        let empty = self.dropped.iter().filter(|(topic, _)| !live.contains(topic.as_str()));
        let mut drops: Vec<u64> = empty.map(|(_, &position)| position).collect();
        drops.sort_unstable_by(|a, b| b.cmp(a));
        let first_forgotten = drops.get(self.bounds.topics_remembered_max).copied();
        self.forgotten = self.forgotten.max(first_forgotten.unwrap_or(0));
    }
}

fn wants_type(selection: &Selection, event_type: &str) -> bool {
    let event_type = if event_type == "message" {
        tidings_hub::EventType::default()
    } else {
        tidings_hub::EventType::new(event_type).unwrap()
    };
    selection.wants_type(&event_type)
}
