//! Traces: what a collector gets of a publish request, and of which.

mod collector;

use std::time::{Duration, Instant};

use crate::support::api::{Api, json};
use crate::support::{API_KEY, Server, TOKEN_SECRET, position, tidings, unix_ms};
use collector::{Collector, named, number, values};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use reqwest::RequestBuilder;
use rstest::rstest;
use serde_json::json;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// How far the wall clock may be set back or forth while a test looks at it.
const CLOCK_MS: u64 = 2000;

/// How long a listener is waited for.
const WAITED_FOR: Duration = Duration::from_secs(1);

/// A server with these variables and none of the caller's that say anything of traces.
fn start(variables: &[(&str, &str)]) -> Server {
    let mut command = tidings();
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    command.env("TIDINGS_API_KEY", API_KEY).env("TIDINGS_TOKEN_SECRET", TOKEN_SECRET);
    command.env("TIDINGS_STREAMS__DRAIN_DELAY_SECS", "0");
    command.envs(variables.iter().copied());
    Server::spawn(command)
}

fn sampled(request: RequestBuilder) -> RequestBuilder {
    request.header("traceparent", format!("00-{TRACE}-{PARENT}-01"))
}

/// An id as it stands in a span.
fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn kind(span: &Span) -> SpanKind {
    SpanKind::try_from(span.kind).unwrap()
}

#[rstest]
#[case::on_sockets_of_its_own("true")]
#[case::on_hyper("false")]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_event_is_followed_from_its_publisher_to_its_last_listener(#[case] own_sockets: &str) {
    let mut collector = Collector::start().await;
    let server = start(&[
        ("TIDINGS_OTLP__ENDPOINT", &collector.url),
        ("TIDINGS_OTLP__RATIO", "0"),
        ("TIDINGS_OTLP__SERVICE_NAME", "edge"),
        ("TIDINGS_STREAMS__OWN_SOCKETS", own_sockets),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ]);
    let api = Api::new(&server.url());
    let mut streams = Vec::new();
    for query in ["topic=canary/a", "topic=canary/*", "topic=canary/a&topic=user/canary"] {
        let mut stream = api.stream(query).await;
        stream.next_of("tidings.connected").await;
        streams.push(stream);
    }
    // Not listeners of the event: another topic.
    api.stream("topic=other").await.next_of("tidings.connected").await;

    // A stream is greeted before its delivery thread has it; what comes in between it reads by itself.
    let first = api.publish(r#"{"topic":"canary/a"}"#).await;
    for stream in &mut streams {
        assert_eq!(stream.next_event().await.id(), first);
    }

    let event = json!({
        "topic": "canary/a", "user": "canary", "type": "canary.moved", "data": "canary data"
    });
    let (id, spans, before_ms) = loop {
        let before_ms = unix_ms();
        let begun = Instant::now();
        let answer = sampled(api.post(event.to_string())).header("tracestate", "a=b").send().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 201);
        let id = json(answer).await["id"].as_str().unwrap().to_owned();
        for stream in &mut streams {
            assert_eq!(stream.next_event().await.id(), id);
        }
        let is_in_time = begun.elapsed() < WAITED_FOR;
        let mut spans = Vec::new();
        while spans.len() < 3 {
            let export = collector.next().await;
            assert_eq!(export.path, "/v1/traces");
            let resource = export.resource();
            assert_eq!(resource["service.name"], Value::StringValue("edge".to_owned()));
            assert!(resource.contains_key("service.version"), "{resource:?}");
            let body = String::from_utf8_lossy(&export.body).into_owned();
            assert!(!body.contains("canary"), "{body}");
            spans.extend(export.spans());
        }
        assert_eq!(spans.len(), 3, "{spans:#?}");
        // Otherwise the machine has stood still, and whoever was not heard of is not counted.
        if is_in_time {
            break (id, spans, before_ms);
        }
    };
    let after_ms = unix_ms();

    let [publish, append, deliver] =
        ["publish", "append", "deliver"].map(|name| named(&spans, name));
    assert_eq!(publish.parent_span_id, bytes(PARENT));
    assert_eq!(kind(publish), SpanKind::Server);
    assert_eq!(publish.trace_state, "a=b");
    for child in [append, deliver] {
        assert_eq!(child.parent_span_id, publish.span_id, "{}", child.name);
        assert_eq!(kind(child), SpanKind::Internal, "{}", child.name);
    }
    for span in &spans {
        assert_eq!(span.trace_id, bytes(TRACE), "{}", span.name);
    }

    let times = [
        (before_ms - CLOCK_MS) * 1_000_000,
        publish.start_time_unix_nano,
        append.start_time_unix_nano,
        append.end_time_unix_nano,
        deliver.end_time_unix_nano,
        (after_ms + CLOCK_MS) * 1_000_000,
    ];
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(deliver.start_time_unix_nano, append.end_time_unix_nano);
    assert!(append.end_time_unix_nano <= publish.end_time_unix_nano);

    assert_eq!(number(publish, "http.response.status_code"), 201);
    for (name, expected) in [("events", 1), ("refused", 0), ("types", 1), ("topics", 2)] {
        assert_eq!(number(publish, &format!("tidings.{name}")), expected, "{name}");
    }
    let length = i64::try_from("\"canary data\"".len()).unwrap();
    assert_eq!(number(publish, "tidings.bytes"), length);
    assert_eq!(number(deliver, "tidings.listeners"), 3);
    let position = i64::try_from(position(&id)).unwrap();
    for span in [append, deliver] {
        assert_eq!(number(span, "tidings.position"), position, "{}", span.name);
    }
}

/// Traces that come of requests, one after the other: with a parent that is sampled, with one that is
/// not, with none, with one that is none; and with a parent that is sampled, from somebody who may
/// not publish.
#[rstest]
#[case::parents_alone("0", &[true, false, false, false, false])]
#[case::parents_first("1", &[true, false, true, true, false])]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_parent_decides_first_and_the_ratio_otherwise(
    #[case] ratio: &str,
    #[case] expected: &[bool],
) {
    let mut collector = Collector::start().await;
    let settings =
        [("TIDINGS_OTLP__ENDPOINT", collector.url.as_str()), ("TIDINGS_OTLP__RATIO", ratio)];
    let mut server = start(&settings);
    let api = Api::new(&server.url());
    let event = r#"{"topic":"a"}"#;
    let with = |request: RequestBuilder, parent: &str| request.header("traceparent", parent);
    let requests = [
        with(api.post(event), &format!("00-{}-{PARENT}-01", "1".repeat(32))),
        with(api.post(event), &format!("00-{}-{PARENT}-00", "2".repeat(32))),
        api.post(event),
        with(api.post(event), "00-canary-01"),
        with(api.post_as_nobody(event), &format!("00-{}-{PARENT}-01", "5".repeat(32))),
    ];
    for request in requests {
        let answer = request.send().await.unwrap();
        assert!(matches!(answer.status().as_u16(), 201 | 401), "{answer:?}");
    }
    // It sends the last of them before it ends.
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let spans = collector.rest();

    let traced = expected.iter().filter(|&&is_traced| is_traced).count();
    for name in ["publish", "append", "deliver"] {
        let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), traced, "{name} in {spans:#?}");
    }
    let with_parent: Vec<_> = spans
        .iter()
        .filter(|span| !span.parent_span_id.is_empty() && span.name == "publish")
        .collect();
    assert_eq!(with_parent.len(), 1, "{with_parent:#?}");
    assert_eq!(with_parent[0].trace_id, bytes(&"1".repeat(32)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_request_of_many_events_is_three_spans_too() {
    let mut collector = Collector::start().await;
    let server = start(&[
        ("TIDINGS_OTLP__ENDPOINT", &collector.url),
        ("TIDINGS_OTLP__RATIO", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ]);
    let api = Api::new(&server.url());
    let mut stream = api.stream("topic=news/**").await;
    // Its delivery thread has it when it has had an event.
    api.publish(r#"{"topic":"news/first"}"#).await;
    stream.next_event().await;
    let mut events: Vec<_> = (0..700)
        .map(
            |number| json!({ "topic": format!("news/{}", number % 10), "key": number.to_string() }),
        )
        .collect();
    events[3] = json!({ "topic": "a//b" });
    let body = json!(events).to_string();
    let publish = || async {
        assert_eq!(sampled(api.post(body.clone())).send().await.unwrap().status(), 200);
    };

    publish().await;
    for _ in 0..699 {
        stream.next_event().await;
    }
    let spans = collector.spans(3).await;
    assert_eq!(spans.len(), 3, "{spans:#?}");
    let publish_span = named(&spans, "publish");
    let rows = [("events", 699), ("refused", 1), ("topics", 10), ("types", 1)];
    for (name, expected) in rows {
        assert_eq!(number(publish_span, &format!("tidings.{name}")), expected, "{name}");
    }
    assert_eq!(number(named(&spans, "append"), "tidings.stored"), 699);
    let deliver = named(&spans, "deliver");
    assert_eq!(number(deliver, "tidings.events"), 699);
    assert_eq!(number(deliver, "tidings.listeners"), 699);

    // Again, with the same keys: nothing is stored, so there is nothing to be delivered.
    publish().await;
    let spans = collector.spans(2).await;
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["append", "publish"]);
    assert_eq!(number(&spans[0], "tidings.stored"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_request_is_refused_for_is_in_its_status() {
    let mut collector = Collector::start().await;
    let server =
        start(&[("TIDINGS_OTLP__ENDPOINT", &collector.url), ("OTEL_BSP_SCHEDULE_DELAY", "20")]);
    let api = Api::new(&server.url());
    assert_eq!(sampled(api.post("canary")).send().await.unwrap().status(), 400);
    let spans = collector.spans(1).await;
    assert_eq!(spans[0].name, "publish");
    assert_eq!(number(&spans[0], "http.response.status_code"), 400);
    assert_eq!(number(&spans[0], "tidings.refused"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_standards_variables_are_enough() {
    let mut collector = Collector::start().await;
    let mut server = start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop"),
        ("OTEL_SERVICE_NAME", "hub"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_off"),
    ]);
    let api = Api::new(&server.url());
    api.publish(r#"{"topic":"a"}"#).await;
    assert_eq!(sampled(api.post(r#"{"topic":"a"}"#)).send().await.unwrap().status(), 201);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let export = collector.next().await;
    assert_eq!(export.path, "/v1/traces");
    assert_eq!(export.headers["x-tenant"], "shop");
    let resource = export.resource();
    assert_eq!(resource["service.name"], Value::StringValue("hub".to_owned()));
    assert_eq!(resource["deployment.environment.name"], Value::StringValue("test".to_owned()));
    assert_eq!(values(&named(&export.spans(), "deliver").attributes).len(), 3);
    let spans = [export.spans(), collector.rest()].concat();
    assert_eq!(spans.len(), 3, "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace_id == bytes(TRACE)), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_collector_that_is_away_keeps_nobody_from_publishing_or_stopping() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let mut server = start(&[("TIDINGS_OTLP__ENDPOINT", &url), ("OTEL_BSP_SCHEDULE_DELAY", "20")]);
    let api = Api::new(&server.url());
    let mut stream = api.stream("topic=a").await;
    let id = api.publish(r#"{"topic":"a"}"#).await;
    assert_eq!(stream.next_event().await.id(), id);
    let line = server.wait_for_log("traces do not reach their collector");
    assert!(line.contains("cannot connect"), "{line}");
    api.publish(r#"{"topic":"a"}"#).await;
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert_eq!(server.whole_log().matches("traces do not reach").count(), 1);
}
