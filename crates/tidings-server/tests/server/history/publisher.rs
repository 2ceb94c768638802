//! A publisher that does not give up: it tries every event again under its key, at any node, until it
//! is taken or refused, and records what it was told.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings_hub::Topic;
use tokio::sync::watch;
use tokio::time::sleep;

use super::account::{Answer, Publish};
use super::recorder::Shared;
use crate::support::{API_KEY, PATIENCE};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);

/// What became of all attempts.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    pub acknowledged: usize,
    /// Not answered, or with an error after which trying again may help: by its status.
    pub failed: BTreeMap<String, usize>,
    /// Answered with an error after which it does not.
    pub refused: BTreeMap<String, usize>,
}

impl Attempts {
    pub fn failures(&self) -> usize {
        self.failed.values().sum()
    }
}

/// Publishes event after event until it is told to stop.
pub async fn publish_at_random(
    shared: Arc<Shared>,
    name: String,
    topics: Vec<Topic>,
    pause_ms_max: u64,
    mut rng: fastrand::Rng,
    stopped: watch::Receiver<bool>,
) {
    for number in 0.. {
        if *stopped.borrow() {
            return;
        }
        let topic = rng.choice(&topics).expect("there are topics").clone();
        publish(&shared, format!("{name}-{number}"), vec![topic], &mut rng).await;
        if pause_ms_max > 0 {
            sleep(Duration::from_millis(rng.u64(..=pause_ms_max))).await;
        }
    }
}

/// Publishes one event under its value as the key, in as many attempts as it takes.
pub async fn publish(
    shared: &Shared,
    value: String,
    topics: Vec<Topic>,
    rng: &mut fastrand::Rng,
) -> Answer {
    let names: Vec<_> = topics.iter().map(Topic::as_str).collect();
    let event = json!({ "topics": names, "data": value, "key": value }).to_string();
    let invoked = shared.tick();
    let begun = Instant::now();
    let answer = loop {
        match attempt(&shared.any_url(rng), &event).await {
            Ok(cursor) => {
                count(shared, |attempts| attempts.acknowledged += 1);
                break Answer::Stored(cursor);
            }
            Err(Failure { what, is_temporary: false }) => {
                count(shared, |attempts| *attempts.refused.entry(what).or_default() += 1);
                break Answer::Refused;
            }
            Err(Failure { what, is_temporary: true }) => {
                count(shared, |attempts| *attempts.failed.entry(what).or_default() += 1);
            }
        }
        if begun.elapsed() > PATIENCE {
            break Answer::Unknown;
        }
        sleep(Duration::from_millis(rng.u64(20..100))).await;
    };
    shared.published(Publish { value, topics, invoked, answered: shared.tick(), answer });
    answer
}

struct Failure {
    what: String,
    is_temporary: bool,
}

async fn attempt(url: &str, event: &str) -> Result<tidings_hub::Cursor, Failure> {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    // Each test has a runtime of its own, and a connection that is kept dies with it: none is kept.
    let client = CLIENT.get_or_init(|| {
        reqwest::Client::builder().timeout(ATTEMPT).pool_max_idle_per_host(0).build().unwrap()
    });
    let request = client.post(format!("{url}/api/events")).bearer_auth(API_KEY);
    let request = request.header("content-type", "application/json").body(event.to_owned());
    let broken = |error: reqwest::Error| {
        let what = if error.is_timeout() {
            "no answer"
        } else if error.is_connect() {
            "no connection"
        } else {
            "broken off"
        };
        Failure { what: what.to_owned(), is_temporary: true }
    };
    let answer = request.send().await.map_err(broken)?;
    let status = answer.status();
    let body = answer.text().await.map_err(broken)?;
    if status == 201 {
        let body: Value = serde_json::from_str(&body).expect("an answer is JSON");
        return Ok(body["id"].as_str().expect("it has an id").parse().expect("which is a cursor"));
    }
    let is_temporary = status.is_server_error() || [408, 425, 429].contains(&status.as_u16());
    Err(Failure { what: status.as_str().to_owned(), is_temporary })
}

fn count(shared: &Shared, change: impl FnOnce(&mut Attempts)) {
    change(&mut shared.attempts.lock().unwrap_or_else(PoisonError::into_inner));
}
