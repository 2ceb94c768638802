//! What an operator sees of the log: topics by name and by recency, and one topic's events, against
//! what can be found by looking at everything that was published.
//!
//! `TIDINGS_SEED=…` replays what a failure names.

use std::collections::BTreeMap;

use tidings_hub::{
    Epoch, Event, EventType, Hub, LogBounds, Moment, OWN_EVENTS_PER_TOPIC_MAX, PageBounds, Payload,
    Position, RECENT_SECS, Topic, TopicState,
};

const BOUNDS: LogBounds = LogBounds {
    events_per_topic_max: 5,
    bytes_max: usize::MAX,
    age_max_ms: 100_000,
    topics_remembered_max: 50,
};
const PREFIXES: [&str; 11] =
    ["", "a", "a/", "a/1", "a/1/", "a-", "b", "b/2/", "nothing", "a/1/b", "a//"];

fn at(uptime_ms: u64) -> Moment {
    Moment { unix_ms: 1_000_000 + uptime_ms, uptime_ms }
}

fn append(hub: &mut Hub, topic: &str, text: &str, uptime_ms: u64) -> Position {
    let topic = Topic::reserved(topic).unwrap();
    let event = Event::new(EventType::default(), [topic], Payload::text(text), None, 1000);
    hub.append(event.unwrap(), at(uptime_ms)).event.position()
}

/// What a topic was published: position, uptime and frame bytes of each event it should hold.
type Published = BTreeMap<Vec<String>, Vec<(Position, u64)>>;

fn segments(name: &str) -> Vec<String> {
    name.split('/').map(str::to_owned).collect()
}

#[test]
fn topics_are_found_by_name_and_by_recency_as_if_everything_were_looked_at() {
    let seed = std::env::var("TIDINGS_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed: TIDINGS_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..40 {
        let mut hub = Hub::new(Epoch::from_random(1), BOUNDS);
        let mut published = Published::new();
        let mut now_ms = 0;
        for _ in 0..rng.usize(1..400) {
            now_ms += rng.u64(..2000);
            let depth = rng.usize(1..4);
            let name: Vec<_> = (0..depth)
                .map(|_| *rng.choice(&["a", "a-", "b", "1", "2", "$"]).unwrap())
                .collect();
            let name = name.join("/");
            let name = name.trim_start_matches(['$', '/']);
            if name.is_empty() {
                continue;
            }
            let position = append(&mut hub, name, "x", now_ms);
            published.entry(segments(name)).or_default().push((position, now_ms));
        }
        hub.expire(at(now_ms));
        for held in published.values_mut() {
            held.retain(|(_, uptime_ms)| now_ms - uptime_ms < BOUNDS.age_max_ms);
            held.drain(..held.len().saturating_sub(BOUNDS.events_per_topic_max));
        }
        published.retain(|_, held| !held.is_empty());
        for prefix in PREFIXES {
            check(&hub, &published, prefix, now_ms, rng.usize(1..6));
        }
    }
}

fn check(hub: &Hub, published: &Published, prefix: &str, now_ms: u64, topics_max: usize) {
    // A map of segments is in the order that pages are in.
    let expected: Vec<_> =
        published.iter().filter(|(name, _)| name.join("/").starts_with(prefix)).collect();
    assert_eq!(hub.count_topics(prefix), expected.len(), "{prefix:?}");

    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = hub.topics(prefix, after.as_deref(), topics_max, at(now_ms));
        assert!(page.topics.len() <= topics_max);
        found.extend(page.topics);
        assert!(found.len() <= expected.len(), "{prefix:?} {found:?}");
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let names = |states: &[TopicState]| -> Vec<String> {
        states.iter().map(|state| state.topic.as_str().to_owned()).collect()
    };
    assert_eq!(names(&found), expected.iter().map(|(name, _)| name.join("/")).collect::<Vec<_>>());
    for (state, (_, held)) in found.iter().zip(&expected) {
        let recent = held.iter().filter(|(_, ms)| ms / 1000 + RECENT_SECS > now_ms / 1000).count();
        assert_eq!((state.events, state.recent_events), (held.len(), recent), "{state:?}");
        assert_eq!(state.oldest_ms, 1_000_000 + held[0].1);
        assert_eq!(state.newest_ms, 1_000_000 + held.last().unwrap().1);
        let everything = PageBounds { events_max: 100, bytes_max: usize::MAX };
        let history = hub.events_before(&state.topic, Position::MAX, everything);
        assert_eq!(
            history.events.iter().map(|event| event.position()).collect::<Vec<_>>(),
            held.iter().rev().map(|(position, _)| *position).collect::<Vec<_>>()
        );
        let bytes: usize = history.events.iter().map(|event| event.frame().len()).sum();
        assert_eq!(state.bytes, bytes as u64);
    }

    let mut by_recency = expected;
    by_recency.sort_by_key(|(_, held)| std::cmp::Reverse(held.last().unwrap().0));
    by_recency.truncate(topics_max);
    assert_eq!(
        names(&hub.recent_topics(prefix, topics_max, at(now_ms))),
        by_recency.iter().map(|(name, _)| name.join("/")).collect::<Vec<_>>(),
        "{prefix:?}"
    );
}

#[test]
fn a_topics_events_are_read_backwards_page_by_page() {
    let mut hub = Hub::new(Epoch::from_random(1), BOUNDS);
    let mut mine: Vec<_> = (0..12)
        .map(|number| {
            append(&mut hub, "other", "x", 0);
            append(&mut hub, "mine", &"x".repeat(number), 0)
        })
        .collect();
    mine.drain(..12 - 5);
    let topic = Topic::new("mine").unwrap();
    for page in [
        PageBounds { events_max: 2, bytes_max: usize::MAX },
        PageBounds { events_max: 100, bytes_max: 1 },
        PageBounds { events_max: 100, bytes_max: 200 },
    ] {
        let (mut read, mut before) = (Vec::new(), Position::MAX);
        loop {
            let history = hub.events_before(&topic, before, page);
            assert!(history.events.len() <= page.events_max);
            read.extend(history.events.iter().map(|event| event.position()));
            if !history.more {
                break;
            }
            before = *read.last().unwrap();
        }
        read.reverse();
        assert_eq!(read, mine);
    }
    let nobodys = Topic::new("nobodys").unwrap();
    assert!(hub.events_before(&nobodys, Position::MAX, bounds_of(1)).events.is_empty());
}

fn bounds_of(events_max: usize) -> PageBounds {
    PageBounds { events_max, bytes_max: usize::MAX }
}

#[test]
fn a_search_among_very_many_topics_is_cut_short_and_gone_on_with() {
    let bounds = LogBounds { topics_remembered_max: 300_000, ..BOUNDS };
    let mut hub = Hub::new(Epoch::from_random(1), bounds);
    for number in 0..250_000 {
        append(&mut hub, &format!("user/{number:06}"), "", 0);
    }
    append(&mut hub, "user/240000", "", 90_000);
    append(&mut hub, "other", "", 90_000);
    // All but two have emptied, and are remembered for the gap that they would be.
    hub.expire(at(100_000));
    let (mut pages, mut after, mut found) = (0, None, Vec::new());
    loop {
        let page = hub.topics("user/", after.as_deref(), 10, at(100_000));
        pages += 1;
        found.extend(page.topics);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((pages, found.len()), (3, 1));
    assert_eq!(found[0].topic.as_str(), "user/240000");
    assert_eq!(hub.count_topics("user/"), 1);
    assert_eq!(hub.recent_topics("user/", 10, at(100_000)).len(), 1);
}

#[test]
fn the_hubs_own_events_push_nothing_out_and_count_nowhere() {
    let full = LogBounds { bytes_max: 3000, events_per_topic_max: 1000, ..BOUNDS };
    let mut hub = Hub::new(Epoch::from_random(1), full);
    while append(&mut hub, "a", "x", 0).get() < 100 {}
    let before = hub.size();
    for _ in 0..200 {
        append(&mut hub, "$hub/own", &"x".repeat(1000), 0);
    }
    assert_eq!(hub.size(), before);
    let (own, all) = (Topic::reserved("$hub/own").unwrap(), bounds_of(1000));
    let kept = hub.events_before(&own, Position::MAX, all).events.len();
    assert_eq!(kept, OWN_EVENTS_PER_TOPIC_MAX);
    let topics = hub.topics("", None, 10, at(0)).topics;
    assert_eq!(topics.iter().map(|state| state.topic.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(hub.topics("$", None, 10, at(0)).topics[0].topic, own);
}
