//! NATS goes away under load and comes back, with what it had or without: whoever subscribes through
//! the client library gets each event once and in order, or is told that some are missing first.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use rstest::rstest;
use serde_json::json;
use tidings_client::{BackoffBounds, Content, Credential, Gap, GapReason, Item, Rewind, Subscribe};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::api::{Api, json};
use crate::support::broker::{Ground, Kind};
use crate::support::broker_server::{BrokerServer, Keeps};
use crate::support::cluster::Cluster;
use crate::support::{API_KEY, PATIENCE};

/// What an outage may take from the moment that NATS is there again until all nodes take events.
const BACK_WITHIN: Duration = Duration::from_secs(10);
const NODES: usize = 3;
const SHORT: BackoffBounds = BackoffBounds {
    min: Duration::from_millis(20),
    max: Duration::from_millis(200),
    stable_after: Duration::from_secs(10),
};

/// Publishers and subscribers at every node, over as long as a test lasts.
struct Load {
    /// Events that each publisher knows to be stored.
    stored: watch::Receiver<[u64; NODES]>,
    stop: Arc<AtomicBool>,
    publishers: JoinSet<()>,
    readers: JoinSet<Vec<Gap>>,
}

impl Load {
    fn start(cluster: &Cluster) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, stored) = watch::channel([0; NODES]);
        let told = Arc::new(told);
        let (mut publishers, mut readers) = (JoinSet::new(), JoinSet::new());
        for node in 0..NODES {
            readers.spawn(read(cluster.url(node)));
            publishers.spawn(publish(
                cluster.url(node),
                node,
                Arc::clone(&told),
                Arc::clone(&stop),
            ));
        }
        Self { stored, stop, publishers, readers }
    }

    /// Waits until so many more of every publisher are stored.
    async fn goes_on(&mut self, more: u64) {
        let aim = self.stored.borrow().map(|stored| stored + more);
        let reached = self.stored.wait_for(|stored| stored.iter().zip(aim).all(|(s, a)| *s >= a));
        tokio::time::timeout(PATIENCE, reached).await.expect("publishing goes on").unwrap();
    }

    /// Ends it, once every subscriber has got the last event of every publisher. What they were told
    /// is missing.
    async fn end(mut self) -> Vec<Gap> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(published) = self.publishers.join_next().await {
            published.unwrap();
        }
        let all = async {
            let mut gaps = Vec::new();
            while let Some(read) = self.readers.join_next().await {
                gaps.extend(read.unwrap());
            }
            gaps
        };
        tokio::time::timeout(PATIENCE, all).await.expect("every subscriber gets the last event")
    }
}

/// The numbers from 1 on, each published when the one before is stored; the last one is 0.
async fn publish(
    url: String,
    node: usize,
    told: Arc<watch::Sender<[u64; NODES]>>,
    stop: Arc<AtomicBool>,
) {
    let api = Api::new(&url);
    let mut number = 0;
    loop {
        let is_last = stop.load(Ordering::Relaxed);
        number += 1;
        let data = [node as u64, if is_last { 0 } else { number }];
        let event = json!({ "topic": "a", "data": data, "key": format!("{node}-{number}") });
        while api.post(event.to_string()).send().await.unwrap().status() != 201 {
            tokio::time::sleep(SHORT.min).await;
        }
        told.send_modify(|stored| stored[node] = number);
        if is_last {
            return;
        }
    }
}

/// Until the last event of every publisher; checks what comes on the way.
async fn read(url: String) -> Vec<Gap> {
    let subscribe = Subscribe::new(url.clone()).credential(Credential::api_key(API_KEY));
    let mut subscription = subscribe.topic("a").rewind(Rewind::all());
    subscription = subscription.backoff(SHORT);
    let mut subscription = subscription.start().unwrap();
    let (mut gaps, mut ended) = (Vec::new(), 0);
    let mut last: HashMap<u64, u64> = HashMap::new();
    // After a gap a publisher's next number may be any that is not an earlier one; the last may come
    // again, since nobody had told its publisher that it was stored.
    let mut may_jump = [false; NODES];
    while ended < NODES {
        match subscription.next().await.expect("it goes on").unwrap() {
            Item::Gap(gap) => {
                gaps.push(gap);
                may_jump = [true; NODES];
            }
            Item::Event(event) => {
                let Content::Json(data) = &event.content else { panic!("{event:?}") };
                let [node, number]: [u64; 2] = serde_json::from_str(data.get()).unwrap();
                let last = last.entry(node).or_default();
                let may_jump = &mut may_jump[usize::try_from(node).unwrap()];
                if number == 0 {
                    ended += 1;
                } else if std::mem::take(may_jump) {
                    assert!(number >= *last, "{url}: {number} of {node} after {last}");
                    *last = number;
                } else {
                    assert_eq!(number, *last + 1, "{url}: of {node}");
                    *last = number;
                }
            }
            _ => {}
        }
    }
    gaps
}

/// Waits until a node takes events again; how long it took.
async fn back(cluster: &Cluster, since: Instant) -> Duration {
    for node in 0..cluster.count() {
        let api = Api::new(&cluster.url(node));
        let deadline = Instant::now() + PATIENCE;
        while api.get("/readyz").send().await.unwrap().status() != 200 {
            assert!(Instant::now() < deadline, "node {node} does not come back");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    since.elapsed()
}

#[derive(Clone, Copy, Debug)]
enum Outage {
    Killed,
    Paused,
}

#[rstest]
#[case(Outage::Killed)]
#[case(Outage::Paused)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_repeated_when_nats_comes_back_with_all_it_had(#[case] outage: Outage) {
    let cluster = Cluster::start(Kind::Nats, NODES, &[]);
    let mut load = Load::start(&cluster);
    load.goes_on(50).await;
    let api = Api::new(&cluster.url(0));
    match outage {
        Outage::Killed => cluster.broker().kill(),
        Outage::Paused => cluster.broker().pause(),
    }
    // It is noticed, and said.
    let away = Instant::now();
    loop {
        let ready = api.get("/readyz").send().await.unwrap();
        if ready.status() == 503 {
            assert!(json(ready).await.to_string().contains("NATS"));
            break;
        }
        assert!(away.elapsed() < PATIENCE, "nobody notices");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    match outage {
        Outage::Killed => cluster.broker().start_again(),
        Outage::Paused => cluster.broker().go_on(),
    }
    let took = back(&cluster, Instant::now()).await;
    assert!(took < BACK_WITHIN, "{took:?}");
    load.goes_on(50).await;
    assert!(load.end().await.is_empty(), "nothing was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_are_told_when_nats_comes_back_with_nothing() {
    let cluster = Cluster::start(Kind::Nats, NODES, &[]);
    let mut load = Load::start(&cluster);
    load.goes_on(50).await;
    cluster.broker().kill();
    cluster.broker().start_empty();
    let took = back(&cluster, Instant::now()).await;
    assert!(took < BACK_WITHIN, "{took:?}");
    load.goes_on(50).await;
    let gaps = load.end().await;
    assert_eq!(gaps.len(), NODES, "{gaps:?}");
    assert!(gaps.iter().all(|gap| gap.reason == GapReason::Epoch), "{gaps:?}");
}

/// As a server that was flushed too seldom for the power cut it had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_are_told_when_nats_has_lost_the_end_of_the_log() {
    let cluster = Cluster::start(Kind::Nats, NODES, &[]);
    let mut load = Load::start(&cluster);
    load.goes_on(30).await;
    cluster.broker().kill();
    cluster.broker().back_up();
    cluster.broker().start_again();
    load.goes_on(30).await;
    cluster.broker().kill();
    cluster.broker().restore();
    cluster.broker().start_again();
    let took = back(&cluster, Instant::now()).await;
    assert!(took < BACK_WITHIN, "{took:?}");
    load.goes_on(30).await;
    let gaps = load.end().await;
    assert!(gaps.len() >= NODES, "{gaps:?}");
    assert!(gaps.iter().all(|gap| gap.reason == GapReason::Epoch), "{gaps:?}");
}

#[derive(Clone, Copy, Debug)]
enum Done {
    Purged,
    Deleted,
}

#[rstest]
#[case(Done::Purged)]
#[case(Done::Deleted)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_to_the_stream_under_load_loses_nothing_in_silence(#[case] done: Done) {
    let server = Arc::new(BrokerServer::start(Kind::Nats, Keeps::Everything));
    let ground = Ground::on(Arc::clone(&server));
    let Ground::Server(_, name) = &ground else { unreachable!("it has a server") };
    let name = name.clone();
    let cluster = Cluster::start_on(ground, NODES, &[]);
    let mut load = Load::start(&cluster);
    load.goes_on(30).await;
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    match done {
        Done::Purged => {
            context.get_stream(&name).await.unwrap().purge().await.unwrap();
        }
        Done::Deleted => {
            context.delete_stream(&name).await.unwrap();
        }
    }
    load.goes_on(30).await;
    let took = back(&cluster, Instant::now()).await;
    assert!(took < BACK_WITHIN, "{took:?}");
    let gaps = load.end().await;
    match done {
        // What was purged all nodes had read, or are told of.
        Done::Purged => assert!(gaps.iter().all(|gap| gap.reason != GapReason::Epoch), "{gaps:?}"),
        Done::Deleted => {
            assert!(gaps.len() >= NODES, "{gaps:?}");
            assert!(gaps.iter().all(|gap| gap.reason == GapReason::Epoch), "{gaps:?}");
        }
    }
}

#[tokio::test]
async fn while_nats_is_away_publishes_fail_at_once_or_wait_and_streams_go_on() {
    let settings = [("STREAMS__HEARTBEAT_SECS", "1")];
    let cluster = Cluster::start(Kind::Nats, 1, &settings);
    let patient = Cluster::start_on(
        Ground::on(Arc::new(BrokerServer::start(Kind::Nats, Keeps::Everything))),
        1,
        &[("PUBLISH_WAIT_MS", "30000")],
    );
    let (api, waiting) = (Api::new(&cluster.url(0)), Api::new(&patient.url(0)));
    let mut stream = api.stream("topic=a").await;
    stream.next_of("tidings.connected").await;
    api.publish(r#"{"topic":"a","data":1}"#).await;
    cluster.broker().kill();
    patient.broker().kill();
    let asked = Instant::now();
    loop {
        let answer = api.post(r#"{"topic":"a","data":2,"key":"k"}"#).send().await.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        if json(answer).await.to_string().contains("cannot be reached") {
            break;
        }
        assert!(asked.elapsed() < PATIENCE);
    }
    let metrics = api.get("/api/admin/sse-metrics").send().await.unwrap();
    assert_eq!(metrics.status(), 200);
    assert_eq!(stream.next_event().await.data(), "1");
    for _ in 0..2 {
        assert!(stream.next().await.expect("the stream is open").is_heartbeat());
    }
    let waits = tokio::spawn(waiting.post(r#"{"topic":"a","data":3}"#).send());
    patient.broker().start_again();
    assert_eq!(waits.await.unwrap().unwrap().status(), 201);
    cluster.broker().start_again();
    back(&cluster, Instant::now()).await;
    api.publish(r#"{"topic":"a","data":2,"key":"k"}"#).await;
    assert_eq!(stream.next_event().await.data(), "2");
}
