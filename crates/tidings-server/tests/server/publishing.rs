//! Publishing: what is stored, what is answered for each event, and what a retry does.

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::api::{Api, json};
use crate::support::broker::Kind;
use crate::support::tokens::token;
use crate::support::{self, PATIENCE, Server, position};

/// What a poll has of these events, one field of each.
fn each<'a>(polled: &'a Value, field: &str) -> Vec<&'a Value> {
    polled["events"].as_array().unwrap().iter().map(|event| &event[field]).collect()
}

async fn status_and_json(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), json(answer).await)
}

#[tokio::test]
async fn one_event_is_answered_with_its_id_and_durability() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let start = api.newest().await;
    let answer = api.post(r#"{"topic":"a","type":"hello","data":[1]}"#).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let answer = json(answer).await;
    assert_eq!(answer.as_object().unwrap().len(), 2, "{answer}");
    assert_eq!(answer["durability"], Kind::of_tests().durability());
    let polled = api.poll(&format!("topic=a&lastEventId={start}")).await;
    assert_eq!(each(&polled, "id"), [&answer["id"]]);
    assert_eq!(each(&polled, "type"), ["hello"]);
    assert_eq!(each(&polled, "data"), [&json!([1])]);
}

#[tokio::test]
async fn many_events_are_answered_one_by_one_in_order() {
    let server = Server::start(&[("EVENT_BYTES_MAX", "256")]);
    let api = Api::new(&server.url());
    let items = [
        (json!({ "topic": "a", "data": 0 }), None),
        (json!({ "topic": "a//b" }), Some((400, "invalid-topic"))),
        (json!({ "topic": "a", "data": 2 }), None),
        (json!({ "data": 3 }), Some((400, "invalid-event"))),
        (json!({ "topic": "a", "data": "x".repeat(300) }), Some((413, "event-too-large"))),
        (json!({ "topic": "a", "wrong": 1 }), Some((400, "invalid-body"))),
        (json!(42), Some((400, "invalid-body"))),
        (json!({ "topic": "a", "data": 7, "key": "k" }), None),
        (json!({ "topic": "a", "data": 8, "key": "k" }), Some((409, "idempotency-conflict"))),
        (json!({ "topic": "a", "key": "" }), Some((400, "invalid-idempotency-key"))),
        (json!({ "topic": "a", "data": 10 }), None),
    ];
    let bodies: Vec<_> = items.iter().map(|(body, _)| body.to_string()).collect();
    let array = format!("[{}]", bodies.join(","));
    // An empty line is nothing, and so is the end of the last one; CR LF is a line's end too.
    let lines = format!("{}\r\n\n", bodies.join("\n"));
    let requests = [api.post(array), api.post_lines(lines)];
    let mut stored = Vec::new();
    for (request, again) in requests.into_iter().zip([false, true]) {
        let (status, answer) = status_and_json(request).await;
        assert_eq!(status, 200);
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), items.len());
        for ((body, refused), result) in items.iter().zip(results) {
            let Some((status, code)) = refused else {
                assert_eq!(result["durability"], Kind::of_tests().durability(), "{body}");
                let id = result["id"].as_str().unwrap().to_owned();
                if !(again && body["key"] == "k") {
                    stored.push(id);
                }
                continue;
            };
            let error = &result["error"];
            assert_eq!((&error["status"], &error["code"]), (&json!(status), &json!(code)));
            assert_eq!(error["type"], format!("urn:tidings:problem:{code}"));
            assert!(error["detail"].is_string() && error["title"].is_string(), "{body}");
            assert!(result["id"].is_null(), "{body}");
        }
    }
    let polled = api.poll("topic=a&rewind=all").await;
    // The one with the key only once.
    assert_eq!(each(&polled, "data"), [0, 2, 7, 10, 0, 2, 10]);
    assert_eq!(each(&polled, "id"), stored.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn media_types_are_taken_in_any_case_and_with_parameters() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let url = format!("{}/api/events", server.url());
    let body = r#"{"topic":"a"}"#;
    let rows = [
        ("application/json", 201),
        ("Application/JSON; charset=utf-8", 201),
        ("application/json;charset=UTF-8", 201),
        ("application/x-ndjson", 200),
        ("APPLICATION/X-NDJSON; a=b", 200),
    ];
    for (content_type, status) in rows {
        let request = api.client.post(&url).bearer_auth(support::API_KEY).body(body);
        let answer = request.header("content-type", content_type).send().await.unwrap();
        assert_eq!(answer.status(), status, "{content_type}");
    }
}

#[tokio::test]
async fn json_arrives_as_it_was_written() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let mut stream = api.stream("topic=a").await;
    let start = api.newest().await;
    let rows = [
        "123456789012345678901234567890",
        "-0.1e-400",
        "1.000000000000000000000000001",
        "1E5",
        "-0",
        r#""héllo ☃ 😀""#,
        r#""\u0041\ud83d\ude00\/\n\t\u0000""#,
        r#"{ "b" : 1,"a":[ 1 ,2,  3 ] , "b" : 2 }"#,
        "null",
        "false",
        "\"\"",
        "[]",
        "{}",
        "\"\u{2028}\u{85}\u{feff}\"",
        r#""data: x""#,
    ];
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for data in rows.iter().copied().chain([deep.as_str()]) {
        api.publish(format!(r#"{{"topic":"a","data":{data}}}"#)).await;
        assert_eq!(stream.next_event().await.data(), data);
    }
    let polled = api.get(&format!("/api/polling?topic=a&lastEventId={start}"));
    let polled = polled.send().await.unwrap().text().await.unwrap();
    for data in rows.iter().copied().chain([deep.as_str()]) {
        assert!(polled.contains(&format!("\"data\":{data},\"timestamp\"")), "{data}: {polled}");
    }
    // Line breaks between tokens would be lines of their own on a stream.
    api.publish("{\"topic\":\"a\",\"data\":[\r\n 1,\n\t2 ]}").await;
    let event = stream.next_event().await;
    assert_eq!(event.json(), json!([1, 2]));
    // Without data there is null.
    api.publish(r#"{"topic":"a"}"#).await;
    assert_eq!(stream.next_event().await.data(), "null");
}

#[tokio::test]
async fn text_is_carried_raw_with_its_line_ends_as_lf() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let mut stream = api.stream("topic=a").await;
    let rows = [
        ("one", "one"),
        ("", ""),
        ("a\nb\r\nc\rd\n\re\n", "a\nb\nc\nd\n\ne\n"),
        ("id: x\n\ndata: y", "id: x\n\ndata: y"),
        ("{\"not\": json", "{\"not\": json"),
        (" : leading", " : leading"),
    ];
    for (text, carried) in rows {
        api.publish(json!({ "topic": "a", "text": text }).to_string()).await;
        let event = stream.next_event().await;
        let data: Vec<_> = event.0.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(data.join("\n"), carried);
    }
    let polled = api.poll("topic=a&rewind=all").await;
    assert_eq!(each(&polled, "text"), rows.map(|(_, carried)| carried));
    for event in polled["events"].as_array().unwrap() {
        assert!(event.get("data").is_none(), "{event}");
    }
}

#[tokio::test]
async fn users_are_percent_encoded_and_everyone_has_a_topic() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let odd = "a/b, ü*";
    let body = json!({ "topics": ["t"], "topic": "t/2", "users": ["1", odd], "user": "42",
                       "broadcast": true, "data": "hi" });
    api.publish(body.to_string()).await;
    let polled = api.poll("topic=**&rewind=all").await;
    let topics = ["t", "t/2", "user/1", "user/a%2Fb%2C%20%C3%BC%2A", "user/42", "broadcast"];
    assert_eq!(each(&polled, "topics"), [&json!(topics)]);
    // Each of them gets it, once, without naming a topic.
    for user in ["1", odd, "42", "another"] {
        let path = format!("/api/polling?rewind=all&token={}", token(user, &[], &[]));
        let polled = json(api.get_as_nobody(&path).send().await.unwrap()).await;
        assert_eq!(polled["user"], user);
        assert_eq!(each(&polled, "data"), ["hi"], "{user}");
    }
}

#[tokio::test]
async fn a_short_life_ends_in_a_gap() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let start = api.newest().await;
    let short = api.publish(r#"{"topic":"a","data":1,"ttlSecs":1}"#).await;
    api.publish(r#"{"topic":"a","data":2,"ttlSecs":3600}"#).await;
    let query = format!("topic=a&lastEventId={start}");
    let polled = api.poll(&query).await;
    assert_eq!((each(&polled, "data"), &polled["gap"]), (vec![&json!(1), &json!(2)], &Value::Null));
    let polled = tokio::time::timeout(PATIENCE, async {
        loop {
            let polled = api.poll(&query).await;
            if !polled["gap"].is_null() {
                return polled;
            }
            tokio::task::yield_now().await;
        }
    });
    let polled = polled.await.unwrap();
    assert_eq!(polled["gap"], json!({ "reason": "expired", "topics": ["a"], "cursor": start }));
    assert_eq!(polled["resumed"], false);
    assert_eq!(each(&polled, "data"), [2]);
    // Whoever has seen the short one has missed nothing.
    let polled = api.poll(&format!("topic=a&lastEventId={short}")).await;
    assert_eq!((&polled["gap"], &polled["resumed"]), (&Value::Null, &json!(true)));
}

#[tokio::test]
async fn a_key_makes_a_retry_safe() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let body = r#"{"topic":"a","data":1,"key":"k1"}"#;
    let id = api.publish(body).await;
    assert_eq!(api.publish(body).await, id);
    let (status, problem) = status_and_json(api.post(r#"{"topic":"a","data":2,"key":"k1"}"#)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("idempotency-conflict")));
    // In the header, or in both.
    let plain = r#"{"topic":"a","data":3}"#;
    let with = |body: &str, key: &str| api.post(body).header("idempotency-key", key);
    let (_, first) = status_and_json(with(plain, "k2")).await;
    assert_eq!(status_and_json(with(plain, "k2")).await, (201, first));
    assert_eq!(status_and_json(with(r#"{"topic":"a"}"#, "k2")).await.0, 409);
    assert_eq!(
        status_and_json(with(body, "k1")).await,
        (201, json!({ "id": id, "durability": Kind::of_tests().durability() }))
    );
    let (status, problem) = status_and_json(with(body, "another")).await;
    assert_eq!((status, &problem["code"]), (400, &json!("invalid-idempotency-key")));
    // A refused event uses up no key.
    assert_eq!(status_and_json(with(r#"{"topic":"//"}"#, "k3")).await.0, 400);
    assert_eq!(status_and_json(with(r#"{"topic":"a","data":4}"#, "k3")).await.0, 201);
    // Two publishers may use the same key.
    let publisher = token("42", &[], &["a"]);
    let request = api.post_as_nobody(body).bearer_auth(&publisher);
    let (status, other) = status_and_json(request).await;
    assert_eq!(status, 201);
    assert_ne!(other["id"], json!(id));
    let polled = api.poll("topic=a&rewind=all").await;
    assert_eq!(each(&polled, "data"), [1, 3, 4, 1]);
}

#[tokio::test]
async fn a_key_in_the_header_covers_a_whole_batch() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let with = |body: &str| api.post(body).header("idempotency-key", "batch");
    let body = r#"[{"topic":"a","data":1},{"topic":"//"},{"topic":"a","data":2}]"#;
    let first = status_and_json(with(body)).await;
    assert_eq!(first.0, 200);
    assert_eq!(status_and_json(with(body)).await, first);
    let other = r#"[{"topic":"a","data":1},{"topic":"a","data":3}]"#;
    let (status, problem) = status_and_json(with(other)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("idempotency-conflict")));
    let polled = api.poll("topic=a&rewind=all").await;
    assert_eq!(each(&polled, "data"), [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_publishers_of_one_key_store_one_event() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    for round in 0..10 {
        let mut publishers = JoinSet::new();
        for _ in 0..20 {
            let api = api.clone();
            let body = json!({ "topic": "a", "data": round, "key": format!("k{round}") });
            publishers.spawn(async move { api.publish(body.to_string()).await });
        }
        let mut ids = publishers.join_all().await;
        ids.dedup();
        assert_eq!(ids.len(), 1, "{ids:?}");
    }
    let polled = api.poll("topic=a&rewind=all").await;
    assert_eq!(
        each(&polled, "data"),
        (0..10).map(|n| json!(n)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn three_hundred_lines_over_many_topics_keep_their_order() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let mut stream = api.stream("topic=many/*").await;
    let lines: Vec<_> = (0..300)
        .map(|n| json!({ "topic": format!("many/{}", n % 37), "data": n }).to_string())
        .collect();
    let (status, answer) = status_and_json(api.post_lines(lines.join("\n"))).await;
    assert_eq!(status, 200);
    let ids: Vec<_> =
        answer["results"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 300);
    assert!(ids.windows(2).all(|pair| position(pair[0]) < position(pair[1])), "{ids:?}");
    for (n, id) in ids.iter().enumerate() {
        let event = stream.next_event().await;
        assert_eq!((event.id(), event.data()), (*id, &*n.to_string()));
        assert_eq!(event.field("topic"), Some(&*format!("many/{}", n % 37)));
    }
}

#[tokio::test]
async fn bounds_of_a_request_are_exact() {
    let bounds =
        [("EVENT_BYTES_MAX", "256"), ("REQUEST_BYTES_MAX", "1024"), ("BATCH_EVENTS_MAX", "3")];
    let server = Server::start(&bounds);
    let api = Api::new(&server.url());
    let event = |bytes: usize| json!({ "topic": "a", "data": "x".repeat(bytes - 2) }).to_string();
    let text = |bytes: usize| json!({ "topic": "a", "text": "x".repeat(bytes) }).to_string();
    let padded = |bytes: usize| format!("{:<bytes$}", event(100));
    let batch = |events: usize| format!("[{}]", vec![event(10); events].join(","));
    let rows = [
        (event(256), 201),
        (event(257), 413),
        (text(256), 201),
        (text(257), 413),
        (padded(1024), 201),
        (padded(1025), 413),
        (batch(3), 200),
        (batch(4), 413),
    ];
    for (body, status) in rows {
        assert_eq!(status_and_json(api.post(body.clone())).await.0, status, "{body}");
    }
    // The same without a length given first.
    let chunks = (0..3).map(|_| Ok::<_, std::io::Error>(vec![b' '; 512]));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let (status, problem) = status_and_json(api.post("").body(body)).await;
    assert_eq!((status, &problem["code"]), (413, &json!("body-too-large")));
}

#[tokio::test]
async fn a_token_publishes_what_it_was_granted_item_by_item() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let publisher = token("42", &[], &["chat/*", "user/42"]);
    let body = json!([
        { "topic": "chat/1", "data": 0 },
        { "topic": "chat", "data": 1 },
        { "user": "42", "data": 2 },
        { "user": "43", "data": 3 },
        { "topics": ["chat/1", "orders/1"], "data": 4 },
        { "broadcast": true, "data": 5 },
    ]);
    let request = api.post_as_nobody(body.to_string()).bearer_auth(&publisher);
    let (status, answer) = status_and_json(request).await;
    assert_eq!(status, 200);
    for (index, result) in answer["results"].as_array().unwrap().iter().enumerate() {
        let refused = [1, 3, 4, 5].contains(&index);
        assert_eq!(result["error"]["code"] == "forbidden-topic", refused, "{index}: {result}");
        assert_eq!(result["id"].is_string(), !refused, "{index}: {result}");
    }
    let names = answer["results"][4]["error"]["detail"].as_str().unwrap().contains("orders/1");
    assert!(names, "{answer}");
    let polled = api.poll("topic=**&rewind=all").await;
    assert_eq!(each(&polled, "data"), [0, 2]);
}
