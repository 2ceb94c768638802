//! Random histories against a naive model: whatever is published, expired, read, dropped and
//! resumed, readers get what the definition says, in order and once, or are told of a gap.
//!
//! `TIDINGS_SEED=…` replays the one history that a failure names.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use serde_json::value::RawValue;
use tidings_hub::{
    Cursor, Epoch, Event, EventType, Gap, GapReason, Hub, LogBounds, Moment, Opening, Page,
    PageBounds, Pattern, Payload, Position, Reader, Selection, Start, StoredEvent, Topic,
};

use crate::naive::{self, Naive, NaiveEvent, UNBOUNDED, matching};

const HISTORIES: usize = 5_000;
/// One history in so many is long and wide, so that reads run out of what they may look at.
const LONG_EVERY: usize = 150;

#[test]
fn readers_get_what_a_naive_model_says() {
    let mut happened = Seen::default();
    if let Ok(seed) = std::env::var("TIDINGS_SEED") {
        let seed = seed.parse().expect("TIDINGS_SEED is a number");
        History::new(seed, true).run(&mut happened);
        return;
    }
    let first = fastrand::u64(..1 << 48);
    for index in 0..HISTORIES {
        let is_long = index % LONG_EVERY == 0;
        // The kind of history is a part of its seed, so that the seed alone replays it.
        let seed = (first + index as u64) * 2 + u64::from(is_long);
        History::new(seed, false).run(&mut happened);
    }
    println!("{HISTORIES} histories from seed {}: {happened:?}", first * 2);
    happened.assert_everything_happened();
}

/// How often each thing was seen, so that a history generator that has gone lame is noticed.
#[derive(Debug, Default)]
struct Seen {
    events_read: usize,
    pages_one_topic: usize,
    pages_several_topics: usize,
    pages_full: usize,
    pages_full_by_bytes: usize,
    pages_out_of_budget: usize,
    pages_empty_out_of_budget: usize,
    resumed: usize,
    gaps_expired: usize,
    gaps_slow: usize,
    gaps_of_some_patterns: usize,
    gaps_for_safety: usize,
    gaps_in_a_rewind: usize,
    partly_held: usize,
    dropped: usize,
    forgotten: usize,
}

impl Seen {
    fn assert_everything_happened(&self) {
        let counts = [
            self.events_read,
            self.pages_one_topic,
            self.pages_several_topics,
            self.pages_full,
            self.pages_full_by_bytes,
            self.pages_out_of_budget,
            self.pages_empty_out_of_budget,
            self.resumed,
            self.gaps_expired,
            self.gaps_slow,
            self.gaps_of_some_patterns,
            self.gaps_for_safety,
            self.gaps_in_a_rewind,
            self.partly_held,
            self.dropped,
            self.forgotten,
        ];
        assert!(counts.iter().all(|&count| count >= 10), "something hardly happens: {self:?}");
    }
}

/// A subscriber: the hub's reader, and what the model thinks of it.
struct Subscriber {
    name: usize,
    selection: Selection,
    reader: Reader,
    position: u64,
    loss: Loss,
}

/// What is no news of a loss to a subscriber.
#[derive(Default)]
struct Loss {
    /// How far the log reached when each pattern was last told of a gap.
    told: BTreeMap<usize, u64>,
    /// Drops that came before it asked for what there was.
    drops_before: usize,
}

/// Names the seed when the test fails in the middle of a history.
struct NameSeed(u64);

impl Drop for NameSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("\nreplay with TIDINGS_SEED={}\n", self.0);
        }
    }
}

struct History {
    seed: NameSeed,
    rng: Rng,
    told: bool,
    hub: Hub,
    /// The same events without bounds, to learn what each weighs.
    scales: Hub,
    /// The branches of the index on the scales.
    branches: BTreeSet<String>,
    naive: Naive,
    now: Moment,
    topics: Vec<Topic>,
    patterns: Vec<Pattern>,
    subscribers: Vec<Subscriber>,
    names: usize,
}

impl History {
    fn new(seed: u64, told: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let is_long = seed % 2 == 1;
        let bounds = LogBounds {
            events_per_topic_max: if is_long { 700 } else { rng.usize(1..8) },
            bytes_max: if is_long { usize::MAX } else { rng.usize(1_000..40_000) },
            age_max_ms: if is_long { 1 << 40 } else { rng.u64(2_000..60_000) },
            topics_remembered_max: if rng.bool() { 10_000 } else { rng.usize(0..6) },
        };
        let epoch = Epoch::from_random(rng.u64(..));
        let topics = topics(&mut rng, is_long);
        let patterns = patterns(&topics);
        Self {
            seed: NameSeed(seed),
            rng,
            told,
            hub: Hub::new(epoch, bounds),
            scales: Hub::new(epoch, UNBOUNDED),
            branches: BTreeSet::new(),
            naive: Naive::new(bounds),
            now: Moment { unix_ms: 1_795_458_000_000, uptime_ms: 0 },
            topics,
            patterns,
            subscribers: Vec::new(),
            names: 0,
        }
    }

    fn run(mut self, seen: &mut Seen) {
        let is_long = self.seed.0 % 2 == 1;
        if is_long {
            for _ in 0..self.rng.usize(700..1_500) {
                self.append(seen);
            }
            for _ in 0..20 {
                self.open_at(Start::All, seen);
            }
        }
        for _ in 0..self.rng.usize(20..200) {
            match self.rng.u32(..100) {
                0..40 => self.append(seen),
                40..45 => self.expire(seen),
                45..60 => self.open(seen),
                60..63 => self.leave(),
                _ => self.advance_one(seen),
            }
            self.check_size();
        }
        // Whoever follows the pages to the end has everything.
        for index in 0..self.subscribers.len() {
            while self.advance(index, seen) {}
        }
        seen.forgotten += usize::from(self.naive.forgotten > 0);
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.told {
            eprintln!("{}", what());
        }
    }

    fn append(&mut self, seen: &mut Seen) {
        self.tick(400);
        let rng = &mut self.rng;
        let count = if rng.u32(..3) == 0 { rng.usize(2..5) } else { 1 };
        let topics: Vec<Topic> =
            (0..count).map(|_| rng.choice(&self.topics).unwrap().clone()).collect();
        let event_type = match rng.u32(..100) {
            0 => EventType::new("rare").unwrap(),
            1..20 => EventType::new("b").unwrap(),
            20..40 => EventType::new("c").unwrap(),
            _ => EventType::default(),
        };
        let length = rng.usize(..120);
        let data: String = (0..length).map(|_| *rng.choice(b"abcdef\n").unwrap() as char).collect();
        let payload = if rng.bool() {
            Payload::text(&data)
        } else {
            let json = serde_json::to_string(&data).unwrap();
            Payload::json(&RawValue::from_string(json).unwrap())
        };
        let ttl_secs = (rng.u32(..6) == 0).then(|| rng.u32(1..10));
        let event = |ttl_secs| {
            let (topics, payload) = (topics.clone(), payload.clone());
            Event::new(event_type.clone(), topics, payload, ttl_secs, 1 << 16).unwrap()
        };

        // New branches of the index are weighed apart, as they go when their topics do.
        let mut new_branches = naive::branches(topics.iter().map(Topic::as_str));
        new_branches.retain(|branch| self.branches.insert(branch.clone()));
        let before = self.scales.size().bytes;
        self.scales.append(event(None), self.now);
        let after = self.scales.size().bytes - self.naive.branch_bytes(&new_branches);
        let event = event(ttl_secs);
        let naive_event = NaiveEvent {
            position: self.naive.newest() + 1,
            event_type: event_type.as_str().into(),
            topics: event.topics().iter().map(|topic| (topic.as_str().into(), true)).collect(),
            data: payload.as_str().into(),
            unix_ms: self.now.unix_ms,
            uptime_ms: self.now.uptime_ms,
            ttl_secs,
            footprint_bytes: after - before,
        };
        self.say(|| {
            format!("append {} {:?} ttl {ttl_secs:?}", naive_event.position, event.topics())
        });
        let dropped = self.naive.append(naive_event);
        let appended = self.hub.append(event, self.now);
        assert_eq!(appended.event.position().get(), self.naive.newest(), "the next position");
        assert_eq!(appended.dropped, dropped, "events dropped by an append");
        seen.dropped += dropped;
    }

    fn expire(&mut self, seen: &mut Seen) {
        self.tick(8_000);
        self.say(|| format!("expire at {}", self.now.uptime_ms));
        let dropped = self.naive.expire(self.now.uptime_ms);
        assert_eq!(self.hub.expire(self.now), dropped, "events dropped by expiring");
        seen.dropped += dropped;
    }

    fn leave(&mut self) {
        if !self.subscribers.is_empty() {
            let index = self.rng.usize(..self.subscribers.len());
            self.subscribers.swap_remove(index);
        }
    }

    /// A new subscriber, or an old one that comes back with the cursor it had.
    fn open(&mut self, seen: &mut Seen) {
        let newest = self.naive.newest();
        let epoch = self.hub.epoch();
        let at = |position| Cursor { epoch, position: Position::new(position) };
        let start = match self.rng.u32(..10) {
            0 => Start::Now,
            1 => Start::All,
            2 => Start::Events(self.rng.usize(..12)),
            3 => Start::AgeMs(self.rng.u64(..30_000)),
            4 => {
                let epoch = Epoch::from_random(self.rng.u64(..));
                Start::After(Cursor { epoch, position: Position::new(self.rng.u64(..=newest)) })
            }
            5 => Start::After(at(newest.saturating_add(self.rng.u64(1..=u64::MAX - newest)))),
            6 => Start::After(at(self.rng.u64(..=newest))),
            _ if !self.subscribers.is_empty() => {
                let index = self.rng.usize(..self.subscribers.len());
                let gone = self.subscribers.swap_remove(index);
                return self.open_for(gone.selection, Start::After(at(gone.position)), seen);
            }
            _ => Start::After(at(newest.saturating_sub(self.rng.u64(..10)))),
        };
        self.open_at(start, seen);
    }

    fn open_at(&mut self, start: Start, seen: &mut Seen) {
        let selection = self.selection();
        self.open_for(selection, start, seen);
    }

    fn open_for(&mut self, selection: Selection, start: Start, seen: &mut Seen) {
        let opening = self.hub.open(start, &selection, self.now);
        self.names += 1;
        self.say(|| {
            let (name, patterns) = (self.names, selection.patterns());
            format!("open #{name} {start:?} for {patterns:?}: {opening:?}")
        });
        let loss = self.check_opening(start, &selection, &opening, seen);
        let position = opening.cursor.position.get();
        let reader = opening.reader;
        self.subscribers.push(Subscriber { name: self.names, selection, reader, position, loss });
    }

    fn check_opening(
        &self,
        start: Start,
        selection: &Selection,
        opening: &Opening,
        seen: &mut Seen,
    ) -> Loss {
        let newest = self.naive.newest();
        let position = opening.cursor.position.get();
        assert_eq!(opening.cursor.epoch, self.hub.epoch());
        assert_eq!(opening.cursor.position, opening.reader.position());
        assert!(position <= newest, "a cursor is never ahead of the log");
        if let Some(gap) = &opening.gap {
            assert_eq!(gap.cursor, opening.cursor, "a gap's cursor is where the stream goes on");
        }
        let follows = |after: u64| positions(self.naive.matching(after, selection));
        let Start::After(offered) = start else {
            assert!(!opening.resumed && opening.gap.is_none(), "no cursor, no gap");
            let expected = match start {
                Start::Now => Vec::new(),
                Start::Events(count) => {
                    let all = follows(0);
                    all[all.len().saturating_sub(count)..].to_vec()
                }
                Start::AgeMs(age_ms) => {
                    let since_secs = self.now.uptime_ms.saturating_sub(age_ms) / 1000;
                    let matching = self.naive.matching(0, selection);
                    positions(matching.filter(|event| event.uptime_ms / 1000 >= since_secs))
                }
                Start::All | Start::After(_) => follows(0),
            };
            assert_eq!(follows(position), expected, "what follows {start:?}");
            return Loss { told: BTreeMap::new(), drops_before: self.naive.drops.len() };
        };
        let (from, reason) = if offered.epoch != self.hub.epoch() {
            (0, Some(GapReason::Epoch))
        } else if offered.position.get() > newest {
            (newest, Some(GapReason::Unknown))
        } else {
            (offered.position.get(), None)
        };
        assert!(position >= from, "a resumed reader never goes back");
        assert_eq!(follows(position), follows(from), "what follows {start:?}");
        assert_eq!(opening.resumed, opening.gap.is_none(), "resumed, or told why not");
        if let Some(reason) = reason {
            let gap = opening.gap.as_ref().expect("such a cursor is answered with a gap");
            assert_eq!(gap.reason, reason);
            assert_eq!(gap.patterns, selection.patterns(), "nothing of it can be complete");
            let all = (0..selection.patterns().len()).map(|index| (index, newest));
            return Loss { told: all.collect(), drops_before: 0 };
        }
        let mut loss = Loss::default();
        let reason = GapReason::Expired;
        self.check_gap(selection, from, &mut loss, opening.gap.as_ref(), reason, seen);
        match opening.gap {
            Some(_) => seen.gaps_expired += 1,
            None => seen.resumed += 1,
        }
        loss
    }

    /// Exactly those patterns are told of that have dropped something after what the reader is
    /// complete to. Only where topics had to be forgotten may there be more.
    fn check_gap(
        &self,
        selection: &Selection,
        position: u64,
        loss: &mut Loss,
        gap: Option<&Gap>,
        reason: GapReason,
        seen: &mut Seen,
    ) {
        let none = Vec::new();
        let patterns = gap.map_or(&none, |gap| &gap.patterns);
        let mut expected = Vec::new();
        for (index, pattern) in selection.patterns().iter().enumerate() {
            let complete_to = loss.told.get(&index).copied().unwrap_or(0).max(position);
            let dropped = |drops_before| self.naive.newest_dropped(pattern, drops_before);
            let is_past = |dropped: Option<u64>| dropped.is_some_and(|newest| newest > complete_to);
            let is_lost = is_past(dropped(loss.drops_before));
            let may_be_forgotten = self.naive.forgotten > complete_to;
            // A pattern cannot know whether a forgotten topic was one of its own.
            let must_tell =
                is_lost || (may_be_forgotten && !pattern.is_literal() && loss.drops_before == 0);
            // Nor, where drops came in another order than the events, which of them came since.
            let may_be_earlier = is_past(dropped(0)) && dropped(loss.drops_before).is_some();
            let may_tell = (may_be_forgotten || may_be_earlier) && patterns.contains(pattern);
            if must_tell || may_tell {
                expected.push(pattern.clone());
                loss.told.insert(index, self.naive.newest());
                seen.gaps_for_safety += usize::from(!is_lost);
                seen.gaps_in_a_rewind += usize::from(is_lost && loss.drops_before > 0);
            }
        }
        assert_eq!(patterns, &expected, "the patterns told of a gap after {position}");
        if let Some(gap) = gap {
            assert_eq!(gap.reason, reason);
            assert!(!gap.patterns.is_empty(), "a gap is a gap in something");
            seen.gaps_of_some_patterns +=
                usize::from(gap.patterns.len() < selection.patterns().len());
        }
    }

    fn advance_one(&mut self, seen: &mut Seen) {
        if !self.subscribers.is_empty() {
            let index = self.rng.usize(..self.subscribers.len());
            self.advance(index, seen);
        }
    }

    /// Reads one page and checks it; returns whether there is more.
    fn advance(&mut self, index: usize, seen: &mut Seen) -> bool {
        let events_max =
            if self.rng.u32(..4) == 0 { self.rng.usize(1..500) } else { self.rng.usize(1..6) };
        let bytes_max = if self.rng.u32(..4) == 0 { self.rng.usize(1..1_000) } else { 1 << 20 };
        let bounds = PageBounds { events_max, bytes_max };

        let mut subscriber = self.subscribers.swap_remove(index);
        let before = subscriber.position;
        let advance = self.hub.advance(&mut subscriber.reader, &subscriber.selection, bounds);
        self.say(|| {
            let Page { events, position, more, examined } = &advance.page;
            let events: Vec<u64> = events.iter().map(|event| event.position().get()).collect();
            let (name, gap) = (subscriber.name, &advance.gap);
            format!(
                "advance #{name} from {before} {bounds:?}: {events:?} to {position} \
                 more {more} examined {examined} gap {gap:?}"
            )
        });
        assert_eq!(subscriber.reader.position(), advance.page.position);
        if let Some(gap) = &advance.gap {
            assert_eq!(gap.cursor.position.get(), before, "a gap comes before the page");
            seen.gaps_slow += 1;
        }
        let (gap, reason) = (advance.gap.as_ref(), GapReason::Slow);
        self.check_gap(&subscriber.selection, before, &mut subscriber.loss, gap, reason, seen);
        self.check_page(&subscriber, &advance.page, bounds, seen);

        subscriber.position = advance.page.position.get();
        self.subscribers.push(subscriber);
        let last = self.subscribers.len() - 1;
        self.subscribers.swap(index, last);
        advance.page.more
    }

    fn check_page(
        &self,
        subscriber: &Subscriber,
        page: &Page,
        bounds: PageBounds,
        seen: &mut Seen,
    ) {
        let selection = &subscriber.selection;
        let mut expected = self.naive.matching(subscriber.position, selection);
        let mut bytes = 0;
        for event in &page.events {
            assert_same(event, expected.next().expect("no event that the model does not have"));
            seen.partly_held += usize::from(self.is_partly_held(event, selection));
            bytes += event.frame().len();
        }
        let next = expected.next();
        let next_position = next.map(|event| event.position);

        let to = page.position.get();
        let last = page.events.last().map_or(subscriber.position, |event| event.position().get());
        assert!(to >= last, "a page reaches its last event");
        assert!(next_position.is_none_or(|next| to < next), "no event is passed over");
        assert!(page.events.len() <= bounds.events_max);
        assert!(bytes <= bounds.bytes_max || page.events.len() == 1);

        let budget = (16 * bounds.events_max).max(512);
        let bound = 2 * budget + 9 * selection.patterns().len() + 10_000;
        assert!(page.examined <= bound, "one read is bounded: {}", page.examined);
        if page.more {
            assert!(to > subscriber.position, "a page that has more makes progress");
            let next_bytes = next.map_or(usize::MAX, |event| self.frame_bytes(event.position));
            let is_full = page.events.len() == bounds.events_max;
            let is_full_by_bytes =
                !page.events.is_empty() && bytes.saturating_add(next_bytes) > bounds.bytes_max;
            let is_out_of_budget = page.examined >= budget;
            assert!(is_full || is_full_by_bytes || is_out_of_budget, "a page stops with a reason");
            seen.pages_full += usize::from(is_full);
            seen.pages_full_by_bytes += usize::from(is_full_by_bytes && next.is_some());
            seen.pages_out_of_budget += usize::from(!is_full && !is_full_by_bytes);
            seen.pages_empty_out_of_budget += usize::from(page.events.is_empty());
        } else {
            assert_eq!(next_position, None, "the last page is complete");
            assert_eq!(to, self.naive.newest(), "who has everything is at the newest");
        }
        seen.events_read += page.events.len();
        let mut topics: Vec<&str> = Vec::new();
        for event in &page.events {
            topics.extend(event.topics().iter().map(Topic::as_str));
        }
        topics.sort_unstable();
        topics.dedup();
        seen.pages_one_topic += usize::from(topics.len() == 1 && page.events.len() > 1);
        seen.pages_several_topics += usize::from(topics.len() > 1 && page.events.len() > 1);
    }

    /// Whether a topic that matches no longer holds this event, while another still does.
    fn is_partly_held(&self, event: &StoredEvent, selection: &Selection) -> bool {
        let index = usize::try_from(event.position().get() - 1).unwrap();
        let topics = &self.naive.events[index].topics;
        topics.iter().any(|(topic, held)| {
            !held && selection.patterns().iter().any(|one| matching::matches(one.as_str(), topic))
        })
    }

    fn frame_bytes(&self, position: u64) -> usize {
        let (start, everything) = (Position::new(position - 1), self.everything());
        let cursor = Cursor { epoch: self.hub.epoch(), position: start };
        let mut reader = self.scales.open(Start::After(cursor), &everything, self.now).reader;
        let bounds = PageBounds { events_max: 1, bytes_max: usize::MAX };
        self.scales.advance(&mut reader, &everything, bounds).page.events[0].frame().len()
    }

    /// Every topic, the hub's own too, which no wildcard reaches.
    fn everything(&self) -> Selection {
        let own = self.topics.iter().filter(|topic| topic.as_str().starts_with('$'));
        Selection::new(own.cloned().map(Pattern::from).chain([Pattern::everything()]))
    }

    fn check_size(&self) {
        let size = self.hub.size();
        let everything = self.everything();
        let mut users = self.naive.matching(0, &everything).filter(|event| !event.is_own());
        let oldest = users.next().map(|event| event.uptime_ms);
        assert_eq!(size.events, usize::from(oldest.is_some()) + users.count());
        assert_eq!(size.bytes, self.naive.bytes());
        let topics = self.naive.live().into_iter().filter(|topic| !topic.starts_with('$'));
        assert_eq!(size.topics, topics.count());
        assert_eq!(size.oldest_uptime_ms, oldest);
    }

    fn tick(&mut self, ms_max: u64) {
        let ms = self.rng.u64(..ms_max);
        self.now.uptime_ms += ms;
        // Wall time may jump; nothing but the time shown may depend on it.
        self.now.unix_ms = self.now.unix_ms + self.rng.u64(..5_000) - 2_000;
    }

    fn selection(&mut self) -> Selection {
        let is_wide = self.seed.0 % 2 == 1 && self.rng.u32(..4) > 0;
        let narrow = if is_wide { self.patterns.len() - WIDE.len() } else { 0 };
        let patterns = &self.patterns[narrow..];
        let count = if self.rng.bool() { 1 } else { self.rng.usize(2..5) };
        let patterns: Vec<Pattern> =
            (0..count).map(|_| self.rng.choice(patterns).unwrap().clone()).collect();
        let selection = Selection::new(patterns);
        match self.rng.u32(..10) {
            0 => selection.of_types([EventType::new("b").unwrap()]),
            1 => selection.of_types([EventType::new("rare").unwrap()]),
            2 => selection.of_types([EventType::new("never").unwrap()]),
            3 => selection.of_types([EventType::new("c").unwrap(), EventType::default()]),
            _ => selection,
        }
    }
}

/// A few topics of up to three segments, one the beginning of another, and the hub's own; for a
/// long history hundreds below one.
fn topics(rng: &mut Rng, is_long: bool) -> Vec<Topic> {
    let mut topics = vec![Topic::reserved("$a/b").unwrap(), Topic::reserved("$a").unwrap()];
    for _ in 0..rng.usize(2..14) {
        let segments: Vec<&str> =
            (0..rng.usize(1..4)).map(|_| ["a", "b", "c"][rng.usize(..3)]).collect();
        topics.push(Topic::new(&segments.join("/")).unwrap());
    }
    if is_long {
        for number in 0..rng.usize(100..900) {
            let name = if rng.bool() { format!("n/{number}/a") } else { format!("n/{number}") };
            topics.push(Topic::new(&name).unwrap());
        }
    }
    topics
}

/// Patterns that match the hundreds of topics of a long history.
const WIDE: [&str; 7] = ["**", "*/*", "n/*", "n/**", "n/*/a", "n/*/b", "n/*/**"];

/// The few topics as they are, and with wildcards in place of their segments; the wide last.
fn patterns(topics: &[Topic]) -> Vec<Pattern> {
    let mut patterns: Vec<Pattern> = topics.iter().take(16).cloned().map(Pattern::from).collect();
    let narrow = [
        "*", "*/**", "*/*/**", "a/*", "a/**", "*/b", "*/a/*", "a/*/c", "*/*/*", "b/**", "z", "z/**",
    ];
    patterns.extend(narrow.iter().chain(&WIDE).map(|text| Pattern::new(text).unwrap()));
    patterns
}

fn positions<'a>(events: impl Iterator<Item = &'a NaiveEvent>) -> Vec<u64> {
    events.map(|event| event.position).collect()
}

fn assert_same(event: &StoredEvent, naive: &NaiveEvent) {
    assert_eq!(event.position().get(), naive.position, "the next event in order");
    assert_eq!(event.event_type().as_str(), naive.event_type);
    assert!(event.topics().iter().map(Topic::as_str).eq(naive.topics.iter().map(|(name, _)| name)));
    assert_eq!(event.data(), naive.data);
    assert_eq!(event.time_ms(), naive.unix_ms);
}
