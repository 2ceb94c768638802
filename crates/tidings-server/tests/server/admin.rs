//! What an operator sees: who is connected, what the log holds, and whether the node is ready; and who
//! is no operator.

use std::collections::BTreeSet;
use std::time::Instant;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::api::{Api, Stream, json};
use crate::support::raw::Raw;
use crate::support::tokens::{mint, token};
use crate::support::{self, API_KEY, PATIENCE, Server, unix_ms};

/// Both ways in which a stream is delivered.
const WAYS: [[(&str, &str); 1]; 2] =
    [[("STREAMS__OWN_SOCKETS", "true")], [("STREAMS__OWN_SOCKETS", "false")]];

async fn get(api: &Api, path: &str) -> Value {
    let answer = api.get(path).send().await.unwrap();
    let status = answer.status();
    let answer = json(answer).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// A stream of this token's that has begun, and its name.
async fn open(api: &Api, bearer: &str, query: &str) -> (Stream, String) {
    let request = api.get_as_nobody(&format!("/api/sse?{query}")).bearer_auth(bearer);
    let mut stream = Stream::open(request).await;
    let connected = stream.next_of("tidings.connected").await.json();
    (stream, connected["connection"].as_str().unwrap().to_owned())
}

/// The names of all that are listed, page by page.
async fn names(api: &Api, query: &str, limit: usize) -> (Vec<String>, u64) {
    let mut names = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/api/admin/connections?limit={limit}&after={after}&{query}");
        let page = get(api, &path).await;
        let connections = page["connections"].as_array().unwrap();
        assert!(connections.len() <= limit);
        names.extend(connections.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => return (names, page["total"].as_u64().unwrap()),
        }
    }
}

/// What is said of one connection.
async fn connection(api: &Api, name: &str) -> Value {
    let page = get(api, "/api/admin/connections?limit=1000").await;
    let mut connections = page["connections"].as_array().unwrap().iter();
    connections.find(|one| one["id"] == name).unwrap_or_else(|| panic!("{name}: {page}")).clone()
}

async fn until_connection(api: &Api, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = connection(api, name).await;
        if is_so(&now) {
            return;
        }
        assert!(Instant::now() < deadline, "never came true: {what}: {now}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_told_as_it_is() {
    for way in WAYS {
        let server = Server::start(&way);
        let api = Api::new(&server.url());
        let began = unix_ms();
        let (mut stream, name) =
            open(&api, &token("ann", &["orders/*"], &[]), "topic=orders/*&types=a,b").await;
        api.publish(r#"{"topic":"orders/1","type":"a","data":1}"#).await;
        api.publish(r#"{"topic":"orders/1","type":"c","data":2}"#).await;
        api.publish(r#"{"topic":"other","type":"a","data":2}"#).await;
        api.publish(r#"{"topics":["orders/1","orders/2"],"type":"b","data":3}"#).await;
        let (first, second) = (stream.next_event().await, stream.next_event().await);
        let sent_bytes = first.0.len() + second.0.len() + 2 * "\n\n".len();
        until_connection(&api, &name, "two events are counted", |now| now["sentEvents"] == 2).await;
        let told = connection(&api, &name).await;
        let expected = json!({
            "id": name, "user": "ann", "method": "token", "transport": "sse",
            "protocol": "http/1.1", "topics": ["orders/*"], "types": ["a", "b"],
            "address": "127.0.0.1", "lagEvents": 0, "sentEvents": 2, "sentBytes": sent_bytes,
            "blocked": false,
        });
        for (member, value) in expected.as_object().unwrap() {
            assert_eq!(told[member], *value, "{member} of {told}");
        }
        let members = told.as_object().unwrap().len();
        assert_eq!(members, expected.as_object().unwrap().len() + 3, "{told}");
        let connected_at = told["connectedAt"].as_u64().unwrap();
        assert!((began - 1000..=unix_ms() + 1000).contains(&connected_at), "{told}");
        assert!(told["ageSecs"].as_u64().unwrap() <= (unix_ms() - began) / 1000 + 1, "{told}");
        let left_ms = told["expiresAt"].as_u64().unwrap() - began;
        assert!((3_200_000..3_700_000).contains(&left_ms), "an hour, less up to a tenth: {told}");

        drop(stream);
        let deadline = Instant::now() + PATIENCE;
        while get(&api, "/api/admin/connections").await["total"] != 0 {
            // A reader that hangs up is noticed when it is written to.
            api.publish(r#"{"topic":"orders/1","type":"a"}"#).await;
            assert!(Instant::now() < deadline, "it never goes");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_filtered_and_paged() {
    let server = Server::start(&[("TRUSTED_PROXIES", "127.0.0.1")]);
    let api = Api::new(&server.url());
    let mut streams = Vec::new();
    let mut names_of = |names: &mut Vec<String>, (stream, name)| {
        streams.push(stream);
        names.push(name);
    };
    let (mut anns, mut bobs, mut services, mut elsewhere) = (vec![], vec![], vec![], vec![]);
    for number in 0..7 {
        let ann = token("ann", &["orders/*"], &[]);
        names_of(&mut anns, open(&api, &ann, &format!("topic=orders/{number}")).await);
        names_of(&mut bobs, open(&api, &token("a/b", &[], &[]), "").await);
        names_of(&mut services, open(&api, API_KEY, "topic=orders/**&topic=broadcast").await);
    }
    for (address, topic) in [("10.1.2.3", "x"), ("10.1.9.9", "y"), ("2001:db8:0:1::7", "z")] {
        let request = api.get(&format!("/api/sse?topic={topic}"));
        let mut stream = Stream::open(request.header("x-forwarded-for", address)).await;
        let connected = stream.next_of("tidings.connected").await.json();
        names_of(&mut elsewhere, (stream, connected["connection"].as_str().unwrap().to_owned()));
    }
    let all = [&anns[..], &bobs, &services, &elsewhere].concat();
    let hears_one = [&anns[1..2], &services].concat();
    let hears_all = [&bobs[..], &services].concat();
    let none = Vec::new();
    let rows: [(&str, &[String]); 20] = [
        ("", &all),
        ("user=ann", &anns),
        ("user=a%2Fb", &bobs),
        ("user=nobody", &none),
        ("user=", &all),
        ("method=api-key", &[&services[..], &elsewhere].concat()),
        ("method=token&user=ann", &anns),
        ("method=session", &none),
        ("transport=sse", &all),
        ("transport=long-poll", &none),
        ("topic=orders/1", &hears_one),
        ("topic=orders/**", &services),
        ("topic=orders/*", &none),
        ("topic=broadcast", &hears_all),
        ("topic=$tidings/stats", &none),
        ("topic=orders/1&user=ann", &anns[1..2]),
        ("address=10.1.2.3", &elsewhere[..1]),
        ("address=10.1.0.0/16", &elsewhere[..2]),
        ("address=2001:db8::/32", &elsewhere[2..]),
        ("address=2001:db8:0:1::8", &none),
    ];
    for (query, expected) in rows {
        for limit in [1, 5, 1000] {
            let (found, total) = names(&api, query, limit).await;
            assert_eq!(total, expected.len() as u64, "{query}");
            assert_eq!(found.len(), expected.len(), "{query}, {limit} at a time");
            let (found, expected): (BTreeSet<_>, BTreeSet<_>) =
                (found.into_iter().collect(), expected.iter().cloned().collect());
            assert_eq!(found, expected, "{query}, {limit} at a time");
        }
    }
    // What is listed can be closed.
    let path = format!("/api/admin/connections/{}", anns[1]);
    assert_eq!(api.delete(&path).send().await.unwrap().status(), 204);
    assert_eq!(names(&api, "user=ann", 2).await.1, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_of_http_is_told_apart() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let h2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let request = h2.get(format!("{}/api/sse?topic=two", server.url())).bearer_auth(API_KEY);
    let mut two = Stream::open(request).await;
    two.next_of("tidings.connected").await;
    let mut ten = Raw::connect(&server.address);
    ten.send(format!(
        "GET /api/sse?topic=ten HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n\r\n"
    ));
    ten.read_until("retry: ");
    for (topic, protocol) in [("two", "http/2"), ("ten", "http/1.0")] {
        let page = get(&api, &format!("/api/admin/connections?topic={topic}")).await;
        assert_eq!(page["connections"][0]["protocol"], protocol, "{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_is_seen_to_be_blocked_and_behind() {
    for [way] in WAYS {
        // However slow this machine is, the reader is not given up.
        let server = Server::start(&[way, ("STREAMS__WRITE_STALL_SECS", "600")]);
        let api = Api::new(&server.url());
        let mut reader = Raw::connect_narrow(&server.address);
        reader.send(format!(
            "GET /api/sse?topic=a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n\r\n"
        ));
        reader.read_until("retry: ");
        let (_quick, quick) = open(&api, API_KEY, "topic=b").await;
        let (found, _) = names(&api, "topic=a", 10).await;
        let mut events = vec![json!({ "topic": "a", "data": "x".repeat(60_000) }); 29];
        events.push(json!({ "topic": "a", "data": "the end" }));
        let published = api.post(json!(events).to_string()).send().await.unwrap();
        assert_eq!(published.status(), 200);
        until_connection(&api, &found[0], "it is blocked", |now| {
            let lag = now["lagEvents"].as_u64().unwrap();
            now["blocked"] == true && (1..=30).contains(&lag)
        })
        .await;
        until_connection(&api, &quick, "the other is not", |now| {
            now["blocked"] == false && now["lagEvents"] == 0
        })
        .await;
        reader.skip_until("the end");
        until_connection(&api, &found[0], "it has caught up", |now| {
            now["blocked"] == false && now["lagEvents"] == 0 && now["sentEvents"] == 30
        })
        .await;
    }
}

async fn topics(api: &Api, query: &str) -> Vec<String> {
    let (mut topics, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(api, &format!("/api/admin/topics?limit=2&{query}&after={after}")).await;
        let found = page["topics"].as_array().unwrap();
        topics.extend(found.iter().map(|one| one["topic"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => return topics,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_told_sorted_and_paged() {
    for way in WAYS {
        let server = Server::start(&way);
        let api = Api::new(&server.url());
        let began = unix_ms();
        for (topic, count, data) in [
            ("orders/1", 1, "x".repeat(5000)),
            ("orders/2", 4, String::new()),
            ("orders/2/items", 3, String::new()),
            ("user/a%2Fb", 2, String::new()),
        ] {
            for _ in 0..count {
                api.publish(json!({ "topic": topic, "text": data }).to_string()).await;
            }
        }
        let mut streams = Vec::new();
        for query in ["topic=orders/*", "topic=orders/1&topic=*/1", "topic=orders/2/items"] {
            streams.push(open(&api, API_KEY, query).await);
        }
        // Twice with one selection, in a group of one.
        streams.push(open(&api, API_KEY, "topic=orders/1&topic=*/1").await);
        let poll = api.get("/api/polling?topic=orders/2&wait=30").send();
        let poll = tokio::spawn(poll);

        let (one, two, items, user) = ("orders/1", "orders/2", "orders/2/items", "user/a%2Fb");
        let rows: [(&str, &[&str]); 11] = [
            ("", &[one, two, items, user]),
            ("sort=name", &[one, two, items, user]),
            ("prefix=orders", &[one, two, items]),
            ("prefix=orders/2", &[two, items]),
            ("prefix=orders/2/", &[items]),
            ("prefix=user/a%252F", &[user]),
            ("prefix=nothing", &[]),
            ("sort=events", &[two, items, user, one]),
            ("sort=rate&prefix=orders/", &[two, items, one]),
            ("sort=bytes&prefix=orders", &[one, two, items]),
            ("sort=listeners", &[one, two, items, user]),
        ];
        for (query, expected) in rows {
            assert_eq!(topics(&api, query).await, expected, "{query}");
        }
        let page = get(&api, "/api/admin/topics?prefix=orders&limit=1").await;
        assert_eq!(page["total"], 3, "{page}");
        let told = &page["topics"][0];
        let history = get(&api, "/api/admin/topics/orders%2F1/events").await;
        assert_eq!(told["bytes"], history["events"][0]["bytes"], "{told}");
        assert!(told["bytes"].as_u64().unwrap() > 5000, "{told}");
        assert_eq!((&told["events"], &told["listeners"]), (&json!(1), &json!(3)), "{told}");
        assert_eq!(told["newestAt"], history["events"][0]["timestamp"], "{told}");
        assert_eq!(told["oldestAt"], told["newestAt"], "{told}");
        assert!((began - 1000..unix_ms() + 1000).contains(&told["newestAt"].as_u64().unwrap()));
        // Of the last minute, unless this test took longer.
        let rate = told["eventsPerSec"].as_f64().unwrap();
        let is_right = (rate - 0.017).abs() < 1e-9;
        assert!(is_right || unix_ms() - began > 50_000, "{told}");
        // The one that polls has no connection.
        let page = get(&api, "/api/admin/topics?prefix=orders/2&limit=1").await;
        assert_eq!(page["topics"][0]["listeners"], 1, "{page}");
        poll.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topics_events_are_told_newest_first() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let mut published = Vec::new();
    for number in 0..7 {
        api.publish(r#"{"topic":"other"}"#).await;
        let event =
            json!({ "topics": ["orders/42", "also"], "type": "t", "data": { "n": number } });
        published.push(api.publish(event.to_string()).await);
    }
    published.push(api.publish(r#"{"topic":"orders/42","text":"a\nb"}"#).await);
    let (mut told, mut before) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/admin/topics/orders%2F42/events?limit=3&before={before}");
        let page = get(&api, &path).await;
        told.extend(page["events"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut before),
            None => break,
        }
    }
    told.reverse();
    let ids: Vec<_> = told.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids, published);
    // As a poll has them, and their bytes.
    let polled = api.poll("topic=orders/42&rewind=all").await;
    for (event, polled) in told.iter_mut().zip(polled["events"].as_array().unwrap()) {
        let bytes = event.as_object_mut().unwrap().remove("bytes").unwrap();
        assert!(bytes.as_u64().unwrap() > 50, "{event}");
        assert_eq!(event, polled);
    }
    let nothing = json!({ "events": [], "next": null });
    for path in ["nothing/events", "orders%2F42/events?before=00000000-5"] {
        assert_eq!(get(&api, &format!("/api/admin/topics/{path}")).await, nothing, "{path}");
    }
}

#[rstest]
#[case("connections?limit=0", "invalid-query")]
#[case("connections?limit=1001", "invalid-query")]
#[case("connections?limit=1&limit=2", "invalid-query")]
#[case("connections?method=magic", "invalid-query")]
#[case("connections?transport=pigeon", "invalid-query")]
#[case("connections?after=xyz", "invalid-query")]
#[case("connections?address=home", "invalid-query")]
#[case("connections?topic=a//b", "invalid-topic")]
#[case("connections?topic=$a/*", "invalid-topic")]
#[case("connections?user=%FF", "invalid-query")]
#[case("topics?sort=age", "invalid-query")]
#[case("topics?after=%21", "invalid-query")]
#[case("topics?sort=rate&after=YQ", "invalid-query")]
#[case("topics?prefix=a/b/c/d/e/f/g/h/i", "invalid-query")]
#[case("topics/a*/events", "invalid-topic")]
#[case("topics/%FF/events", "invalid-topic")]
#[case("stats?secs=0", "invalid-query")]
#[case("stats?secs=21601", "invalid-query")]
#[case("topics/a/events?before=1", "invalid-cursor")]
#[case("topics/a/events?limit=-1", "invalid-query")]
#[tokio::test]
async fn what_cannot_be_asked_is_refused(#[case] path: &str, #[case] code: &str) {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let refused = api.get(&format!("/api/admin/{path}")).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert_eq!(json(refused).await["code"], code);
}

/// Every route that is an operator's and reads.
const READING: [&str; 5] = [
    "/api/admin/stats",
    "/api/admin/connections",
    "/api/admin/topics",
    "/api/admin/topics/a/events",
    "/api/admin/sse-metrics",
];

const PUBLISH_KEY: &str = "tk_publishOnlyQ7wE2rT9yU4iO1pA6sD3fG8hJ";

#[tokio::test]
async fn only_an_operator_looks() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tidings.toml");
    let keys = format!(
        "[[keys]]\nname = \"p\"\nsecret = \"{PUBLISH_KEY}\"\nscopes = [\"publish\", \"token\"]\n"
    );
    std::fs::write(&file, keys).unwrap();
    let mut command = support::tidings();
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(&file);
    command.env("TIDINGS_API_KEY", API_KEY).env("TIDINGS_TOKEN_SECRET", support::TOKEN_SECRET);
    let server = Server::spawn(command);
    let api = Api::new(&server.url());
    let everything = token("ann", &["**"], &["**"]);
    let operator = mint("ann", |request| request.role = Some("admin".to_owned()));
    let other_role = mint("ann", |request| request.role = Some("Admin".to_owned()));
    for path in READING {
        let status = async |bearer: Option<&str>, path: &str| {
            let request = api.get_as_nobody(path);
            let request = match bearer {
                Some(bearer) => request.bearer_auth(bearer),
                None => request,
            };
            request.send().await.unwrap().status().as_u16()
        };
        for (bearer, expected) in [
            (None, 401),
            (Some("tk_unknownQ7wE2rT9yU4iO1pA6sD3fG8hJkL5zX"), 401),
            (Some("x.y.z"), 401),
            (Some(PUBLISH_KEY), 403),
            (Some(&everything), 403),
            (Some(&other_role), 403),
            (Some(&operator), 200),
            (Some(API_KEY), 200),
        ] {
            assert_eq!(status(bearer, path).await, expected, "{path} with {bearer:?}");
        }
        // Not in the query, not in a cookie.
        assert_eq!(status(None, &format!("{path}?token={operator}")).await, 401, "{path}");
        assert_eq!(status(None, &format!("{path}?userId=ann")).await, 401, "{path}");
        let cookie = api.get_as_nobody(path).header("cookie", format!("tidings_token={operator}"));
        assert_eq!(cookie.send().await.unwrap().status(), 401, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn being_ready_is_an_event_that_came_through_and_that_nobody_sees() {
    for way in WAYS {
        let server = Server::start(&way);
        let api = Api::new(&server.url());
        let (mut stream, name) = open(&api, API_KEY, "topic=**").await;
        let before = get(&api, "/api/admin/sse-metrics").await;
        for _ in 0..3 {
            let answers = (0..20).map(|_| api.get_as_nobody("/readyz").send());
            for answer in futures_util::future::join_all(answers).await {
                let answer = answer.unwrap();
                assert_eq!(answer.status(), 200);
                let answer = json(answer).await;
                assert_eq!(answer["status"], "ready", "{answer}");
                let checks = &answer["checks"];
                let delivery = checks["delivery"].as_array().unwrap();
                assert_eq!(delivery.len() > 1, way[0].1 == "true", "{answer}");
                for check in delivery.iter().chain([&checks["broker"], &checks["log"]]) {
                    assert_eq!(check["status"], "ok", "{answer}");
                }
            }
        }
        let id = api.publish(r#"{"topic":"a"}"#).await;
        // Nothing of it is on the stream, in the log or in the metrics; what is published is.
        assert_eq!(stream.next_event().await.id(), id);
        until_connection(&api, &name, "one event is counted", |now| now["sentEvents"] == 1).await;
        assert_eq!(topics(&api, "").await, ["a"]);
        assert_eq!(topics(&api, "prefix=$").await, ["$tidings/ready"]);
        let after = get(&api, "/api/admin/sse-metrics").await["metrics"].clone();
        let (events, log) = (&after["events"], &after["log"]);
        assert_eq!((&events["total"], &events["delivered"]), (&json!(1), &json!(1)), "{after}");
        assert_eq!((&log["events"], &log["topics"]), (&json!(1), &json!(1)), "{after}");
        assert_eq!(after["errors"], before["metrics"]["errors"]);
        // Sixty questions at once were at the most two events a second.
        let own = get(&api, "/api/admin/topics/$tidings%2Fready/events").await;
        assert!((1..60).contains(&own["events"].as_array().unwrap().len()), "{own}");
        // Nobody hears it by its name, nor publishes to it.
        for path in ["/api/sse?topic=$tidings/ready", "/api/polling?topic=$tidings/ready"] {
            assert_eq!(api.get(path).send().await.unwrap().status(), 400, "{path}");
        }
        let refused = api.post(r#"{"topic":"$tidings/ready"}"#).send().await.unwrap();
        assert_eq!(refused.status(), 400);
    }
}

/// A delivery thread is stopped from outside, as one that never comes out of a lock.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_stuck_delivery_thread_is_not_ready_and_says_which_it_is() {
    let server = Server::start(&[("STREAMS__OWN_SOCKETS", "true")]);
    let api = Api::new(&server.url());
    let ready = || async {
        let answer = api.get_as_nobody("/readyz").send().await.unwrap();
        (answer.status().as_u16(), answer.headers().contains_key("retry-after"), json(answer).await)
    };
    assert_eq!(ready().await.0, 200);
    let stuck = support::stuck::Stuck::new(server.pid(), "shard-0");
    // The answer from before is given again for a moment.
    let deadline = Instant::now() + PATIENCE;
    let mut seen = ready().await;
    while seen.0 == 200 && Instant::now() < deadline {
        seen = ready().await;
    }
    let (status, says_when, answer) = seen;
    assert_eq!((status, says_when, &answer["status"]), (503, true, &json!("not-ready")));
    for check in answer["checks"]["delivery"].as_array().unwrap() {
        let expected = if check["name"] == "shard-0" { "failed" } else { "ok" };
        assert_eq!(check["status"], expected, "{answer}");
    }
    assert_eq!(answer["checks"]["broker"]["status"], "ok", "{answer}");
    // Whoever asks it for its streams is not kept for ever either.
    let asked = api.get("/api/admin/connections").send().await.unwrap();
    assert_eq!(asked.status(), 503);
    // The process is alive all the same, and when the thread goes on it is ready again.
    assert_eq!(api.get_as_nobody("/healthz").send().await.unwrap().status(), 200);
    drop(stuck);
    let deadline = Instant::now() + PATIENCE;
    while ready().await.0 != 200 {
        assert!(Instant::now() < deadline, "it never becomes ready again");
        tokio::task::yield_now().await;
    }
    assert_eq!(get(&api, "/api/admin/connections").await["total"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_numbers_are_on_a_stream_of_their_own_and_in_the_history() {
    for way in WAYS {
        let server = Server::start(&way);
        let api = Api::new(&server.url());
        let operator = mint("ann", |request| request.role = Some("admin".to_owned()));
        let (mut stats, name) = open(&api, &operator, "topic=$tidings/stats").await;
        let (mut stream, _) = open(&api, API_KEY, "topic=a").await;
        for _ in 0..5 {
            api.publish(r#"{"topic":"a"}"#).await;
            stream.next_event().await;
        }
        api.get("/nowhere").send().await.unwrap();
        let mut totals = Vec::new();
        let sample = loop {
            let event = stats.next_event().await;
            assert_eq!(
                (event.event_type(), event.field("topic")),
                ("stats", Some("$tidings/stats"))
            );
            let sample = event.json();
            totals.push(sample["timestamp"].as_u64().unwrap());
            // What the numbers themselves are carried by is not counted.
            let (events, errors) = (&sample["events"], &sample["errors"]);
            if events["published"] == 5 && events["delivered"] == 5 && errors["total"] == 1 {
                break sample;
            }
            assert!(totals.len() < 60, "it never counts: {sample}");
        };
        let members: Vec<_> = sample.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "node",
            "timestamp",
            "connections",
            "events",
            "fanOutMs",
            "publishToSocketMs",
            "errors",
            "gaps",
            "log",
            "broker",
            "process",
        ];
        assert_eq!(BTreeSet::from_iter(members), BTreeSet::from(expected));
        assert_eq!(sample["connections"], json!({ "active": 2, "peak": 2, "total": 2 }));
        assert_eq!((&sample["log"]["events"], &sample["log"]["topics"]), (&json!(5), &json!(1)));
        assert_eq!(sample["broker"], json!({ "kind": "memory", "status": "ok" }));
        assert!(sample["gaps"] == json!({ "total": 0, "perSec": 0.0 }), "{sample}");
        if cfg!(target_os = "linux") {
            assert!(sample["process"]["residentBytes"].as_u64().unwrap() > 1 << 20, "{sample}");
            assert!(sample["process"]["cpuPercent"].as_f64().unwrap() >= 0.0, "{sample}");
        }
        assert_eq!(connection(&api, &name).await["sentEvents"], 0);

        let history = get(&api, "/api/admin/stats?secs=600").await;
        assert_eq!(history["everySecs"], 1);
        let samples = history["samples"].as_array().unwrap();
        assert!(samples.contains(&sample), "{history}");
        let times: Vec<_> =
            samples.iter().map(|sample| sample["timestamp"].as_u64().unwrap()).collect();
        assert!(times.is_sorted() && totals.is_sorted(), "{times:?}");
        // All that happened is in one of the seconds, at its rate.
        let happened: f64 = samples
            .iter()
            .map(|sample| sample["events"]["publishedPerSec"].as_f64().unwrap())
            .sum();
        assert!(happened > 0.0, "{history}");
        let slowest = |sample: &&Value| sample["publishToSocketMs"]["p99"].as_f64().unwrap() > 0.0;
        assert!(samples.iter().any(|sample| slowest(&sample)), "{history}");
        assert_eq!(
            get(&api, "/api/admin/stats?secs=1").await["samples"].as_array().unwrap().len(),
            1
        );
        assert_eq!(get(&api, "/api/admin/stats").await["everySecs"], 10);

        // A poll hears them too, and whoever looks in the log finds them; nobody else does.
        let polled = api.poll("topic=$tidings/stats&rewind=1").await;
        assert_eq!(polled["events"][0]["type"], "stats", "{polled}");
        assert_eq!(topics(&api, "").await, ["a"]);
        let path = "/api/admin/topics/$tidings%2Fstats/events?limit=1";
        assert_eq!(get(&api, path).await["events"][0]["type"], "stats");
        for (bearer, path) in [
            (token("ann", &["**"], &[]), "/api/sse?topic=$tidings/stats"),
            (token("ann", &["**"], &[]), "/api/polling?topic=a&topic=$tidings/stats"),
        ] {
            let refused = api.get_as_nobody(path).bearer_auth(bearer).send().await.unwrap();
            assert_eq!(refused.status(), 403, "{path}");
            assert_eq!(json(refused).await["code"], "forbidden-topic", "{path}");
        }
        let nobody = api.get_as_nobody("/api/sse?topic=$tidings/stats").send().await.unwrap();
        assert_eq!(nobody.status(), 401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_numbers_are_published_only_while_somebody_listens() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let second = async || {
        let before =
            get(&api, "/api/admin/stats?secs=600").await["samples"].as_array().unwrap().len();
        let deadline = Instant::now() + PATIENCE;
        while get(&api, "/api/admin/stats?secs=600").await["samples"].as_array().unwrap().len()
            < before + 2
        {
            assert!(Instant::now() < deadline, "no second passes");
        }
    };
    let path = "/api/admin/topics/$tidings%2Fstats/events";
    second().await;
    assert_eq!(get(&api, path).await["events"], json!([]));
    let (mut stream, name) = open(&api, API_KEY, "topic=$tidings/stats&topic=a").await;
    stream.next_event().await;
    assert_eq!(
        api.delete(&format!("/api/admin/connections/{name}")).send().await.unwrap().status(),
        204
    );
    let heard = get(&api, path).await["events"].as_array().unwrap().len();
    assert!(heard > 0);
    second().await;
    // The second under way when it was closed may have had one more.
    assert!(get(&api, path).await["events"].as_array().unwrap().len() <= heard + 1);
}
