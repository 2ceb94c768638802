//! The address of a service that this node asks: checked by being built, and never any other.
//!
//! Whether it may be plain HTTP depends on what is asked there, and is decided by the demands on
//! the settings as a whole.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes in an address.
const URL_BYTES_MAX: usize = 2048;

/// An `http` or `https` URL with a host, and without a user, a password or a fragment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline)]
pub struct HttpUrl(Url);

impl HttpUrl {
    /// The URL itself.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Whether it is `https`.
    pub fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether what is sent there can be read or changed by nobody between: it is encrypted, or
    /// does not leave this machine.
    pub fn is_private(&self) -> bool {
        self.is_secure() || self.0.host_str().is_some_and(is_loopback)
    }
}

/// `localhost` and what lies below it name this machine (RFC 6761, 6.3).
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost"
        || host.ends_with(".localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

impl TryFrom<String> for HttpUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // The text is not repeated: it may hold a password.
        let url = Url::parse(&text).map_err(|error| format!("it is not a URL: {error}"))?;
        let wrong = if text.len() > URL_BYTES_MAX {
            "it is longer than 2048 bytes"
        } else if !matches!(url.scheme(), "http" | "https") {
            "it must begin with https:// or http://"
        } else if !url.username().is_empty() || url.password().is_some() {
            "it must not have a user or a password in it"
        } else if url.fragment().is_some() {
            "it must not have a fragment, what follows a #"
        } else {
            return Ok(Self(url));
        };
        Err(wrong.to_owned())
    }
}

impl From<HttpUrl> for String {
    fn from(url: HttpUrl) -> Self {
        url.0.into()
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://app.example.com/keys", true)]
    #[case("http://localhost:3000/session", true)]
    #[case("http://app.localhost/session", true)]
    #[case("http://127.8.0.1/session", true)]
    #[case("http://[::1]:3000/session", true)]
    #[case("http://[::ffff:127.0.0.1]/session", true)]
    #[case("http://app:3000/session", false)]
    #[case("http://localhost.example.com/", false)]
    #[case("http://192.168.0.7/", false)]
    #[case("http://127.0.0.1.example.com/", false)]
    fn knows_whether_anyone_can_listen_in(#[case] url: &str, #[case] private: bool) {
        assert_eq!(HttpUrl::try_from(url.to_owned()).unwrap().is_private(), private);
    }

    #[rstest]
    #[case("")]
    #[case("app.example.com")]
    #[case("/api/session")]
    #[case("ftp://example.com")]
    #[case("file:///etc/passwd")]
    #[case("https://")]
    #[case("https://me:canary@example.com/")]
    #[case("https://canary@example.com/")]
    #[case("https://example.com/#keys")]
    fn refuses_what_is_no_address_of_a_service(#[case] url: &str) {
        let complaint = HttpUrl::try_from(url.to_owned()).unwrap_err();
        assert!(!complaint.contains("canary"), "{complaint}");
    }
}
