//! An event to be published, as a publisher writes it down. Whether it is a good one is for the hub
//! to say.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An event to be published. It needs at least one topic, one user or `broadcast`.
///
/// It reads and writes the JSON of the publishing endpoint; members that it does not know are an
/// error rather than lost.
///
/// ```
/// use tidings_client::NewEvent;
///
/// # fn example() -> serde_json::Result<()> {
/// let event = NewEvent::json(&serde_json::json!({ "title": "Your order has shipped" }))?
///     .user("42")
///     .topic("orders/7")
///     .r#type("notification");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewEvent {
    /// The topics to publish to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// One topic more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The users to publish to, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// One user more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether everyone is meant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub broadcast: bool,
    /// The type; `message` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// JSON to carry, spelled as it is.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::event::present"
    )]
    pub data: Option<Box<RawValue>>,
    /// Text to carry instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How long to retain it, where that is shorter than the hub does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_secs: Option<u64>,
    /// The idempotency key. Without one the publisher makes one up, so that its retries are safe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl NewEvent {
    /// An event that carries a value as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Self> {
        Ok(Self::raw(serde_json::value::to_raw_value(value)?))
    }

    /// An event that carries JSON text as it is spelled.
    pub fn raw(data: Box<RawValue>) -> Self {
        Self { data: Some(data), ..Self::default() }
    }

    /// An event that carries text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// Adds a topic.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// Adds a user.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.users.push(user.into());
        self
    }

    /// Means everyone.
    #[must_use]
    pub fn broadcast(mut self) -> Self {
        self.broadcast = true;
        self
    }

    /// Sets the type.
    #[must_use]
    pub fn r#type(mut self, r#type: impl Into<String>) -> Self {
        self.r#type = Some(r#type.into());
        self
    }

    /// Sets how long to retain it.
    #[must_use]
    pub fn ttl_secs(mut self, secs: u64) -> Self {
        self.ttl_secs = Some(secs);
        self
    }

    /// Sets the idempotency key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Whether it says to whom it goes.
    pub fn has_target(&self) -> bool {
        self.broadcast
            || self.topic.is_some()
            || self.user.is_some()
            || !self.topics.is_empty()
            || !self.users.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_as_it_was_read() {
        for json in [
            r#"{"topics":["a"],"data":null}"#,
            r#"{"topic":"a","user":"42","broadcast":true,"type":"t","data":{"n": 1.0e3,"n":2}}"#,
            r#"{"users":["1","2"],"text":"a\nb","ttlSecs":60,"key":"k"}"#,
        ] {
            let event: NewEvent = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), json);
        }
    }

    #[test]
    fn an_unknown_member_is_named() {
        let error = serde_json::from_str::<NewEvent>(r#"{"topic":"a","dta":1}"#).unwrap_err();
        assert!(error.to_string().contains("dta"), "{error}");
    }
}
