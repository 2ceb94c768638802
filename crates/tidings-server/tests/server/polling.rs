//! Polling: the same events on the same cursor, a page at a time, now or when there is something.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::api::{Api, json};
use crate::support::tokens::token;
use crate::support::{Server, position, unix_ms};

async fn publish_numbers(api: &Api, topic: &str, numbers: std::ops::Range<u64>) {
    let numbers: Vec<_> = numbers.collect();
    for numbers in numbers.chunks(1000) {
        let batch: Vec<_> = numbers.iter().map(|n| json!({ "topic": topic, "data": n })).collect();
        assert_eq!(api.post(json!(batch).to_string()).send().await.unwrap().status(), 200);
    }
}

fn data(polled: &Value) -> Vec<u64> {
    let events = polled["events"].as_array().unwrap();
    events.iter().map(|event| event["data"].as_u64().unwrap()).collect()
}

/// A poll that is under way by the time this returns, and its answer.
async fn begin_long_poll(api: &Api, query: &str) -> tokio::task::JoinHandle<(Value, Instant)> {
    let request = api.get(&format!("/api/polling?{query}"));
    let poll = tokio::spawn(async move {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        (json(answer).await, Instant::now())
    });
    // Nothing tells from outside that it waits; a few round trips make it very likely, and the
    // tests hold in either case.
    for _ in 0..20 {
        api.get_as_nobody("/healthz").send().await.unwrap();
    }
    poll
}

#[tokio::test]
async fn an_answer_has_every_field() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let before_ms = unix_ms();
    let user = token("4/2", &[], &[]);
    let path = format!("/api/polling?token={user}&rewind=all");
    let id = api.publish(r#"{"user":"4/2","type":"t","data":{"a":[1]}}"#).await;
    let other = api.publish(r#"{"topic":"another"}"#).await;
    let answer = api.get_as_nobody(&path).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["cache-control"], "private, no-store");
    assert_eq!(answer.headers()["etag"], format!("\"{other}\""));
    let mut polled = json(answer).await;
    for at in [polled["timestamp"].take(), polled["events"][0]["timestamp"].take()] {
        assert!((before_ms..=unix_ms()).contains(&at.as_u64().unwrap()), "{at}");
    }
    let event = json!({ "id": id, "type": "t", "topics": ["user/4%2F2"], "data": { "a": [1] },
                        "timestamp": null });
    let expected = json!({ "events": [event], "cursor": other, "hasMore": false, "resumed": false,
                           "gap": null, "user": "4/2", "timestamp": null, "pollAfterMs": 10000 });
    assert_eq!(polled, expected);
    // By an API key there is no user; what was published as text comes as text.
    api.publish(r#"{"topic":"a","text":"x"}"#).await;
    let polled = api.poll(&format!("topic=a&since={other}")).await;
    assert_eq!(polled["user"], Value::Null);
    assert_eq!(polled["resumed"], true);
    assert_eq!(polled["events"][0]["text"], "x");
    assert_eq!(polled["events"][0]["type"], "message");
    assert!(polled["events"][0].get("data").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_are_paged_without_loss() {
    let server = Server::start(&[("LOG__EVENTS_PER_TOPIC_MAX", "20000")]);
    let api = Api::new(&server.url());
    let start = api.newest().await;
    publish_numbers(&api, "a", 0..10_000).await;
    // From somewhere else: pages are of what matches.
    publish_numbers(&api, "b", 0..10).await;
    for (limit, pages) in [("&limit=1000", 10), ("&limit=997", 11), ("", 100)] {
        let (mut cursor, mut got, mut asked) = (start.clone(), Vec::new(), 0);
        loop {
            let polled = api.poll(&format!("topic=a&lastEventId={cursor}{limit}")).await;
            asked += 1;
            polled["cursor"].as_str().unwrap().clone_into(&mut cursor);
            assert_eq!(polled["resumed"], true);
            got.extend(data(&polled));
            if polled["hasMore"] == false {
                assert_eq!(polled["pollAfterMs"], 10_000);
                break;
            }
            assert_eq!(polled["pollAfterMs"], 0);
        }
        assert_eq!(got, (0..10_000).collect::<Vec<_>>(), "{limit}");
        // Perhaps one more, empty: finding out that nothing is left may cost a page.
        assert!((pages..=pages + 1).contains(&asked), "{limit}: {asked} pages");
        assert_eq!(cursor, api.newest().await);
    }
}

#[tokio::test]
async fn the_cursor_moves_on_when_nothing_matched() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let start = api.newest().await;
    let id = api.publish(r#"{"topic":"another"}"#).await;
    let polled = api.poll(&format!("topic=a&lastEventId={start}")).await;
    assert_eq!((data(&polled), &polled["cursor"]), (vec![], &json!(id)));
    // Not past what did.
    publish_numbers(&api, "a", 0..2).await;
    let polled = api.poll(&format!("topic=a&lastEventId={id}&limit=1")).await;
    assert_eq!(position(polled["cursor"].as_str().unwrap()), position(&id) + 1);
    assert_eq!(polled["hasMore"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_is_answered_by_what_is_published() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let start = api.newest().await;
    for topics in ["topic=orders/42", "topic=orders/*", "topic=a&topic=**", "topic=orders/**"] {
        let start = if topics == "topic=orders/42" { &start } else { &api.newest().await };
        let query = format!("{topics}&wait=25&lastEventId={start}");
        let poll = begin_long_poll(&api, &query).await;
        let id = api.publish(r#"{"topic":"orders/42","data":1}"#).await;
        let published = Instant::now();
        let (polled, answered) = poll.await.unwrap();
        assert!(answered - published < Duration::from_secs(5), "{topics}");
        assert_eq!(polled["events"][0]["id"], id);
        assert_eq!(polled["pollAfterMs"], 0);
    }
    // By types too: another type wakes it but is no news.
    let query = "topic=orders/42&types=x&wait=25";
    let poll = begin_long_poll(&api, query).await;
    api.publish(r#"{"topic":"orders/42","type":"y","data":1}"#).await;
    let id = api.publish(r#"{"topic":"orders/42","type":"x","data":2}"#).await;
    let (polled, _) = poll.await.unwrap();
    assert_eq!((data(&polled), &polled["events"][0]["id"]), (vec![2], &json!(id)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_with_news_does_not_wait() {
    let server = Server::start(&[("LOG__EVENTS_PER_TOPIC_MAX", "3")]);
    let api = Api::new(&server.url());
    let start = api.newest().await;
    publish_numbers(&api, "a", 0..5).await;
    let began = Instant::now();
    let polled = api.poll("topic=a&wait=25&rewind=2").await;
    assert_eq!(data(&polled), [3, 4]);
    // A gap is news as well, with or without an event.
    let polled = api.poll(&format!("topic=a&wait=25&lastEventId={start}")).await;
    assert_eq!(data(&polled), [2, 3, 4]);
    let gap = json!({ "reason": "expired", "topics": ["a"], "cursor": start });
    assert_eq!((&polled["gap"], &polled["resumed"]), (&gap, &json!(false)));
    let polled = api.poll("topic=b&wait=25&lastEventId=k7q2m9x1-9").await;
    assert_eq!(polled["gap"]["reason"], "epoch");
    assert_eq!(polled["gap"]["cursor"], polled["cursor"]);
    let ahead = format!("{}-99", start.split('-').next().unwrap());
    let polled = api.poll(&format!("topic=b&wait=25&lastEventId={ahead}")).await;
    assert_eq!(polled["gap"]["reason"], "unknown");
    assert!(began.elapsed() < Duration::from_secs(20));
    // Coming back with the cursor it was given, it is not told again.
    let cursor = polled["cursor"].as_str().unwrap();
    assert_eq!(api.poll(&format!("topic=b&lastEventId={cursor}")).await["gap"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_of_silence_ends_with_the_newest_cursor() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let start = api.newest().await;
    let began = Instant::now();
    let poll = begin_long_poll(&api, &format!("topic=a&wait=1&lastEventId={start}")).await;
    let id = api.publish(r#"{"topic":"another"}"#).await;
    let (polled, answered) = poll.await.unwrap();
    assert!(answered - began >= Duration::from_millis(990), "{:?}", answered - began);
    assert_eq!((data(&polled), &polled["cursor"]), (vec![], &json!(id)));
    assert_eq!((&polled["resumed"], &polled["pollAfterMs"]), (&json!(true), &json!(0)));
}

#[tokio::test]
async fn nothing_new_is_not_modified() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    publish_numbers(&api, "a", 0..1).await;
    let answer = api.get("/api/polling?topic=a&rewind=all").send().await.unwrap();
    let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let cursor = etag.trim_matches('"').to_owned();
    let path = format!("/api/polling?topic=a&lastEventId={cursor}");
    let with = |tag: &str| api.get(&path).header("if-none-match", tag);
    // Nothing new for this reader, whatever else is published.
    for round in 0..2 {
        for tag in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}")] {
            let answer = with(&tag).send().await.unwrap();
            assert_eq!(answer.status(), 304, "{tag} in round {round}");
            assert_eq!(answer.headers()["etag"], etag);
            assert_eq!(answer.headers()["cache-control"], "private, no-store");
            assert_eq!(answer.text().await.unwrap(), "");
        }
        api.publish(r#"{"topic":"another"}"#).await;
    }
    for tag in ["\"x\"", "", &cursor] {
        assert_eq!(with(tag).send().await.unwrap().status(), 200, "{tag}");
    }
    publish_numbers(&api, "a", 1..2).await;
    let answer = with(&etag).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(data(&json(answer).await), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_polls_are_answered_when_the_node_leaves() {
    let mut server = Server::start(&[("STREAMS__DRAIN_DELAY_SECS", "0")]);
    let api = Api::new(&server.url());
    let start = api.newest().await;
    let query = format!("topic=a&wait=30&lastEventId={start}");
    let mut polls = Vec::new();
    for _ in 0..5 {
        polls.push(begin_long_poll(&api, &query).await);
    }
    let told = Instant::now();
    server.signal("TERM");
    for poll in polls {
        let (polled, answered) = poll.await.unwrap();
        assert!(answered - told < Duration::from_secs(10));
        assert_eq!((data(&polled), &polled["cursor"]), (vec![], &json!(start)));
        // Not all of them at once.
        assert!(polled["pollAfterMs"].as_u64().unwrap() <= 5000);
    }
    assert_eq!(server.wait(), Some(0));
}
