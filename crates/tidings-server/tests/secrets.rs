//! Credentials leave no trace: not in what the server logs when it logs everything, and not in
//! what it answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod support;

use reqwest::RequestBuilder;
use serde_json::json;
use support::api::{Api, Stream};
use support::raw::Raw;
use support::tokens::{mint, token};
use support::{API_KEY, Server, TOKEN_SECRET};

/// Every answer there is to a request, but not to one that opens a stream.
async fn everything_in(request: RequestBuilder) -> String {
    let answer = request.send().await.unwrap();
    let headers = format!("{:?}", answer.headers());
    format!("{headers}{}", answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_credential_is_logged_or_answered() {
    let settings = [("LOG", "trace"), ("STREAMS__DRAIN_DELAY_SECS", "0")];
    let mut server = Server::start(&settings);
    let api = Api::new(&server.url());

    let good = token("42", &["orders/*"], &["orders/*"]);
    let expired = mint("42", |request| request.meta = None);
    let (message, signature) = expired.rsplit_once('.').unwrap();
    let forged = format!("{message}.{}", signature.chars().rev().collect::<String>());
    let unknown = "tk_unknownCanaryQ7wE2rT9yU4iO1pA6sD3fG8hJ";
    let secrets = [API_KEY, TOKEN_SECRET, &good, &forged, unknown, signature];

    let mut answers = String::new();
    let bearer = |key: &str| api.get_as_nobody("/api/sse?topic=//").bearer_auth(key);
    for credential in [API_KEY, &good, &forged, unknown] {
        let sent = everything_in(bearer(credential)).await;
        let in_query = format!("/api/polling?topic=orders/1&token={credential}");
        let sent_in_query = everything_in(api.get_as_nobody(&in_query)).await;
        let twice = format!("/api/polling?token={credential}&token={credential}");
        let sent_twice = everything_in(api.get_as_nobody(&twice)).await;
        let nowhere = everything_in(api.get_as_nobody(&format!("/x?token={credential}"))).await;
        let body = json!({ "topic": "elsewhere", "key": "\n" }).to_string();
        let published = everything_in(api.post_as_nobody(body).bearer_auth(credential)).await;
        let basic = api.get("/api/polling").header("authorization", format!("Basic {credential}"));
        let not_bearer = everything_in(basic).await;
        answers += &[sent, sent_in_query, sent_twice, nowhere, published, not_bearer].concat();
        // What breaks off, and what is no HTTP at all.
        for head in ["GET /api/sse?topic=a&token=", "\0Authorization: Bearer "] {
            let mut socket = Raw::connect(&server.address);
            socket.send(format!("{head}{credential} HTTP/1.1\r\nHost: h\r\nbad header\r\n\r\n"));
            answers += &socket.read_to_end();
        }
    }
    let mut stream = Stream::open(api.get_as_nobody(&format!("/api/sse?token={good}"))).await;
    answers += &stream.next().await.unwrap().0;
    api.publish(r#"{"user":"42"}"#).await;
    answers += &stream.next_event().await.0;

    // A reload looks at every setting, and so does the way out.
    server.signal("HUP");
    server.wait_for_log("reloaded");
    server.signal("TERM");
    assert_eq!(stream.next_of("tidings.closing").await.json()["reason"], "drain");
    assert_eq!(server.wait(), Some(0));
    let log = server.whole_log();
    assert!(log.contains("\"DEBUG\"") && log.contains("\"stopped\""), "little is logged: {log}");
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
        assert!(!answers.contains(secret), "{secret} is in an answer: {answers}");
    }
}
