//! Credentials leave no trace: not in what the server logs when it logs everything, and not in
//! what it answers.

use std::future::IntoFuture;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use reqwest::RequestBuilder;
use serde_json::json;

use crate::support::api::{Api, Stream};
use crate::support::raw::Raw;
use crate::support::session::{AUTHJS_SECRET, SESSION_SECRET, nextauth_session, signed_session};
use crate::support::tokens::{mint, token};
use crate::support::{API_KEY, Server, TOKEN_SECRET};

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
    // The operator sees who is there, and not by what.
    let mut seen = String::new();
    for path in ["connections", "topics", "topics/user%2F42/events", "stats", "sse-metrics"] {
        seen += &everything_in(api.get(&format!("/api/admin/{path}"))).await;
    }
    seen += &everything_in(api.get("/metrics")).await;
    seen += &everything_in(api.get_as_nobody("/readyz")).await;
    assert!(seen.contains("\"user\":\"42\""), "{seen}");
    answers += &seen;

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

/// An application that knows one session, and fails on every second question.
async fn application(session: &'static str) -> String {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let asked = std::sync::Arc::new(asked);
    let answer = async move |headers: HeaderMap| {
        let knows = headers.get("cookie").is_some_and(|cookie| cookie == session);
        let turn = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let status = if turn % 2 == 1 {
            StatusCode::INTERNAL_SERVER_ERROR
        } else if knows {
            StatusCode::OK
        } else {
            StatusCode::UNAUTHORIZED
        };
        (status, r#"{"userId":"42","sessionId":"s1"}"#)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/session?key=Qx7introspectCanary", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, Router::new().route("/session", get(answer))).into_future());
    url
}

/// A settings' name and value, the name of a session's cookie, and one that is right.
type Method = (Vec<(&'static str, String)>, &'static str, String);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_logged_or_answered() {
    const INTROSPECTED: &str = "canaryIntrospectedZr8qJ2vXw5LmT1pYhK7cNd";
    let url = application("sid=canaryIntrospectedZr8qJ2vXw5LmT1pYhK7cNd").await;
    let methods: [Method; 3] = [
        (
            vec![
                ("AUTH__SESSION__INTROSPECT__URL", url),
                ("AUTH__SESSION__INTROSPECT__COOKIES", "sid".to_owned()),
                ("AUTH__SESSION__INTROSPECT__HEADERS", "x-session".to_owned()),
                ("AUTH__SESSION__INTROSPECT__CACHE_SECS", "0".to_owned()),
                ("AUTH__SESSION__INTROSPECT__REFUSAL_CACHE_SECS", "0".to_owned()),
            ],
            "sid",
            INTROSPECTED.to_owned(),
        ),
        (
            vec![
                ("AUTH__SESSION__JWT__COOKIE", "session".to_owned()),
                ("AUTH__SESSION__JWT__SECRET", SESSION_SECRET.to_owned()),
            ],
            "session",
            signed_session(&json!({})),
        ),
        (
            vec![("AUTH__SESSION__AUTHJS__SECRETS", AUTHJS_SECRET.to_owned())],
            "next-auth.session-token",
            nextauth_session(&json!({})),
        ),
    ];
    for (mut settings, name, good) in methods {
        settings.push(("LOG", "trace".to_owned()));
        settings.push(("STREAMS__DRAIN_DELAY_SECS", "0".to_owned()));
        let settings: Vec<_> = settings.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let mut server = Server::start(&settings);
        let api = Api::new(&server.url());
        let bad = format!("{}Canary", good.chars().rev().collect::<String>());
        let mut answers = String::new();
        for value in [&good, &bad, &good, &bad] {
            for cookie in [
                format!("{name}={value}"),
                format!("{name}={value}; {name}={value}"),
                format!("{name}.0={value}; {name}.2={value}"),
                format!("tidings_token={value}"),
            ] {
                for request in [
                    api.get_as_nobody("/api/polling?topic=//"),
                    api.get_as_nobody("/api/sse?topic=elsewhere"),
                    api.client.post(format!("{}/api/sse/token", server.url())).body("{"),
                    api.post_as_nobody("{}"),
                    api.get_as_nobody("/nowhere"),
                ] {
                    let request = request.header("cookie", &cookie).header("x-session", value);
                    answers += &everything_in(request).await;
                }
            }
        }
        server.signal("HUP");
        server.wait_for_log("reloaded");
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        let log = server.whole_log();
        assert!(log.contains("\"stopped\""), "little is logged: {log}");
        let signature = good.rsplit('.').next().unwrap();
        let secrets = [&good, &bad, signature, SESSION_SECRET, AUTHJS_SECRET, "introspectCanary"];
        for secret in secrets {
            assert!(!log.contains(secret), "{secret} is in the log: {log}");
            assert!(!answers.contains(secret), "{secret} is in an answer: {answers}");
        }
    }
}
