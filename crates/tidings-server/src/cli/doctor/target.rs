//! The server that is looked at: its address, the client, and the requests that are made of it.
//!
//! Shows the credential where it belongs and nowhere else. What an answer means is not known here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{ACCEPT, AUTHORIZATION, ORIGIN};
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::{Value, json};

use super::super::UsageError;
use super::answer::{Answer, Broken};
use super::stream::Stream;
use crate::config::Secret;

/// How long an answer may take that is not a stream.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Seconds that a test event is retained.
const EVENT_TTL_SECS: u64 = 60;
/// What people paste behind the base URL.
const ENDPOINTS: [&str; 4] = ["api/sse", "api/polling", "api/events", "healthz"];

/// The server behind a URL, and what is shown to it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    base: Url,
    http: Client,
    /// Subscribes.
    pub(super) subscriber: Option<Secret>,
    /// Publishes.
    pub(super) publisher: Option<Secret>,
    pub(super) origin: Option<String>,
}

/// How a request says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    Header,
    /// As a browser's own `EventSource` does. For tokens alone.
    Query,
    Nothing,
}

impl Target {
    pub(super) fn new(
        url: &str,
        subscriber: Option<Secret>,
        publisher: Option<Secret>,
        origin: Option<String>,
    ) -> anyhow::Result<Self> {
        let base = base_url(url)?;
        let mut builder = Client::builder()
            .user_agent(concat!("tidings-doctor/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_WITHIN)
            .pool_idle_timeout(Duration::from_secs(4))
            .redirect(reqwest::redirect::Policy::none())
            .tls_info(true);
        if base.scheme() == "http" {
            // Without TLS the system's certificates must not be needed: minimal containers have
            // none.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self { http: builder.build()?, base, subscriber, publisher, origin })
    }

    /// The address for people: without the slash at its end.
    pub(super) fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The path under which everything lies; empty for the root.
    pub(super) fn path(&self) -> &str {
        self.base.path().trim_end_matches('/')
    }

    pub(super) fn is_secure(&self) -> bool {
        self.base.scheme() == "https"
    }

    pub(super) fn is_loopback(&self) -> bool {
        crate::config::is_loopback(self.base.host_str().unwrap_or_default())
    }

    /// The same server without a path.
    pub(super) fn at_root(&self) -> Self {
        let mut root = self.clone();
        root.base.set_path("/");
        root
    }

    /// An API key never goes into a URL; a token may.
    pub(super) fn has_token(&self) -> bool {
        self.subscriber.as_ref().is_some_and(|secret| !secret.expose().starts_with("tk_"))
    }

    /// The secrets, for taking them out of what is printed.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.subscriber.iter().chain(&self.publisher).map(Secret::expose)
    }

    fn request(
        &self,
        method: Method,
        endpoint: &str,
        query: &[(&str, &str)],
        show: Show,
    ) -> RequestBuilder {
        let mut url = self.base.join(endpoint).expect("an endpoint is a valid relative URL");
        let token = self.subscriber.as_ref().filter(|_| show == Show::Query);
        if token.is_some() || !query.is_empty() {
            let mut pairs = url.query_pairs_mut();
            pairs.extend_pairs(query);
            pairs.extend_pairs(token.map(|token| ("token", token.expose())));
        }
        let mut request = self.http.request(method, url);
        if let Some(secret) = self.subscriber.as_ref().filter(|_| show == Show::Header) {
            request = request.header(AUTHORIZATION, format!("Bearer {}", secret.expose()));
        }
        match &self.origin {
            Some(origin) => request.header(ORIGIN, origin),
            None => request,
        }
    }

    /// Asks the polling endpoint once.
    pub(super) async fn poll(
        &self,
        query: &[(&str, &str)],
        show: Show,
        wait: Duration,
    ) -> Result<Answer, Broken> {
        let wait_secs = wait.as_secs().to_string();
        let mut query = query.to_vec();
        if !wait.is_zero() {
            query.push(("wait", &wait_secs));
        }
        let request = self.request(Method::GET, "api/polling", &query, show);
        let request = request.header(ACCEPT, "application/json");
        Answer::to(request, ANSWER_WITHIN + wait).await
    }

    /// What a browser asks before it sends a request of another origin's page.
    pub(super) async fn preflight(&self, headers: &str) -> Result<Answer, Broken> {
        let request = self.request(Method::OPTIONS, "api/sse", &[], Show::Nothing);
        let request = request
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", headers);
        Answer::to(request, ANSWER_WITHIN).await
    }

    /// Opens a stream. It may not have been answered yet.
    pub(super) fn stream(
        &self,
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
        show: Show,
    ) -> Stream {
        let mut request = self.request(Method::GET, "api/sse", query, show);
        request = request.header(ACCEPT, "text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Stream::open(request)
    }

    /// Publishes a test event, padded to about this many bytes.
    pub(super) async fn publish(
        &self,
        topic: &str,
        number: usize,
        bytes: usize,
    ) -> Result<Answer, Broken> {
        let padding = "x".repeat(bytes);
        let mut data = json!({ "number": number, "sentAt": unix_ms() });
        if bytes > 0 {
            data["padding"] = Value::from(padding);
        }
        let event = json!({
            "topic": topic, "type": TEST_TYPE, "ttlSecs": EVENT_TTL_SECS, "data": data,
        });
        let mut request = self.request(Method::POST, "api/events", &[], Show::Nothing);
        if let Some(secret) = &self.publisher {
            request = request.header(AUTHORIZATION, format!("Bearer {}", secret.expose()));
        }
        Answer::to(request.json(&event), ANSWER_WITHIN).await
    }
}

/// The type of test events.
pub(super) const TEST_TYPE: &str = "doctor";

/// Milliseconds since the Unix epoch by this machine's clock.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The base URL of what was given, which may be that of an endpoint.
fn base_url(text: &str) -> Result<Url, UsageError> {
    let refuse = |reason: &str| {
        UsageError(format!(
            "{reason}; give the URL of a Tidings server, as https://live.example.com"
        ))
    };
    let mut base = Url::parse(text).map_err(|error| refuse(&format!("not a URL ({error})")))?;
    if !matches!(base.scheme(), "http" | "https") {
        return Err(refuse("the URL must begin with https:// or http://"));
    }
    if !base.username().is_empty() || base.password().is_some() {
        return Err(refuse("the URL must not have a user or a password in it"));
    }
    base.set_query(None);
    base.set_fragment(None);
    let path = base.path().trim_end_matches('/').to_owned();
    let path = ENDPOINTS.iter().find_map(|endpoint| path.strip_suffix(endpoint)).unwrap_or(&path);
    let path = format!("{}/", path.trim_end_matches('/'));
    base.set_path(&path);
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_found_behind_what_people_paste() {
        for (given, expected) in [
            ("https://a.example", "https://a.example/"),
            ("https://a.example/live", "https://a.example/live/"),
            ("https://a.example/live/", "https://a.example/live/"),
            ("https://a.example/api/sse?topic=a&token=secret", "https://a.example/"),
            ("https://a.example/live/api/polling#x", "https://a.example/live/"),
        ] {
            assert_eq!(base_url(given).unwrap().as_str(), expected, "{given}");
        }
        for given in ["", "a.example", "ftp://a.example", "https://u:p@a.example"] {
            assert!(base_url(given).is_err(), "{given}");
        }
    }
}
