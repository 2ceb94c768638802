//! Publishers and subscribers that go on while something happens to what is under them. Publishers try
//! again with the same key until they are answered; subscribers are what an application has, the client
//! library. In the end each subscriber must have been given every acknowledged event once and in order,
//! or have been told of a gap.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tidings_client::{BackoffBounds, Credential, Gap, Item, Subscribe};
use tidings_hub::{Cursor, Epoch, Position};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::cluster::Cluster;
use crate::support::{API_KEY, PATIENCE};

/// Between two tries of a publisher.
const TRIES_AFTER: Duration = Duration::from_millis(20);
/// The data of the last event, by which a subscriber knows that it has them all.
const LAST: &str = "\"last\"";

/// What goes on: a publisher and a subscriber at each node.
pub struct Load {
    publishers: Vec<JoinHandle<()>>,
    subscribers: Vec<JoinHandle<History>>,
    acked: Arc<Mutex<Vec<(Cursor, String)>>>,
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    last_to: String,
}

/// What one subscriber was given, in order.
#[derive(Debug, Default)]
struct History {
    entries: Vec<Heard>,
}

#[derive(Debug)]
enum Heard {
    Event(Cursor, String),
    Gap(Gap),
}

/// What has to be said of gaps in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// Nobody was told of one.
    None,
    /// Everybody was, since the log is another.
    Everyone,
    /// There may be one or not.
    Any,
}

impl Load {
    pub async fn start(cluster: &Cluster) -> Self {
        let acked: Arc<Mutex<Vec<_>>> = Arc::default();
        let (count, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let urls = cluster.urls();
        let mut subscribers = Vec::new();
        for url in &urls {
            let (told, connected) = tokio::sync::oneshot::channel();
            subscribers.push(tokio::spawn(subscribe(url.clone(), told)));
            connected.await.unwrap();
        }
        let publish = |(number, url): (usize, &String)| {
            tokio::spawn(publish(
                url.clone(),
                number,
                Arc::clone(&acked),
                Arc::clone(&count),
                Arc::clone(&stop),
            ))
        };
        let publishers = urls.iter().enumerate().map(publish).collect();
        Self { publishers, subscribers, acked, count, stop, last_to: urls[0].clone() }
    }

    /// Waits until so many more were acknowledged; how long that took.
    pub async fn more(&self, events: usize) -> Duration {
        let since = Instant::now();
        let enough = self.count.load(Ordering::Relaxed) + events;
        while self.count.load(Ordering::Relaxed) < enough {
            assert!(since.elapsed() < PATIENCE, "nothing is published any more");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        since.elapsed()
    }

    /// Ends it, and holds it to the promise.
    pub async fn finish(self, gaps: Gaps) {
        self.stop.store(true, Ordering::Relaxed);
        for publisher in self.publishers {
            publisher.await.unwrap();
        }
        let last = publish_one(&reqwest::Client::new(), &self.last_to, "the-last", LAST).await;
        let mut acked = self.acked.lock().unwrap().clone();
        acked.push((last, LAST.to_owned()));
        println!("{} events were acknowledged", acked.len());
        for subscriber in self.subscribers {
            let history = timeout(PATIENCE, subscriber).await.expect("never heard the last one");
            history.unwrap().check(&acked, gaps);
        }
    }
}

impl History {
    fn check(&self, acked: &[(Cursor, String)], gaps: Gaps) {
        let told = self.entries.iter().filter(|heard| matches!(heard, Heard::Gap(_))).count();
        match gaps {
            Gaps::None => assert_eq!(told, 0, "{:?}", self.gaps()),
            Gaps::Everyone => assert!(told > 0, "nobody was told"),
            Gaps::Any => {}
        }
        let (mut seen, mut epochs) = (HashSet::new(), Vec::<Epoch>::new());
        let mut heard: BTreeMap<(usize, Position), &str> = BTreeMap::new();
        let (mut newest, mut just_told) = (None, false);
        // Up to where a gap has excused whatever is missing.
        let mut excused: BTreeMap<usize, Position> = BTreeMap::new();
        for entry in &self.entries {
            match entry {
                Heard::Gap(gap) => {
                    let number = number_of(&mut epochs, gap.cursor.epoch);
                    just_told = true;
                    // Of the epochs before, nothing more is promised.
                    for before in 0..number {
                        excused.insert(before, Position::MAX);
                    }
                }
                Heard::Event(cursor, data) => {
                    let number = number_of(&mut epochs, cursor.epoch);
                    let place = (number, cursor.position);
                    if std::mem::take(&mut just_told) {
                        excused.insert(number, cursor.position);
                    }
                    assert!(newest < Some(place), "{cursor} came after {newest:?}");
                    newest = Some(place);
                    assert!(seen.insert(*cursor), "{cursor} came twice");
                    heard.insert(place, data);
                }
            }
        }
        for (cursor, data) in acked {
            let Some(number) = epochs.iter().position(|epoch| *epoch == cursor.epoch) else {
                // An epoch of which this one has heard nothing: only if it was told.
                assert!(told > 0, "{cursor} was acknowledged and never heard of");
                continue;
            };
            match heard.get(&(number, cursor.position)) {
                Some(there) => assert_eq!(there, data, "another value at {cursor}"),
                None => assert!(
                    excused.get(&number).is_some_and(|reached| cursor.position <= *reached),
                    "{cursor} with {data} was acknowledged and lost in silence"
                ),
            }
        }
        if gaps == Gaps::None {
            let mut values: Vec<_> = heard.values().collect();
            let count = values.len();
            values.sort_unstable();
            values.dedup();
            assert_eq!(values.len(), count, "something was given to the handler twice");
        }
    }

    fn gaps(&self) -> Vec<&Gap> {
        let entries = self.entries.iter();
        entries
            .filter_map(|heard| match heard {
                Heard::Gap(gap) => Some(gap),
                Heard::Event(..) => None,
            })
            .collect()
    }
}

/// In the order in which they were first heard of.
fn number_of(epochs: &mut Vec<Epoch>, epoch: Epoch) -> usize {
    epochs.iter().position(|known| *known == epoch).unwrap_or_else(|| {
        epochs.push(epoch);
        epochs.len() - 1
    })
}

async fn subscribe(url: String, told: tokio::sync::oneshot::Sender<()>) -> History {
    let quickly = BackoffBounds {
        min: Duration::from_millis(50),
        max: Duration::from_millis(500),
        ..BackoffBounds::default()
    };
    let mut subscription = Subscribe::new(url)
        .credential(Credential::api_key(API_KEY))
        .topic("load")
        .backoff(quickly)
        .start()
        .unwrap();
    let mut history = History::default();
    let mut told = Some(told);
    while let Some(item) = subscription.next().await {
        match item.unwrap() {
            Item::Connected(_) => {
                if let Some(told) = told.take() {
                    told.send(()).unwrap();
                }
            }
            Item::Event(event) => {
                let data = event.content.as_str().to_owned();
                let is_last = data == LAST;
                history.entries.push(Heard::Event(event.id, data));
                if is_last {
                    break;
                }
            }
            Item::Gap(gap) => history.entries.push(Heard::Gap(gap)),
            _ => {}
        }
    }
    history
}

async fn publish(
    url: String,
    number: usize,
    acked: Arc<Mutex<Vec<(Cursor, String)>>>,
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) {
    let client = reqwest::Client::new();
    let mut event = 0;
    while !stop.load(Ordering::Relaxed) {
        let data = format!("\"{number}-{event}\"");
        let cursor = publish_one(&client, &url, &format!("key-{number}-{event}"), &data).await;
        acked.lock().unwrap().push((cursor, data));
        count.fetch_add(1, Ordering::Relaxed);
        event += 1;
    }
}

/// Publishes until it is answered; where it stands.
async fn publish_one(client: &reqwest::Client, url: &str, key: &str, data: &str) -> Cursor {
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let body = json!({ "topic": "load", "data": data, "key": key });
    let deadline = Instant::now() + PATIENCE;
    loop {
        let request = client.post(format!("{url}/api/events")).bearer_auth(API_KEY).json(&body);
        match request.send().await {
            Ok(answer) if answer.status() == 201 => {
                let answer: serde_json::Value = answer.json().await.unwrap();
                return answer["id"].as_str().unwrap().parse().unwrap();
            }
            Ok(answer) => assert_eq!(answer.status(), 503, "{:?}", answer.text().await),
            // The node is down.
            Err(error) => assert!(!error.is_builder(), "{error}"),
        }
        assert!(Instant::now() < deadline, "it is never taken");
        tokio::time::sleep(TRIES_AFTER).await;
    }
}
