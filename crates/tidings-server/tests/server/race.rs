//! The promise under fire: subscribers connect, break off and resume at random, over random
//! transports, while publishers run; each must have received exactly what was published, in order,
//! or have been told of a gap.

use tidings_hub::{Cursor, Pattern};

use crate::support::publisher::{Acked, Publisher};
use crate::support::reader::{Got, Reader, Transport};
use crate::support::{API_KEY, Server, seed};

/// Subscribers, and how often each breaks off and resumes: a thousand resumes in all.
const SUBSCRIBERS: usize = 20;
const RESUMES: usize = 50;
const PUBLISHERS: u64 = 3;
/// The data of the last event, by which a subscriber knows that it has them all.
const LAST: u64 = u64::MAX;

const TOPICS: [&str; 8] = [
    "orders/1",
    "orders/2",
    "orders/3/items",
    "user/1",
    "user/2",
    "system/vmstat",
    "broadcast",
    "news",
];
/// In every selection, so that the last event reaches everyone.
const FINAL: &str = "final";

const LITERALS: [&str; 6] = [
    "topic=orders/1",
    "topic=user/1&topic=broadcast",
    "topic=news",
    "topic=orders/3/items",
    "topic=system/vmstat&topic=orders/2&topic=user/2",
    "topic=orders/1&topic=orders/2",
];
const PATTERNS: [&str; 5] = [
    "topic=orders/**",
    "topic=**",
    "topic=user/*",
    "topic=*/1&topic=orders/*",
    "topic=orders/*/items&topic=news&topic=orders/3/*",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_break_and_resume_get_every_event_once_in_order() {
    run(&[Transport::Stream], &LITERALS, &[], Gaps::Never).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_switch_transports_get_every_event_once_in_order() {
    let all = [Transport::Stream, Transport::LongPoll, Transport::Poll];
    run(&all, &LITERALS, &[], Gaps::Never).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_of_patterns_get_every_event_once_in_order() {
    let all = [Transport::Stream, Transport::LongPoll, Transport::Poll];
    run(&all, &PATTERNS, &[], Gaps::Never).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_of_a_log_too_short_miss_nothing_without_a_gap() {
    let all = [Transport::Stream, Transport::LongPoll, Transport::Poll];
    let short = [("LOG__EVENTS_PER_TOPIC_MAX", "10")];
    run(&all, &[LITERALS.as_slice(), &PATTERNS].concat(), &short, Gaps::Announced).await;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gaps {
    /// The log is long enough: nothing may be missing at all.
    Never,
    /// What is missing must have been announced.
    Announced,
}

async fn run(transports: &[Transport], queries: &[&str], settings: &[(&str, &str)], gaps: Gaps) {
    let mut rng = fastrand::Rng::with_seed(seed());
    let long = [("STREAMS__HEARTBEAT_SECS", "1"), ("LOG__EVENTS_PER_TOPIC_MAX", "1000000")];
    let server = Server::start(&[&long, settings].concat());
    let publisher = Publisher::new(&server.url());
    let (stop, is_stopped) = tokio::sync::watch::channel(false);

    let mut publishers = tokio::task::JoinSet::new();
    for number in 0..PUBLISHERS {
        let (publisher, stopped) = (publisher.clone(), is_stopped.clone());
        let rng = rng.fork();
        publishers.spawn(publish_at_random(publisher, number, rng, stopped));
    }
    let mut subscribers = tokio::task::JoinSet::new();
    for index in 0..SUBSCRIBERS {
        let query = format!("{}&topic={FINAL}", queries[index % queries.len()]);
        let reader = Reader::new(&server.url(), &query, API_KEY);
        let transports = transports.to_vec();
        subscribers.spawn(read_at_random(reader, query, transports, rng.fork()));
    }

    let mut readers = subscribers.join_all().await;
    stop.send_replace(true);
    publishers.join_all().await;
    publisher.publish(&[FINAL], LAST).await;

    let mut announced = 0;
    for (query, start, reader) in &mut readers {
        let transport = transports[rng.usize(..transports.len())];
        let is_last = |got: &[Got]| {
            got.last().is_some_and(
                |got| matches!(got, Got::Event { data, .. } if *data == LAST.to_string()),
            )
        };
        reader.session(transport, is_last).await.unwrap();
        let mut expected = publisher.acked(&patterns(query));
        expected.retain(|event| event.position > *start);
        announced += check(query, &reader.got, &expected, gaps);
    }
    assert!(
        gaps == Gaps::Never || announced > 0,
        "the log was never too short; the test tests nothing"
    );
}

async fn publish_at_random(
    publisher: Publisher,
    number: u64,
    mut rng: fastrand::Rng,
    stopped: tokio::sync::watch::Receiver<bool>,
) {
    let mut next = number;
    while !*stopped.borrow() {
        let batch: Vec<_> = (0..rng.usize(1..8))
            .map(|_| {
                next += PUBLISHERS;
                let first = TOPICS[rng.usize(..TOPICS.len())];
                let second = TOPICS[rng.usize(..TOPICS.len())];
                let topics = if first != second && rng.u8(..4) == 0 {
                    vec![first, second]
                } else {
                    vec![first]
                };
                (topics, next)
            })
            .collect();
        let batch: Vec<_> = batch.iter().map(|(topics, data)| (&topics[..], *data)).collect();
        publisher.publish_many(&batch).await;
    }
}

async fn read_at_random(
    mut reader: Reader,
    query: String,
    transports: Vec<Transport>,
    mut rng: fastrand::Rng,
) -> (String, u64, Reader) {
    // A first session gives every reader a cursor to resume from: what comes after it is expected.
    reader.session(Transport::Stream, |got| !got.is_empty()).await.unwrap();
    let start: Cursor = reader.cursor.as_ref().unwrap().parse().unwrap();
    for _ in 0..RESUMES {
        let transport = transports[rng.usize(..transports.len())];
        let wanted = rng.usize(1..12);
        reader.session(transport, |got| got.len() >= wanted).await.unwrap();
    }
    (query, start.position.get(), reader)
}

/// Compares what a subscriber got with what was published; returns the gaps it was told of.
fn check(query: &str, got: &[Got], published: &[Acked], gaps: Gaps) -> usize {
    let mut expected = published.iter().peekable();
    let (mut announced, mut gap_open) = (0, false);
    for got in got {
        match got {
            Got::Gap { reason, cursor } => {
                assert_eq!(gaps, Gaps::Announced, "{query}: a gap ({reason}) at {cursor}");
                announced += 1;
                gap_open = true;
            }
            Got::Event { id, data, topics, .. } => {
                if gap_open {
                    while expected.peek().is_some_and(|event| event.id != *id) {
                        expected.next();
                    }
                }
                let event = expected.next().unwrap_or_else(|| {
                    panic!("{query}: {id} is a repeat, out of order or never published")
                });
                assert_eq!((&event.id, &event.data, &event.topics), (id, data, topics), "{query}");
                // After a gap there may be holes until the reader has caught up; a new session
                // that says it resumed has none.
            }
            Got::Began { resumed: true } => gap_open = false,
            Got::Began { resumed: false } | Got::Closing { .. } => {}
        }
    }
    assert!(expected.next().is_none(), "{query}: the end is missing");
    announced
}

fn patterns(query: &str) -> Vec<Pattern> {
    query
        .split('&')
        .map(|part| Pattern::new(part.strip_prefix("topic=").expect("only topics")).unwrap())
        .collect()
}
