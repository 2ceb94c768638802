//! The promise on real nodes, whatever happens to them: recorded at random, and checked.

use super::checker::assert_holds;
use super::planted::{PLANTS, is_found};
use super::recorder::{Load, Run};
use crate::support::broker::Kind;
use crate::support::cluster::Cluster;
use crate::support::seed;

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
