//! The HTTP client and the hub's addresses. What is asked of them is not known here.

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, Url};

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long an idle connection is kept for the next request. Shorter than servers and proxies keep
/// theirs (5 seconds are common, and a poll comes every 10): whoever closes second sends a request
/// into a connection that is gone.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// Why a client cannot be set up. Trying again does not help.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The hub's URL is not one.
    #[error("{url:?} is not the URL of a hub ({reason}); give one like http://127.0.0.1:4000")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client could not be built; the system's certificates are the usual cause.
    #[error("the HTTP client could not be set up: {0}; check the system's CA certificates")]
    Http(String),
    /// The rewind is not a count, a duration or `all`.
    #[error("{0:?} is not how far to rewind; give a count (20), a duration (5m) or all")]
    Rewind(String),
}

/// A hub: its address, and the client that talks to it.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    base: Url,
    pub(crate) http: Client,
}

impl Hub {
    /// The hub at this base URL, which may have a path.
    pub(crate) fn new(url: &str) -> Result<Self, SetupError> {
        let refuse = |reason: &str| SetupError::Url { url: url.to_owned(), reason: reason.into() };
        let mut base = Url::parse(url).map_err(|error| refuse(&error.to_string()))?;
        let secure = match base.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(refuse("its scheme is neither http nor https")),
        };
        if base.query().is_some() || base.fragment().is_some() {
            return Err(refuse("it has a query or a fragment"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(refuse("it has a user or a password in it"));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        // Redirects are not followed: they would turn a POST into a GET and hide a wrong URL.
        let mut builder = Client::builder()
            .user_agent(concat!("tidings-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_WITHIN)
            .pool_idle_timeout(POOL_IDLE)
            .redirect(reqwest::redirect::Policy::none());
        if !secure {
            // Without TLS the system's certificates must not be needed: minimal containers have
            // none, and building the client would fail.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| SetupError::Http(explain(error)))?;
        Ok(Self { base, http })
    }

    /// The address of an endpoint, as in `api/sse`.
    pub(crate) fn url(&self, endpoint: &str) -> Url {
        self.base.join(endpoint).expect("an endpoint is a valid relative URL")
    }
}

/// What went wrong and its first cause, in one line and without the URL: its query is nobody's
/// business.
pub(crate) fn explain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let what = if error.is_connect() {
        "cannot connect"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "the connection broke"
    };
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("{what}: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_lie_under_the_base_path() {
        for (base, expected) in [
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000/api/sse"),
            ("http://127.0.0.1:4000/", "http://127.0.0.1:4000/api/sse"),
            ("https://example.com/live", "https://example.com/live/api/sse"),
            ("https://example.com/live/", "https://example.com/live/api/sse"),
        ] {
            assert_eq!(Hub::new(base).unwrap().url("api/sse").as_str(), expected);
        }
    }

    #[test]
    fn what_is_no_hubs_url_is_refused() {
        for url in
            ["", "localhost:4000", "ftp://a", "/api", "http://a?b", "http://a#b", "http://u:p@a"]
        {
            assert!(matches!(Hub::new(url), Err(SetupError::Url { .. })), "{url}");
        }
    }
}
