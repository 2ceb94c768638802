//! One answer as it came, and what can be told from it alone: whether Tidings gave it, or something
//! else.
//!
//! Also how a request or a stream can break, in words. Which check it is for is not known here.

use std::error::Error;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};
use reqwest::RequestBuilder;
use reqwest::tls::TlsInfo;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::target::unix_ms;

/// Bytes of an answer that are read.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Characters of a page's title that are repeated.
const TITLE_CHARS_MAX: usize = 80;

/// How an answer begins.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    /// The certificate of the other end, in DER.
    pub(super) certificate: Option<Vec<u8>>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) head: Head,
    pub(super) body: Bytes,
    /// From the request to the answer's last byte.
    pub(super) took: Duration,
    /// This machine's clock half way between the two, milliseconds.
    pub(super) middle_ms: u64,
}

/// A refusal of Tidings' own.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Refusal {
    #[serde(rename = "type")]
    problem_type: String,
    pub(super) code: String,
    #[serde(default)]
    pub(super) detail: String,
}

/// An answer of the polling endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    pub(super) cursor: String,
    pub(super) resumed: bool,
    pub(super) timestamp: u64,
    pub(super) user: Option<String>,
    pub(super) events: Vec<PolledEvent>,
}

/// As much of an event as is looked at.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct PolledEvent {
    pub(super) id: String,
}

/// No answer, or one that broke off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The TLS handshake failed over the certificate.
    Certificate(String),
    /// There is no connection.
    Connect(String),
    /// No answer in this time.
    Silent(Duration),
    /// The connection broke: how, and after how long.
    Off(String, Duration),
}

impl Head {
    pub(super) fn of(response: &reqwest::Response) -> Self {
        let certificate = response.extensions().get::<TlsInfo>();
        let certificate = certificate.and_then(|info| info.peer_certificate()).map(<[u8]>::to_vec);
        Self {
            status: response.status(),
            version: response.version(),
            headers: response.headers().clone(),
            certificate,
        }
    }

    /// A header as text; of several the first.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// All of a header's values, joined as HTTP joins them.
    pub(super) fn joined(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(", ").to_ascii_lowercase()
    }

    /// The media type without its parameters.
    pub(super) fn media_type(&self) -> String {
        let kind = self.text("content-type").unwrap_or_default();
        kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

impl Answer {
    /// Makes the request and reads the answer whole.
    pub(super) async fn to(request: RequestBuilder, within: Duration) -> Result<Self, Broken> {
        let (begun, begun_ms) = (Instant::now(), unix_ms());
        let asking = async {
            let mut response = request.send().await.map_err(|error| Broken::by(&error, begun))?;
            let head = Head::of(&response);
            let mut body = Vec::new();
            while body.len() < BODY_BYTES_MAX {
                let chunk = response.chunk().await.map_err(|error| Broken::by(&error, begun))?;
                let Some(chunk) = chunk else { break };
                body.extend_from_slice(&chunk);
            }
            let middle_ms = begun_ms + unix_ms().saturating_sub(begun_ms) / 2;
            Ok(Self { head, body: body.into(), took: begun.elapsed(), middle_ms })
        };
        tokio::time::timeout(within, asking).await.unwrap_or(Err(Broken::Silent(within)))
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// A page of the polling endpoint, if it is one.
    pub(super) fn page(&self) -> Option<Page> {
        self.json().filter(|_| self.head.status == StatusCode::OK)
    }

    /// A refusal, if it is Tidings' own.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.json()
            .filter(|refusal: &Refusal| refusal.problem_type.starts_with("urn:tidings:problem:"))
    }

    /// What it is, for people: the title of a page of HTML, or its type.
    pub(super) fn describe(&self) -> String {
        let status = self.head.status;
        let kind = self.head.media_type();
        match (self.title(), kind.as_str()) {
            (Some(title), _) if !title.contains(status.as_str()) => {
                format!("{status} with a page of HTML, “{title}”")
            }
            (_, "text/html") => format!("{status} with a page of HTML"),
            (_, "") => format!("{status}"),
            (_, kind) => format!("{status} with {kind}"),
        }
    }

    fn title(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.body);
        // ASCII lower case keeps every byte's place.
        let lower = text.to_ascii_lowercase();
        let tag = lower.find("<title")?;
        let begin = tag + lower[tag..].find('>')? + 1;
        let end = begin + lower[begin..].find("</title")?;
        let title = text[begin..end].split_whitespace().collect::<Vec<_>>().join(" ");
        Some(title.chars().take(TITLE_CHARS_MAX).collect())
            .filter(|title: &String| !title.is_empty())
    }
}

impl Broken {
    /// What a failed request says.
    pub(super) fn by(error: &reqwest::Error, begun: Instant) -> Self {
        let cause = root_cause(error);
        if cause.contains("certificate") {
            Self::Certificate(cause)
        } else if error.is_connect() {
            Self::Connect(cause)
        } else {
            Self::Off(how_it_broke(error), begun.elapsed())
        }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Certificate(cause) => write!(f, "the certificate was not accepted: {cause}"),
            Self::Connect(cause) => write!(f, "no connection: {cause}"),
            Self::Silent(within) => write!(f, "no answer in {} s", within.as_secs()),
            Self::Off(how, after) => write!(f, "{how} after {:.1} s", after.as_secs_f64()),
        }
    }
}

/// Which way a connection ended, as the network says it.
pub(super) fn how_it_broke(error: &reqwest::Error) -> String {
    let mut cause: &(dyn Error + 'static) = error;
    loop {
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            match error.kind() {
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                    return "the connection was reset (RST)".into();
                }
                ErrorKind::UnexpectedEof => return "the connection was closed (FIN)".into(),
                _ => {}
            }
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>()
            && error.is_incomplete_message()
        {
            return "the connection was closed (FIN) in the middle of the answer".into();
        }
        match cause.source() {
            Some(source) => cause = source,
            None => break,
        }
    }
    let cause = cause.to_string();
    if cause.contains("stream error") || cause.contains("RST_STREAM") {
        return format!("the HTTP/2 stream was reset ({cause})");
    }
    if cause.contains("closed before") || cause.contains("end of file") {
        return "the connection was closed (FIN) in the middle of the answer".into();
    }
    format!("the connection broke ({cause})")
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
