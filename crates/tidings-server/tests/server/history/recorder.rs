//! Publishers and readers at work on nodes, and the history they write together. What is done to the
//! nodes meanwhile is the test's own affair; in the end everyone reads up to a last event.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidings_hub::{Pattern, Topic};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::account::{History, Publish, Reading, Tick};
use super::publisher::{self, Attempts};
use super::reader;
use crate::support::PATIENCE;

/// What every reader reads last; in every selection.
pub const BELL: &str = "bell";
const TOPICS: [&str; 5] = ["orders/1", "orders/2", "user/1", "user/2", "news"];
const SELECTIONS: [&[&str]; 5] =
    [&["**"], &["orders/*"], &["user/1", "news"], &["news"], &["orders/**", "user/*"]];
/// How often the last event is published anew: an earlier one may be lost in a gap.
const RINGS_EVERY: Duration = Duration::from_millis(500);

/// How many are at work.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub publishers: usize,
    /// The longest pause of a publisher between two events.
    pub pause_ms_max: u64,
    /// Readers of the bare stream, which break off at random and come back to any node.
    pub readers: usize,
    /// How long such a reader stays away, at most.
    pub absence_ms_max: u64,
    /// Readers by the client library, which reconnects by itself to the node it is given.
    pub clients: usize,
}

impl Default for Load {
    fn default() -> Self {
        Self { publishers: 3, pause_ms_max: 10, readers: 6, absence_ms_max: 50, clients: 2 }
    }
}

/// What a run has brought.
#[derive(Debug)]
pub struct Recording {
    pub history: History,
    pub attempts: Attempts,
}

/// A run: everyone is at work until it is finished. Dropping it ends their work.
pub struct Run {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    publishers: JoinSet<()>,
    readers: JoinSet<Reading>,
    rng: fastrand::Rng,
}

/// What all of them write to.
pub struct Shared {
    /// The nodes, or what stands before them.
    pub urls: Vec<String>,
    ticks: AtomicU64,
    publishes: Mutex<Vec<Publish>>,
    pub attempts: Mutex<Attempts>,
}

impl Shared {
    /// Now.
    pub fn tick(&self) -> Tick {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    pub fn any_url(&self, rng: &mut fastrand::Rng) -> String {
        rng.choice(&self.urls).expect("there is a node").clone()
    }

    pub fn published(&self, publish: Publish) {
        self.publishes.lock().unwrap_or_else(PoisonError::into_inner).push(publish);
    }
}

impl Run {
    /// Begins, with everyone connected to one of these addresses.
    pub async fn begin(urls: Vec<String>, load: Load, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let shared = Arc::new(Shared {
            urls,
            ticks: AtomicU64::new(0),
            publishes: Mutex::default(),
            attempts: Mutex::default(),
        });
        let (stop, stopped) = watch::channel(false);
        // Nobody publishes before all readers have a place: then all is for all of them.
        let (connected, mut are_connected) = tokio::sync::mpsc::channel(1);
        let mut readers = JoinSet::new();
        for index in 0..load.readers + load.clients {
            let (shared, rng, connected) = (shared.clone(), rng.fork(), connected.clone());
            let mut patterns: Vec<_> = SELECTIONS[index % SELECTIONS.len()]
                .iter()
                .map(|p| Pattern::new(p).unwrap())
                .collect();
            patterns.push(Pattern::new(BELL).unwrap());
            if index < load.readers {
                let name = format!("reader {index}");
                let away = load.absence_ms_max;
                readers.spawn(reader::read_stream(shared, name, patterns, away, rng, connected));
            } else {
                let name = format!("client {index}");
                readers.spawn(reader::read_by_client(shared, name, patterns, rng, connected));
            }
        }
        drop(connected);
        let all = async { while are_connected.recv().await.is_some() {} };
        timeout(PATIENCE, all).await.expect("every reader connects");
        let mut publishers = JoinSet::new();
        for index in 0..load.publishers {
            let topics = TOPICS.map(|topic| Topic::new(topic).unwrap());
            publishers.spawn(publisher::publish_at_random(
                shared.clone(),
                format!("p{index}"),
                topics.to_vec(),
                load.pause_ms_max,
                rng.fork(),
                stopped.clone(),
            ));
        }
        Self { shared, stop, publishers, readers, rng }
    }

    /// How many events have been acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.shared.attempts.lock().unwrap_or_else(PoisonError::into_inner).acknowledged
    }

    /// How many attempts to publish have failed so far.
    pub fn failures(&self) -> usize {
        self.shared.attempts.lock().unwrap_or_else(PoisonError::into_inner).failures()
    }

    /// Waits until so many more events are acknowledged.
    pub async fn more(&self, events: usize) {
        let wanted = self.acknowledged() + events;
        let coming = async {
            while self.acknowledged() < wanted {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE * 2, coming).await.expect("nothing is acknowledged any more");
    }

    /// Has the publishers stop and the readers read to the end; what all of them saw.
    pub async fn finish(mut self) -> Recording {
        self.stop.send_replace(true);
        let ending = timeout(PATIENCE * 2, async {
            while self.publishers.join_next().await.is_some_and(|ended| {
                ended.unwrap();
                true
            }) {}
        });
        ending.await.expect("the publishers do not end");
        let mut readings = Vec::new();
        let (shared, mut rng) = (self.shared.clone(), self.rng.fork());
        let (hush, hushed) = watch::channel(false);
        let ringing = tokio::spawn(async move {
            for number in 0.. {
                if *hushed.borrow() {
                    return;
                }
                let topic = vec![Topic::new(BELL).unwrap()];
                publisher::publish(&shared, format!("{BELL}-{number}"), topic, &mut rng).await;
                sleep(RINGS_EVERY).await;
            }
        });
        let reading = timeout(PATIENCE * 2, async {
            while let Some(reading) = self.readers.join_next().await {
                readings.push(reading.unwrap());
            }
        });
        let are_done = reading.await.is_ok();
        hush.send_replace(true);
        ringing.await.unwrap();
        assert!(are_done, "some readers never hear the bell; {} did", readings.len());
        let publishes = std::mem::take(
            &mut *self.shared.publishes.lock().unwrap_or_else(PoisonError::into_inner),
        );
        let attempts = self.shared.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let recording = Recording { history: History { publishes, readings }, attempts };
        println!("{}", recording.summary());
        recording
    }
}

impl Recording {
    /// Gaps that readers were told of.
    pub fn gaps(&self) -> usize {
        let notes = self.history.readings.iter().flat_map(|reading| &reading.notes);
        notes.filter(|note| matches!(note.what, super::account::What::Gap { .. })).count()
    }

    fn summary(&self) -> String {
        let notes: usize = self.history.readings.iter().map(|reading| reading.notes.len()).sum();
        let Self { history, attempts } = self;
        let gaps = self.gaps();
        format!("{} events, {attempts:?}, {notes} notes, {gaps} gaps", history.publishes.len())
    }
}
