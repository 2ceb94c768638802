//! The promise on real nodes, whatever happens to them: recorded at random, and checked.

use rstest::rstest;
use tokio::time::timeout;

use super::checker::assert_holds;
use super::planted::{PLANTS, is_found};
use super::recorder::{Load, Run};
use crate::support::broker::Kind;
use crate::support::cluster::Cluster;
use crate::support::{PATIENCE, seed};

/// Readers are to notice soon when nothing comes any more.
const HEARTBEATS: (&str, &str) = ("STREAMS__HEARTBEAT_SECS", "1");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_keeps_the_promise_and_every_planted_fault_is_found() {
    let seed = seed();
    let cluster = Cluster::start(Kind::of_tests(), 1, &[HEARTBEATS]);
    let run = Run::begin(cluster.urls(), Load::default(), seed).await;
    run.more(500).await;
    let recording = run.finish().await;
    assert_holds(&recording.history);
    assert_eq!((recording.gaps(), recording.attempts.failures()), (0, 0));
    assert!(recording.attempts.refused.is_empty());
    let mut rng = fastrand::Rng::with_seed(seed);
    for (rule, name, plant) in PLANTS {
        let fits = is_found(rule, name, plant, &recording.history, &mut rng);
        assert!(fits || name.contains("epoch"), "{name}: does not fit");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_too_short_for_its_readers_tells_them() {
    let short = [HEARTBEATS, ("LOG__EVENTS_PER_TOPIC_MAX", "1")];
    let cluster = Cluster::start(Kind::of_tests(), 1, &short);
    let load = Load { pause_ms_max: 1, ..Load::default() };
    let run = Run::begin(cluster.urls(), load, seed()).await;
    run.more(1000).await;
    let recording = run.finish().await;
    assert_holds(&recording.history);
    assert!(recording.gaps() > 0, "the log was never too short; the test tests nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_and_started_again_tells_what_is_lost() {
    let mut cluster = Cluster::start(Kind::of_tests(), 1, &[HEARTBEATS]);
    let run = Run::begin(cluster.urls(), Load::default(), seed()).await;
    for _ in 0..3 {
        run.more(100).await;
        cluster.kill(0);
        cluster.start_again(0);
    }
    run.more(100).await;
    let recording = run.finish().await;
    assert_holds(&recording.history);
    let is_lost = Kind::of_tests() == Kind::Memory;
    assert_eq!(recording.gaps() > 0, is_lost, "a log that is kept has no gap, a lost one has");
}

#[rstest]
#[case::redis(Kind::Redis)]
#[case::nats(Kind::Nats)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_killed_and_come_back_lose_nothing(#[case] kind: Kind) {
    let mut cluster = Cluster::start(kind, 3, &[HEARTBEATS]);
    let run = Run::begin(cluster.urls(), Load::default(), seed()).await;
    for node in 0..cluster.count() {
        run.more(50).await;
        cluster.kill(node);
        run.more(50).await;
        cluster.start_again(node);
    }
    run.more(50).await;
    let recording = run.finish().await;
    assert_holds(&recording.history);
    assert_eq!(recording.gaps(), 0, "the log is not theirs to lose");
}

#[rstest]
#[case::redis(Kind::Redis)]
#[case::nats(Kind::Nats)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_and_comes_back_loses_nothing(#[case] kind: Kind) {
    let cluster = Cluster::start(kind, 2, &[HEARTBEATS]);
    let run = Run::begin(cluster.urls(), Load::default(), seed()).await;
    run.more(50).await;
    cluster.broker().kill();
    cluster.broker().start_again();
    run.more(50).await;
    cluster.broker().pause();
    until_a_publish_fails(&run).await;
    cluster.broker().go_on();
    run.more(50).await;
    let recording = run.finish().await;
    assert_holds(&recording.history);
    assert!(recording.attempts.refused.is_empty(), "{:?}", recording.attempts);
    assert_eq!(recording.gaps(), 0, "it has kept what it has acknowledged");
}

#[rstest]
#[case::redis(Kind::Redis)]
#[case::nats(Kind::Nats)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_has_lost_everything_is_told_of(#[case] kind: Kind) {
    let cluster = Cluster::start(kind, 2, &[HEARTBEATS]);
    let run = Run::begin(cluster.urls(), Load::default(), seed()).await;
    for _ in 0..2 {
        run.more(50).await;
        cluster.broker().kill();
        until_a_publish_fails(&run).await;
        cluster.broker().start_empty();
    }
    run.more(50).await;
    let recording = run.finish().await;
    assert_holds(&recording.history);
    let told = recording.gaps();
    assert!(told >= recording.history.readings.len(), "only {told} gaps");
}

/// Waits until a publisher was told that its event was not taken, or not told anything.
async fn until_a_publish_fails(run: &Run) {
    let before = run.failures();
    let failing = async {
        while run.failures() == before {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, failing).await.expect("publishing goes on without a broker");
}
