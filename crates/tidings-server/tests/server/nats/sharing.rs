//! What nodes share: the log and its cursors, keys, limits, revocations, and how many streams somebody
//! has.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::api::{Api, Stream, json};
use crate::support::broker::Kind;
use crate::support::cluster::Cluster;
use crate::support::position;
use crate::support::tokens::token;

fn apis(cluster: &Cluster) -> Vec<Api> {
    cluster.urls().iter().map(|url| Api::new(url)).collect()
}

#[tokio::test]
async fn what_is_published_at_one_node_is_heard_at_all_and_resumed_at_any() {
    let cluster = Cluster::start(Kind::Nats, 3, &[]);
    let apis = apis(&cluster);
    let mut streams = Vec::new();
    for api in &apis {
        let mut stream = api.stream("topic=a").await;
        stream.next_of("tidings.connected").await;
        streams.push(stream);
    }
    let mut published = Vec::new();
    for number in 0..30 {
        let api = &apis[number % 3];
        published.push(api.publish(format!(r#"{{"topic":"a","data":{number}}}"#)).await);
    }
    assert!(published.is_sorted_by_key(|id| position(id)), "{published:?}");
    for stream in &mut streams {
        for (number, id) in published.iter().enumerate() {
            let event = stream.next_event().await;
            assert_eq!((event.id(), event.data()), (id.as_str(), number.to_string().as_str()));
        }
    }
    drop(streams);
    // What another node has answered with just now, too.
    let last = apis[0].publish(r#"{"topic":"a","data":30}"#).await;
    for (api, from) in apis.iter().zip([9, 19, 29]) {
        let request = api.get("/api/sse?topic=a").header("last-event-id", &published[from]);
        let mut stream = Stream::open(request).await;
        assert_eq!(stream.next_of("tidings.connected").await.json()["resumed"], true);
        for id in published[from + 1..].iter().chain([&last]) {
            assert_eq!(stream.next_event().await.id(), id);
        }
        let request = api.get("/api/sse?topic=a").header("last-event-id", &last);
        let mut stream = Stream::open(request).await;
        assert_eq!(stream.next_of("tidings.connected").await.json()["resumed"], true);
    }
}

#[tokio::test]
async fn a_request_s_events_stay_together_and_a_node_that_starts_later_has_them_all() {
    let mut cluster = Cluster::start(Kind::Nats, 2, &[]);
    let apis = apis(&cluster);
    cluster.kill(1);
    let batch: Vec<_> = (0..200).map(|number| json!({ "topic": "a", "data": number })).collect();
    let posts = (0..5).map(|_| apis[0].post(serde_json::to_string(&batch).unwrap()).send());
    let mut all = Vec::new();
    for answer in join_all(posts).await {
        let answer = json(answer.unwrap()).await;
        let ids = answer["results"].as_array().unwrap().iter();
        let positions: Vec<u64> = ids.map(|one| position(one["id"].as_str().unwrap())).collect();
        assert!(positions.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{positions:?}");
        all.extend(positions);
    }
    all.sort_unstable();
    cluster.start_again(1);
    let page = apis[1].poll("topic=a&rewind=all&limit=1000").await;
    let held = page["events"].as_array().unwrap().iter();
    let held: Vec<u64> = held.map(|event| position(event["id"].as_str().unwrap())).collect();
    assert_eq!(held, all);
    let cursors = [&apis[0], &apis[1]].map(Api::newest);
    let [one, other] = <[String; 2]>::try_from(join_all(cursors).await).unwrap();
    assert_eq!(one, other);
}

#[tokio::test]
async fn a_key_is_used_once_whichever_nodes_it_is_used_at() {
    let mut cluster = Cluster::start(Kind::Nats, 3, &[]);
    let apis = apis(&cluster);
    let body = r#"{"topic":"a","data":1,"key":"k"}"#;
    // All at once: NATS decides who is first.
    let posts = (0..12).map(|number| apis[number % 3].post(body).send());
    let mut ids = Vec::new();
    for answer in join_all(posts).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 201);
        ids.push(json(answer).await["id"].as_str().unwrap().to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    cluster.kill(2);
    cluster.start_again(2);
    for api in &apis {
        assert_eq!(api.publish(body).await, ids[0]);
        let other = api.post(r#"{"topic":"a","data":2,"key":"k"}"#).send().await.unwrap();
        assert_eq!(other.status(), 409);
        assert_eq!(json(other).await["code"], "idempotency-conflict");
    }
    // A key for a whole request: another body is refused, however many events it has.
    let many = r#"[{"topic":"a","data":1},{"topic":"a","data":2}]"#;
    let first = apis[0].post(many).header("idempotency-key", "r").send().await.unwrap();
    let again = apis[2].post(many).header("idempotency-key", "r").send().await.unwrap();
    assert_eq!(json(first).await, json(again).await);
    let longer = many.replace(']', r#",{"topic":"a","data":3}]"#);
    let other = apis[1].post(longer).header("idempotency-key", "r").send().await.unwrap();
    assert_eq!(other.status(), 409);
    let held = apis[2].poll("topic=a&rewind=all").await;
    assert_eq!(held["events"].as_array().unwrap().len(), 3, "{held}");
}

#[tokio::test]
async fn a_limit_lets_through_as_many_as_it_says_however_many_nodes_are_asked() {
    let cluster = Cluster::start(Kind::Nats, 3, &[("LIMITS__POLLING__LIMIT", "10")]);
    let apis = apis(&cluster);
    let ask = json!({ "identifier": "login", "subject": "ann", "limit": 20, "windowSecs": 600 });
    let asked = (0..90).map(|number| apis[number % 3].post_to("/api/rate-limit").json(&ask).send());
    let mut left = Vec::new();
    for answer in join_all(asked).await {
        let answer = json(answer.unwrap()).await;
        if answer["allowed"] == true {
            left.push(answer["remaining"].as_u64().unwrap());
        }
    }
    left.sort_unstable();
    assert_eq!(left, (0..20).collect::<Vec<u64>>());
    let ann = token("ann", &[], &[]);
    let polls = (0..24)
        .map(|number| apis[number % 3].get_as_nobody("/api/polling").bearer_auth(&ann).send());
    let answers = join_all(polls).await;
    let let_in = answers.iter().filter(|answer| answer.as_ref().unwrap().status() == 200).count();
    assert_eq!(let_in, 10);
}

#[tokio::test]
async fn whoever_is_revoked_at_one_node_is_revoked_at_all_and_at_those_to_come() {
    let mut cluster = Cluster::start(Kind::Nats, 2, &[]);
    let apis = apis(&cluster);
    let ann = token("ann", &[], &[]);
    let mut stream = Stream::open(apis[1].get_as_nobody("/api/sse").bearer_auth(&ann)).await;
    stream.next_of("tidings.connected").await;
    let revoked = apis[0].post_to("/api/revocations").json(&json!({ "user": "ann" }));
    assert_eq!(revoked.send().await.unwrap().status(), 200);
    assert_eq!(stream.next_of("tidings.closing").await.json()["reason"], "revoked");
    cluster.kill(0);
    cluster.start_again(0);
    for url in cluster.urls() {
        let api = Api::new(&url);
        let refused = api.get_as_nobody("/api/polling").bearer_auth(&ann).send().await.unwrap();
        assert_eq!(json(refused).await["code"], "revoked");
    }
}

#[tokio::test]
async fn streams_of_a_user_count_on_all_nodes_and_fall_away_with_a_node() {
    let mut cluster = Cluster::start(Kind::Nats, 3, &[("LIMITS__CONNECTIONS_PER_USER", "2")]);
    let apis = apis(&cluster);
    let ann = token("ann", &[], &[]);
    let open = |node: usize| apis[node].get_as_nobody("/api/sse").bearer_auth(&ann).send();
    let admits = async |node: usize| open(node).await.unwrap().status() == 200;
    let first = Stream::open(apis[0].get_as_nobody("/api/sse").bearer_auth(&ann)).await;
    let _second = Stream::open(apis[1].get_as_nobody("/api/sse").bearer_auth(&ann)).await;
    for node in 0..3 {
        let refused = open(node).await.unwrap();
        assert_eq!(refused.status(), 429, "{node}");
        assert_eq!(json(refused).await["code"], "too-many-connections");
    }
    drop(first);
    wait_for("a place that was given back", async || admits(2).await).await;
    // That stream has ended with its answer, and the second lives. One more, and the node with the
    // second dies.
    let mut third = None;
    wait_for("its place", async || {
        let answer = open(2).await.unwrap();
        let is_in = answer.status() == 200;
        third = is_in.then_some(answer);
        is_in
    })
    .await;
    assert!(!admits(0).await);
    cluster.kill(1);
    wait_for("the place of a node that is dead", async || admits(0).await).await;
}

/// Of many that ask for the last places at once, as many get in as there are.
#[tokio::test]
async fn no_more_get_in_at_once_than_there_are_places() {
    let cluster = Cluster::start(Kind::Nats, 3, &[("LIMITS__CONNECTIONS_PER_ADDRESS", "7")]);
    let apis = apis(&cluster);
    let asked = (0..30).map(|number| apis[number % 3].get("/api/sse?topic=a").send());
    let answers: Vec<_> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| answer.status() == 200).count(), 7);
}

async fn wait_for(fact: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while !is_true().await {
        assert!(std::time::Instant::now() < deadline, "never came: {fact}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_takes_its_counts_with_it() {
    let settings = [("LIMITS__CONNECTIONS_PER_USER", "1"), ("STREAMS__DRAIN_DELAY_SECS", "0")];
    let mut cluster = Cluster::start(Kind::Nats, 2, &settings);
    let apis = apis(&cluster);
    let ann = token("ann", &[], &[]);
    let open = |node: usize| apis[node].get_as_nobody("/api/sse").bearer_auth(&ann).send();
    let _held = open(0).await.unwrap().error_for_status().unwrap();
    assert_eq!(open(1).await.unwrap().status(), 429);
    cluster.stop(0);
    wait_for("its place", async || open(1).await.unwrap().status() == 200).await;
}
