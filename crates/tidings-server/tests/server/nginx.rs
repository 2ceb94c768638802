//! Streams behind a real nginx, as Debian has it: nothing is collected on the way, and whoever is
//! cut off resumes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::nginx::Nginx;
use crate::support::{API_KEY, PATIENCE, Server};

/// No event may wait for another, nor for a buffer to fill.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How people set it up: upstream, location.
const SETUPS: [(&str, &str, &str); 5] = [
    ("as it comes, HTTP/1.0", "", ""),
    ("buffering said outright", "", "proxy_buffering on; proxy_buffers 8 64k;"),
    ("not buffering", "", "proxy_buffering off;"),
    (
        "HTTP/1.1 and kept alive",
        "keepalive 8;",
        "proxy_http_version 1.1; proxy_set_header Connection \"\";",
    ),
    (
        "kept alive, not buffering, the header ignored",
        "keepalive 8;",
        "proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off;
         proxy_ignore_headers X-Accel-Buffering;",
    ),
];

#[tokio::test]
async fn behind_nginx_every_event_arrives_at_once_and_a_cursor_resumes() {
    let server = Server::start(&[]);
    let client = reqwest::Client::new();
    for (name, upstream, location) in SETUPS {
        let nginx = Nginx::start(&server, upstream, location);
        let (mut stream, began) = Stream::open(&client, &nginx.url, None).await;
        assert!(began < AT_ONCE, "{name}: the first bytes took {began:?}");
        let mut first = String::new();
        for number in 0..5 {
            let event = format!("{name} {number}");
            let cursor = publish(&client, &nginx.url, &event).await;
            let waiting = Instant::now();
            stream.hear(&format!("data: \"{event}\"\n\n")).await;
            assert!(waiting.elapsed() < AT_ONCE, "{name}: an event took {:?}", waiting.elapsed());
            if number == 0 {
                first = cursor;
            }
        }
        drop(stream);
        // What was published since, also while nobody was there.
        let last = publish(&client, &nginx.url, &format!("{name} missed")).await;
        let (mut stream, _) = Stream::open(&client, &nginx.url, Some(&first)).await;
        let heard = stream.hear(&format!("id: {last}\n")).await;
        assert!(heard.contains("\"resumed\":true"), "{name}: {heard}");
        assert_eq!(heard.matches("\ntopic: news\n").count(), 4, "{name}: {heard}");
        let quick = Instant::now();
        let health = client.get(format!("{}/healthz", nginx.url)).send().await.unwrap();
        assert!(health.status() == 200 && quick.elapsed() < AT_ONCE);
    }
}

#[tokio::test]
async fn whoever_leaves_nginx_leaves_the_hub() {
    for (name, upstream, location) in SETUPS {
        let server = Server::start(&[("LIMITS__CONNECTIONS_PER_NODE", "1")]);
        let nginx = Nginx::start(&server, upstream, location);
        let client = reqwest::Client::new();
        let (stream, _) = Stream::open(&client, &nginx.url, None).await;
        assert_eq!(get(&client, &nginx.url, None).await.status(), 503, "{name}");
        drop(stream);
        let left = Instant::now();
        while get(&client, &nginx.url, None).await.status() != 200 {
            assert!(left.elapsed() < AT_ONCE, "{name}: its place was not given back");
        }
    }
}

#[tokio::test]
async fn streams_go_on_through_a_reload_of_nginx_and_resume_when_it_ends() {
    let server = Server::start(&[]);
    let client = reqwest::Client::new();
    let (_, upstream, location) = SETUPS[3];
    let nginx = Nginx::start(&server, upstream, location);
    let (mut old, _) = Stream::open(&client, &nginx.url, None).await;
    nginx.reload();
    // The old worker keeps its streams; new connections are the new worker's.
    let before = publish(&reqwest::Client::new(), &nginx.url, "before").await;
    old.hear("data: \"before\"\n\n").await;
    let (mut new, _) = Stream::open(&reqwest::Client::new(), &nginx.url, Some(&before)).await;
    publish(&client, &server.url(), "after").await;
    old.hear("data: \"after\"\n\n").await;
    let heard = new.hear("data: \"after\"\n\n").await;
    assert!(heard.contains("\"resumed\":true") && !heard.contains("\"before\""), "{heard}");

    drop(nginx);
    old.end().await;
    publish(&client, &server.url(), "without nginx").await;
    let nginx = Nginx::start(&server, upstream, location);
    let (mut back, _) = Stream::open(&client, &nginx.url, Some(&before)).await;
    let heard = back.hear("data: \"without nginx\"\n\n").await;
    assert!(heard.contains("data: \"after\"\n"), "{heard}");
    assert!(heard.contains("\"resumed\":true") && !heard.contains("\"before\""), "{heard}");
}

struct Stream {
    answer: reqwest::Response,
    got: String,
}

impl Stream {
    /// The stream, and how long it took until its first bytes.
    async fn open(client: &reqwest::Client, url: &str, cursor: Option<&str>) -> (Self, Duration) {
        let begun = Instant::now();
        let answer = get(client, url, cursor).await.error_for_status().unwrap();
        assert!(!answer.headers().contains_key("content-encoding"));
        let mut stream = Self { answer, got: String::new() };
        let connected = stream.hear("event: tidings.connected\n").await;
        stream.got.insert_str(0, &connected);
        (stream, begun.elapsed())
    }

    /// Reads until this was said; all that was said up to there.
    async fn hear(&mut self, what: &str) -> String {
        let hearing = async {
            loop {
                if let Some(at) = self.got.find(what) {
                    let rest = self.got.split_off(at + what.len());
                    return std::mem::replace(&mut self.got, rest);
                }
                let bytes = self.answer.chunk().await.unwrap();
                let bytes = bytes.unwrap_or_else(|| panic!("ended before {what:?}: {}", self.got));
                self.got.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, hearing).await.unwrap_or_else(|_| panic!("not said: {what}"))
    }

    /// Waits until it breaks off.
    async fn end(mut self) {
        let ending = async { while let Ok(Some(_)) = self.answer.chunk().await {} };
        tokio::time::timeout(PATIENCE, ending).await.expect("the stream ends");
    }
}

async fn get(client: &reqwest::Client, url: &str, cursor: Option<&str>) -> reqwest::Response {
    let mut request = client.get(format!("{url}/api/sse?topic=news")).bearer_auth(API_KEY);
    if let Some(cursor) = cursor {
        request = request.header("last-event-id", cursor);
    }
    tokio::time::timeout(PATIENCE, request.send()).await.expect("nginx answers").unwrap()
}

/// Publishes to `news`; the event's cursor.
async fn publish(client: &reqwest::Client, url: &str, data: &str) -> String {
    let request = client.post(format!("{url}/api/events")).bearer_auth(API_KEY);
    let request = request.json(&json!([{ "topic": "news", "data": data }]));
    let answer = request.send().await.unwrap().error_for_status().unwrap();
    let answer: Value = answer.json().await.unwrap();
    answer["results"][0]["id"].as_str().unwrap().to_owned()
}
