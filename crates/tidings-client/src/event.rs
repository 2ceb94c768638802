//! What a subscriber receives: events, and what the hub says about the stream itself.
//!
//! These are the shapes of the wire, checked; how they are obtained, and which of them are repeats,
//! is not known here.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use tidings_hub::Cursor;

use crate::parser::RawEvent;

/// An event as it was published.
#[derive(Clone, Debug)]
pub struct Event {
    /// The event's place in the log; also the cursor that resumes after it.
    pub id: Cursor,
    /// The type, `message` unless the publisher chose another.
    pub r#type: String,
    /// The topics it was published to, as far as the subscriber may see them.
    pub topics: Vec<String>,
    /// When the hub took it, milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// What it carries.
    pub content: Content,
}

/// What an event carries, spelled exactly as it travelled.
///
/// A stream does not tell text from JSON, so the same rule is used for every transport: what is
/// valid JSON from its first to its last byte is [`Json`](Self::Json), anything else is
/// [`Text`](Self::Text). A text of `42` is therefore read as the number.
#[derive(Clone, Debug)]
pub enum Content {
    /// JSON text.
    Json(Box<RawValue>),
    /// Any other text, its lines joined by LF.
    Text(String),
}

impl Content {
    /// Tells JSON from other text.
    pub fn new(text: String) -> Self {
        match serde_json::from_str::<&RawValue>(&text) {
            Ok(json) if json.get().len() == text.len() => Self::Json(json.to_owned()),
            _ => Self::Text(text),
        }
    }

    /// The content as text, whichever it is.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Json(json) => json.get(),
            Self::Text(text) => text,
        }
    }
}

impl Event {
    /// The content read as JSON.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(self.content.as_str())
    }

    /// The content as text.
    pub fn text(&self) -> &str {
        self.content.as_str()
    }

    /// Checks an event of the stream.
    pub(crate) fn from_raw(raw: RawEvent) -> Result<Self, String> {
        let id = cursor_of(&raw.id)?;
        let missing = |field| format!("event {id} has no {field}");
        Ok(Self {
            id,
            topics: raw
                .topic
                .ok_or_else(|| missing("topic"))?
                .split(',')
                .map(str::to_owned)
                .collect(),
            timestamp: raw.time.ok_or_else(|| missing("time"))?,
            r#type: raw.r#type,
            content: Content::new(raw.data),
        })
    }
}

impl Serialize for Event {
    /// The form of the polling endpoint: `{id, type, topics, data | text, timestamp}`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut event = serializer.serialize_struct("Event", 5)?;
        event.serialize_field("id", &self.id.to_string())?;
        event.serialize_field("type", &self.r#type)?;
        event.serialize_field("topics", &self.topics)?;
        match &self.content {
            Content::Json(json) => event.serialize_field("data", json)?,
            Content::Text(text) => event.serialize_field("text", text)?,
        }
        event.serialize_field("timestamp", &self.timestamp)?;
        event.end()
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Polled {
            #[serde(deserialize_with = "cursor")]
            id: Cursor,
            r#type: String,
            topics: Vec<String>,
            #[serde(default, deserialize_with = "present")]
            data: Option<Box<RawValue>>,
            text: Option<String>,
            timestamp: u64,
        }
        let Polled { id, r#type, topics, data, text, timestamp } =
            Polled::deserialize(deserializer)?;
        let content = match (data, text) {
            (Some(json), None) => Content::Json(json),
            (None, Some(text)) => Content::new(text),
            _ => return Err(serde::de::Error::custom("an event has either data or text")),
        };
        Ok(Self { id, r#type, topics, timestamp, content })
    }
}

/// What the hub says first on every stream, and what a poller is told at its first answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connected {
    /// The connection's name in the hub; a poller has none.
    #[serde(default)]
    pub connection: Option<String>,
    /// The user the hub takes the subscriber for.
    #[serde(default)]
    pub user: Option<String>,
    /// How the subscriber was authenticated.
    #[serde(default)]
    pub method: Option<String>,
    /// The patterns that are listened to; a poller is not told.
    #[serde(default)]
    pub topics: Vec<String>,
    /// Where the stream starts from.
    #[serde(deserialize_with = "cursor")]
    pub cursor: Cursor,
    /// Whether every event after the cursor that was offered follows.
    pub resumed: bool,
    /// The longest silence the hub promises, in seconds.
    #[serde(default)]
    pub heartbeat_secs: Option<f64>,
    /// When the hub will end the stream, milliseconds since the Unix epoch.
    #[serde(default)]
    pub expires_at: Option<u64>,
}

/// The log has dropped events that lie after the subscriber's cursor: refetch the state.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// The patterns concerned; none named means all.
    #[serde(default)]
    pub topics: Vec<String>,
    /// Where the stream goes on from.
    #[serde(deserialize_with = "cursor")]
    pub cursor: Cursor,
}

impl Serialize for Gap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut gap = serializer.serialize_struct("Gap", 3)?;
        gap.serialize_field("reason", &self.reason)?;
        gap.serialize_field("topics", &self.topics)?;
        gap.serialize_field("cursor", &self.cursor.to_string())?;
        gap.end()
    }
}

/// Why there is a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GapReason {
    /// The events were older or more than the log retains.
    Expired,
    /// The cursor is from another lifetime of the log.
    Epoch,
    /// The subscriber could not keep up.
    Slow,
    /// The hub does not know the cursor, or gave a reason this client does not know.
    #[serde(other)]
    Unknown,
}

/// The hub will soon end the stream because its authority runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expiring {
    /// In how many seconds.
    pub in_secs: u64,
    /// What runs out.
    pub reason: ExpiringReason,
}

/// What is about to run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ExpiringReason {
    /// The token.
    Token,
    /// The longest life of a stream.
    Age,
    /// Something this client does not know.
    #[serde(other)]
    Other,
}

/// The hub ends the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Closing {
    /// Why.
    pub reason: ClosingReason,
    /// When to come back, in milliseconds.
    #[serde(default)]
    pub retry_ms: Option<u64>,
}

/// Why the hub ends a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ClosingReason {
    /// The subscriber's authority was revoked.
    Revoked,
    /// The node is being stopped; another, or its successor, takes over.
    Drain,
    /// The stream's authority or age ran out.
    Expired,
    /// Another connection of the same subscriber took this one's place.
    Replaced,
    /// Something this client does not know.
    #[serde(other)]
    Other,
}

/// Reads the cursor of an event or a block.
pub(crate) fn cursor_of(text: &str) -> Result<Cursor, String> {
    text.parse().map_err(|error| format!("{text:?} is not a cursor: {error}"))
}

pub(crate) fn cursor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cursor, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    cursor_of(&text).map_err(serde::de::Error::custom)
}

pub(crate) fn as_text<S: Serializer>(cursor: &Cursor, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(cursor)
}

/// Reads JSON that is there: `null` is a value like any other, and must not pass for absence.
pub(crate) fn present<'de, D>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error>
where
    D: Deserializer<'de>,
{
    Box::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_json_only_from_its_first_to_its_last_byte() {
        let rows = [
            ("{\"a\": 1.0e3}", true),
            ("42", true),
            ("null", true),
            ("\"a\"", true),
            (" 42", false),
            ("42\n", false),
            ("", false),
            ("42 43", false),
            ("{", false),
            ("r  b   swpd", false),
        ];
        for (text, is_json) in rows {
            let content = Content::new(text.to_owned());
            assert_eq!(matches!(content, Content::Json(_)), is_json, "{text:?}");
            assert_eq!(content.as_str(), text);
        }
    }

    #[test]
    fn a_polled_event_is_written_as_it_was_read() {
        for content in ["\"data\":null", "\"data\":{\"n\": 1.0e3,\"n\":2}", "\"text\":\"a b\""] {
            let json = format!(
                "{{\"id\":\"k7q2m9x1-1042\",\"type\":\"t\",\"topics\":[\"a\",\"b\"],{content},\
                 \"timestamp\":1795458000000}}"
            );
            let event: Event = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), json);
        }
    }

    #[test]
    fn a_polled_event_with_both_contents_or_none_is_refused() {
        for content in ["\"data\":1,\"text\":\"a\"", "\"other\":1"] {
            let json = format!(
                "{{\"id\":\"k7q2m9x1-1\",\"type\":\"t\",\"topics\":[],{content},\"timestamp\":1}}"
            );
            assert!(serde_json::from_str::<Event>(&json).is_err(), "{content}");
        }
    }
}
