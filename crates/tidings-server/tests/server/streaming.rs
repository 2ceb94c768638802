//! Streams: what a subscriber is greeted with, told and sent, over sockets good and bad.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::api::{Api, Stream, json};
use crate::support::raw::Raw;
use crate::support::tokens::{mint, token};
use crate::support::{self, API_KEY, PATIENCE, Server, position, unix_ms};

async fn publish_numbers(api: &Api, topic: &str, numbers: std::ops::Range<u64>) -> Vec<String> {
    let mut ids = Vec::new();
    let numbers: Vec<_> = numbers.collect();
    for numbers in numbers.chunks(1000) {
        let batch: Vec<_> = numbers.iter().map(|n| json!({ "topic": topic, "data": n })).collect();
        let answer = json(api.post(json!(batch).to_string()).send().await.unwrap()).await;
        let results = answer["results"].as_array().unwrap();
        ids.extend(results.iter().map(|result| result["id"].as_str().unwrap().to_owned()));
    }
    ids
}

#[tokio::test]
async fn a_stream_begins_with_connected_and_retry() {
    let server = Server::start(&[("STREAMS__HEARTBEAT_SECS", "7")]);
    let api = Api::new(&server.url());
    let before_ms = unix_ms();
    let user = token("4/2", &["orders/*"], &[]);
    let url = format!("/api/sse?token={user}&topic=orders/*&topic=broadcast");
    let mut stream = Stream::open(api.get_as_nobody(&url)).await;
    let expected = [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ];
    for (name, value) in expected {
        assert_eq!(stream.headers[name], value, "{name}");
    }
    assert!(!stream.headers.contains_key("content-encoding"));

    let connected = stream.next().await.unwrap();
    let names: Vec<_> = connected.0.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(names, ["id", "event", "data"]);
    assert_eq!(connected.event_type(), "tidings.connected");
    let greeting = connected.json();
    let fields: HashSet<_> = greeting.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "connection user method topics cursor resumed heartbeatSecs expiresAt";
    assert_eq!(fields, expected.split(' ').collect());
    assert_eq!(greeting["user"], "4/2");
    assert_eq!(greeting["method"], "token");
    assert_eq!(greeting["topics"], json!(["orders/*", "broadcast"]));
    assert_eq!(greeting["cursor"], connected.id());
    assert_eq!(greeting["resumed"], false);
    assert_eq!(greeting["heartbeatSecs"], 7);
    let life_ms = greeting["expiresAt"].as_u64().unwrap() - before_ms;
    assert!((3_239_000..=3_660_000).contains(&life_ms), "{life_ms}");

    let retry = stream.next().await.unwrap();
    let retry_ms: u64 = retry.0.strip_prefix("retry: ").unwrap().parse().unwrap();
    assert!((2000..=4000).contains(&retry_ms), "{retry_ms}");

    let mut another = Stream::open(api.get("/api/sse?topic=a")).await;
    let another = another.next().await.unwrap().json();
    assert_ne!(another["connection"], greeting["connection"]);
    assert_eq!((&another["user"], &another["method"]), (&Value::Null, &json!("api-key")));
}

#[tokio::test]
async fn an_event_has_its_fields_in_order() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let mut stream = api.stream("topic=a").await;
    let before_ms = unix_ms();
    let body = r#"{"topics":["b","a"],"type":"greeting","text":"one\ntwo"}"#;
    let id = api.publish(body).await;
    let event = stream.next_event().await;
    let time_ms: u64 = event.field("time").unwrap().parse().unwrap();
    assert!((before_ms..=unix_ms()).contains(&time_ms));
    let expected =
        format!("id: {id}\nevent: greeting\ntopic: b,a\ntime: {time_ms}\ndata: one\ndata: two");
    assert_eq!(event.0, expected);
    // The standard's own type is left out.
    for body in [r#"{"topic":"a"}"#, r#"{"topic":"a","type":"message"}"#] {
        api.publish(body).await;
        assert_eq!(stream.next_event().await.field("event"), None);
    }
}

#[tokio::test]
async fn cursors_that_cannot_be_resumed_are_answered_with_a_gap() {
    let server = Server::start(&[("LOG__EVENTS_PER_TOPIC_MAX", "3")]);
    let api = Api::new(&server.url());
    let start = api.newest().await;
    let ids = publish_numbers(&api, "a", 0..5).await;
    let quiet = api.publish(r#"{"topic":"quiet"}"#).await;
    let epoch = start.split('-').next().unwrap();
    let other_epoch = if epoch == "k7q2m9x1" { "k7q2m9x2-1" } else { "k7q2m9x1-1" };
    let first = format!("{epoch}-0");
    // The offered cursor, the gap, where it goes on, and what follows.
    let rows = [
        (start.as_str(), Some("expired"), start.as_str(), vec![2, 3, 4]),
        (&*ids[0], Some("expired"), &*ids[0], vec![2, 3, 4]),
        (&*ids[1], None, &*ids[1], vec![2, 3, 4]),
        (&*ids[3], None, &*ids[3], vec![4]),
        // Nothing follows, so it may as well go on from the newest.
        (&*ids[4], None, &*quiet, vec![]),
        (other_epoch, Some("epoch"), &*first, vec![2, 3, 4]),
        (&*format!("{epoch}-99999"), Some("unknown"), &*quiet, vec![]),
    ];
    for (offered, reason, goes_on, follows) in &rows {
        let mut stream = api.stream(&format!("topic=a&lastEventId={offered}")).await;
        let connected = stream.next().await.unwrap();
        assert_eq!(connected.json()["resumed"], reason.is_none(), "{offered}");
        assert_eq!(connected.json()["cursor"], *goes_on, "{offered}");
        if let Some(reason) = reason {
            let gap = stream.next().await.unwrap();
            assert_eq!(gap.event_type(), "tidings.gap");
            let expected = json!({ "reason": reason, "topics": ["a"], "cursor": goes_on });
            assert_eq!((gap.json(), gap.id()), (expected, *goes_on));
        }
        for number in follows {
            assert_eq!(stream.next_event().await.data(), number.to_string(), "{offered}");
        }
    }
    // A busy topic's loss is none to a reader of a quiet one.
    let mut stream = api.stream(&format!("topic=quiet&lastEventId={start}")).await;
    assert_eq!(stream.next().await.unwrap().json()["resumed"], true);
    assert_eq!(stream.next_event().await.id(), quiet);
}

#[tokio::test]
async fn whoever_was_told_of_a_gap_is_not_told_again() {
    let server = Server::start(&[("LOG__EVENTS_PER_TOPIC_MAX", "3")]);
    let api = Api::new(&server.url());
    let start = api.newest().await;
    publish_numbers(&api, "a", 0..5).await;
    let mut stream = api.stream(&format!("topic=a&lastEventId={start}")).await;
    stream.next_of("tidings.gap").await;
    // Once it has caught up, its cursor is moved at once.
    let moved = loop {
        let block = stream.next().await.unwrap();
        if block.is_heartbeat() {
            break block;
        }
    };
    let mut stream = api.stream(&format!("topic=a&lastEventId={}", moved.id())).await;
    assert_eq!(stream.next().await.unwrap().json()["resumed"], true);
}

#[tokio::test]
async fn without_a_cursor_a_stream_starts_now_or_earlier() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    publish_numbers(&api, "a", 0..5).await;
    publish_numbers(&api, "b", 5..10).await;
    let rows = [
        ("topic=a", vec![]),
        ("topic=a&rewind=0", vec![]),
        ("topic=a&rewind=2", vec![3, 4]),
        ("topic=*&rewind=7", vec![3, 4, 5, 6, 7, 8, 9]),
        ("topic=a&rewind=100", vec![0, 1, 2, 3, 4]),
        ("topic=a&rewind=1h", vec![0, 1, 2, 3, 4]),
        ("topic=b&rewind=all", vec![5, 6, 7, 8, 9]),
        ("topic=a&lastEventId=&rewind=1", vec![4]),
        ("topic=a&unknown=1&rewind=1", vec![4]),
    ];
    let mut streams = Vec::new();
    for (query, _) in &rows {
        let mut stream = api.stream(query).await;
        assert_eq!(stream.next().await.unwrap().json()["resumed"], false, "{query}");
        streams.push(stream);
    }
    api.publish(r#"{"topics":["a","b"],"data":"last"}"#).await;
    for ((query, expected), stream) in rows.iter().zip(&mut streams) {
        let mut got = Vec::new();
        loop {
            let event = stream.next_event().await;
            match event.data().parse::<u64>() {
                Ok(number) => got.push(number),
                Err(_) => break,
            }
        }
        assert_eq!(got, *expected, "{query}");
    }
}

#[tokio::test]
async fn types_filter_what_is_sent() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let mut stream = api.stream("topic=a&types=x,message").await;
    for event_type in ["x", "y", "message", "X", "x"] {
        let body = json!({ "topic": "a", "type": event_type });
        api.publish(body.to_string()).await;
    }
    for expected in ["x", "message", "x"] {
        assert_eq!(stream.next_event().await.event_type(), expected);
    }
}

#[tokio::test]
async fn a_token_gets_its_default_topics_and_no_others() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let user = token("a/b", &["orders/*"], &[]);
    let mut stream = Stream::open(api.get_as_nobody(&format!("/api/sse?token={user}"))).await;
    let topics = &stream.next().await.unwrap().json()["topics"];
    assert_eq!(*topics, json!(["user/a%2Fb", "broadcast"]));
    let forbidden = format!("/api/sse?token={user}&topic=orders/1&topic=user/a");
    let answer = api.get_as_nobody(&forbidden).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    let problem = json(answer).await;
    assert_eq!(problem["code"], "forbidden-topic");
    assert!(problem["detail"].as_str().unwrap().contains("'user/a'"), "{problem}");
    for body in [r#"{"user":"a"}"#, r#"{"topic":"user/a"}"#, r#"{"topic":"orders/1"}"#] {
        api.publish(body).await;
    }
    for (body, topic) in
        [(r#"{"user":"a/b"}"#, "user/a%2Fb"), (r#"{"broadcast":true}"#, "broadcast")]
    {
        api.publish(body).await;
        assert_eq!(stream.next_event().await.field("topic"), Some(topic));
    }
}

#[tokio::test]
async fn the_header_goes_before_the_query_and_the_query_has_an_alias() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let ids = publish_numbers(&api, "a", 0..5).await;
    let rows = [
        (Some(&ids[3]), format!("lastEventId={}", ids[0]), "4"),
        (Some(&ids[3]), "rewind=all".to_owned(), "4"),
        (None, format!("lastEventId={}", ids[2]), "3"),
        (None, format!("cursor={}", ids[2]), "3"),
        (None, format!("lastEventId={}&rewind=all", ids[2]), "3"),
    ];
    for (header, query, first) in rows {
        let mut request = api.get(&format!("/api/sse?topic=a&{query}"));
        if let Some(header) = header {
            request = request.header("last-event-id", header);
        }
        let mut stream = Stream::open(request).await;
        assert_eq!(stream.next_event().await.data(), first, "{query}");
    }
}

#[tokio::test]
async fn silence_is_filled_with_blocks_that_only_move_the_cursor() {
    let server = Server::start(&[("STREAMS__HEARTBEAT_SECS", "1")]);
    let api = Api::new(&server.url());
    let mut stream = api.stream("topic=a").await;
    stream.next_of("tidings.connected").await;
    assert!(stream.next().await.unwrap().0.starts_with("retry: "));
    let id = api.publish(r#"{"topic":"another"}"#).await;
    let began = Instant::now();
    let heartbeat = stream.next().await.unwrap();
    assert_eq!(heartbeat.0, format!("id: {id}"));
    let again = stream.next().await.unwrap();
    assert_eq!(again.0, heartbeat.0);
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    // It goes on from there, and has missed nothing.
    let mut stream = api.stream(&format!("topic=a&lastEventId={id}")).await;
    assert_eq!(stream.next().await.unwrap().json()["resumed"], true);
}

#[tokio::test]
async fn a_stream_ends_when_its_authority_does() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let now_secs = unix_ms() / 1000;
    let user = mint("42", |request| {
        request.ttl_secs = 60;
        request.until_secs = Some(2);
    });
    let mut stream = Stream::open(api.get_as_nobody(&format!("/api/sse?token={user}"))).await;
    let connected = stream.next().await.unwrap().json();
    let expires_at = connected["expiresAt"].as_u64().unwrap();
    assert!(expires_at.abs_diff((now_secs + 2) * 1000) <= 2000, "{expires_at}");
    let expiring = stream.next_of("tidings.expiring").await;
    assert_eq!(expiring.json()["reason"], "token");
    assert!(expiring.json()["inSecs"].as_u64().unwrap() <= 1, "{expiring:?}");
    let closing = stream.next().await.unwrap();
    assert_eq!(closing.event_type(), "tidings.closing");
    assert_eq!(closing.json()["reason"], "expired");
    let retry_ms = closing.json()["retryMs"].as_u64().unwrap();
    assert!((2000..=4000).contains(&retry_ms));
    assert_eq!(closing.field("retry"), Some(&*retry_ms.to_string()));
    assert_eq!(stream.next().await, None);
    assert!(unix_ms() + 50 >= expires_at);
    // And is not begun again with the same token.
    let answer = api.get_as_nobody(&format!("/api/sse?token={user}")).send().await.unwrap();
    assert_eq!(json(answer).await["code"], "token-expired");
}

#[tokio::test]
async fn a_full_node_refuses_streams_until_one_leaves() {
    let server = Server::start(&[("LIMITS__CONNECTIONS_PER_NODE", "2")]);
    let api = Api::new(&server.url());
    let mut streams = vec![api.stream("topic=a").await, api.stream("topic=a").await];
    let refused = api.get("/api/sse?topic=a").send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(json(refused).await["code"], "too-many-connections");
    // Whoever polls, or only asks what there is, takes no place.
    api.poll("topic=a").await;
    let url = format!("{}/api/sse?topic=a", server.url());
    let head = api.client.head(url).bearer_auth(API_KEY).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-type"], "text/event-stream; charset=utf-8");
    streams.pop();
    let deadline = Instant::now() + PATIENCE;
    while api.get("/api/sse?topic=a").send().await.unwrap().status() != 200 {
        assert!(Instant::now() < deadline, "the place is not given back");
        tokio::task::yield_now().await;
    }
    // The one that stayed was not touched.
    api.publish(r#"{"topic":"a","data":1}"#).await;
    assert_eq!(streams[0].next_event().await.data(), "1");
}

const KEY_HEADER: &str = "Authorization: Bearer tk_Zr8qJ2vXw5LmT1pYhK7cNdB4sGf0aUe9RiOx\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_0_gets_a_stream_without_chunks() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let mut socket = Raw::connect(&server.address);
    socket.send(format!("GET /api/sse?topic=a HTTP/1.0\r\n{KEY_HEADER}\r\n"));
    let head = socket.read_until("\r\n\r\n").to_lowercase();
    assert!(head.contains(" 200 ") && !head.contains("transfer-encoding"), "{head}");
    assert!(socket.read_until("\n\n").starts_with("id: "));
    assert!(socket.read_until("\n\n").starts_with("retry: "));
    let id = api.publish(r#"{"topic":"a","data":1}"#).await;
    let event = socket.read_until("\n\n");
    assert!(event.starts_with(&format!("id: {id}\n")), "{event}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_may_be_pipelined_before_a_stream() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let mut socket = Raw::connect(&server.address);
    // One by one on a connection that is kept, then several at once.
    for _ in 0..3 {
        socket.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(socket.read_until("{\"status\":\"ok\"}").starts_with("HTTP/1.1 200 "));
    }
    let body = r#"{"topic":"a","data":1}"#;
    let length = body.len();
    socket.send(format!(
        "GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n\
         POST /api/events HTTP/1.1\r\nHost: h\r\n{KEY_HEADER}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}\
         GET /api/sse?topic=a&rewind=all HTTP/1.1\r\nHost: h\r\n{KEY_HEADER}\r\n"
    ));
    assert!(socket.read_until("}]}}").contains("{\"status\":\"ready\""));
    assert!(socket.read_until("}").starts_with("HTTP/1.1 201 "));
    assert!(socket.read_until("tidings.connected").contains("text/event-stream"));
    socket.read_until("data: 1\n");
    api.publish(r#"{"topic":"a","data":2}"#).await;
    socket.read_until("data: 2\n");
}

/// Data that fills sockets quickly.
fn large(number: u64) -> String {
    json!({ "topic": "a", "data": format!("{number}:{}", "x".repeat(60_000)) }).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_the_log_outran_is_told_so_and_gets_what_is_left() {
    let server =
        Server::start(&[("LOG__EVENTS_PER_TOPIC_MAX", "5"), ("STREAMS__HEARTBEAT_SECS", "300")]);
    let api = Api::new(&server.url());
    let mut socket = Raw::connect_narrow(&server.address);
    socket.send(format!("GET /api/sse?topic=a HTTP/1.0\r\n{KEY_HEADER}\r\n"));
    socket.read_until("retry: ");
    // Far more than all the sockets in between hold.
    let mut last = String::new();
    for number in 0..200 {
        last = api.publish(large(number)).await;
    }
    let mut got = Vec::new();
    let mut gap = None;
    loop {
        let block = support::api::Block(socket.read_until("\n\n").trim().to_owned());
        if block.event_type() == "tidings.gap" {
            assert!(gap.is_none(), "one gap is told once");
            gap = Some((got.len(), block.json()));
        } else if block.field("data").is_some() {
            got.push(block.id().to_owned());
            if *got.last().unwrap() == last {
                break;
            }
        }
    }
    let (before, gap) = gap.expect("200 events of 60 kB are held by no socket");
    assert_eq!(gap["reason"], "slow");
    assert_eq!(gap["topics"], json!(["a"]));
    assert_eq!(gap["cursor"], got[before - 1]);
    let positions: Vec<_> = got.iter().map(|id| position(id)).collect();
    // Without a hole up to the gap, and from there on what the log retained.
    let newest = position(&last);
    assert!(positions[..before].windows(2).all(|pair| pair[0] + 1 == pair[1]), "{positions:?}");
    assert_eq!(positions[before..], [newest - 4, newest - 3, newest - 2, newest - 1, newest]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_is_closed() {
    let bounds = [("STREAMS__WRITE_STALL_SECS", "1"), ("LIMITS__CONNECTIONS_PER_NODE", "1")];
    let server = Server::start(&bounds);
    let api = Api::new(&server.url());
    let mut socket = Raw::connect_narrow(&server.address);
    socket.send(format!("GET /api/sse?topic=a HTTP/1.0\r\n{KEY_HEADER}\r\n"));
    socket.read_until("retry: ");
    for number in 0..200 {
        api.publish(large(number)).await;
    }
    // Its place is free again, though it has not gone.
    let deadline = Instant::now() + PATIENCE;
    while api.get("/api/sse?topic=b").send().await.unwrap().status() != 200 {
        assert!(Instant::now() < deadline, "the stalled reader is not closed");
        tokio::task::yield_now().await;
    }
    assert!(socket.read_to_end().len() < 200 * 60_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_missed_ten_thousand_events_gets_them_all() {
    let server = Server::start(&[("LOG__EVENTS_PER_TOPIC_MAX", "10000")]);
    let api = Api::new(&server.url());
    let start = api.newest().await;
    let ids = publish_numbers(&api, "a", 0..10_000).await;
    let query = format!("topic=a&lastEventId={start}");
    let mut stream = api.stream(&query).await;
    assert_eq!(stream.next().await.unwrap().json()["resumed"], true);
    for (number, id) in ids.iter().enumerate() {
        let event = stream.next_event().await;
        assert_eq!((event.id(), event.data()), (id.as_str(), &*number.to_string()));
    }
    // One more, and the first is beyond what the log keeps: a gap, the rest, then live.
    api.publish(r#"{"topic":"a","data":10000}"#).await;
    assert_eq!(stream.next_event().await.data(), "10000");
    let mut stream = api.stream(&query).await;
    assert_eq!(stream.next().await.unwrap().json()["resumed"], false);
    assert_eq!(stream.next().await.unwrap().json()["reason"], "expired");
    for number in 1..=10_000 {
        assert_eq!(stream.next_event().await.data(), number.to_string());
    }
    api.publish(r#"{"topic":"a","data":"live"}"#).await;
    assert_eq!(stream.next_event().await.data(), "\"live\"");
}
