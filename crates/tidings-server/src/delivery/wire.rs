//! The hub's own events on a stream: `tidings.connected`, `.gap`, `.expiring` and `.closing`, the
//! `retry` field and the heartbeat.
//!
//! The same shapes in JSON for polling come from here too, so that a gap is a gap everywhere.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use tidings_hub::{Cursor, Gap, Pattern};

/// The data of `tidings.connected`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connected<'a> {
    pub(super) connection: String,
    pub(super) user: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) topics: Vec<&'a str>,
    pub(super) cursor: String,
    pub(super) resumed: bool,
    pub(super) heartbeat_secs: u64,
    pub(super) expires_at: u64,
}

impl Connected<'_> {
    /// Moves the client's cursor to where the stream starts, but not past a gap it has not been told
    /// of yet: should the connection break in between, the old cursor brings the gap again.
    pub(super) fn frame(&self, gap_follows: bool) -> Bytes {
        own_event("connected", (!gap_follows).then_some(self.cursor.as_str()), None, self)
    }
}

/// Why a stream's time is running out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpiringReason {
    Token,
    Age,
}

pub(super) fn expiring(in_secs: u64, reason: ExpiringReason) -> Bytes {
    let reason = match reason {
        ExpiringReason::Token => "token",
        ExpiringReason::Age => "age",
    };
    own_event("expiring", None, None, &serde_json::json!({ "inSecs": in_secs, "reason": reason }))
}

/// Why the hub ends a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClosingReason {
    Drain,
    Expired,
    Revoked,
}

/// The last event of a stream. Its `retry` field makes a plain `EventSource` wait as long as the
/// JSON asks everyone to.
pub(super) fn closing(cursor: Cursor, reason: ClosingReason, retry_ms: u64) -> Bytes {
    let reason = match reason {
        ClosingReason::Drain => "drain",
        ClosingReason::Expired => "expired",
        ClosingReason::Revoked => "revoked",
    };
    let data = serde_json::json!({ "reason": reason, "retryMs": retry_ms });
    own_event("closing", Some(&cursor.to_string()), Some(retry_ms), &data)
}

pub(super) fn gap(gap: &Gap) -> Bytes {
    own_event("gap", Some(&gap.cursor.to_string()), None, &gap_json(gap))
}

/// A gap as JSON: `{reason, topics, cursor}`.
pub(crate) fn gap_json(gap: &Gap) -> Value {
    let topics: Vec<&str> = gap.patterns.iter().map(Pattern::as_str).collect();
    serde_json::json!({
        "reason": gap.reason.as_str(),
        "topics": topics,
        "cursor": gap.cursor.to_string(),
    })
}

pub(super) fn retry(retry_ms: u64) -> Bytes {
    format!("retry: {retry_ms}\n\n").into()
}

/// A block without data dispatches nothing but moves a client's cursor.
pub(super) fn heartbeat(cursor: Cursor) -> Bytes {
    format!("id: {cursor}\n\n").into()
}

fn own_event(
    name: &str,
    cursor: Option<&str>,
    retry_ms: Option<u64>,
    data: &impl Serialize,
) -> Bytes {
    let cursor = cursor.map_or(String::new(), |cursor| format!("id: {cursor}\n"));
    let retry = retry_ms.map_or(String::new(), |retry_ms| format!("retry: {retry_ms}\n"));
    let data = serde_json::to_string(data).expect("plain structs and maps with text keys");
    format!("{cursor}{retry}event: tidings.{name}\ndata: {data}\n\n").into()
}
