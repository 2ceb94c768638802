//! Streams and polls: how many were opened, are open, were open at most, by whom, and why they ended.

use serde_json::json;

use super::view::View;
use crate::support::Server;
use crate::support::api::{Api, Stream};
use crate::support::tokens::{mint, token};

async fn open(api: &Api, user: &str) -> Stream {
    let request = api.get_as_nobody("/api/sse").bearer_auth(token(user, &[], &[]));
    let mut stream = Stream::open(request).await;
    stream.next_of("tidings.connected").await;
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_polls_are_counted_by_user_transport_and_method() {
    let server = Server::start(&[("AUTH__LEGACY_USER_ID", "insecure")]);
    let api = Api::new(&server.url());
    let mut streams = Vec::new();
    for user in ["ann", "ann", "ann", "bob"] {
        streams.push(open(&api, user).await);
    }
    streams.push(api.stream("topic=news").await);
    let claimed = api.get_as_nobody("/api/sse?userId=eve");
    streams.push(Stream::open(claimed).await);
    for _ in 0..3 {
        api.poll("topic=news").await;
    }
    let wait = tokio::spawn(api.get("/api/polling?topic=news&wait=20").send());
    let is_waiting = |view: &View| view.json("/connections/byTransport/long-poll") == 1;
    let view = View::until(&api, "a long poll was let in", is_waiting).await;

    let rows = [
        ("/connections/total", 6),
        ("/connections/active", 6),
        ("/connections/peak", 6),
        ("/connections/byUser/ann", 3),
        ("/connections/byUser/bob", 1),
        ("/connections/byUser/eve", 1),
        ("/connections/byTransport/sse", 6),
        ("/connections/byTransport/poll", 3),
        ("/connections/byMethod/token", 4),
        ("/connections/byMethod/api-key", 1),
        ("/connections/byMethod/user-id", 1),
        ("/connections/byMethod/session", 0),
    ];
    for (path, expected) in rows {
        assert_eq!(view.json(path), expected, "{path}");
    }
    let rows = [
        ("tidings_connections_active", &[][..], 6),
        ("tidings_connections_peak", &[], 6),
        ("tidings_connections_opened_total", &[], 6),
        ("tidings_connections_opened_total", &[("method", "token")], 4),
        ("tidings_connections_opened_total", &[("method", "user-id")], 1),
        ("tidings_connections_closed_total", &[], 0),
        ("tidings_polls_total", &[("transport", "poll"), ("method", "api-key")], 3),
        ("tidings_insecure_user_ids_total", &[], 1),
    ];
    for (name, labels, expected) in rows {
        assert_eq!(view.text(name, labels), expected, "{name} {labels:?}");
    }
    api.publish(json!({ "topic": "news" }).to_string()).await;
    assert_eq!(wait.await.unwrap().unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_and_the_peak_survive_a_coming_and_going() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    for _ in 0..3 {
        let round = [open(&api, "ann").await, open(&api, "bob").await, open(&api, "cat").await];
        drop(round);
        View::until(&api, "all have gone", |view| view.json("/connections/active") == 0).await;
    }
    let last = open(&api, "ann").await;
    let view = View::of(&api).await;
    let connections = &view.json["metrics"]["connections"];
    assert_eq!(connections["total"], 10);
    assert_eq!(connections["active"], 1);
    assert_eq!(connections["peak"], 3);
    assert_eq!(connections["byUser"], json!({ "ann": 1 }));
    assert_eq!(view.text("tidings_connections_opened_total", &[]), 10);
    assert_eq!(view.text("tidings_connections_closed_total", &[("reason", "gone")]), 9);
    assert_eq!(view.text("tidings_connection_duration_seconds_count", &[]), 9);
    drop(last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_stream_is_counted_by_why_it_ended() {
    let server = Server::start(&[]);
    let api = Api::new(&server.url());
    let short = mint("ann", |request| request.until_secs = Some(1));
    let mut expired = Stream::open(api.get_as_nobody("/api/sse").bearer_auth(short)).await;
    expired.next_of("tidings.closing").await;
    let (mut revoked, gone) = (open(&api, "bob").await, open(&api, "cat").await);
    let answer = api.post_to("/api/revocations").json(&json!({ "user": "bob" })).send().await;
    assert_eq!(answer.unwrap().status(), 200);
    drop(gone);
    while revoked.next().await.is_some() {}
    let ended = |view: &View| view.json("/connections/active") == 0;
    let view = View::until(&api, "all have ended", ended).await;
    for reason in ["expired", "revoked", "gone"] {
        let closed = view.text("tidings_connections_closed_total", &[("reason", reason)]);
        assert_eq!(closed, 1, "{reason}");
    }
    assert_eq!(view.json("/errors/total"), 0);
}
