//! Events: how many were published and of what types, and to whom they were written.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::view::{View, get, parse, series};
use crate::support::api::{Api, Stream};
use crate::support::tokens::token;
use crate::support::{Server, seed};

async fn publish_all(api: &Api, events: &[Value]) {
    for part in events.chunks(500) {
        let answer = api.post(json!(part).to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_counted_by_type_and_deliveries_by_user_and_transport() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let users: Vec<_> = (0..8).map(|number| format!("user-{number}")).collect();
    let mut streams: Vec<(usize, Stream)> = Vec::new();
    for (index, user) in users.iter().enumerate() {
        for _ in 0..random.usize(1..=3) {
            let request = api.get_as_nobody("/api/sse").bearer_auth(token(user, &[], &[]));
            streams.push((index, Stream::open(request).await));
        }
    }
    let (mut published, mut sent) = (HashMap::<String, u64>::new(), vec![0_u64; users.len()]);
    for _ in 0..200 {
        let (index, number) = (random.usize(..users.len()), random.u8(0..5));
        *published.entry(format!("type-{number}")).or_default() += 1;
        sent[index] += 1;
        let event =
            json!({ "user": users[index], "type": format!("type-{number}"), "data": number });
        api.publish(event.to_string()).await;
    }
    let (mut received, mut bytes) = (0, 0);
    for (index, stream) in &mut streams {
        for _ in 0..sent[*index] {
            received += 1;
            // The empty line that ends a block is read with it.
            bytes += stream.next_event().await.0.len() as u64 + 2;
        }
    }
    let all = |view: &View| view.json("/events/delivered") >= received;
    let view = View::until(&api, "everything is counted", all).await;
    assert_eq!(view.json("/events/total"), 200, "seed {seed}");
    assert_eq!(view.json("/events/delivered"), received, "seed {seed}");
    assert_eq!(view.json["metrics"]["events"]["byType"], json!(published), "seed {seed}");
    for (index, user) in users.iter().enumerate() {
        let of_user = streams.iter().filter(|(of, _)| *of == index).count() as u64 * sent[index];
        assert_eq!(view.json_or_0(&format!("/events/byUser/{user}")), of_user, "seed {seed}");
    }
    assert_eq!(view.json("/log/events"), 200);
    let sse = &[("transport", "sse")][..];
    let rows = [
        ("tidings_events_published_total", &[][..], 200),
        ("tidings_events_delivered_total", sse, received),
        ("tidings_events_delivered_bytes_total", sse, bytes),
        ("tidings_events_replayed_total", &[], 0),
        ("tidings_broker_appends_total", &[], 200),
        ("tidings_log_events", &[], 200),
        ("tidings_reader_lag_events", &[], 0),
    ];
    for (name, labels, expected) in rows {
        assert_eq!(view.text(name, labels), expected, "{name}, seed {seed}");
    }
    // What was delivered stays counted when its readers have gone.
    drop(streams);
    let gone = |view: &View| view.json("/connections/active") == 0;
    let view = View::until(&api, "all have gone", gone).await;
    let by_user = view.json["metrics"]["events"]["byUser"].as_object().unwrap().values();
    assert_eq!(by_user.map(|count| count.as_u64().unwrap()).sum::<u64>(), received, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_deliver_retries_are_not_published_again_and_gaps_have_a_reason() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let ann = token("ann", &[], &[]);
    let first = api.publish(r#"{"user":"ann","key":"k-1"}"#).await;
    assert_eq!(api.publish(r#"{"user":"ann","key":"k-1"}"#).await, first);
    api.publish(r#"{"user":"ann"}"#).await;
    let poll = |query: &str| api.get_as_nobody(&format!("/api/polling?{query}")).bearer_auth(&ann);
    for query in ["rewind=all", &format!("wait=20&lastEventId={first}")] {
        assert_eq!(poll(query).send().await.unwrap().status(), 200, "{query}");
    }
    // From before the hub was started; and from its future.
    let (epoch, _) = first.split_once('-').unwrap();
    let unknown = format!("lastEventId={epoch}-999999");
    for query in ["lastEventId=aaaaaaaa-1", &unknown] {
        let request = api.get_as_nobody(&format!("/api/sse?{query}")).bearer_auth(&ann);
        Stream::open(request).await.next_of("tidings.gap").await;
    }
    let request = api.get_as_nobody(&format!("/api/sse?lastEventId={first}")).bearer_auth(&ann);
    Stream::open(request).await.next_event().await;

    // Of the three streams, two had something to replay: one of everything, one of the second.
    let done = |view: &View| view.text("tidings_events_replayed_total", &[]) >= 3;
    let view = View::until(&api, "the replay is counted", done).await;
    let rows = [
        ("tidings_events_published_total", &[][..], 2),
        ("tidings_events_deduplicated_total", &[], 1),
        ("tidings_events_delivered_total", &[("transport", "poll")], 2),
        ("tidings_events_delivered_total", &[("transport", "long-poll")], 1),
        ("tidings_events_delivered_total", &[("transport", "sse")], 3),
        ("tidings_gaps_total", &[("reason", "epoch")], 1),
        ("tidings_gaps_total", &[("reason", "unknown")], 1),
        ("tidings_gaps_total", &[("reason", "slow")], 0),
    ];
    for (name, labels, expected) in rows {
        assert_eq!(view.text(name, labels), expected, "{name} {labels:?}");
    }
    assert_eq!(view.json("/events/byUser/ann"), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_number_of_users_topics_and_types_makes_no_new_series() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let before = series(&get(&api, "/metrics").await);
    let mut events = Vec::new();
    for number in 0..2000 {
        let (user, topic) = (random.u64(..), random.u64(..));
        // Two of the types are frequent.
        let kind = if number % 4 == 0 {
            format!("often-{}", number % 8)
        } else {
            random.u64(..).to_string()
        };
        events
            .push(json!({ "user": user.to_string(), "topic": format!("t/{topic}"), "type": kind }));
    }
    publish_all(&api, &events).await;
    for _ in 0..150 {
        let user = random.u64(..).to_string();
        let url = format!("/api/polling?topic=user/{user}&rewind=all&topic=t/*");
        let request = api.get_as_nobody(&url).bearer_auth(token(&user, &["t/*"], &[]));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    let text = get(&api, "/metrics").await;
    assert_eq!(series(&text), before, "seed {seed}");
    assert!(!parse(&text).samples.is_empty());

    let view = View::of(&api).await;
    let events = &view.json["metrics"]["events"];
    for (field, total) in [("byType", 2000), ("byUser", view.json("/events/delivered"))] {
        let named = events[field].as_object().unwrap();
        assert_eq!(named.len(), 101, "{field}, seed {seed}");
        assert!(named.contains_key("(other)"));
        let sum: u64 = named.values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(sum, total, "{field}, seed {seed}");
    }
    for kind in ["often-0", "often-4"] {
        assert_eq!(events["byType"][kind], 250, "seed {seed}");
    }
}
