//! Reading a request's body: all of it, bounded in size and time, never decompressed.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// What a publish body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    /// `application/json`.
    Json,
    /// `application/x-ndjson`: one JSON text per line.
    Ndjson,
}

/// The media type of a body that can be read here.
pub(super) fn media_type(headers: &HeaderMap) -> Result<MediaType, Problem> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(Problem::unsupported_media_type("Send the body without Content-Encoding."));
    }
    let mut content_types = headers.get_all(header::CONTENT_TYPE).iter();
    let content_type = content_types.next().and_then(|value| value.to_str().ok());
    if content_types.next().is_some() {
        return Err(Problem::unsupported_media_type("Send one Content-Type."));
    }
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Ok(MediaType::Json)
    } else if essence.eq_ignore_ascii_case("application/x-ndjson") {
        Ok(MediaType::Ndjson)
    } else {
        Err(Problem::unsupported_media_type(
            "Send application/json, or application/x-ndjson for one event a line, \
             and say so in Content-Type.",
        ))
    }
}

/// How long a body that nobody wants is read to its end.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads a refused request's body to its end and drops it. Closing on a client that still sends
/// would reset the connection, and the client would never see why it was refused.
pub(super) async fn discard(body: &mut Body, headers: &HeaderMap) {
    // Whoever asks before it sends is not asked to send what is not wanted.
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let rest = async { while let Some(Ok(_)) = body.frame().await {} };
    // A client that takes longer may miss the answer.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, rest).await;
}

/// The whole body. `advice` says what to do about one that is too large.
pub(super) async fn read(
    body: &mut Body,
    bytes_max: usize,
    advice: &str,
    timeout: Duration,
) -> Result<Bytes, Problem> {
    let too_large =
        || Problem::body_too_large(format!("The body is larger than {bytes_max} bytes; {advice}."));
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let collected = tokio::time::timeout(timeout, Limited::new(body, bytes_max).collect()).await;
    match collected {
        Err(_) => Err(Problem::body_timeout(format!(
            "The body took longer than body_timeout_secs, {}.",
            timeout.as_secs()
        ))),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::invalid_body("The body broke off before its end.")),
    }
}

/// What a JSON object says. A list would be taken for the members in their order.
pub(super) fn parse_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::invalid_body("The body is no JSON object."));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        Problem::invalid_body(format!("The body cannot be used: {}.", complaint(&error)))
    })
}

/// A small body of JSON: a request of a few fields.
pub(super) async fn read_json<T: DeserializeOwned>(
    body: &mut Body,
    headers: &HeaderMap,
    bytes_max: usize,
    timeout: Duration,
) -> Result<T, Problem> {
    let whole = async {
        if media_type(headers)? != MediaType::Json {
            return Err(Problem::unsupported_media_type("Send application/json."));
        }
        read(body, bytes_max, "there is nothing that long to say here", timeout).await
    };
    match whole.await {
        Ok(bytes) => parse_object(&bytes),
        Err(problem) => {
            discard(body, headers).await;
            Err(problem)
        }
    }
}

/// What the JSON reader complains about, without the text it did not expect there: that may be of
/// any length, and a credential.
pub(super) fn complaint(error: &serde_json::Error) -> String {
    const CHARS_MAX: usize = 300;
    let text = error.to_string();
    let text = match (text.find(" \""), text.rfind("\", expected ")) {
        (Some(start), Some(end)) if start < end => text[..start].to_owned() + &text[end + 1..],
        _ => text,
    };
    if text.chars().count() > CHARS_MAX {
        let (line, column) = (error.line(), error.column());
        return format!("it has a field too many at line {line} column {column}");
    }
    text
}
