//! Nodes with one log: what is published at one is heard at all, in one order and at the same positions,
//! and whoever leaves one goes on at another.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::api::{Api, json};
use crate::support::broker::Kind;
use crate::support::cluster::Cluster;
use crate::support::{position, until};

fn apis(cluster: &Cluster) -> Vec<Api> {
    cluster.urls().iter().map(|url| Api::new(url)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_hear_the_same_in_one_order() {
    let cluster = Cluster::start(Kind::Redis, 3, &[]);
    let apis = apis(&cluster);
    let mut streams = join_all(apis.iter().map(|api| api.stream("topic=a"))).await;
    let publish = |number: usize| {
        let api = apis[number % 3].clone();
        async move { api.publish(json!({ "topic": "a", "data": number }).to_string()).await }
    };
    let ids: BTreeSet<_> = join_all((0..30).map(publish)).await.into_iter().collect();
    assert_eq!(ids.len(), 30);
    let mut all = Vec::new();
    for stream in &mut streams {
        let mut heard = Vec::new();
        for _ in 0..30 {
            let event = stream.next_event().await;
            heard.push((event.id().to_owned(), event.data().to_owned()));
        }
        assert!(heard.is_sorted_by_key(|(id, _)| position(id)), "{heard:?}");
        all.push(heard);
    }
    assert!(all.iter().all(|heard| *heard == all[0]), "{all:?}");
    assert_eq!(all[0].iter().map(|(id, _)| id.clone()).collect::<BTreeSet<_>>(), ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_one_node_goes_on_at_another() {
    let mut cluster = Cluster::start(Kind::Redis, 2, &[]);
    let nodes = apis(&cluster);
    let first = nodes[0].publish(r#"{"topic":"a","data":1}"#).await;
    let second = nodes[1].publish(r#"{"topic":"a","data":2}"#).await;
    // At once, though this node may not have it yet.
    let answer = nodes[0].poll(&format!("topic=a&lastEventId={second}")).await;
    assert_eq!((&answer["resumed"], &answer["gap"]), (&json!(true), &Value::Null));
    // A node that has only begun has all there is.
    cluster.kill(1);
    cluster.start_again(1);
    let answer = nodes[1].poll(&format!("topic=a&lastEventId={first}")).await;
    assert_eq!((&answer["resumed"], &answer["events"][0]["data"]), (&json!(true), &json!(2)));
    let answer = nodes[1].poll("topic=a&rewind=all").await;
    assert_eq!(answer["events"].as_array().unwrap().len(), 2, "{answer}");
    // Nor does it lose anything when all of them begin anew.
    cluster.stop(0);
    cluster.stop(1);
    cluster.start_again(0);
    let answer = nodes[0].poll(&format!("topic=a&lastEventId={first}")).await;
    assert_eq!((&answer["resumed"], &answer["events"][0]["data"]), (&json!(true), &json!(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_holds_at_every_node() {
    let cluster = Cluster::start(Kind::Redis, 3, &[]);
    let apis = apis(&cluster);
    let body = r#"{"topic":"a","data":1,"key":"once"}"#;
    let ids = join_all((0..12).map(|number| apis[number % 3].publish(body))).await;
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1, "{ids:?}");
    let answer = apis[1].post(r#"{"topic":"a","data":2,"key":"once"}"#).send().await.unwrap();
    assert_eq!(answer.status(), 409);
    // A key for a whole request answers for each of its events.
    let whole = |node: usize, data: u64| {
        let body = json!([{ "topic": "a", "data": data }, { "topic": "a", "data": 8 }]);
        apis[node].post(body.to_string()).header("idempotency-key", "all").send()
    };
    let first = json(whole(0, 7).await.unwrap()).await;
    assert_eq!(json(whole(2, 7).await.unwrap()).await, first);
    assert_eq!(whole(1, 9).await.unwrap().status(), 409);
    let answer = apis[2].poll("topic=a&rewind=all").await;
    assert_eq!(answer["events"].as_array().unwrap().len(), 3, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_trimmed_before_a_node_had_read_it_is_a_gap_there() {
    let settings = [("REDIS__EVENTS_MAX", "1000"), ("LOG__EVENTS_PER_TOPIC_MAX", "100000")];
    let cluster = Cluster::start(Kind::Redis, 2, &settings);
    let nodes = apis(&cluster);
    let mut stream = nodes[1].stream("topic=a").await;
    stream.next_of("tidings.connected").await;
    nodes[0].publish(r#"{"topic":"a","data":"before"}"#).await;
    assert_eq!(stream.next_event().await.data(), "\"before\"");
    cluster.node(1).signal("STOP");
    let events: Vec<_> = (0..500).map(|data| json!({ "topic": "a", "data": data })).collect();
    for _ in 0..6 {
        let answer = nodes[0].post(json!(events).to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    cluster.node(1).signal("CONT");
    let gap = stream.next_of("tidings.gap").await;
    let from = position(gap.json()["cursor"].as_str().unwrap());
    let first = stream.next_event().await;
    let newest = position(first.id());
    assert!(newest > from + 1000, "{gap:?} {first:?}");
    // From there on nothing is missing.
    let last: u64 = first.data().parse().unwrap();
    for data in (last + 1..500).chain(0..500) {
        let event = stream.next_event().await;
        assert_eq!(event.data(), data.to_string());
    }
    until("the node is ready again", || {
        let url = format!("{}/readyz", cluster.url(1));
        let answer = std::process::Command::new("curl").args(["-fsS", &url]).output().unwrap();
        answer.status.success()
    });
}
