//! Nodes that are killed at any moment, again and again, while publishers publish.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use super::{read_on, start};
use crate::support::api::{Api, json};
use crate::support::{position, seed};

const PUBLISHERS: u64 = 4;
/// How often the node is killed, where `TIDINGS_TEST_KILLS` says nothing else.
const KILLS: usize = 12;
const ALIVE_MS_MAX: u64 = 150;

/// What publishers were told: the id of each number.
type Told = Arc<Mutex<BTreeMap<u64, String>>>;

/// Publishes number after number, each with its key, until the node does not answer any more. Returns
/// the one that it does not know of.
async fn publish(api: Api, mut number: u64, told: Told) -> u64 {
    loop {
        let body = json!({ "topic": "a", "data": number, "key": format!("k{number}") });
        let Ok(answer) = api.post(body.to_string()).send().await else { return number };
        assert_eq!(answer.status(), 201, "{number}");
        let Ok(text) = answer.text().await else { return number };
        let Ok(answer) = serde_json::from_str::<Value>(&text) else { return number };
        let id = answer["id"].as_str().unwrap().to_owned();
        let before = told.lock().unwrap().insert(number, id);
        assert_eq!(before, None, "{number} was told twice");
        number += PUBLISHERS;
    }
}

#[rstest]
#[case::fsync("fsync")]
#[case::os("os")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_repeated_however_often_the_node_is_killed(
    #[case] durability: &str,
) {
    let kills = std::env::var("TIDINGS_TEST_KILLS").ok();
    let kills = kills.map_or(KILLS, |kills| kills.parse().expect("a number"));
    let mut rng = fastrand::Rng::with_seed(seed());
    let folder = tempfile::tempdir().unwrap();
    // Segments so small that some kills meet the beginning of one.
    let settings = [
        ("DISK__DURABILITY", durability),
        ("DISK__SEGMENT_BYTES", "8192"),
        ("LOG__EVENTS_PER_TOPIC_MAX", "1000000"),
        ("IDEMPOTENCY__WINDOW_SECS", "86400"),
    ];
    let told: Told = Arc::default();
    let mut next: Vec<u64> = (0..PUBLISHERS).collect();
    let mut read: Vec<(String, Value)> = Vec::new();
    let (mut begin, mut cursor) = (None, String::new());
    for _ in 0..kills {
        let mut server = start(folder.path(), &settings);
        let api = Api::new(&server.url());
        if begin.is_none() {
            cursor = api.newest().await;
            begin = Some(cursor.clone());
        }
        let mut publishers = tokio::task::JoinSet::new();
        for &number in &next {
            publishers.spawn(publish(api.clone(), number, Arc::clone(&told)));
        }
        // A reader that goes on from the node before.
        let (events, to) = read_on(&api, "a", &cursor).await;
        read.extend(events);
        cursor = to;
        tokio::time::sleep(Duration::from_millis(rng.u64(..ALIVE_MS_MAX))).await;
        server.kill();
        next = publishers.join_all().await;
    }
    let server = start(folder.path(), &settings);
    let api = Api::new(&server.url());
    // Whether they were stored or not: said again, they are stored once.
    for number in &next {
        let body = json!({ "topic": "a", "data": number, "key": format!("k{number}") });
        let answer = api.post(body.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let id = json(answer).await["id"].as_str().unwrap().to_owned();
        told.lock().unwrap().insert(*number, id);
    }
    // So are all others.
    let told = told.lock().unwrap().clone();
    for (number, id) in told.iter().step_by(told.len() / 50 + 1) {
        let body = json!({ "topic": "a", "data": number, "key": format!("k{number}") });
        assert_eq!(api.publish(body.to_string()).await, *id, "{number} is deduplicated");
    }
    read.extend(read_on(&api, "a", &cursor).await.0);
    check(&read, &told);
    let (all, _) = read_on(&api, "a", &begin.unwrap()).await;
    assert_eq!(all, read, "who read on from node to node has what whoever reads now has");
    println!("{kills} kills, {} events", told.len());
    assert!(told.len() > kills, "hardly anything was published");
    drop(server);
    verify(folder.path());
}

/// Each number once, under the id that its publisher was told, in order.
fn check(read: &[(String, Value)], told: &BTreeMap<u64, String>) {
    let mut ids = BTreeMap::new();
    let mut newest = 0;
    for (id, number) in read {
        assert!(position(id) > newest, "{id} is out of order");
        newest = position(id);
        let before = ids.insert(number.as_u64().unwrap(), id.clone());
        assert_eq!(before, None, "{number} was stored twice");
    }
    assert_eq!(&ids, told);
}

fn verify(folder: &Path) {
    let verdict = super::log(&["verify"], folder);
    assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stdout));
}
