//! Brings batches of spans to the collector, by the HTTP client that the rest of the node asks others
//! with: no redirects, no proxy from the environment, bounded.
//!
//! What is in a batch, and when it is tried again, is the exporter's business.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;
use tracing::{info, warn};

use crate::config::HttpUrl;
use crate::outbound::{self, OutboundError};

/// Bytes of a collector's answer, which says little.
const ANSWER_BYTES_MAX: usize = 65_536;

#[derive(Debug)]
pub(super) struct Courier {
    client: reqwest::Client,
    /// Where requests are driven: the exporter's thread has no runtime.
    runtime: Handle,
    timeout: Duration,
    /// Whether the last one came back undelivered, so that an outage is told once.
    is_failing: AtomicBool,
}

impl Courier {
    /// To be made on the runtime that is to drive it.
    pub(super) fn new(endpoint: &HttpUrl, timeout: Duration) -> Result<Self, OutboundError> {
        let client = outbound::client(endpoint)?;
        Ok(Self { client, runtime: Handle::current(), timeout, is_failing: AtomicBool::new(false) })
    }

    fn tell(&self, failure: Option<String>) {
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !was_failing => warn!(%error, "traces do not reach their collector"),
            None if was_failing => info!("traces reach their collector again"),
            Some(_) | None => {}
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for Courier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let request = self
            .client
            .request(parts.method, parts.uri.to_string())
            .headers(parts.headers)
            .timeout(self.timeout)
            .body(body);
        let answer = self.runtime.spawn(outbound::ask(request, ANSWER_BYTES_MAX)).await;
        // A runtime that ends takes what is on its way with it.
        let answer = answer.map_err(|_| OutboundError::Answer("the node has stopped".to_owned()));
        match answer.flatten() {
            Ok((status, body)) => {
                self.tell((!status.is_success()).then(|| format!("it answers with {status}")));
                Ok(Response::builder().status(status).body(body.into())?)
            }
            Err(error) => {
                self.tell(Some(error.to_string()));
                Err(error.into())
            }
        }
    }
}
