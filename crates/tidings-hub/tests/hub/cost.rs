//! Reads cost what they return, not what there is: asserted on `Page::examined`, which does not
//! depend on the machine. And what is kept stays bounded, whatever is published.

use tidings_hub::{
    Cursor, Epoch, Event, EventType, Hub, LogBounds, Moment, Page, PageBounds, Pattern, Payload,
    Position, Reader, Selection, Start, Topic,
};

const PAGE: PageBounds = PageBounds { events_max: 100, bytes_max: 1 << 20 };

const ROOMY: LogBounds = LogBounds {
    events_per_topic_max: 1_000_000,
    bytes_max: 1 << 32,
    age_max_ms: u64::MAX,
    topics_remembered_max: 1_000,
};

#[test]
fn a_users_own_topic_among_a_million_others_costs_what_it_holds() {
    let mut hub = hub(ROOMY);
    publish(&mut hub, &["user/me"]);
    publish_wide(&mut hub, 1_000_000, |number| format!("user/{number}"));
    publish(&mut hub, &["user/me", "orders/7"]);
    publish_wide(&mut hub, 100_000, |number| format!("user/{number}"));

    let mine = select(&["user/me", "broadcast"]);
    let page = read(&hub, &mut from(&hub, 0), &mine);
    assert_eq!((page.events.len(), page.more), (2, false));
    assert_within(&page, 10);

    let newest = hub.cursor().position.get();
    assert_within(&read(&hub, &mut from(&hub, newest - 1), &mine), 8);
    assert_within(&read(&hub, &mut from(&hub, newest), &mine), 0);
}

#[test]
fn patterns_among_a_million_topics_cost_what_is_new() {
    let mut hub = hub(ROOMY);
    publish_wide(&mut hub, 500_000, |number| format!("orders/{number}"));
    publish_wide(&mut hub, 500_000, |number| format!("orders/{number}/status"));
    let before = hub.cursor().position.get();
    for number in 0..5 {
        publish(&mut hub, &[&format!("orders/{}", number * 77)]);
        publish(&mut hub, &[&format!("orders/{}/status", number * 99)]);
    }
    for (patterns, events) in [
        (&["orders/**"][..], 10),
        (&["orders/*"], 5),
        (&["orders/*/status"], 5),
        (&["*/*/status", "**"], 10),
        (&["*/77", "*/99/*"], 2),
        (&["users/**", "*/*/*/*"], 0),
    ] {
        let page = read(&hub, &mut from(&hub, before), &select(patterns));
        assert_eq!((page.events.len(), page.more), (events, false), "{patterns:?}");
        assert_within(&page, 60);
    }
}

#[test]
fn ten_thousand_missed_events_are_read_at_a_cost_of_a_few_each() {
    for (patterns, topics) in [
        (&["orders/1"][..], 1),
        (&["orders/*"], 10),
        (&["orders/**"], 1_000),
        (&["orders/**"], 10_000),
        (&["orders/1", "orders/2", "orders/3"], 3),
    ] {
        let mut hub = hub(ROOMY);
        for number in 0..10_000 {
            publish(&mut hub, &[&format!("orders/{}", number % topics + 1)]);
        }
        let pages = follow(&hub, 0, &select(patterns));
        let events: usize = pages.iter().map(|page| page.events.len()).sum();
        let examined: usize = pages.iter().map(|page| page.examined).sum();
        assert_eq!(events, 10_000, "{patterns:?} of {topics}");
        assert!(examined < 22 * events, "{patterns:?} of {topics}: {examined}");
        assert!(pages.iter().all(|page| page.events.len() <= PAGE.events_max));
    }
}

#[test]
fn quiet_topics_beside_busy_ones_cost_what_they_hold() {
    let mut hub = hub(ROOMY);
    for _ in 0..200_000 {
        publish(&mut hub, &["busy"]);
    }
    for number in 0..300 {
        publish(&mut hub, &[&format!("quiet/{number}")]);
    }
    for (patterns, events) in
        [(&["quiet/7"][..], 1), (&["quiet/**"], 300), (&["quiet/*", "no"], 300)]
    {
        let pages = follow(&hub, 0, &select(patterns));
        assert_eq!(pages.iter().map(|page| page.events.len()).sum::<usize>(), events);
        let examined: usize = pages.iter().map(|page| page.examined).sum();
        assert!(examined <= 10 * events + 10, "{patterns:?}: {examined}");
    }
}

#[test]
fn the_worst_pattern_is_bounded_and_gets_on() {
    let bounds = LogBounds { events_per_topic_max: 1, ..ROOMY };
    let mut hub = hub(bounds);
    publish(&mut hub, &["a/0/x"]);
    let before = hub.cursor().position.get();
    // Twice, so that every one of them has dropped an event, and none of them is wanted.
    publish_each(&mut hub, 100_000, |number| format!("a/{number}/y"));
    publish_each(&mut hub, 100_000, |number| format!("a/{number}/y"));
    publish(&mut hub, &["a/5/x"]);

    let selection = select(&["a/*/x"]);
    let mut reader = from(&hub, before);
    let mut events = 0;
    for pages in 1.. {
        let page = read(&hub, &mut reader, &selection);
        assert_within(&page, 15_000);
        events += page.events.len();
        if !page.more {
            assert!(pages <= 200_000 / 1_600 + 2, "{pages} pages");
            break;
        }
    }
    assert_eq!(events, 1);

    // Looking for where a rewind starts is bounded too; what it finds is read as usual.
    let opening = hub.open(Start::Events(1), &selection, Moment::default());
    let pages = follow(&hub, opening.cursor.position.get(), &selection);
    assert_eq!(pages.iter().map(|page| page.events.len()).sum::<usize>(), 1);
}

#[test]
fn a_million_topics_through_a_small_log_leave_it_small() {
    let bounds = LogBounds {
        events_per_topic_max: 10,
        bytes_max: 1 << 20,
        age_max_ms: u64::MAX,
        topics_remembered_max: 1_000,
    };
    let mut hub = hub(bounds);
    let mut topics_max = 0;
    for number in 0..1_000_000_u32 {
        publish(&mut hub, &[&format!("users/{number}/{}", number % 7)]);
        assert!(hub.size().bytes <= bounds.bytes_max);
        topics_max = topics_max.max(hub.size().topics);
    }
    assert!((500..2_000).contains(&topics_max), "{topics_max} topics at once");
    assert_eq!(hub.size().topics, hub.size().events);
    hub.expire(Moment { unix_ms: 0, uptime_ms: u64::MAX });
    assert_eq!((hub.size().events, hub.size().bytes, hub.size().topics), (0, 0, 0));
}

fn hub(bounds: LogBounds) -> Hub {
    Hub::new(Epoch::from_random(7), bounds)
}

fn publish(hub: &mut Hub, topics: &[&str]) {
    let topics = topics.iter().map(|name| Topic::new(name).unwrap());
    let event = Event::new(EventType::default(), topics, Payload::text("x"), None, 100).unwrap();
    hub.append(event, Moment::default());
}

/// Publishes to many topics, one event each.
fn publish_each(hub: &mut Hub, count: usize, name: impl Fn(usize) -> String) {
    for number in 0..count {
        publish(hub, &[&name(number)]);
    }
}

/// Publishes to many topics, a hundred at a time: the same index with fewer events.
fn publish_wide(hub: &mut Hub, count: usize, name: impl Fn(usize) -> String) {
    for first in (0..count).step_by(100) {
        let names: Vec<String> = (first..first + 100).map(&name).collect();
        publish(hub, &names.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

fn select(patterns: &[&str]) -> Selection {
    Selection::new(patterns.iter().map(|text| Pattern::new(text).unwrap()))
}

fn from(hub: &Hub, position: u64) -> Reader {
    let cursor = Cursor { epoch: hub.epoch(), position: Position::new(position) };
    // Something follows for everyone's pattern, so that the cursor stays where it is asked for.
    let opening = hub.open(Start::After(cursor), &select(&["**"]), Moment::default());
    assert_eq!(opening.cursor, cursor);
    opening.reader
}

fn read(hub: &Hub, reader: &mut Reader, selection: &Selection) -> Page {
    hub.advance(reader, selection, PAGE).page
}

fn follow(hub: &Hub, position: u64, selection: &Selection) -> Vec<Page> {
    let mut reader = from(hub, position);
    let mut pages = vec![read(hub, &mut reader, selection)];
    while pages.last().unwrap().more {
        pages.push(read(hub, &mut reader, selection));
    }
    pages
}

fn assert_within(page: &Page, examined_max: usize) {
    let (examined, events) = (page.examined, page.events.len());
    assert!(examined <= examined_max, "examined {examined} for {events} events");
}
