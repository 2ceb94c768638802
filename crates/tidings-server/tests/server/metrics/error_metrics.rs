//! What went wrong for somebody: each refusal by its code, and streams that were given up.

use std::collections::BTreeMap;

use serde_json::json;

use super::view::{View, code};
use crate::support::api::{Api, json};
use crate::support::raw::Raw;
use crate::support::tokens::{mint, token};
use crate::support::{API_KEY, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_is_counted_by_its_code() {
    let server = Server::start(&[("LIMITS__POLLING__LIMIT", "2")]);
    let api = Api::new(&server.url());
    let ann = token("ann", &[], &[]);
    let mut refused = BTreeMap::<String, u64>::new();
    let requests = [
        api.get_as_nobody("/api/sse"),
        api.get_as_nobody("/api/polling"),
        api.get_as_nobody("/metrics"),
        api.get("/nowhere"),
        api.get("/api/events"),
        api.get("/api/sse?topic=*x"),
        api.get("/api/polling?lastEventId=x"),
        api.get_as_nobody("/api/sse?topic=secret").bearer_auth(&ann),
        api.get_as_nobody("/api/polling").bearer_auth(&ann),
        api.get_as_nobody("/api/polling").bearer_auth(&ann),
        api.get_as_nobody("/api/polling").bearer_auth(&ann),
        api.post("nothing that is JSON"),
        api.post(r#"{"topic":"a","key":"k"}"#),
        api.post(r#"{"topic":"b","key":"k"}"#),
    ];
    for request in requests {
        let answer = request.send().await.unwrap();
        if answer.status().as_u16() >= 400 {
            *refused.entry(code(answer).await).or_default() += 1;
        }
    }
    // Parts of a batch are refused one by one.
    let batch = json!([{ "topic": "a" }, { "topic": "*" }, { "topic": "a", "type": "" }, {}]);
    let answer = json(api.post(batch.to_string()).send().await.unwrap()).await;
    for result in answer["results"].as_array().unwrap() {
        if let Some(code) = result["error"]["code"].as_str() {
            *refused.entry(code.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(refused["unauthenticated"], 3, "{refused:?}");
    assert_eq!((refused["rate-limited"], refused["idempotency-conflict"]), (1, 1), "{refused:?}");

    let view = View::of(&api).await;
    assert_eq!(view.json["metrics"]["errors"]["byType"], json!(refused));
    assert_eq!(view.json("/errors/total"), refused.values().sum::<u64>());
    for (code, count) in &refused {
        assert_eq!(view.text("tidings_refusals_total", &[("code", code)]), *count, "{code}");
    }
    assert_eq!(view.text("tidings_refusals_total", &[]), refused.values().sum::<u64>());
    let polling = [("limit", "polling")];
    assert_eq!(view.text("tidings_limiter_checks_total", &polling), 3);
    assert_eq!(view.text("tidings_limiter_refusals_total", &polling), 1);
    assert_eq!(view.text("tidings_limiter_keys", &[]), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_lags_and_is_an_error_when_it_is_given_up() {
    let server = Server::start(&[("STREAMS__WRITE_STALL_SECS", "2")]);
    let api = Api::new(&server.url());
    let mut stalled = Raw::connect_narrow(&server.address);
    stalled.send(format!(
        "GET /api/sse?topic=a HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {API_KEY}\r\n\r\n",
        server.address
    ));
    stalled.read_until("tidings.connected");
    let event = json!({ "topic": "a", "data": "x".repeat(50_000) }).to_string();
    let mut lagged = false;
    let mut view = View::of(&api).await;
    while view.json_or_0("/errors/byType/write-stalled") == 0 {
        // More than all buffers on the way take, and no more than that.
        if view.json("/events/total") < 200 {
            api.publish(event.clone()).await;
        }
        lagged |= view.text("tidings_reader_lag_events", &[]) > 0;
        view = View::of(&api).await;
    }
    assert!(lagged, "it was behind and nobody noticed");
    assert_eq!(view.json["metrics"]["errors"]["byType"], json!({ "write-stalled": 1 }));
    let view = View::of(&api).await;
    assert_eq!(view.text("tidings_delivery_errors_total", &[("type", "write-stalled")]), 1);
    assert_eq!(view.text("tidings_connections_closed_total", &[("reason", "write-stalled")]), 1);
    assert_eq!(view.json("/connections/active"), 0);
    let caught_up = |view: &View| view.text("tidings_reader_lag_events", &[]) == 0;
    View::until(&api, "nobody is behind any more", caught_up).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_operators_see_what_is_counted() {
    let server = Server::start(&[("ADMIN_LISTEN", "127.0.0.1:0")]);
    let line = server.wait_for_log("listening for operators");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let operators = Api::new(&format!("http://{}", line["fields"]["address"].as_str().unwrap()));
    let public = Api::new(&server.url());
    let everything = Server::start(&[]);
    let shared = Api::new(&everything.url());
    let admin = mint("ann", |request| request.role = Some("admin".to_owned()));
    let plain = token("ann", &[], &[]);
    let (text, json) = ("/metrics", "/api/admin/sse-metrics");
    let rows = [
        (&operators, text, None, 200),
        (&operators, json, None, 401),
        (&operators, json, Some(API_KEY), 200),
        (&operators, json, Some(&*admin), 200),
        (&operators, json, Some(&*plain), 403),
        (&public, text, Some(API_KEY), 404),
        (&public, json, Some(API_KEY), 404),
        (&shared, text, None, 401),
        (&shared, text, Some(&*plain), 403),
        (&shared, text, Some(API_KEY), 200),
        (&shared, json, None, 401),
        (&shared, json, Some(&*admin), 200),
    ];
    for (api, path, credential, expected) in rows {
        let mut request = api.get_as_nobody(path);
        if let Some(credential) = credential {
            request = request.bearer_auth(credential);
        }
        assert_eq!(request.send().await.unwrap().status(), expected, "{path} {credential:?}");
    }
}
