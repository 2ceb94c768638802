//! What happens to Redis under load, and what must hold: nothing acknowledged is lost in silence, nothing
//! comes to a handler twice, and it all goes on by itself.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::load::{Gaps, Load};
use crate::support::api::{Api, json};
use crate::support::broker::{Ground, Kind};
use crate::support::broker_server::{BrokerServer, Keeps};
use crate::support::cluster::Cluster;
use crate::support::{Server, until};

/// In what time publishing goes on once Redis is there again.
const BACK_WITHIN: Duration = Duration::from_secs(10);

/// Connects a client of Redis's own to what stands under the nodes.
fn redis_cli(cluster: &Cluster, arguments: &[&str]) -> String {
    let port = cluster.broker().port().to_string();
    let mut command = std::process::Command::new("redis-cli");
    let output = command.args(["-p", &port]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn goes_on(load: &Load) {
    let took = load.more(50).await;
    assert!(took < BACK_WITHIN, "back after {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_and_comes_back_with_its_data_is_no_gap() {
    let cluster = Cluster::start(Kind::Redis, 2, &[]);
    let load = Load::start(&cluster).await;
    for _ in 0..3 {
        load.more(50).await;
        cluster.broker().kill();
        cluster.broker().start_again();
        goes_on(&load).await;
    }
    load.finish(Gaps::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_empty_is_a_gap_for_everyone() {
    let cluster = Cluster::start(Kind::Redis, 2, &[]);
    let load = Load::start(&cluster).await;
    load.more(50).await;
    cluster.broker().kill();
    cluster.broker().start_empty();
    goes_on(&load).await;
    load.finish(Gaps::Everyone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_flushed_is_a_gap_for_everyone() {
    let cluster = Cluster::start(Kind::Redis, 2, &[]);
    let load = Load::start(&cluster).await;
    load.more(50).await;
    redis_cli(&cluster, &["FLUSHALL"]);
    goes_on(&load).await;
    // And where nobody publishes it is noticed too.
    redis_cli(&cluster, &["FLUSHALL"]);
    goes_on(&load).await;
    load.finish(Gaps::Everyone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_with_an_older_state_is_a_gap_for_everyone() {
    let cluster = Cluster::start(Kind::Redis, 2, &[]);
    let load = Load::start(&cluster).await;
    load.more(50).await;
    // What it has now is what it will have then.
    redis_cli(&cluster, &["CONFIG", "SET", "appendonly", "no"]);
    redis_cli(&cluster, &["SAVE"]);
    load.more(50).await;
    cluster.broker().kill();
    cluster.broker().start_from_snapshot();
    goes_on(&load).await;
    load.finish(Gaps::Everyone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stands_still_is_noticed_and_nothing_is_lost_when_it_goes_on() {
    let cluster = Cluster::start(Kind::Redis, 2, &[("REDIS__TIMEOUT_MS", "500")]);
    let api = Api::new(&cluster.url(1));
    let load = Load::start(&cluster).await;
    let mut stream = api.stream("topic=quiet").await;
    stream.next_of("tidings.connected").await;
    load.more(50).await;
    cluster.broker().pause();
    // A publisher is told within a moment, and so is whoever asks how the node is.
    let asked = std::time::Instant::now();
    let answer = api.post(r#"{"topic":"a"}"#).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let ready = api.get("/readyz").send().await.unwrap();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains("broker"), "it says why");
    cluster.broker().go_on();
    goes_on(&load).await;
    api.publish_until_taken().await;
    // The stream has stayed open all the while.
    api.post(r#"{"topic":"quiet","data":1}"#).send().await.unwrap();
    assert_eq!(stream.next_event().await.data(), "1");
    until("the node is ready again", || {
        let url = format!("{}/readyz", cluster.url(1));
        let answer = std::process::Command::new("curl").args(["-fsS", &url]).output().unwrap();
        answer.status.success()
    });
    load.finish(Gaps::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_die_and_begin_anew_lose_nothing() {
    let mut cluster = Cluster::start(Kind::Redis, 3, &[]);
    let load = Load::start(&cluster).await;
    for node in 0..3 {
        load.more(30).await;
        cluster.kill(node);
        load.more(30).await;
        cluster.start_again(node);
    }
    load.more(30).await;
    load.finish(Gaps::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_there_is_no_redis_a_publisher_is_answered_at_once_or_waits_as_long_as_it_may() {
    let broker = Arc::new(BrokerServer::start(Kind::Redis, Keeps::Everything));
    let ground = Ground::on(broker);
    let hasty = Cluster::start_on(ground.clone(), 1, &[]);
    let patient = Cluster::start_on(ground, 1, &[("PUBLISH_WAIT_MS", "20000")]);
    hasty.broker().kill();
    hasty.node(0).wait_for_log("Redis is gone");
    patient.node(0).wait_for_log("Redis is gone");
    let answer = Api::new(&hasty.url(0)).post(r#"{"topic":"a"}"#).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let problem = json(answer).await;
    assert_eq!(problem["code"], "unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("not stored"), "{problem}");
    let api = Api::new(&patient.url(0));
    let waiting = tokio::spawn(api.post(r#"{"topic":"a","data":1}"#).send());
    hasty.broker().start_again();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 201);
    hasty.node(0).wait_for_log("Redis is back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_without_memory_is_said_to_be_full_until_it_has_some() {
    let cluster = Cluster::start(Kind::Redis, 1, &[]);
    let api = Api::new(&cluster.url(0));
    redis_cli(&cluster, &["CONFIG", "SET", "maxmemory", "1"]);
    let answer = api.post(r#"{"topic":"a","data":1}"#).send().await.unwrap();
    assert_eq!(answer.status(), 507);
    let many = json!([{ "topic": "a" }, { "topic": "a" }]).to_string();
    let answer = json(api.post(many).send().await.unwrap()).await;
    assert_eq!(answer["results"][1]["error"]["status"], 507, "{answer}");
    redis_cli(&cluster, &["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(api.post(r#"{"topic":"a","data":2}"#).send().await.unwrap().status(), 201);
    let answer = api.poll("topic=a&rewind=all").await;
    assert_eq!(answer["events"].as_array().unwrap().len(), 1, "{answer}");
}

#[test]
fn a_node_that_redis_does_not_let_in_says_so_without_the_password() {
    let broker = Arc::new(BrokerServer::start_with(
        Kind::Redis,
        Keeps::Nothing,
        &["--requirepass", "right-one"],
    ));
    let start = |password: &str| {
        let url = format!("redis://:{password}@127.0.0.1:{}", broker.port());
        let mut command = crate::support::tidings();
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.env("TIDINGS_API_KEY", crate::support::API_KEY);
        command.env("TIDINGS_TOKEN_SECRET", crate::support::TOKEN_SECRET);
        command.env("TIDINGS_BROKER", url);
        command
    };
    let output = start("canary").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("…@127.0.0.1") && !said.contains("canary"), "{said}");
    Server::spawn(start("right-one"));
}
