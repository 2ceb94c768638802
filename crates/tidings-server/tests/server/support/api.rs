//! Requests a test makes and looks at one by one.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use tokio::time::timeout;

use super::{API_KEY, PATIENCE};

/// Requests with the test's API key.
#[derive(Clone, Debug)]
pub struct Api {
    pub client: reqwest::Client,
    url: String,
}

impl Api {
    pub fn new(url: &str) -> Self {
        let client = reqwest::Client::builder().timeout(PATIENCE * 2).build().unwrap();
        Self { client, url: url.to_owned() }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url)).bearer_auth(API_KEY)
    }

    /// A request without a credential.
    pub fn get_as_nobody(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    /// A POST to any path.
    pub fn post_to(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).bearer_auth(API_KEY)
    }

    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.client.delete(format!("{}{path}", self.url)).bearer_auth(API_KEY)
    }

    /// Publishes this text as JSON: one event, or an array.
    pub fn post(&self, body: impl Into<String>) -> RequestBuilder {
        self.post_as_nobody(body).bearer_auth(API_KEY)
    }

    pub fn post_as_nobody(&self, body: impl Into<String>) -> RequestBuilder {
        self.post_of_type("application/json").body(body.into())
    }

    /// Publishes one event a line.
    pub fn post_lines(&self, lines: impl Into<String>) -> RequestBuilder {
        self.post_of_type("application/x-ndjson").body(lines.into()).bearer_auth(API_KEY)
    }

    fn post_of_type(&self, content_type: &str) -> RequestBuilder {
        let request = self.client.post(format!("{}/api/events", self.url));
        request.header("content-type", content_type)
    }

    /// Publishes one event; its id.
    pub async fn publish(&self, body: impl Into<String>) -> String {
        let answer = self.post(body).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        json(answer).await["id"].as_str().unwrap().to_owned()
    }

    /// Publishes an event that nobody hears until it is taken: what is under the node is there again.
    pub async fn publish_until_taken(&self) -> String {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let answer = self.post(r#"{"topic":"nobody/hears"}"#).send().await.unwrap();
            if answer.status() == 201 {
                return json(answer).await["id"].as_str().unwrap().to_owned();
            }
            assert_eq!(answer.status(), 503);
            assert!(tokio::time::Instant::now() < deadline, "it is never taken");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// A poll's answer.
    pub async fn poll(&self, query: &str) -> Value {
        let answer = self.get(&format!("/api/polling?{query}")).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{query}");
        json(answer).await
    }

    /// An open stream of the API key.
    pub async fn stream(&self, query: &str) -> Stream {
        Stream::open(self.get(&format!("/api/sse?{query}"))).await
    }

    /// The place of a reader that has seen everything.
    pub async fn newest(&self) -> String {
        self.poll("topic=nothing").await["cursor"].as_str().unwrap().to_owned()
    }
}

/// The JSON of an answer.
pub async fn json(answer: Response) -> Value {
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

/// An open stream, block by block as the bytes have them.
pub struct Stream {
    pub headers: reqwest::header::HeaderMap,
    body: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    unread: String,
}

impl Stream {
    pub async fn open(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
        let headers = answer.headers().clone();
        Self { headers, body: answer.bytes_stream().boxed(), unread: String::new() }
    }

    /// The next block without its empty line; nothing when the server has ended the stream.
    pub async fn next(&mut self) -> Option<Block> {
        timeout(PATIENCE, async {
            loop {
                if let Some(end) = self.unread.find("\n\n") {
                    let rest = self.unread.split_off(end + 2);
                    let block = std::mem::replace(&mut self.unread, rest);
                    return Some(Block(block.trim_end_matches('\n').to_owned()));
                }
                let bytes = self.body.next().await?.ok()?;
                self.unread.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        })
        .await
        .expect("nothing comes on the stream")
    }

    /// The next block of this event type, past whatever else there is.
    pub async fn next_of(&mut self, event_type: &str) -> Block {
        loop {
            let block = self.next().await.expect("the stream ended");
            if block.event_type() == event_type {
                return block;
            }
        }
    }

    /// The next event that is not the hub's own.
    pub async fn next_event(&mut self) -> Block {
        loop {
            let block = self.next().await.expect("the stream ended");
            if block.field("data").is_some() && !block.event_type().starts_with("tidings.") {
                return block;
            }
        }
    }
}

/// One block of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block(pub String);

impl Block {
    /// The value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub fn event_type(&self) -> &str {
        self.field("event").unwrap_or("message")
    }

    pub fn id(&self) -> &str {
        self.field("id").unwrap_or_else(|| panic!("no id in {self:?}"))
    }

    pub fn data(&self) -> &str {
        self.field("data").unwrap_or_else(|| panic!("no data in {self:?}"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(self.data()).unwrap()
    }

    /// Whether it does nothing but move the client's cursor.
    pub fn is_heartbeat(&self) -> bool {
        self.0.lines().count() == 1 && self.0.starts_with("id: ")
    }
}
