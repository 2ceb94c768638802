//! What nodes count and know together: uses of a limit, who is revoked, how many streams somebody has.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::api::{Api, Stream};
use crate::support::broker::Kind;
use crate::support::cluster::Cluster;
use crate::support::tokens::token;

fn apis(cluster: &Cluster) -> Vec<Api> {
    cluster.urls().iter().map(|url| Api::new(url)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_exact_over_all_nodes() {
    let cluster = Cluster::start(Kind::Redis, 3, &[("LIMITS__POLLING__LIMIT", "10")]);
    let apis = apis(&cluster);
    let ann = token("ann", &[], &[]);
    let ask =
        |number: usize| apis[number % 3].get_as_nobody("/api/polling").bearer_auth(&ann).send();
    let answers = join_all((0..60).map(ask)).await;
    let statuses: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().status()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 50, "{statuses:?}");
    // One that the application has lent.
    let body = json!({ "identifier": "login", "subject": "ann", "limit": 3, "windowSecs": 60 });
    let lend = |number: usize| apis[number % 3].post_to("/api/rate-limit").json(&body).send();
    let mut left = Vec::new();
    for number in 0..5 {
        let answer = crate::support::api::json(lend(number).await.unwrap()).await;
        left.push((answer["allowed"].as_bool().unwrap(), answer["remaining"].as_u64().unwrap()));
    }
    assert_eq!(left, [(true, 2), (true, 1), (true, 0), (false, 0), (false, 0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_use_comes_free_when_it_has_left_the_window_and_not_before() {
    let cluster = Cluster::start(Kind::Redis, 2, &[]);
    let apis = apis(&cluster);
    let body = json!({ "identifier": "x", "subject": "ann", "limit": 2, "windowSecs": 1 });
    // When each use that was allowed was begun and answered.
    let mut uses = Vec::new();
    let begun = std::time::Instant::now();
    for number in 0.. {
        let asked = begun.elapsed();
        let answer = apis[number % 2].post_to("/api/rate-limit").json(&body).send().await.unwrap();
        if crate::support::api::json(answer).await["allowed"] == true {
            uses.push((asked, begun.elapsed()));
        }
        if uses.len() == 6 {
            break;
        }
    }
    for three in uses.windows(3) {
        let span = three[2].1.saturating_sub(three[0].0);
        assert!(span >= std::time::Duration::from_secs(1), "three within {span:?}: {uses:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_revoked_at_one_node_is_so_at_all_and_at_those_to_come() {
    let mut cluster = Cluster::start(Kind::Redis, 2, &[]);
    let nodes = apis(&cluster);
    let ann = token("ann", &[], &[]);
    let mut streams = Vec::new();
    for node in &nodes {
        streams.push(Stream::open(node.get_as_nobody("/api/sse").bearer_auth(&ann)).await);
    }
    let revocation = nodes[0].post_to("/api/revocations").json(&json!({ "user": "ann" }));
    assert_eq!(revocation.send().await.unwrap().status(), 200);
    for stream in &mut streams {
        assert_eq!(stream.next_of("tidings.closing").await.json()["reason"], "revoked");
    }
    let status_at = |api: &Api| {
        let request = api.get_as_nobody("/api/polling").bearer_auth(&ann).send();
        async { request.await.unwrap().status().as_u16() }
    };
    assert_eq!((status_at(&nodes[0]).await, status_at(&nodes[1]).await), (401, 401));
    cluster.kill(1);
    cluster.start_again(1);
    assert_eq!(status_at(&nodes[1]).await, 401);
    // Also when Redis has forgotten it, as long as one node has not.
    cluster.broker().kill();
    cluster.broker().start_empty();
    nodes[0].publish_until_taken().await;
    cluster.kill(1);
    cluster.start_again(1);
    assert_eq!(status_at(&nodes[1]).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_counted_over_all_nodes_and_not_those_of_a_node_that_died() {
    let settings = [("LIMITS__CONNECTIONS_PER_USER", "2")];
    let mut cluster = Cluster::start(Kind::Redis, 2, &settings);
    let nodes = apis(&cluster);
    let ann = token("ann", &[], &[]);
    let take = async |node: usize| {
        let request = nodes[node].get_as_nobody("/api/sse").bearer_auth(&ann);
        let answer = request.send().await.unwrap();
        (answer.status() == 200).then_some(answer)
    };
    let first = take(0).await.expect("none is open");
    let _second = take(1).await.expect("one is open");
    assert!(take(0).await.is_none() && take(1).await.is_none(), "two are open");
    // What has ended is given back, wherever it is asked for.
    drop(first);
    let until_taken = async |node: usize| {
        let deadline = std::time::Instant::now() + crate::support::PATIENCE;
        loop {
            match take(node).await {
                Some(stream) => return stream,
                None => assert!(std::time::Instant::now() < deadline, "it is never given back"),
            }
        }
    };
    let third = until_taken(1).await;
    assert!(take(0).await.is_none());
    // Those of a node that has died fall away; a Redis that was emptied is told of the others.
    cluster.kill(1);
    let fourth = until_taken(0).await;
    let fifth = until_taken(0).await;
    assert!(take(0).await.is_none());
    cluster.broker().kill();
    cluster.broker().start_empty();
    cluster.start_again(1);
    nodes[0].publish_until_taken().await;
    assert!(take(1).await.is_none(), "two are open at the other node");
    drop((third, fourth, fifth));
    drop(until_taken(1).await);
}
