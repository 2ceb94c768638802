//! A node's life: starting, reloading, running short of sockets, and going away without losing
//! anyone; and what it says of itself on the way.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;
use rstest::rstest;
use serde_json::json;

use crate::support::api::{Api, Stream, json};
use crate::support::raw::Raw;
use crate::support::{API_KEY, PATIENCE, Server, TOKEN_SECRET, tidings};

const OLD_KEY: &str = "tk_oldK3yQ7wE2rT9yU4iO1pA6sD3fG8hJ5kL0z";
const NEW_KEY: &str = "tk_newK3yX9cV4bN7mQ2wE5rT8yU1iO6pA3sD0f";

/// The server with its settings in this file.
fn serve(file: &Path) -> Command {
    let mut command = tidings();
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(file);
    command
}

fn write(file: &Path, api_key: &str, more: &str) {
    let secret = format!("tokens.secret = \"{TOKEN_SECRET}\"");
    std::fs::write(file, format!("api_key = \"{api_key}\"\n{secret}\n{more}\n")).unwrap();
}

async fn status(api: &Api, path: &str) -> u16 {
    api.get(path).send().await.unwrap().status().as_u16()
}

/// Tries again until this path is answered so.
async fn wait_for_status(api: &Api, path: &str, expected: u16) {
    let deadline = Instant::now() + PATIENCE;
    while status(api, path).await != expected {
        assert!(Instant::now() < deadline, "{path} is never answered with {expected}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_says_so_first_and_spreads_its_streams() {
    let mut server = Server::start(&[("STREAMS__DRAIN_DELAY_SECS", "1")]);
    let api = Api::new(&server.url());
    assert_eq!((status(&api, "/healthz").await, status(&api, "/readyz").await), (200, 200));
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(api.stream("topic=a").await);
    }
    let told = Instant::now();
    server.signal("TERM");
    wait_for_status(&api, "/readyz", 503).await;
    let not_ready = api.get_as_nobody("/readyz").send().await.unwrap();
    assert!(not_ready.headers().contains_key("retry-after"));
    assert_eq!(json(not_ready).await["status"], "not-ready");
    // Alive all the same; but whoever comes now comes to the wrong node.
    assert_eq!(status(&api, "/healthz").await, 200);
    let refused = api.get("/api/sse?topic=a").send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(json(refused).await["code"], "unavailable");
    // And what is published meanwhile is delivered.
    let id = api.publish(r#"{"topic":"a","data":1}"#).await;
    for stream in &mut streams {
        assert_eq!(stream.next_event().await.id(), id);
    }
    let mut spread = HashSet::new();
    for stream in &mut streams {
        let closing = stream.next_of("tidings.closing").await;
        assert!(told.elapsed() >= Duration::from_millis(990), "{:?}", told.elapsed());
        assert_eq!(closing.id(), id);
        assert_eq!(closing.json()["reason"], "drain");
        let retry_ms = closing.json()["retryMs"].as_u64().unwrap();
        assert!((1000..=30_000).contains(&retry_ms), "{retry_ms}");
        assert_eq!(closing.field("retry"), Some(&*retry_ms.to_string()));
        spread.insert(retry_ms);
        assert_eq!(stream.next().await, None);
    }
    // Two of twenty may draw the same of four thousand.
    assert!(spread.len() >= 18, "{spread:?}");
    assert_eq!(server.wait(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_before_the_end_is_sent_before_the_end() {
    let mut server = Server::start(&[("STREAMS__DRAIN_DELAY_SECS", "0")]);
    let api = Api::new(&server.url());
    let mut stream = api.stream("topic=a").await;
    let mut behind = Raw::connect_narrow(&server.address);
    behind
        .send(format!("GET /api/sse?topic=a HTTP/1.0\r\nAuthorization: Bearer {API_KEY}\r\n\r\n"));
    behind.read_until("retry: ");
    let body = json!({ "topic": "a", "data": "x".repeat(60_000) }).to_string();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(api.publish(body.clone()).await);
    }
    server.signal("TERM");
    for id in &ids {
        assert_eq!(stream.next_event().await.id(), id);
    }
    assert_eq!(stream.next_of("tidings.closing").await.id(), ids[19]);
    // Whoever is behind, too: as long as it reads on, it is waited for.
    let text = behind.read_to_end();
    let sent: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    let (closing, events) = sent.split_last().unwrap();
    assert_eq!(events, ids);
    assert_eq!(*closing, ids[19]);
    assert!(text.contains("event: tidings.closing"));
    assert_eq!(server.wait(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_nothing_holds_no_node_up() {
    let settings = [("STREAMS__DRAIN_DELAY_SECS", "0"), ("STREAMS__DRAIN_SECS", "1")];
    let mut server = Server::start(&settings);
    let api = Api::new(&server.url());
    let mut stalled = Raw::connect_narrow(&server.address);
    stalled
        .send(format!("GET /api/sse?topic=a HTTP/1.0\r\nAuthorization: Bearer {API_KEY}\r\n\r\n"));
    stalled.read_until("retry: ");
    let body = json!({ "topic": "a", "data": "x".repeat(60_000) }).to_string();
    for _ in 0..200 {
        api.publish(body.clone()).await;
    }
    let told = Instant::now();
    server.signal("TERM");
    server.wait_for_log("some connections did not end in drain_secs");
    assert_eq!(server.wait(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
}

#[rstest]
#[case::told_twice("TERM", "TERM")]
#[case::then_interrupted("TERM", "INT")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_stops_at_once(#[case] first: &str, #[case] second: &str) {
    let delay = [("STREAMS__DRAIN_DELAY_SECS", "600"), ("STREAMS__DRAIN_SECS", "600")];
    let mut server = Server::start(&delay);
    let api = Api::new(&server.url());
    let mut stream = api.stream("topic=a").await;
    stream.next().await.unwrap();
    server.signal(first);
    wait_for_status(&api, "/readyz", 503).await;
    let began = Instant::now();
    server.signal(second);
    assert!(server.wait().is_some());
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_new_keys_over_and_keeps_streams() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidings.toml");
    write(&file, OLD_KEY, "");
    let server = Server::spawn(serve(&file));
    let api = Api::new(&server.url());
    let with = |key: &str| {
        let body = r#"{"topic":"a","data":1}"#;
        let request = api.post_as_nobody(body).bearer_auth(key);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    let request = api.get_as_nobody("/api/sse?topic=a").bearer_auth(OLD_KEY);
    let mut stream = Stream::open(request).await;
    assert_eq!((with(OLD_KEY).await, with(NEW_KEY).await), (201, 401));
    stream.next_event().await;

    write(&file, NEW_KEY, "");
    server.signal("HUP");
    server.wait_for_log("reloaded");
    assert_eq!((with(OLD_KEY).await, with(NEW_KEY).await), (401, 201));
    stream.next_event().await;

    // A bad file changes nothing, and says what is wrong.
    for bad in ["api_key = ", "unknown = 1", "event_bytes_max = -1", "[log]\nage_max_secs = 0"] {
        write(&file, OLD_KEY, bad);
        server.signal("HUP");
        let line = server.wait_for_log("not reloaded");
        assert!(line.contains("\"ERROR\"") && !line.contains(OLD_KEY), "{line}");
        assert_eq!((with(OLD_KEY).await, with(NEW_KEY).await), (401, 201), "{bad}");
        stream.next_event().await;
    }
    std::fs::remove_file(&file).unwrap();
    server.signal("HUP");
    server.wait_for_log("not reloaded");
    assert_eq!(with(NEW_KEY).await, 201);
    stream.next_event().await;

    // What only a restart takes over is named.
    write(&file, NEW_KEY, "base_path = \"/live\"\nlog.age_max_secs = 9");
    server.signal("HUP");
    let line = server.wait_for_log("changed, but only a restart");
    assert!(line.contains("base_path, log"), "{line}");
    assert_eq!(with(NEW_KEY).await, 201);
    stream.next_event().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_how_long_a_stalled_reader_is_borne() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidings.toml");
    write(&file, API_KEY, "streams.write_stall_secs = 600\nlimits.connections_per_node = 1");
    let server = Server::spawn(serve(&file));
    write(&file, API_KEY, "streams.write_stall_secs = 1\nlimits.connections_per_node = 1");
    server.signal("HUP");
    server.wait_for_log("reloaded");
    let api = Api::new(&server.url());
    let mut socket = Raw::connect_narrow(&server.address);
    socket
        .send(format!("GET /api/sse?topic=a HTTP/1.0\r\nAuthorization: Bearer {API_KEY}\r\n\r\n"));
    socket.read_until("retry: ");
    let body = json!({ "topic": "a", "data": "x".repeat(60_000) }).to_string();
    for _ in 0..200 {
        api.publish(body.clone()).await;
    }
    wait_for_status(&api, "/api/sse?topic=a", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_reloads_lose_nothing() {
    const RELOADS: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidings.toml");
    write(&file, API_KEY, "");
    let server = Server::spawn(serve(&file));
    let api = Api::new(&server.url());
    let mut stream = api.stream("topic=a").await;
    for round in 0..RELOADS {
        // Good ones and bad ones, in turn.
        write(&file, API_KEY, if round % 4 == 3 { "wrong = 1" } else { "" });
        server.signal("HUP");
        let body = json!({ "topic": "a", "data": round });
        let id = api.publish(body.to_string()).await;
        let event = stream.next_event().await;
        assert_eq!((event.id(), event.data()), (&*id, &*round.to_string()));
    }
    let polled = api.poll("topic=a&rewind=all&limit=1000").await;
    assert_eq!(polled["events"].as_array().unwrap().len(), RELOADS);
}

#[tokio::test]
async fn the_api_describes_every_route_it_has() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let answer = api.get_as_nobody("/openapi.json").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    let document = json(answer).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    assert_eq!(document["info"]["title"], "Tidings");
    let paths = document["paths"].as_object().unwrap();
    let described: HashSet<_> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    let expected = [
        "get /api/sse",
        "get /api/polling",
        "post /api/events",
        "post /api/sse/token",
        "post /api/rate-limit",
        "post /api/revocations",
        "get /api/admin/sse-metrics",
        "get /metrics",
        "get /api/admin/stats",
        "get /api/admin/topics",
        "get /api/admin/topics/{topic}/events",
        "get /api/admin/connections",
        "delete /api/admin/connections/{connection}",
        "get /healthz",
        "get /readyz",
        "get /openapi.json",
    ];
    assert_eq!(described, expected.map(str::to_owned).into());
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            // It is there, whatever it says to a request without anything.
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let request = api.client.request(method, format!("{}{path}", server.url()));
            let status = request.send().await.unwrap().status().as_u16().to_string();
            assert!(operation["responses"].get(&status).is_some(), "{path}: {status}");
        }
    }
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

const APP: &str = "https://app.example.com";

#[rstest]
#[case::ours(Some(APP), true)]
#[case::ours_with_a_port(Some("http://localhost:3000"), true)]
#[case::nobody(None, false)]
#[case::another(Some("https://evil.example.com"), false)]
#[case::another_scheme(Some("http://app.example.com"), false)]
#[case::another_port(Some("https://app.example.com:8443"), false)]
#[case::a_longer_name(Some("https://app.example.com.evil.com"), false)]
#[case::a_name_before(Some("https://evilapp.example.com"), false)]
#[case::a_path(Some("https://app.example.com/"), false)]
#[case::null(Some("null"), false)]
#[case::a_list(Some("https://app.example.com, https://evil.example.com"), false)]
#[case::capitals(Some("https://APP.example.com"), false)]
#[tokio::test]
async fn only_these_origins_may_read(#[case] origin: Option<&str>, #[case] allowed: bool) {
    let server =
        Server::start(&[("CORS__ORIGINS", "https://app.example.com,http://localhost:3000")]);
    let api = Api::new(&server.url());
    let url = |path: &str| format!("{}{path}", server.url());
    let preflight = |path: &str, method: &str| {
        let request = api.client.request(Method::OPTIONS, url(path));
        request
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "authorization,last-event-id")
    };
    let requests = [
        api.get("/api/sse?topic=a"),
        api.get("/api/polling?topic=a"),
        api.get_as_nobody("/api/polling?topic=a"),
        api.get_as_nobody("/nowhere"),
        api.post(r#"{"topic":"a"}"#),
        preflight("/api/sse", "GET"),
        preflight("/api/polling", "GET"),
        preflight("/api/events", "POST"),
    ];
    for (index, mut request) in requests.into_iter().enumerate() {
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let answer = request.send().await.unwrap();
        let headers = answer.headers();
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        let expected = origin.filter(|_| allowed);
        assert_eq!(header("access-control-allow-origin"), expected, "request {index}");
        let vary = header("vary").unwrap().to_ascii_lowercase();
        assert!(vary.contains("origin"), "request {index}: {vary}");
        if allowed {
            assert_eq!(header("access-control-allow-credentials"), Some("true"));
        }
        if allowed && index >= 5 {
            assert!(answer.status().is_success());
            let methods = header("access-control-allow-methods").unwrap();
            assert_eq!(methods.to_uppercase().replace(' ', ""), "GET,HEAD,POST,DELETE");
            let names = header("access-control-allow-headers").unwrap().to_lowercase();
            for name in ["authorization", "content-type", "last-event-id", "idempotency-key"] {
                assert!(names.contains(name), "{name} is not in {names}");
            }
        }
    }
}

#[tokio::test]
async fn every_answer_is_hardened() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let requests = [
        api.get("/api/sse?topic=a"),
        api.get("/api/polling?topic=a"),
        api.get_as_nobody("/api/polling"),
        api.post(r#"{"topic":"a"}"#),
        api.post("{"),
        api.get("/nowhere"),
        api.get("/healthz"),
        api.get("/readyz"),
        api.get("/openapi.json"),
        api.client.delete(format!("{}/api/events", server.url())),
        api.client.request(Method::OPTIONS, format!("{}/api/events", server.url())),
    ];
    for request in requests {
        let answer = request.send().await.unwrap();
        let url = answer.url().clone();
        assert_eq!(answer.headers()["referrer-policy"], "no-referrer", "{url}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{url}");
        assert!(!answer.headers().contains_key("server"), "{url}");
        if url.path() != "/openapi.json" && !answer.headers().contains_key("allow") {
            let caching = answer.headers()["cache-control"].to_str().unwrap();
            assert!(caching.contains("no-store"), "{url}: {caching}");
        }
    }
}

#[rstest]
#[case::at_the_root("")]
#[case::below("/live/v1")]
#[tokio::test]
async fn only_a_development_node_has_a_page(#[case] base: &str) {
    let settings = [("BASE_PATH", base)];
    let server = Server::start(&settings);
    let api = Api::new(&server.url());
    for path in ["", "/"] {
        assert_eq!(status(&api, &format!("{base}{path}")).await, 404);
    }
    let mut command = tidings();
    command.args(["serve", "--listen", "127.0.0.1:0", "--dev"]).env("TIDINGS_BASE_PATH", base);
    let server = Server::spawn(command);
    let api = Api::new(&server.url());
    // As the note at the start says it.
    let answer = api.get_as_nobody(&format!("{base}/")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let page = answer.text().await.unwrap();
    assert!(!page.contains("__TIDINGS_"), "a placeholder was left");
    assert!(page.contains(&format!("\"{base}\"")), "the page does not know its base path");
}

#[tokio::test]
async fn every_route_is_below_the_base_path() {
    let server = Server::start(&[("BASE_PATH", "/live/v1")]);
    let api = Api::new(&server.url());
    for path in ["/healthz", "/readyz", "/openapi.json", "/api/polling?topic=a"] {
        assert_eq!(status(&api, path).await, 404, "{path}");
        assert_eq!(status(&api, &format!("/live/v1{path}")).await, 200, "{path}");
        assert_eq!(status(&api, &format!("/live/v1/live/v1{path}")).await, 404, "{path}");
        assert_eq!(status(&api, &format!("/live/v1x{path}")).await, 404, "{path}");
    }
    let mut stream = Stream::open(api.get("/live/v1/api/sse?topic=a")).await;
    assert_eq!(stream.next().await.unwrap().event_type(), "tidings.connected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_out_of_sockets_goes_on_and_recovers() {
    let binary = env!("CARGO_BIN_EXE_tidings");
    let mut command = Command::new("sh");
    let script = format!("ulimit -n 64; exec '{binary}' serve --listen 127.0.0.1:0");
    command.args(["-c", &script]).env_clear();
    command.env("TIDINGS_API_KEY", API_KEY).env("TIDINGS_TOKEN_SECRET", TOKEN_SECRET);
    let server = Server::spawn(command);
    let api = Api::new(&server.url());
    let mut stream = api.stream("topic=a").await;
    // A connection for publishing, before there are none left.
    let mut publisher = Raw::connect(&server.address);
    let mut publish = |data: u32| {
        let body = json!({ "topic": "a", "data": data }).to_string();
        publisher.send(format!(
            "POST /api/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {API_KEY}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        publisher.read_until("\"durability\":");
        publisher.read_until("}");
    };
    publish(1);
    assert_eq!(stream.next_event().await.data(), "1");
    let crowd: Vec<_> = (0..100).map(|_| Raw::connect(&server.address)).collect();
    server.wait_for_log("cannot accept a connection");
    for data in 2..10 {
        publish(data);
        assert_eq!(stream.next_event().await.data(), data.to_string());
    }
    drop(crowd);
    let left = Instant::now();
    let newcomer = Api::new(&server.url());
    let answer = tokio::time::timeout(PATIENCE, newcomer.get("/healthz").send()).await;
    assert_eq!(answer.unwrap().unwrap().status(), 200);
    assert!(left.elapsed() < Duration::from_secs(2), "{:?}", left.elapsed());
    publish(10);
    assert_eq!(stream.next_event().await.data(), "10");
}
