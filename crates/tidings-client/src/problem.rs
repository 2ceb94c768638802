//! Refusals: the server's problem details (RFC 9457), and what stands in for them when something
//! else answers in its place.

use std::fmt;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;

/// Bytes of an error's body that are read; the rest is of no use to anybody.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;
/// How long an error's body may take; its status is known by then, and waiting is not worth it.
const PROBLEM_WITHIN: Duration = Duration::from_secs(5);
/// Characters of a foreign error's body that are repeated.
const EXCERPT_CHARS_MAX: usize = 200;

/// Why the server refused a request, or one event of many.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable name of the problem, as in `invalid-topic`. `http-502` and the like when the
    /// answer was not a problem of the hub's: a proxy's, most often.
    pub code: String,
    /// What kind of problem it is.
    #[serde(default)]
    pub title: String,
    /// What was wrong this time, and what to do about it.
    #[serde(default)]
    pub detail: String,
    /// How long the server asks to wait before the next attempt.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// Whether the same request may succeed later: timeouts, rate limits and the server's own
    /// failures.
    pub fn is_temporary(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500..=599)
    }

    /// Reads the answer to a request that failed. Never fails: what cannot be read is left out.
    pub(crate) async fn read(mut response: Response) -> Self {
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        let read = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                body.extend_from_slice(&chunk);
                if body.len() > PROBLEM_BYTES_MAX {
                    break;
                }
            }
        };
        // A body cut short is told like a foreign one: the status matters more.
        tokio::time::timeout(PROBLEM_WITHIN, read).await.ok();
        let retry_after = retry_after(&headers, SystemTime::now());
        match serde_json::from_slice::<Self>(&body) {
            Ok(problem) => Self { status: status.as_u16(), retry_after, ..problem },
            Err(_) => Self { retry_after, ..Self::foreign(status, &headers, &body) },
        }
    }

    fn foreign(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let detail = if status.is_redirection() {
            let target = text(LOCATION).unwrap_or("nowhere in particular");
            format!("the server redirects to {target}; use the URL of the hub itself")
        } else {
            let excerpt: String = String::from_utf8_lossy(body)
                .chars()
                .map(|char| if char.is_control() { ' ' } else { char })
                .take(EXCERPT_CHARS_MAX)
                .collect();
            let kind = text(CONTENT_TYPE).unwrap_or("no content type");
            format!("the answer is not a hub's ({kind}): {}", excerpt.trim())
        };
        let title = status.canonical_reason().unwrap_or("Unknown status").to_owned();
        let status = status.as_u16();
        Self { status, code: format!("http-{status}"), title, detail, retry_after: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let explanation = if self.detail.is_empty() { &self.title } else { &self.detail };
        write!(f, "{} ({}): {explanation}", self.code, self.status)
    }
}

impl std::error::Error for Problem {}

/// Reads `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(secs) = value.parse() {
        return Some(Duration::from_secs(secs));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let now = SystemTime::UNIX_EPOCH;
        let rows = [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Thu, 01 Jan 1970 00:01:00 GMT", Some(60)),
            ("-1", None),
            ("soon", None),
        ];
        for (value, expected) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn a_date_in_the_past_asks_for_no_wait() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "Thu, 01 Jan 1970 00:01:00 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers, SystemTime::now()), Some(Duration::ZERO));
    }
}
