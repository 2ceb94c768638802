//! Publishing in tests, and a record of all that was published, as the hub acknowledged it.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tidings_hub::{Cursor, Pattern, Topic};

use super::API_KEY;

/// An acknowledged event.
#[derive(Clone, Debug)]
pub struct Acked {
    pub id: String,
    pub position: u64,
    pub topics: Vec<String>,
    pub data: String,
}

/// Publishes, and remembers what the hub said.
#[derive(Clone, Debug)]
pub struct Publisher {
    client: reqwest::Client,
    url: String,
    acked: Arc<Mutex<Vec<Acked>>>,
}

impl Publisher {
    pub fn new(url: &str) -> Self {
        Self { client: reqwest::Client::new(), url: url.to_owned(), acked: Arc::default() }
    }

    /// Publishes number `data` to these topics, in one request of its own.
    pub async fn publish(&self, topics: &[&str], data: u64) {
        self.publish_many(&[(topics, data)]).await;
    }

    /// Publishes several events in one request.
    pub async fn publish_many(&self, events: &[(&[&str], u64)]) {
        let body: Vec<_> =
            events.iter().map(|(topics, data)| json!({ "topics": topics, "data": data })).collect();
        let request = self.client.post(format!("{}/api/events", self.url));
        let answer = request.bearer_auth(API_KEY).json(&body).send().await.unwrap();
        let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
        let mut acked = self.acked.lock().unwrap();
        for ((topics, data), result) in events.iter().zip(answer["results"].as_array().unwrap()) {
            let id = result["id"].as_str().unwrap().to_owned();
            let position = id.parse::<Cursor>().unwrap().position.get();
            let topics = topics.iter().map(|&topic| topic.to_owned()).collect();
            acked.push(Acked { id, position, topics, data: data.to_string() });
        }
    }

    /// All that was acknowledged and matches, in the hub's order.
    pub fn acked(&self, patterns: &[Pattern]) -> Vec<Acked> {
        let mut acked = self.acked.lock().unwrap().clone();
        acked.retain(|event| {
            event.topics.iter().any(|topic| {
                let topic = Topic::new(topic).unwrap();
                patterns.iter().any(|pattern| pattern.matches(&topic))
            })
        });
        acked.sort_by_key(|event| event.position);
        acked
    }
}
