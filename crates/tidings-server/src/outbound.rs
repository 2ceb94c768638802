//! Asking a service that the settings name: one address, no redirects, in a bounded time and size.
//!
//! What is asked and what the answer means is not known here.

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};

use crate::config::HttpUrl;

/// How long an answer may take, from the connection to its last byte, where a request waits for it.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an idle connection is kept for the next request.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// A client that goes nowhere but to the address it is told: no redirects, and no proxy that a
/// variable in the environment names.
pub(crate) fn client(url: &HttpUrl) -> Result<Client, OutboundError> {
    let mut builder = Client::builder()
        .user_agent(concat!("tidings/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(ANSWER_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE);
    if !url.is_secure() {
        // Without TLS the system's certificates must not be needed: minimal containers have none.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(OutboundError::from)
}

/// The status and the body of an answer, of at most this many bytes.
pub(crate) async fn ask(
    request: RequestBuilder,
    bytes_max: usize,
) -> Result<(StatusCode, Vec<u8>), OutboundError> {
    let mut answer = request.send().await?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Err(OutboundError::TooLarge(bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((answer.status(), body))
}

/// Why there is no answer. Its text is for the log, without the URL, whose query may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// No connection, no answer in time, or one that broke off.
    #[error("{0}")]
    Http(String),
    /// More than would be believed.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    /// An answer that means nothing here.
    #[error("{0}")]
    Answer(String),
}

impl From<reqwest::Error> for OutboundError {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let what = if error.is_timeout() {
            "no answer in time"
        } else if error.is_connect() {
            "cannot connect"
        } else if error.is_builder() {
            "the HTTP client cannot be set up"
        } else {
            "the connection broke"
        };
        let mut cause: &dyn Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self::Http(format!("{what}: {cause}"))
    }
}
