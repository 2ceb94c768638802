//! How often, and from where: rate limits and forwarded addresses.

use reqwest::{Client, RequestBuilder, Response};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::api::{Api, json};
use crate::support::tokens::token;
use crate::support::{API_KEY, Server};

const THREE_STREAMS: (&str, &str) = ("LIMITS__SSE__LIMIT", "3");
const THREE_POLLS: (&str, &str) = ("LIMITS__POLLING__LIMIT", "3");

fn get(server: &Server, path: &str) -> RequestBuilder {
    Client::new().get(format!("{}{path}", server.url()))
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
}

#[rstest]
#[case::of_streams("/api/sse", "sse", THREE_STREAMS)]
#[case::of_polls("/api/polling", "polling", THREE_POLLS)]
#[tokio::test]
async fn a_user_gets_so_many_in_a_minute_and_is_told_when_there_are_more(
    #[case] path: &str,
    #[case] name: &str,
    #[case] limit: (&str, &str),
) {
    let server = Server::start(&[limit]);
    let ann = token("ann", &[], &[]);
    for left in [2, 1, 0] {
        let answer = get(&server, path).bearer_auth(&ann).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "ratelimit-policy"), format!("\"{name}\";q=3;w=60"));
        assert!(header(&answer, "ratelimit").starts_with(&format!("\"{name}\";r={left};t=")));
    }
    let refused = get(&server, path).bearer_auth(&ann).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let secs: u64 = header(&refused, "retry-after").parse().unwrap();
    assert!((50..=60).contains(&secs), "{secs}");
    assert_eq!(header(&refused, "ratelimit"), format!("\"{name}\";r=0;t={secs}"));
    let problem = json(refused).await;
    assert_eq!(problem["code"], "rate-limited");
    assert!(problem["detail"].as_str().unwrap().contains(&format!("limits.{name}")), "{problem}");
    // Another user, and the application's own servers.
    let bob = token("bob", &[], &[]);
    assert_eq!(get(&server, path).bearer_auth(bob).send().await.unwrap().status(), 200);
    for _ in 0..5 {
        let answer = get(&server, path).bearer_auth(API_KEY).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key("ratelimit"));
    }
}

#[tokio::test]
async fn looking_at_a_stream_counts_nothing() {
    let server = Server::start(&[("LIMITS__SSE__LIMIT", "1")]);
    let ann = token("ann", &[], &[]);
    for _ in 0..3 {
        let url = format!("{}/api/sse", server.url());
        assert_eq!(Client::new().head(url).bearer_auth(&ann).send().await.unwrap().status(), 200);
    }
    assert_eq!(get(&server, "/api/sse").bearer_auth(&ann).send().await.unwrap().status(), 200);
    assert_eq!(get(&server, "/api/sse").bearer_auth(&ann).send().await.unwrap().status(), 429);
}

#[tokio::test]
async fn whoever_fails_too_often_is_told_to_wait_and_keeps_nobody_out() {
    let server = Server::start(&[("LIMITS__AUTH_FAILURES__LIMIT", "3")]);
    let ann = token("ann", &[], &[]);
    let mut forged = ann.clone();
    forged.replace_range(forged.len() - 4.., "AAAA");
    let status = async |bearer: &str| {
        let answer = get(&server, "/api/polling").bearer_auth(bearer).send().await.unwrap();
        (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
    };
    // What is everyday is no failure: no credential at all, or one that has expired.
    for _ in 0..5 {
        assert_eq!(get(&server, "/api/polling").send().await.unwrap().status(), 401);
    }
    for bearer in [&forged, "tk_nobodyknowsthiskeyatallbecauseitisnot", &forged] {
        assert_eq!(status(bearer).await, (401, false));
    }
    assert_eq!(status(&forged).await, (429, true));
    assert_eq!(status(&ann).await, (200, false));
    assert_eq!(status(API_KEY).await, (200, false));
}

#[tokio::test]
async fn a_forwarded_address_counts_from_a_trusted_proxy_only() {
    let one_failure = ("LIMITS__AUTH_FAILURES__LIMIT", "1");
    let fail = async |server: &Server, from: &str| {
        let request = get(server, "/api/polling").bearer_auth("x").header("x-forwarded-for", from);
        request.send().await.unwrap().status().as_u16()
    };
    let behind_a_proxy = Server::start(&[one_failure, ("TRUSTED_PROXIES", "127.0.0.0/8")]);
    assert_eq!(fail(&behind_a_proxy, "198.51.100.1").await, 401);
    assert_eq!(fail(&behind_a_proxy, "198.51.100.2").await, 401);
    assert_eq!(fail(&behind_a_proxy, "203.0.113.9, 198.51.100.1").await, 429);
    assert_eq!(fail(&behind_a_proxy, "2001:db8::1").await, 401);
    assert_eq!(fail(&behind_a_proxy, "2001:db8::2").await, 429);

    let direct = Server::start(&[one_failure]);
    assert_eq!(fail(&direct, "198.51.100.1").await, 401);
    assert_eq!(fail(&direct, "198.51.100.2").await, 429);
}

#[tokio::test]
async fn streams_are_bounded_by_the_forwarded_address() {
    let settings = [("LIMITS__CONNECTIONS_PER_ADDRESS", "1"), ("TRUSTED_PROXIES", "127.0.0.1")];
    let server = Server::start(&settings);
    let open = async |from: &str| {
        let request = get(&server, "/api/sse?topic=a").bearer_auth(API_KEY);
        request.header("forwarded", format!("for={from}")).send().await.unwrap()
    };
    let (one, other) = (open("198.51.100.1").await, open("198.51.100.2").await);
    assert_eq!((one.status().as_u16(), other.status().as_u16()), (200, 200));
    assert_eq!(open("198.51.100.1").await.status(), 429);
}

/// One use of a limit of the application's own.
async fn take(server: &Server, body: Value) -> (u16, Value) {
    let answer =
        Api::new(&server.url()).post_to("/api/rate-limit").json(&body).send().await.unwrap();
    (answer.status().as_u16(), json(answer).await)
}

#[tokio::test]
async fn the_limiter_is_lent_to_the_application() {
    let server = Server::start(&[]);
    let of = |identifier: &str, subject: &str| json!({ "identifier": identifier, "subject": subject, "limit": 2, "windowSecs": 60 });
    for remaining in [1, 0] {
        let (status, answer) = take(&server, of("login", "ann")).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["allowed"], true);
        assert_eq!((&answer["limit"], &answer["remaining"]), (&json!(2), &json!(remaining)));
        assert!((1..=60).contains(&answer["resetSecs"].as_u64().unwrap()), "{answer}");
    }
    assert_eq!(take(&server, of("login", "ann")).await.1["allowed"], false);
    assert_eq!(take(&server, of("login", "bob")).await.1["allowed"], true);
    assert_eq!(take(&server, of("search", "ann")).await.1["allowed"], true);
}

#[rstest]
#[case::no_subject(json!({ "identifier": "a", "limit": 1, "windowSecs": 1 }))]
#[case::another_field(json!({ "identifier": "a", "subject": "b", "limit": 1, "windowSecs": 1, "x": 1 }))]
#[case::an_empty_name(json!({ "identifier": "", "subject": "b", "limit": 1, "windowSecs": 1 }))]
#[case::a_long_name(json!({ "identifier": "a", "subject": "b".repeat(129), "limit": 1, "windowSecs": 1 }))]
#[case::no_limit(json!({ "identifier": "a", "subject": "b", "limit": 0, "windowSecs": 1 }))]
#[case::too_high(json!({ "identifier": "a", "subject": "b", "limit": 10_001, "windowSecs": 1 }))]
#[case::negative(json!({ "identifier": "a", "subject": "b", "limit": -1, "windowSecs": 1 }))]
#[case::no_time(json!({ "identifier": "a", "subject": "b", "limit": 1, "windowSecs": 0 }))]
#[case::too_long(json!({ "identifier": "a", "subject": "b", "limit": 1, "windowSecs": 86_401 }))]
#[tokio::test]
async fn a_limit_that_makes_no_sense_is_refused(#[case] body: Value) {
    let server = Server::start(&[]);
    let (status, answer) = take(&server, body).await;
    assert_eq!((status, answer["code"].as_str().unwrap()), (400, "invalid-body"), "{answer}");
}

#[tokio::test]
async fn a_user_is_not_lent_the_limiter() {
    let server = Server::start(&[]);
    let body = json!({ "identifier": "a", "subject": "b", "limit": 1, "windowSecs": 1 });
    let request = Client::new().post(format!("{}/api/rate-limit", server.url())).json(&body);
    let bearer = token("ann", &["**"], &["**"]);
    assert_eq!(request.bearer_auth(bearer).send().await.unwrap().status(), 403);
}
