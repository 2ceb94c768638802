//! Publishing against hubs that follow scripts: what is sent, what is sent again, and what the
//! publisher is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidings_client::{BackoffBounds, Credential, NewEvent, PublishError, Publisher};

use crate::support::{Reply, Request, ScriptedHub};

const SHORT: BackoffBounds = BackoffBounds {
    min: Duration::from_millis(1),
    max: Duration::from_millis(5),
    stable_after: Duration::from_secs(10),
};

fn publisher(hub: &ScriptedHub) -> Publisher {
    Publisher::new(hub.url(), Credential::api_key("tk_1")).unwrap().backoff(SHORT)
}

fn published(id: &str) -> String {
    format!("{{\"id\":\"{id}\",\"durability\":\"memory\"}}")
}

fn refused(status: u16, code: &str) -> String {
    format!("{{\"error\":{{\"status\":{status},\"code\":\"{code}\",\"detail\":\"no\"}}}}")
}

fn results(results: &[String]) -> Reply {
    Reply::json(200, &format!("{{\"results\":[{}]}}", results.join(",")))
}

fn key(request: &Request) -> String {
    let event: NewEvent = serde_json::from_str(&request.body).unwrap();
    event.key.expect("every event has a key")
}

#[tokio::test]
async fn an_event_is_sent_as_it_was_written() {
    let hub = ScriptedHub::start([Reply::json(201, &published("aaaaaaaa-1"))]).await;
    let data = serde_json::value::RawValue::from_string("{\"n\": 1.0e3}".to_owned()).unwrap();
    let event = NewEvent::raw(data).topic("a").user("42").r#type("t").ttl_secs(60).key("k");
    let answer = publisher(&hub).publish(&event).await.unwrap();
    assert_eq!(
        (answer.id.to_string().as_str(), answer.durability.as_str()),
        ("aaaaaaaa-1", "memory")
    );
    let request = &hub.requests()[0];
    assert_eq!(request.line, "POST /api/events");
    assert_eq!(request.header("authorization"), Some("Bearer tk_1"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(
        request.body,
        "{\"topics\":[\"a\"],\"users\":[\"42\"],\"type\":\"t\",\"data\":{\"n\": 1.0e3},\
         \"ttlSecs\":60,\"key\":\"k\"}"
    );
}

#[tokio::test]
async fn an_unknown_outcome_is_tried_again_with_the_same_bytes_and_key() {
    let hub = ScriptedHub::start([
        Reply::nothing(),
        Reply::new(500, "", "oops"),
        Reply::problem(503, "unavailable"),
        Reply::problem(429, "rate-limited"),
        Reply::json(201, &published("aaaaaaaa-1")),
    ])
    .await;
    publisher(&hub).publish(&NewEvent::text("hello").topic("a")).await.unwrap();
    let requests = hub.requests();
    assert_eq!(requests.len(), 5);
    assert!(!key(&requests[0]).is_empty());
    assert!(requests.iter().all(|request| request.body == requests[0].body));
}

#[tokio::test]
async fn a_refusal_for_good_is_not_tried_again() {
    for (status, code) in [
        (400, "invalid-topic"),
        (401, "unauthenticated"),
        (403, "forbidden"),
        (409, "idempotency-conflict"),
        (413, "event-too-large"),
    ] {
        let hub = ScriptedHub::start([Reply::problem(status, code)]).await;
        match publisher(&hub).publish(&NewEvent::text("a").topic("a")).await {
            Err(PublishError::Refused(problem)) => assert_eq!(problem.code, code),
            other => panic!("{status}: {other:?}"),
        }
        assert_eq!(hub.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_publisher_gives_up_rather_than_wait_beyond_its_time() {
    let hub = ScriptedHub::start([Reply::new(503, "retry-after: 60\r\n", "")]).await;
    let publisher = publisher(&hub).retry_for(Duration::from_secs(30));
    match publisher.publish(&NewEvent::text("a").topic("a")).await {
        Err(PublishError::GaveUp { attempts: 1, reason }) => {
            assert!(reason.contains("503"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_for_a_publisher_too() {
    let hub = ScriptedHub::start([
        Reply::problem(401, "token-expired"),
        Reply::json(201, &published("aaaaaaaa-1")),
        Reply::json(201, &published("aaaaaaaa-2")),
    ])
    .await;
    let count = AtomicUsize::new(1);
    let credential = Credential::provider(move || {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move { Ok(format!("token-{number}")) }
    });
    let publisher = Publisher::new(hub.url(), credential).unwrap().backoff(SHORT);
    for _ in 0..2 {
        publisher.publish(&NewEvent::text("a").topic("a")).await.unwrap();
    }
    let requests = hub.requests();
    let shown: Vec<_> = requests.iter().map(|request| request.header("authorization")).collect();
    assert_eq!(shown, [Some("Bearer token-1"), Some("Bearer token-2"), Some("Bearer token-2")]);
}

#[tokio::test]
async fn many_events_get_a_result_each_and_only_the_unlucky_are_tried_again() {
    let hub = ScriptedHub::start([
        results(&[
            published("aaaaaaaa-1"),
            refused(503, "unavailable"),
            refused(400, "invalid-topic"),
            refused(429, "rate-limited"),
        ]),
        results(&[published("aaaaaaaa-2"), published("aaaaaaaa-3")]),
    ])
    .await;
    let events: Vec<NewEvent> =
        ["a", "b", "c", "d"].map(|key| NewEvent::text(key).topic("t").key(key)).into();
    let found: Vec<String> = publisher(&hub)
        .publish_many(&events)
        .await
        .unwrap()
        .into_iter()
        .map(|result| result.map_or_else(|problem| problem.code, |done| done.id.to_string()))
        .collect();
    assert_eq!(found, ["aaaaaaaa-1", "aaaaaaaa-2", "invalid-topic", "aaaaaaaa-3"]);
    let again: Vec<NewEvent> = serde_json::from_str(&hub.requests()[1].body).unwrap();
    let again: Vec<_> = again.into_iter().map(|event| event.key.unwrap()).collect();
    assert_eq!(again, ["b", "d"]);
}

#[tokio::test]
async fn events_that_stay_unlucky_are_reported_beside_those_that_were_published() {
    let hub =
        ScriptedHub::start([results(&[published("aaaaaaaa-1"), refused(503, "unavailable")])])
            .await;
    let publisher = publisher(&hub).retry_for(Duration::ZERO);
    let events = [NewEvent::text("a").topic("t"), NewEvent::text("b").topic("t")];
    let found = publisher.publish_many(&events).await.unwrap();
    assert!(found[0].is_ok());
    assert_eq!(found[1].as_ref().unwrap_err().code, "unavailable");
}

#[tokio::test]
async fn ndjson_has_one_event_a_line() {
    let hub =
        ScriptedHub::start([results(&[published("aaaaaaaa-1"), published("aaaaaaaa-2")])]).await;
    let events = [NewEvent::text("a\nb").topic("t"), NewEvent::text("c").topic("t")];
    publisher(&hub).publish_ndjson(&events).await.unwrap();
    let request = &hub.requests()[0];
    assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
    let texts: Vec<_> = request
        .body
        .lines()
        .map(|line| serde_json::from_str::<NewEvent>(line).unwrap().text.unwrap())
        .collect();
    assert_eq!(texts, ["a\nb", "c"]);
}

#[tokio::test]
async fn no_events_are_no_request() {
    let hub = ScriptedHub::start([]).await;
    assert!(publisher(&hub).publish_many(&[]).await.unwrap().is_empty());
    assert!(hub.requests().is_empty());
}

#[tokio::test]
async fn answers_that_are_not_a_hubs_are_refused() {
    let hub = ScriptedHub::start([
        Reply::json(200, "{\"ok\":true}"),
        results(&[published("aaaaaaaa-1")]),
    ])
    .await;
    let publisher = publisher(&hub);
    let events = [NewEvent::text("a").topic("t"), NewEvent::text("b").topic("t")];
    let one = publisher.publish(&events[0]).await;
    assert!(matches!(one, Err(PublishError::Protocol(_))), "{one:?}");
    let many = publisher.publish_many(&events).await;
    assert!(matches!(many, Err(PublishError::Protocol(_))), "{many:?}");
}
