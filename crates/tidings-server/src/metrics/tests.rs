//! What holds for any number of users, topics and types: neither the series nor the memory grow.

use std::sync::Arc;

use tidings_hub::{Epoch, Event, EventType, Payload, Position, StoredEvent, Topic};

use super::reading::{Outside, UserStreams};
use super::{Format, Metrics, SseMetrics, Transport, exposition};

fn event(number: u64, event_type: &str, topic: &str) -> Arc<StoredEvent> {
    let event_type = EventType::new(event_type).unwrap();
    let topic = Topic::new(topic).unwrap();
    let event = Event::new(event_type, [topic], Payload::text("x"), None, 10).unwrap();
    Arc::new(StoredEvent::new(event, Epoch::from_random(1), Position::new(number), 0))
}

fn series(text: &str) -> Vec<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

/// Those of a node with two delivery threads.
fn metrics() -> Metrics {
    let clock = crate::clock::Clock::start();
    Metrics::new(
        clock,
        "node".into(),
        2,
        crate::http::Problem::CODES,
        crate::traces::Traces::default(),
    )
}

#[test]
fn a_hundred_thousand_users_topics_and_types_make_no_new_series() {
    let seed = std::env::var("TIDINGS_SEED").ok();
    let seed = seed.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("seed: TIDINGS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let metrics = metrics();
    let before = series(&exposition(metrics.read(Outside::default()), Format::Prometheus));
    let mut users = Vec::new();
    for number in 1..=100_000 {
        let (user, kind) = (random.u64(..).to_string(), random.u64(..).to_string());
        let topic = format!("t/{}", random.u64(..));
        metrics.appended([event(number, &kind, &topic).event_type().as_str()].into_iter(), 1000);
        metrics.delivered_to(&user, 1);
        metrics.polled(Transport::Poll, "token");
        users.push(UserStreams { user: user.into(), streams: 1, delivered: 2 });
    }
    let outside = Outside { users, ..Outside::default() };
    let reading = metrics.read(outside);
    let json = serde_json::to_value(SseMetrics::of(&reading)).unwrap();
    let after = series(&exposition(reading, Format::Prometheus));
    assert_eq!(after, before, "seed {seed}");

    let rows = [
        ("/metrics/events/byType", 100_000),
        ("/metrics/events/byUser", 300_000),
        ("/metrics/connections/byUser", 100_000),
    ];
    for (path, total) in rows {
        let named = json.pointer(path).unwrap().as_object().unwrap();
        assert_eq!(named.len(), 101, "{path}, seed {seed}");
        let sum: u64 = named.values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(sum, total, "{path}, seed {seed}");
    }
}

/// What a delivery thread adds for each turn and for each event, however many sockets it writes to:
/// beside one `send` of 6 to 11 µs it must be nothing. How long it takes is printed rather than judged,
/// a loaded machine tells nothing about microseconds; that every event is counted is judged.
#[test]
fn what_counting_costs() {
    const TURNS: u64 = 100_000;
    let metrics = metrics();
    let begun = std::time::Instant::now();
    for number in 1..=TURNS {
        let now_ns = metrics.now_ns();
        metrics.flights.depart(Position::new(number), now_ns, now_ns);
        metrics.flights.announced(Position::new(number), 2);
        metrics.flights.arrived(Position::new(number), Some(now_ns));
        metrics.flights.arrived(Position::new(number), Some(now_ns));
        let delivered = super::Delivered { events: 1000, bytes: 100_000 };
        metrics.worked(super::Work { delivered, ..super::Work::default() });
    }
    let each = begun.elapsed() / u32::try_from(TURNS).unwrap();
    eprintln!("an event's way through two delivery threads is counted in {each:?}");
    assert_eq!(metrics.read(Outside::default()).publish_to_socket.count, TURNS);
}
