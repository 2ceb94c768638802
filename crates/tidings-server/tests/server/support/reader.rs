//! A subscriber of three transports that hides nothing: no repeat is removed, no gap smoothed over.
//!
//! The client library would forgive a server that sends an event twice; this does not.

use futures_util::StreamExt;
use serde_json::Value;
use tidings_client::{Block, Parser};

use super::PATIENCE;

/// How one session reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Stream,
    LongPoll,
    Poll,
}

/// What a subscriber was sent, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// A session began; whether the hub said that everything after the cursor follows.
    Began {
        resumed: bool,
    },
    Event {
        id: String,
        event_type: String,
        topics: Vec<String>,
        data: String,
    },
    Gap {
        reason: String,
        cursor: String,
    },
    Closing {
        reason: String,
        retry_ms: u64,
    },
}

/// A subscriber's whole history, over as many sessions as it takes.
#[derive(Debug)]
pub struct Reader {
    client: reqwest::Client,
    url: String,
    query: String,
    token: String,
    pub cursor: Option<String>,
    pub got: Vec<Got>,
}

impl Reader {
    /// `query` is what comes after the `?`: topics and the like.
    pub fn new(url: &str, query: &str, token: &str) -> Self {
        Self {
            client: reqwest::Client::new(),
            url: url.to_owned(),
            query: query.to_owned(),
            token: token.to_owned(),
            cursor: None,
            got: Vec::new(),
        }
    }

    /// Reads until `enough` says so of what this session brought, then breaks off.
    pub async fn session(
        &mut self,
        transport: Transport,
        mut enough: impl FnMut(&[Got]) -> bool,
    ) -> reqwest::Result<()> {
        let start = self.got.len();
        let session = async {
            match transport {
                Transport::Stream => self.stream(start, &mut enough).await,
                Transport::LongPoll => self.poll(start, "&wait=25", &mut enough).await,
                Transport::Poll => self.poll(start, "", &mut enough).await,
            }
        };
        tokio::time::timeout(PATIENCE, session).await.expect("the session takes too long")
    }

    async fn stream(
        &mut self,
        start: usize,
        enough: &mut impl FnMut(&[Got]) -> bool,
    ) -> reqwest::Result<()> {
        let url = format!("{}/api/sse?{}", self.url, self.query);
        let mut request = self.client.get(url).bearer_auth(&self.token);
        if let Some(cursor) = &self.cursor {
            request = request.header("last-event-id", cursor);
        }
        let mut body = request.send().await?.error_for_status()?.bytes_stream();
        let mut parser = Parser::default();
        while let Some(bytes) = body.next().await {
            parser.push(&bytes?).expect("no block is that large");
            while let Some(block) = parser.next_block() {
                match block {
                    Block::Id(id) => self.cursor = Some(id),
                    Block::Retry(_) => {}
                    Block::Event(event) => {
                        if !event.id.is_empty() {
                            self.cursor = Some(event.id.clone());
                        }
                        let topics = event.topic.iter().flat_map(|t| t.split(','));
                        let topics = topics.map(str::to_owned).collect();
                        self.take(&event.r#type, event.id, topics, event.data);
                    }
                }
                // Whatever else has arrived is left unread, as when a connection breaks.
                if enough(&self.got[start..]) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, event_type: &str, id: String, topics: Vec<String>, data: String) {
        let json = || serde_json::from_str::<Value>(&data).expect("the hub's own events are JSON");
        let text = |value: &Value, field: &str| value[field].as_str().unwrap().to_owned();
        self.got.push(match event_type {
            "tidings.connected" => Got::Began { resumed: json()["resumed"].as_bool().unwrap() },
            "tidings.gap" => {
                Got::Gap { reason: text(&json(), "reason"), cursor: text(&json(), "cursor") }
            }
            "tidings.closing" => Got::Closing {
                reason: text(&json(), "reason"),
                retry_ms: json()["retryMs"].as_u64().unwrap(),
            },
            "tidings.expiring" => return,
            event_type => Got::Event { id, event_type: event_type.to_owned(), topics, data },
        });
    }

    async fn poll(
        &mut self,
        start: usize,
        wait: &str,
        enough: &mut impl FnMut(&[Got]) -> bool,
    ) -> reqwest::Result<()> {
        let mut began = false;
        loop {
            let cursor = self.cursor.as_ref().map(|c| format!("&lastEventId={c}"));
            let cursor = cursor.unwrap_or_default();
            let url = format!("{}/api/polling?{}{wait}{cursor}", self.url, self.query);
            let request = self.client.get(url).bearer_auth(&self.token);
            let answer: Value = request.send().await?.error_for_status()?.json().await?;
            if !began {
                began = true;
                self.got.push(Got::Began { resumed: answer["resumed"].as_bool().unwrap() });
            }
            if let Some(reason) = answer["gap"]["reason"].as_str() {
                let cursor = answer["gap"]["cursor"].as_str().unwrap().to_owned();
                self.got.push(Got::Gap { reason: reason.to_owned(), cursor });
            }
            for event in answer["events"].as_array().unwrap() {
                let topics = event["topics"].as_array().unwrap().iter();
                let topics = topics.map(|t| t.as_str().unwrap().to_owned()).collect();
                self.got.push(Got::Event {
                    id: event["id"].as_str().unwrap().to_owned(),
                    event_type: event["type"].as_str().unwrap().to_owned(),
                    topics,
                    data: event["text"].as_str().map_or(event["data"].to_string(), str::to_owned),
                });
            }
            // A poll is taken whole: its cursor goes with its events.
            self.cursor = Some(answer["cursor"].as_str().unwrap().to_owned());
            if enough(&self.got[start..]) {
                return Ok(());
            }
            if wait.is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }
}
