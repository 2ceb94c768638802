//! A subscription against hubs that follow scripts: each test is one way a network or a hub
//! behaves, and what the subscriber is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tidings_client::{
    BackoffBounds, Credential, Interruption, Item, Rewind, Subscribe, SubscribeError, Subscription,
    Transport,
};

use crate::support::{Reply, ScriptedHub};

const DEADLINE: Duration = Duration::from_secs(20);

/// Waits so short that no test is slow for them.
const SHORT: BackoffBounds = BackoffBounds {
    min: Duration::from_millis(1),
    max: Duration::from_millis(5),
    stable_after: Duration::from_secs(10),
};

fn subscribe(hub: &ScriptedHub) -> Subscribe {
    Subscribe::new(hub.url()).backoff(SHORT)
}

fn connected(cursor: &str, resumed: bool) -> String {
    format!(
        "id: {cursor}\nevent: tidings.connected\ndata: {{\"connection\":\"c1\",\"user\":null,\
         \"method\":\"none\",\"topics\":[\"a\"],\"cursor\":\"{cursor}\",\"resumed\":{resumed},\
         \"heartbeatSecs\":15,\"expiresAt\":null}}\n\n"
    )
}

fn event(id: &str) -> String {
    format!("id: {id}\nevent: t\ntopic: a,b\ntime: 1795458000000\ndata: {{\"n\": 1.0}}\n\n")
}

fn polled(id: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"type\":\"t\",\"topics\":[\"a\"],\"data\":1,\"timestamp\":1795458000000}}"
    )
}

fn page(events: &[&str], cursor: &str, more: &str) -> Reply {
    let events: Vec<String> = events.iter().map(|id| polled(id)).collect();
    Reply::json(
        200,
        &format!(
            "{{\"events\":[{}],\"cursor\":\"{cursor}\",\"timestamp\":1795458001000,{more}}}",
            events.join(",")
        ),
    )
}

async fn next(subscription: &mut Subscription) -> Option<Result<Item, SubscribeError>> {
    tokio::time::timeout(DEADLINE, subscription.next()).await.expect("nothing came in time")
}

/// An item in short, with what differs from run to run left out.
fn short(item: &Item) -> String {
    match item {
        Item::Connected(connected) => {
            format!("connected {} resumed={}", connected.cursor, connected.resumed)
        }
        Item::Event(event) => format!("event {}", event.id),
        Item::Gap(gap) => format!("gap {:?} {}", gap.reason, gap.cursor),
        Item::Expiring(expiring) => format!("expiring {:?}", expiring.reason),
        Item::Closing(closing) => format!("closing {:?}", closing.reason),
        Item::Retrying { reason, .. } => match reason {
            Interruption::Refused(problem) => format!("retrying {}", problem.code),
            Interruption::Network(_) => "retrying network".to_owned(),
            other => format!("retrying {other:?}"),
        },
        other => panic!("an item that is new: {other:?}"),
    }
}

/// Everything to the end, the error too.
async fn story(subscription: &mut Subscription) -> Vec<String> {
    let mut story = Vec::new();
    while let Some(item) = next(subscription).await {
        story.push(match item {
            Ok(item) => short(&item),
            Err(error) => format!("end: {error}"),
        });
    }
    story
}

async fn until_event(subscription: &mut Subscription) -> String {
    loop {
        match next(subscription).await {
            Some(Ok(Item::Event(event))) => return event.id.to_string(),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_subscription_resumes_on_its_cursor_and_removes_repeats() {
    let first = connected("aaaaaaaa-1", false) + &event("aaaaaaaa-2") + "id: aaaaaaaa-7\n\n";
    let second = connected("aaaaaaaa-7", true) + &event("aaaaaaaa-2") + &event("aaaaaaaa-9");
    let hub = ScriptedHub::start([Reply::stream(&first), Reply::stream(&second)]).await;
    let mut subscription = subscribe(&hub).topic("a").start().unwrap();
    assert_eq!(
        story(&mut subscription).await,
        [
            "connected aaaaaaaa-1 resumed=false",
            "event aaaaaaaa-2",
            "retrying Ended",
            "connected aaaaaaaa-7 resumed=true",
            "event aaaaaaaa-9",
            "retrying Ended",
        ]
    );
    let sent: Vec<_> = hub.requests();
    let sent: Vec<_> = sent.iter().map(|request| request.header("last-event-id")).collect();
    assert_eq!(sent, [None, Some("aaaaaaaa-7"), Some("aaaaaaaa-9")]);
    assert_eq!(subscription.cursor().unwrap().to_string(), "aaaaaaaa-9");
}

#[tokio::test]
async fn an_event_arrives_as_it_was_published() {
    let hub = ScriptedHub::start([Reply::stream(
        &(connected("aaaaaaaa-1", false) + &event("aaaaaaaa-2")),
    )])
    .await;
    let mut subscription = subscribe(&hub).start().unwrap();
    next(&mut subscription).await;
    let Some(Ok(Item::Event(event))) = next(&mut subscription).await else { panic!("no event") };
    assert_eq!(
        serde_json::to_string(&event).unwrap(),
        "{\"id\":\"aaaaaaaa-2\",\"type\":\"t\",\"topics\":[\"a\",\"b\"],\"data\":{\"n\": 1.0},\
         \"timestamp\":1795458000000}"
    );
}

#[tokio::test]
async fn a_half_event_at_a_break_is_read_again_and_yielded_once() {
    let whole = event("aaaaaaaa-2");
    let (head, _) = whole.split_at(whole.len() - 1);
    let hub = ScriptedHub::start([
        Reply::stream(&(connected("aaaaaaaa-1", false) + head)),
        Reply::stream(&(connected("aaaaaaaa-1", true) + &whole)),
    ])
    .await;
    let story = story(&mut subscribe(&hub).start().unwrap()).await;
    assert_eq!(story.iter().filter(|item| item.starts_with("event")).count(), 1, "{story:?}");
    assert_eq!(hub.requests()[1].header("last-event-id"), Some("aaaaaaaa-1"));
}

#[tokio::test]
async fn the_query_names_topics_and_types_and_rewinds_only_without_a_cursor() {
    let hub = ScriptedHub::start([Reply::stream(&connected("aaaaaaaa-1", false))]).await;
    let mut subscription = subscribe(&hub)
        .topic("orders/*")
        .topic("a&b=c d")
        .r#type("x")
        .r#type("y")
        .rewind(Rewind::events(20))
        .start()
        .unwrap();
    story(&mut subscription).await;
    let lines: Vec<String> = hub.requests().into_iter().map(|request| request.line).collect();
    let query = "GET /api/sse?topic=orders%2F*&topic=a%26b%3Dc+d&types=x%2Cy";
    assert_eq!(lines, [format!("{query}&rewind=20"), query.to_owned()]);
}

#[tokio::test]
async fn a_subscription_since_a_cursor_offers_it_first() {
    let hub = ScriptedHub::start([]).await;
    let since = "aaaaaaaa-5".parse().unwrap();
    let options = subscribe(&hub).since(since).rewind(Rewind::all());
    assert!(story(&mut options.start().unwrap()).await.is_empty());
    assert_eq!(hub.requests()[0].header("last-event-id"), Some("aaaaaaaa-5"));
    assert_eq!(hub.requests()[0].line, "GET /api/sse");
}

#[tokio::test]
async fn refusals_for_good_end_the_subscription_with_their_code() {
    for (status, code) in
        [(400, "invalid-topic"), (403, "forbidden-topic"), (404, "not-found"), (410, "gone")]
    {
        let hub = ScriptedHub::start([Reply::problem(status, code)]).await;
        let mut subscription = subscribe(&hub).start().unwrap();
        match next(&mut subscription).await {
            Some(Err(SubscribeError::Refused(problem))) => {
                assert_eq!((problem.status, problem.code.as_str()), (status, code));
                assert_eq!(problem.detail, "as the script says");
            }
            other => panic!("{status}: {other:?}"),
        }
        assert!(next(&mut subscription).await.is_none(), "{status}: an end is an end");
        assert_eq!(hub.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn refusals_for_now_are_tried_again() {
    let statuses = [408, 429, 500, 502, 503, 504];
    let hub = ScriptedHub::start(statuses.map(|status| Reply::new(status, "", "oops"))).await;
    let story = story(&mut subscribe(&hub).start().unwrap()).await;
    assert_eq!(story, statuses.map(|status| format!("retrying http-{status}")));
}

#[tokio::test]
async fn the_wait_is_never_shorter_than_retry_after() {
    let hub = ScriptedHub::start([
        Reply::new(429, "retry-after: 100\r\n", ""),
        Reply::new(503, "retry-after: 3\r\n", ""),
    ])
    .await;
    let mut subscription = subscribe(&hub).start().unwrap();
    for asked in [100, 3] {
        match next(&mut subscription).await {
            Some(Ok(Item::Retrying { after, .. })) => {
                assert!(after >= Duration::from_secs(asked), "{after:?} of {asked} s");
                assert!(after <= Duration::from_secs(asked) * 11 / 10, "{after:?} of {asked} s");
            }
            other => panic!("{other:?}"),
        }
        subscription.reconnect();
    }
}

#[tokio::test]
async fn the_servers_retry_bounds_the_first_wait() {
    let bounds = BackoffBounds { max: DEADLINE, ..SHORT };
    let hub =
        ScriptedHub::start([Reply::stream(&(connected("aaaaaaaa-1", false) + "retry: 40\n\n"))])
            .await;
    let mut subscription = subscribe(&hub).backoff(bounds).start().unwrap();
    next(&mut subscription).await;
    match next(&mut subscription).await {
        Some(Ok(Item::Retrying { after, .. })) => {
            assert!(after <= Duration::from_millis(40), "{after:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_content_ends_the_subscription_without_an_error() {
    let hub = ScriptedHub::start([Reply::new(204, "", "")]).await;
    let mut subscription = subscribe(&hub).start().unwrap();
    assert!(next(&mut subscription).await.is_none());
    assert_eq!(hub.requests().len(), 1);
}

#[tokio::test]
async fn a_connection_that_is_refused_or_dropped_is_tried_again() {
    let hub = ScriptedHub::start([Reply::nothing()]).await;
    let story = story(&mut subscribe(&hub).start().unwrap()).await;
    assert_eq!(story, ["retrying network"]);

    let gone = ScriptedHub::start([]).await;
    let url = gone.url().to_owned();
    drop(gone);
    let mut subscription = Subscribe::new(url).backoff(SHORT).start().unwrap();
    for _ in 0..3 {
        let item = next(&mut subscription).await;
        assert!(matches!(item, Some(Ok(Item::Retrying { .. }))), "{item:?}");
    }
}

fn counted_provider() -> (Credential, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let credential = Credential::provider(move || {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Ok(format!("token-{number}")) }
    });
    (credential, count)
}

fn shown(hub: &ScriptedHub) -> Vec<String> {
    let requests = hub.requests();
    let shown = requests.iter().map(|request| request.header("authorization"));
    shown.map(|value| value.unwrap_or("nothing").to_owned()).collect()
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let hub = ScriptedHub::start([
        Reply::problem(401, "token-expired"),
        Reply::stream(&connected("aaaaaaaa-1", false)),
        Reply::problem(401, "token-expired"),
        Reply::problem(401, "unauthenticated"),
    ])
    .await;
    let (credential, _) = counted_provider();
    let mut subscription = subscribe(&hub).credential(credential).start().unwrap();
    assert_eq!(
        story(&mut subscription).await,
        [
            "connected aaaaaaaa-1 resumed=false",
            "retrying Ended",
            "end: the hub does not accept the credential: unauthenticated (401): as the script says",
        ]
    );
    assert_eq!(
        shown(&hub),
        ["Bearer token-1", "Bearer token-2", "Bearer token-2", "Bearer token-3"]
    );
}

#[tokio::test]
async fn a_refused_key_ends_the_subscription_at_once() {
    let hub = ScriptedHub::start([Reply::problem(401, "unauthenticated")]).await;
    let options = subscribe(&hub).credential(Credential::api_key("tk_1"));
    let mut subscription = options.start().unwrap();
    assert!(matches!(
        next(&mut subscription).await,
        Some(Err(SubscribeError::Unauthenticated(problem))) if problem.code == "unauthenticated"
    ));
    assert_eq!(shown(&hub), ["Bearer tk_1"]);
}

#[tokio::test]
async fn a_token_that_is_about_to_run_out_is_renewed_before_the_next_connection() {
    let expiring = "event: tidings.expiring\ndata: {\"inSecs\":30,\"reason\":\"token\"}\n\n";
    let hub =
        ScriptedHub::start([Reply::stream(&(connected("aaaaaaaa-1", false) + expiring))]).await;
    let (credential, _) = counted_provider();
    let mut subscription = subscribe(&hub).credential(credential).start().unwrap();
    assert!(story(&mut subscription).await.contains(&"expiring Token".to_owned()));
    assert_eq!(shown(&hub), ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test]
async fn a_token_provider_that_fails_is_asked_again() {
    let hub = ScriptedHub::start([]).await;
    let count = AtomicUsize::new(0);
    let credential = Credential::provider(move || {
        let fails = count.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if fails { Err("the vault is closed".into()) } else { Ok("t".to_owned()) } }
    });
    let mut subscription = subscribe(&hub).credential(credential).start().unwrap();
    assert_eq!(story(&mut subscription).await, ["retrying Token(\"the vault is closed\")"]);
    assert_eq!(shown(&hub), ["Bearer t"]);
}

#[tokio::test]
async fn a_gap_is_told_and_the_stream_goes_on_from_it() {
    let gap = "event: tidings.gap\ndata: {\"reason\":\"epoch\",\"topics\":[\"a\"],\
               \"cursor\":\"bbbbbbbb-3\"}\n\n";
    let hub = ScriptedHub::start([Reply::stream(
        &(connected("bbbbbbbb-3", false) + gap + &event("bbbbbbbb-4")),
    )])
    .await;
    let since = "aaaaaaaa-500".parse().unwrap();
    let mut subscription = subscribe(&hub).since(since).start().unwrap();
    assert_eq!(
        story(&mut subscription).await[..3],
        ["connected bbbbbbbb-3 resumed=false", "gap Epoch bbbbbbbb-3", "event bbbbbbbb-4"]
    );
    assert_eq!(hub.requests()[1].header("last-event-id"), Some("bbbbbbbb-4"));
}

#[tokio::test]
async fn a_gap_that_a_break_swallowed_is_asked_for_again() {
    let hub = ScriptedHub::start([Reply::stream(&connected("bbbbbbbb-3", false))]).await;
    let since = "aaaaaaaa-500".parse().unwrap();
    story(&mut subscribe(&hub).since(since).start().unwrap()).await;
    assert_eq!(hub.requests()[1].header("last-event-id"), Some("aaaaaaaa-500"));
}

#[tokio::test]
async fn a_stream_that_falls_mute_is_left() {
    let body = connected("aaaaaaaa-1", false).replace(":15,", ":0.02,");
    let hub = ScriptedHub::start([Reply::silent_stream(&body)]).await;
    let story = story(&mut subscribe(&hub).start().unwrap()).await;
    assert_eq!(story[1], "retrying Mute { silence: 50ms }");
}

#[tokio::test]
async fn one_cursor_serves_every_transport() {
    let more = "\"hasMore\":false,\"resumed\":true,\"gap\":null,\"user\":null,\"pollAfterMs\":1";
    let hub = ScriptedHub::start([
        Reply::silent_stream(&(connected("aaaaaaaa-1", false) + &event("aaaaaaaa-2"))),
        page(&["aaaaaaaa-2", "aaaaaaaa-3"], "aaaaaaaa-5", more),
        page(&["aaaaaaaa-6"], "aaaaaaaa-6", more),
        Reply::silent_stream(&(connected("aaaaaaaa-6", true) + &event("aaaaaaaa-7"))),
    ])
    .await;
    let mut subscription = subscribe(&hub).start().unwrap();
    let mut events = vec![until_event(&mut subscription).await];
    for transport in [Transport::LongPoll, Transport::Poll, Transport::Sse] {
        subscription.set_transport(transport);
        subscription.reconnect();
        events.push(until_event(&mut subscription).await);
    }
    assert_eq!(events, ["aaaaaaaa-2", "aaaaaaaa-3", "aaaaaaaa-6", "aaaaaaaa-7"]);
    let asked: Vec<String> = hub
        .requests()
        .iter()
        .map(|request| {
            format!("{} {}", request.line, request.header("last-event-id").unwrap_or("from now"))
        })
        .collect();
    assert_eq!(
        asked,
        [
            "GET /api/sse from now",
            "GET /api/polling?wait=25&limit=1000 aaaaaaaa-2",
            "GET /api/polling?wait=0&limit=1000 aaaaaaaa-5",
            "GET /api/sse aaaaaaaa-6",
        ]
    );
}

#[tokio::test]
async fn a_poller_without_a_cursor_gets_the_events_it_rewound_to() {
    let first = "\"hasMore\":true,\"resumed\":false,\"gap\":null,\"pollAfterMs\":1000000";
    let last = "\"hasMore\":false,\"resumed\":true,\"gap\":null,\"pollAfterMs\":1";
    let hub = ScriptedHub::start([
        page(&["aaaaaaaa-3", "aaaaaaaa-4"], "aaaaaaaa-4", first),
        page(&["aaaaaaaa-5"], "aaaaaaaa-8", last),
    ])
    .await;
    let options = subscribe(&hub).rewind(Rewind::all()).transport(Transport::Poll);
    let mut subscription = options.start().unwrap();
    assert_eq!(
        story(&mut subscription).await,
        [
            "connected aaaaaaaa-2 resumed=false",
            "event aaaaaaaa-3",
            "event aaaaaaaa-4",
            "event aaaaaaaa-5"
        ]
    );
    assert_eq!(subscription.cursor().unwrap().to_string(), "aaaaaaaa-8");
}

#[tokio::test]
async fn a_poller_is_told_of_a_gap_before_what_follows_it() {
    let gap = "\"hasMore\":false,\"resumed\":false,\"pollAfterMs\":1,\
               \"gap\":{\"reason\":\"expired\",\"topics\":[\"a\"],\"cursor\":\"aaaaaaaa-50\"}";
    let hub = ScriptedHub::start([page(&["aaaaaaaa-60"], "aaaaaaaa-61", gap)]).await;
    let since = "aaaaaaaa-5".parse().unwrap();
    let options = subscribe(&hub).since(since).transport(Transport::LongPoll);
    assert_eq!(
        story(&mut options.start().unwrap()).await,
        ["connected aaaaaaaa-50 resumed=false", "gap Expired aaaaaaaa-50", "event aaaaaaaa-60"]
    );
}

fn closing(reason: &str, retry_ms: &str) -> String {
    format!("event: tidings.closing\ndata: {{\"reason\":\"{reason}\",\"retryMs\":{retry_ms}}}\n\n")
}

#[tokio::test]
async fn a_hub_that_drains_is_left_for_as_long_as_it_says() {
    let body = connected("aaaaaaaa-1", false) + &closing("drain", "77");
    let hub = ScriptedHub::start([Reply::silent_stream(&body)]).await;
    let mut subscription = subscribe(&hub).start().unwrap();
    next(&mut subscription).await;
    assert!(matches!(next(&mut subscription).await, Some(Ok(Item::Closing(_)))));
    match next(&mut subscription).await {
        Some(Ok(Item::Retrying { after, .. })) => assert_eq!(after, Duration::from_millis(77)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_revoked_subscriber_comes_back_with_a_fresh_token_only() {
    let body = connected("aaaaaaaa-1", false) + &closing("revoked", "1");
    let hub = ScriptedHub::start([Reply::stream(&body)]).await;
    let (credential, _) = counted_provider();
    story(&mut subscribe(&hub).credential(credential).start().unwrap()).await;
    assert_eq!(shown(&hub), ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test]
async fn a_replaced_subscriber_does_not_fight_for_its_place() {
    let body = connected("aaaaaaaa-1", false) + &closing("replaced", "1");
    let hub = ScriptedHub::start([Reply::stream(&body)]).await;
    let story = story(&mut subscribe(&hub).start().unwrap()).await;
    assert_eq!(
        story[1..],
        [
            "closing Replaced",
            "end: another connection of the same subscriber took this one's place"
        ]
    );
    assert_eq!(hub.requests().len(), 1);
}

#[tokio::test]
async fn what_a_newer_hub_says_is_passed_over() {
    let body = connected("aaaaaaaa-1", false)
        + "event: tidings.weather\ndata: {\"rain\":true}\n\n"
        + &event("aaaaaaaa-2");
    let hub = ScriptedHub::start([Reply::stream(&body)]).await;
    let story = story(&mut subscribe(&hub).start().unwrap()).await;
    assert_eq!(story[1], "event aaaaaaaa-2");
}

#[tokio::test]
async fn answers_that_are_not_a_hubs_end_the_subscription() {
    let html = Reply::new(200, "content-type: text/html\r\n", "<p>Welcome to the airport");
    let rows = [
        (Transport::Sse, html.clone()),
        (Transport::Poll, html),
        (Transport::Sse, Reply::stream("id: 5\ndata: not a cursor\n\n")),
        (Transport::Sse, Reply::stream("id: 5\n\n")),
        (Transport::Sse, Reply::stream("event: tidings.connected\ndata: {}\n\n")),
        (Transport::LongPoll, Reply::json(200, "{\"events\":[]}")),
    ];
    for (transport, reply) in rows {
        let hub = ScriptedHub::start([reply.clone()]).await;
        let mut subscription = subscribe(&hub).transport(transport).start().unwrap();
        let item = next(&mut subscription).await;
        assert!(matches!(item, Some(Err(SubscribeError::Protocol(_)))), "{reply:?}: {item:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let hub = ScriptedHub::start([Reply::new(301, "location: https://elsewhere/\r\n", "")]).await;
    let story = story(&mut subscribe(&hub).start().unwrap()).await;
    assert!(story[0].contains("https://elsewhere/"), "{story:?}");
}

#[tokio::test]
async fn an_event_beyond_the_bound_ends_the_subscription_after_what_came_before() {
    let body = connected("aaaaaaaa-1", false)
        + &event("aaaaaaaa-2")
        + "data: "
        + &"x".repeat(2000)
        + "\n\n";
    let hub = ScriptedHub::start([Reply::stream(&body)]).await;
    let mut subscription = subscribe(&hub).block_bytes_max(1000).start().unwrap();
    next(&mut subscription).await;
    assert_eq!(until_event(&mut subscription).await, "aaaaaaaa-2");
    assert!(matches!(
        next(&mut subscription).await,
        Some(Err(SubscribeError::BlockTooLarge(too_large))) if too_large.bytes_max == 1000
    ));
}

#[tokio::test]
async fn dropping_the_future_of_next_loses_nothing() {
    let hub = ScriptedHub::start([Reply::silent_stream(
        &(connected("aaaaaaaa-1", false) + &event("aaaaaaaa-2")),
    )])
    .await;
    let mut subscription = subscribe(&hub).start().unwrap();
    let mut items = Vec::new();
    let poll_and_drop = async {
        while items.len() < 2 {
            match subscription.next().now_or_never() {
                Some(item) => items.push(short(&item.unwrap().unwrap())),
                None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, poll_and_drop).await.expect("the items came in time");
    assert_eq!(items, ["connected aaaaaaaa-1 resumed=false", "event aaaaaaaa-2"]);
    assert_eq!(hub.requests().len(), 1, "one connection serves all futures");
}
