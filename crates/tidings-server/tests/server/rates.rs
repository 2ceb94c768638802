//! How often, in the cases that are less usual: what counts and what does not, over time, over a
//! reload, and for limits of the application's own that change.

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Response;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::api::{Api, Stream, json};
use crate::support::tokens::token;
use crate::support::{API_KEY, PATIENCE, Server, TOKEN_SECRET, tidings};

/// A key of another service.
const PUBLISH_KEY: &str = "tk_pB3kW8sVn5QxT2zLrY6hJfDc9mGa4uEe7RiO";

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
}

/// The `r` and the `t` of an answer that has this policy.
fn standing(answer: &Response, policy: &str) -> (u32, u32) {
    assert_eq!(header(answer, "ratelimit-policy"), policy);
    let name = policy.split(';').next().unwrap();
    let numbers = header(answer, "ratelimit").strip_prefix(name).unwrap();
    let (left, secs) = numbers.strip_prefix(";r=").unwrap().split_once(";t=").unwrap();
    (left.parse().unwrap(), secs.parse().unwrap())
}

/// A refusal because of this policy; the seconds it says to wait.
async fn refused(answer: Response, policy: &str) -> u32 {
    assert_eq!(answer.status(), 429, "{policy}");
    let (left, secs) = standing(&answer, policy);
    assert_eq!((left, header(&answer, "retry-after")), (0, secs.to_string().as_str()));
    let problem = json(answer).await;
    assert_eq!(problem["code"], "rate-limited", "{problem}");
    secs
}

#[rstest]
#[case::streams("/api/sse?topic=broadcast", "\"sse\";q=3;w=60")]
#[case::long_polls("/api/polling?rewind=all&wait=30&topic=broadcast", "\"polling\";q=3;w=60")]
#[tokio::test]
async fn it_is_beginning_that_counts_and_the_user_whose_it_is(
    #[case] path: &str,
    #[case] policy: &str,
) {
    let server = Server::start(&[("LIMITS__SSE__LIMIT", "3"), ("LIMITS__POLLING__LIMIT", "3")]);
    let api = Api::new(&server.url());
    api.publish(r#"{"topic":"broadcast","data":1}"#).await;
    // A token each, and one of them in the URL.
    let ask = || api.get_as_nobody(path).bearer_auth(token("ann", &[], &[])).send();
    let by_query = format!("{path}&token={}", token("ann", &[], &[]));
    let mut answers = vec![ask().await.unwrap()];
    answers.push(api.get_as_nobody(&by_query).send().await.unwrap());
    answers.push(ask().await.unwrap());
    for (answer, expected) in answers.iter().zip([2, 1, 0]) {
        let (left, secs) = standing(answer, policy);
        assert!(left == expected && (50..=60).contains(&secs), "{left} {secs}");
    }
    refused(ask().await.unwrap(), policy).await;
    // That a stream has ended gives nothing back.
    answers.clear();
    refused(ask().await.unwrap(), policy).await;
    refused(api.get_as_nobody(&by_query).send().await.unwrap(), policy).await;
}

#[tokio::test]
async fn what_opens_no_stream_is_not_counted() {
    let limits = [("LIMITS__SSE__LIMIT", "1"), ("LIMITS__CONNECTIONS_PER_ADDRESS", "1")];
    let server = Server::start(&limits);
    let api = Api::new(&server.url());
    let url = format!("{}/api/sse", server.url());
    let ann = token("ann", &[], &[]);
    for _ in 0..3 {
        let head = api.client.head(&url).bearer_auth(&ann).send().await.unwrap();
        assert_eq!(head.status(), 200);
        let forbidden = api.get_as_nobody("/api/sse?topic=secret").bearer_auth(&ann);
        assert_eq!(forbidden.send().await.unwrap().status(), 403);
        let wrong = api.get_as_nobody("/api/sse?rewind=x").bearer_auth(&ann);
        assert_eq!(wrong.send().await.unwrap().status(), 400);
    }
    // Nor that there is no place.
    let taken = Stream::open(api.get("/api/sse?topic=a")).await;
    let full = api.get_as_nobody("/api/sse").bearer_auth(&ann).send().await.unwrap();
    assert_eq!(json(full).await["code"], "too-many-connections");
    drop(taken);
    let asked = Instant::now();
    loop {
        let answer = api.get_as_nobody("/api/sse").bearer_auth(&ann).send().await.unwrap();
        if answer.status() == 200 {
            assert_eq!(standing(&answer, "\"sse\";q=1;w=60").0, 0);
            break;
        }
        assert_eq!(json(answer).await["code"], "too-many-connections");
        assert!(asked.elapsed() < PATIENCE);
    }
    let answer = api.get_as_nobody("/api/sse").bearer_auth(&ann).send().await.unwrap();
    assert_eq!(answer.status(), 429);
}

#[tokio::test]
async fn a_use_comes_back_when_its_window_is_over() {
    let limits = [("LIMITS__POLLING__LIMIT", "2"), ("LIMITS__POLLING__WINDOW_SECS", "1")];
    let server = Server::start(&limits);
    let api = Api::new(&server.url());
    let ann = token("ann", &[], &[]);
    let begun = Instant::now();
    let mut admitted = Vec::new();
    while admitted.len() < 7 {
        let asked = Instant::now();
        let answer = api.get_as_nobody("/api/polling").bearer_auth(&ann).send().await.unwrap();
        match answer.status().as_u16() {
            200 => admitted.push((asked, Instant::now())),
            429 => assert_eq!(refused(answer, "\"polling\";q=2;w=1").await, 1),
            status => panic!("{status}"),
        }
        assert!(begun.elapsed() < PATIENCE);
    }
    // The third is a second after the first, as far as can be seen from here, and so on; but what is
    // refused in between does not put it off.
    for (one, other) in admitted.iter().zip(&admitted[2..]) {
        assert!(other.1.duration_since(one.0) >= Duration::from_secs(1));
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_answer_without_news_says_how_often_too() {
    let server = Server::start(&[("LIMITS__POLLING__LIMIT", "2")]);
    let api = Api::new(&server.url());
    let cursor = api.newest().await;
    let request = api.get_as_nobody(&format!("/api/polling?lastEventId={cursor}"));
    let request = request.bearer_auth(token("ann", &[], &[]));
    let answer = request.header("if-none-match", format!("\"{cursor}\"")).send().await.unwrap();
    assert_eq!(answer.status(), 304);
    assert_eq!(standing(&answer, "\"polling\";q=2;w=60").0, 1);
}

/// A `serve` command with the usual limits, and this file.
fn with_usual_limits(file: &std::path::Path) -> Command {
    let mut command = tidings();
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(file);
    command.env("TIDINGS_API_KEY", API_KEY).env("TIDINGS_TOKEN_SECRET", TOKEN_SECRET);
    command
}

#[tokio::test]
async fn limits_have_their_defaults_and_change_on_reload() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let server = Server::spawn_with_limits(with_usual_limits(file.path()));
    let api = Api::new(&server.url());
    let ann = token("ann", &[], &[]);
    let ask = |path: &str| api.get_as_nobody(path).bearer_auth(&ann).send();
    let polled = ask("/api/polling").await.unwrap();
    assert_eq!(standing(&polled, "\"polling\";q=60;w=60").0, 59);
    for left in [4, 3, 2, 1, 0] {
        assert_eq!(standing(&ask("/api/sse").await.unwrap(), "\"sse\";q=5;w=60").0, left);
    }
    refused(ask("/api/sse").await.unwrap(), "\"sse\";q=5;w=60").await;

    // With the uses of before.
    write!(file, "limits.sse.limit = 7\nlimits.polling.limit = 0").unwrap();
    server.signal("HUP");
    server.wait_for_log("reloaded");
    for left in [1, 0] {
        assert_eq!(standing(&ask("/api/sse").await.unwrap(), "\"sse\";q=7;w=60").0, left);
    }
    refused(ask("/api/sse").await.unwrap(), "\"sse\";q=7;w=60").await;
    let polled = ask("/api/polling").await.unwrap();
    assert_eq!(polled.status(), 200);
    assert!(!polled.headers().contains_key("ratelimit"));
}

#[tokio::test]
async fn a_development_node_is_in_nobodys_way() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = with_usual_limits(file.path());
    command.arg("--dev").env("TIDINGS_LIMITS__POLLING__LIMIT", "2");
    let server = Server::spawn_with_limits(command);
    let api = Api::new(&server.url());
    let ann = token("ann", &[], &[]);
    let answer = api.get_as_nobody("/api/sse").bearer_auth(&ann).send().await.unwrap();
    assert_eq!(standing(&answer, "\"sse\";q=1000;w=60").0, 999);
    let answer = api.get_as_nobody("/api/polling").bearer_auth(&ann).send().await.unwrap();
    assert_eq!(standing(&answer, "\"polling\";q=2;w=60").0, 1);
}

/// A server with a second key, and what it answers to a use: the status and the JSON.
fn lender() -> Server {
    let keys = json!([
        { "name": "orders", "secret": PUBLISH_KEY, "scopes": ["publish"] },
        { "name": "login", "secret": format!("{PUBLISH_KEY}2"), "scopes": ["token", "admin"] },
    ]);
    Server::start(&[("KEYS", &keys.to_string()), ("LIMITS__POLLING__LIMIT", "1")])
}

async fn count(server: &Server, key: &str, body: &Value) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("{}/api/rate-limit", server.url()));
    let answer = request.bearer_auth(key).json(body).send().await.unwrap();
    (answer.status().as_u16(), json(answer).await)
}

fn a_use(changes: &Value) -> Value {
    let mut body = json!({ "identifier": "login", "subject": "ann", "limit": 2, "windowSecs": 60 });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[tokio::test]
async fn an_application_counts_what_is_its_own() {
    let server = lender();
    let usual = a_use(&json!({}));
    for (allowed, left) in [(true, 1), (true, 0), (false, 0), (false, 0)] {
        let (status, answer) = count(&server, API_KEY, &usual).await;
        assert_eq!(status, 200);
        assert_eq!(
            (&answer["allowed"], &answer["limit"], &answer["remaining"]),
            (&json!(allowed), &json!(2), &json!(left))
        );
        assert!((50..=60).contains(&answer["resetSecs"].as_u64().unwrap()), "{answer}");
        assert_eq!(answer.as_object().unwrap().len(), 4);
    }
    // Another subject, another thing, another publisher.
    for changes in [json!({ "subject": "bob" }), json!({ "identifier": "logi", "subject": "nann" })]
    {
        assert_eq!(count(&server, API_KEY, &a_use(&changes)).await.1["allowed"], true);
    }
    assert_eq!(count(&server, PUBLISH_KEY, &usual).await.1["remaining"], 1);
    // A limit that changes is decided with the uses there were.
    let raised = a_use(&json!({ "limit": 3 }));
    assert_eq!(count(&server, API_KEY, &raised).await.1["remaining"], 0);
    assert_eq!(count(&server, API_KEY, &raised).await.1["allowed"], false);
    let longer = a_use(&json!({ "limit": 4, "windowSecs": 86_400 }));
    assert_eq!(count(&server, API_KEY, &longer).await.1["allowed"], true);
    let lowered = count(&server, API_KEY, &a_use(&json!({ "limit": 1 }))).await.1;
    assert_eq!((&lowered["allowed"], &lowered["limit"]), (&json!(false), &json!(1)));

    // What the hub limits by itself has nothing to do with it.
    let polling = a_use(&json!({ "identifier": "polling", "limit": 1 }));
    assert_eq!(count(&server, API_KEY, &polling).await.1["allowed"], true);
    let poll = reqwest::Client::new().get(format!("{}/api/polling", server.url()));
    let poll = poll.bearer_auth(token("ann", &[], &[])).send().await.unwrap();
    assert_eq!(poll.status(), 200);
}

#[tokio::test]
async fn a_use_that_cannot_be_counted_is_refused_with_what_is_wrong() {
    let server = lender();
    let long = "x".repeat(128);
    let longest = a_use(
        &json!({ "identifier": long, "subject": long, "limit": 10_000, "windowSecs": 86_400 }),
    );
    assert_eq!(count(&server, API_KEY, &longest).await.0, 200);
    let wrong = [
        (json!({ "identifier": "" }), "'identifier' is 1 to 128 bytes long."),
        (json!({ "identifier": format!("{long}x") }), "'identifier' is 1 to 128 bytes long."),
        (json!({ "subject": "" }), "'subject' is 1 to 128 bytes long."),
        (json!({ "subject": "é".repeat(65) }), "'subject' is 1 to 128 bytes long."),
        (json!({ "limit": 0 }), "'limit' is 1 to 10000."),
        (json!({ "limit": 10_001 }), "'limit' is 1 to 10000."),
        (json!({ "limit": u64::MAX }), "'limit' is 1 to 10000."),
        (json!({ "windowSecs": 0 }), "'windowSecs' is 1 to 86400."),
        (json!({ "windowSecs": 86_401 }), "'windowSecs' is 1 to 86400."),
        (json!({ "limit": -1 }), "The body cannot be used"),
        (json!({ "limit": 1.5 }), "The body cannot be used"),
        (json!({ "limit": "5" }), "The body cannot be used"),
        (json!({ "limit": null }), "The body cannot be used"),
        (json!({ "subject": 7 }), "The body cannot be used"),
        (json!({ "cost": 2 }), "unknown field `cost`"),
    ];
    for (changes, detail) in wrong {
        let (status, problem) = count(&server, API_KEY, &a_use(&changes)).await;
        assert_eq!((status, &problem["code"]), (400, &json!("invalid-body")), "{changes}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
    }
    for missing in ["identifier", "subject", "limit", "windowSecs"] {
        let mut body = a_use(&json!({}));
        body.as_object_mut().unwrap().remove(missing);
        let (status, problem) = count(&server, API_KEY, &body).await;
        assert_eq!((status, &problem["code"]), (400, &json!("invalid-body")), "{missing}");
    }
    let (status, problem) =
        count(&server, API_KEY, &json!({ "identifier": "x".repeat(5000) })).await;
    assert_eq!((status, &problem["code"]), (413, &json!("body-too-large")));

    let body = a_use(&json!({}));
    let other = format!("{PUBLISH_KEY}2");
    let publisher = token("ann", &[], &["**"]);
    for (credential, status) in [
        (other.as_str(), 403),
        (&publisher, 403),
        ("tk_wrongwrongwrongwrongwrongwrongwrongwrong", 401),
    ] {
        assert_eq!(count(&server, credential, &body).await.0, status, "{credential}");
    }
    // Nothing of all this was counted.
    assert_eq!(count(&server, API_KEY, &body).await.1["remaining"], 1);
}
