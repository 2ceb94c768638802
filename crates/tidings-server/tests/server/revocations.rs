//! Who was revoked: streams are closed at once, polls are answered, and what they had is refused.

use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, Header};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::api::{Api, Stream, json};
use crate::support::raw::Raw;
use crate::support::tokens::sign;
use crate::support::{CROWDS, Server, TOKEN_SECRET, unix_ms, until};

/// Asks for a revocation: the status and the answer.
async fn revoke(server: &Server, body: Value) -> (u16, Value) {
    let api = Api::new(&server.url());
    let answer = api.post_to("/api/revocations").json(&body).send().await.unwrap();
    (answer.status().as_u16(), json(answer).await)
}

/// A token of user `ann`, session `s1`, id `t1`, but for what is given; signed a minute ago.
fn token(changes: &Value) -> String {
    let now_secs = unix_ms() / 1000;
    let mut claims = json!({
        "aud": "tidings", "sub": "ann", "sid": "s1", "jti": "t1",
        "iat": now_secs - 60, "exp": now_secs + 300,
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let mut header = Header::new(Algorithm::HS256);
    header.typ = Some("tidings+jwt".to_owned());
    sign(&header, &claims, TOKEN_SECRET)
}

async fn open(server: &Server, token: &str) -> Stream {
    let request = reqwest::Client::new().get(format!("{}/api/sse", server.url()));
    Stream::open(request.bearer_auth(token)).await
}

async fn status_of(server: &Server, token: &str) -> (u16, String) {
    let request = reqwest::Client::new().get(format!("{}/api/polling", server.url()));
    let answer = request.bearer_auth(token).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, json(answer).await["code"].as_str().unwrap_or_default().to_owned())
}

#[rstest]
#[case::user(json!({ "user": "ann" }), json!({ "sub": "bob" }))]
#[case::session(json!({ "session": "s1" }), json!({ "sid": "s2" }))]
#[case::token(json!({ "token": "t1" }), json!({ "jti": "t2" }))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_revoked_hears_no_more_and_others_go_on(
    #[case] named: Value,
    #[case] spared: Value,
) {
    let server = Server::start(&[]);
    let (hit, other) = (token(&json!({})), token(&spared));
    let (mut stream, mut others) = (open(&server, &hit).await, open(&server, &other).await);
    let poll = reqwest::Client::new()
        .get(format!("{}/api/polling?wait=30", server.url()))
        .bearer_auth(&hit)
        .send();
    let poll = tokio::spawn(poll);
    stream.next_of("tidings.connected").await;
    others.next_of("tidings.connected").await;
    // Whether or not the poll waits already: it is refused either way.
    let asked = Instant::now();
    let (status, answer) = revoke(&server, named).await;
    assert_eq!(status, 200, "{answer}");
    assert!((1..=2).contains(&answer["closed"].as_u64().unwrap()), "{answer}");
    let Value::Number(until) = &answer["until"] else { panic!("{answer}") };
    assert!(until.as_u64().unwrap() > unix_ms() + 300_000);

    let closing = stream.next_of("tidings.closing").await;
    assert_eq!(closing.json()["reason"], "revoked");
    assert_eq!(stream.next().await, None);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    let polled = poll.await.unwrap().unwrap();
    assert_eq!(
        (polled.status().as_u16(), json(polled).await["code"].clone()),
        (401, json!("revoked"))
    );
    assert_eq!(status_of(&server, &hit).await, (401, "revoked".to_owned()));

    let api = Api::new(&server.url());
    let id = api.publish(r#"{"broadcast":true,"data":1}"#).await;
    assert_eq!(others.next_event().await.id(), id);
    assert_eq!(status_of(&server, &other).await, (200, String::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_signs_in_again_is_let_in_again() {
    let server = Server::start(&[]);
    assert_eq!(revoke(&server, json!({ "user": "ann" })).await.0, 200);
    let now_secs = unix_ms() / 1000;
    let before = token(&json!({ "iat": now_secs - 1, "sid": "s2", "jti": "t2" }));
    assert_eq!(status_of(&server, &before).await.0, 401);
    // As signed by a clock that is a little ahead, so that the test need not wait for the next second.
    let since = token(&json!({ "iat": now_secs + 5, "sid": "s2", "jti": "t3" }));
    assert_eq!(status_of(&server, &since).await.0, 200);
    // A publisher is held to it as well.
    let publisher = token(&json!({ "publish": ["**"] }));
    let api = Api::new(&server.url());
    let refused =
        api.post_as_nobody(r#"{"topic":"a"}"#).bearer_auth(publisher).send().await.unwrap();
    assert_eq!(refused.status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_behind_gets_nothing_more_once_revoked() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let mut behind = Raw::connect_narrow(&server.address);
    let bearer = token(&json!({}));
    behind.send(format!(
        "GET /api/sse HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                 Authorization: Bearer {bearer}\r\n\r\n"
    ));
    behind.read_until("retry: ");
    let body = json!({ "user": "ann", "data": "x".repeat(60_000) }).to_string();
    for _ in 0..100 {
        api.publish(body.clone()).await;
    }
    assert_eq!(revoke(&server, json!({ "user": "ann" })).await.0, 200);
    let got = behind.read_to_end();
    let events = got.lines().filter(|line| line.starts_with("data: \"")).count();
    // What the kernel held already arrives; the rest of the log does not.
    assert!(events < 20, "{events} of 100 events");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_is_closed_by_its_name() {
    let server = Server::start(&[]);
    let (mut one, mut other) =
        (open(&server, &token(&json!({}))).await, open(&server, &token(&json!({}))).await);
    let connected = one.next_of("tidings.connected").await.json();
    other.next_of("tidings.connected").await;
    let path = format!("/api/admin/connections/{}", connected["connection"].as_str().unwrap());
    let api = Api::new(&server.url());
    assert_eq!(api.delete(&path).send().await.unwrap().status(), 204);
    assert_eq!(one.next_of("tidings.closing").await.json()["reason"], "revoked");
    assert_eq!(one.next().await, None);
    assert_eq!(api.delete(&path).send().await.unwrap().status(), 404);
    let id = api.publish(r#"{"user":"ann"}"#).await;
    assert_eq!(other.next_event().await.id(), id);
    // Nobody is revoked: it may come back.
    assert_eq!(status_of(&server, &token(&json!({}))).await.0, 200);
}

#[rstest]
#[case::nobody(json!({}), 400, "invalid-body")]
#[case::two_at_once(json!({ "user": "a", "token": "b" }), 400, "invalid-body")]
#[case::another_field(json!({ "userId": "a" }), 400, "invalid-body")]
#[case::no_name(json!({ "user": "" }), 400, "invalid-body")]
#[case::a_number(json!({ "user": 42 }), 400, "invalid-body")]
#[case::a_long_name(json!({ "session": "x".repeat(257) }), 400, "invalid-body")]
#[case::a_body_too_long(json!({ "session": "x".repeat(5000) }), 413, "body-too-large")]
#[tokio::test]
async fn what_cannot_be_revoked_is_refused(
    #[case] body: Value,
    #[case] status: u16,
    #[case] code: &str,
) {
    let server = Server::start(&[]);
    let (refused, answer) = revoke(&server, body).await;
    assert_eq!((refused, answer["code"].as_str().unwrap()), (status, code), "{answer}");
}

#[rstest]
#[case::of_a_user(json!({}), 403)]
#[case::of_an_administrator(json!({ "role": "admin" }), 200)]
#[tokio::test]
async fn only_an_operator_revokes(#[case] claims: Value, #[case] status: u16) {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let bearer = token(&claims);
    let request = api.client.post(format!("{}/api/revocations", server.url()));
    let answer = request.bearer_auth(&bearer).json(&json!({ "user": "bob" })).send().await.unwrap();
    assert_eq!(answer.status(), status);
    let path = "/api/admin/connections/0123456789abcdef";
    let request = api.client.delete(format!("{}{path}", server.url())).bearer_auth(&bearer);
    let status = if status == 200 { 404 } else { 403 };
    assert_eq!(request.send().await.unwrap().status(), status);
}

#[tokio::test]
async fn no_more_are_revoked_than_can_be_remembered() {
    let server = Server::start(&[("LIMITS__REVOCATIONS_MAX", "2")]);
    for user in ["a", "b", "a"] {
        assert_eq!(revoke(&server, json!({ "user": user })).await.0, 200);
    }
    let (status, answer) = revoke(&server, json!({ "user": "c" })).await;
    assert_eq!((status, answer["code"].as_str().unwrap()), (503, "revocations-full"));
    assert!(answer["detail"].as_str().unwrap().contains("limits.revocations_max"), "{answer}");
}

/// Streams that are open while users are revoked one by one.
const CROWD: usize = 2000;
const REVOKED: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_a_crowd_each_is_closed_within_a_second() {
    let _turn = CROWDS.lock().await;
    let lifted = [("LIMITS__CONNECTIONS_PER_ADDRESS", "0"), ("LIMITS__CONNECTIONS_PER_NODE", "0")];
    let server = Server::start(&lifted);
    let mut streams: Vec<Raw> = (0..CROWD)
        .map(|number| {
            let bearer =
                token(&json!({ "sub": format!("u{number}"), "sid": format!("s{number}") }));
            let mut stream = Raw::connect(&server.address);
            stream.send(format!(
                "GET /api/sse HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                 Authorization: Bearer {bearer}\r\n\r\n"
            ));
            stream
        })
        .collect();
    for stream in &mut streams {
        stream.read_until("retry: ");
    }
    let mut times = Vec::new();
    for (number, stream) in streams.iter_mut().enumerate().step_by(CROWD / REVOKED) {
        let asked = Instant::now();
        let (_, answer) = revoke(&server, json!({ "user": format!("u{number}") })).await;
        assert_eq!(answer["closed"], 1, "u{number}");
        assert!(stream.read_to_end().contains("tidings.closing"), "u{number}");
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    println!("slowest of {REVOKED} among {CROWD}: {:?}", times.last().unwrap());
    assert!(times[times.len() - 2] < Duration::from_secs(1), "{times:?}");
    drop(streams);
    until("the places are given back", || {
        std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count() < CROWD / 2
    });
}
