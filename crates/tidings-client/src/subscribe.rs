//! What to subscribe to and how: the options of a [`Subscription`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tidings_hub::Cursor;

use crate::backoff::BackoffBounds;
use crate::credential::Credential;
use crate::http::{Hub, SetupError};
use crate::parser::BLOCK_BYTES_MAX;
use crate::subscription::{Subscription, Transport};

/// The options of a subscription. [`start`](Self::start) makes it.
///
/// ```no_run
/// use tidings_client::{Item, Subscribe};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut subscription = Subscribe::new("http://127.0.0.1:4000").topic("orders/42").start()?;
/// while let Some(item) = subscription.next().await {
///     match item? {
///         Item::Event(event) => println!("{}: {}", event.r#type, event.text()),
///         Item::Gap(gap) => println!("events were lost ({:?}): refetch the state", gap.reason),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `start` is called"]
pub struct Subscribe {
    pub(crate) url: String,
    pub(crate) credential: Credential,
    pub(crate) topics: Vec<String>,
    pub(crate) types: Vec<String>,
    pub(crate) since: Option<Cursor>,
    pub(crate) rewind: Option<Rewind>,
    pub(crate) transport: Transport,
    pub(crate) poll_interval: Option<Duration>,
    pub(crate) backoff: BackoffBounds,
    pub(crate) block_bytes_max: usize,
}

impl Subscribe {
    /// Subscribes to the default topics of whoever asks, from now on, over a stream.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credential: Credential::none(),
            topics: Vec::new(),
            types: Vec::new(),
            since: None,
            rewind: None,
            transport: Transport::Sse,
            poll_interval: None,
            backoff: BackoffBounds::default(),
            block_bytes_max: BLOCK_BYTES_MAX,
        }
    }

    /// Who is asking.
    pub fn credential(mut self, credential: Credential) -> Self {
        self.credential = credential;
        self
    }

    /// Adds a topic or a pattern. Without any the hub chooses the subscriber's default topics.
    pub fn topic(mut self, pattern: impl Into<String>) -> Self {
        self.topics.push(pattern.into());
        self
    }

    /// Adds an event type to receive. Without any all types are received.
    pub fn r#type(mut self, r#type: impl Into<String>) -> Self {
        self.types.push(r#type.into());
        self
    }

    /// Starts after this cursor instead of now.
    pub fn since(mut self, cursor: Cursor) -> Self {
        self.since = Some(cursor);
        self
    }

    /// Starts earlier than now. Only used when there is no cursor to start after.
    pub fn rewind(mut self, rewind: Rewind) -> Self {
        self.rewind = Some(rewind);
        self
    }

    /// How to receive.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// How long to wait between polls, where the hub's own proposal will not do.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = Some(interval);
        self
    }

    /// How long to wait between attempts.
    pub fn backoff(mut self, bounds: BackoffBounds) -> Self {
        self.backoff = bounds;
        self
    }

    /// Bytes of one event to accept: more than the hub's `event_bytes_max`, or a large event ends
    /// the subscription. 1 MiB unless set.
    pub fn block_bytes_max(mut self, bytes: usize) -> Self {
        self.block_bytes_max = bytes;
        self
    }

    /// Makes the subscription. It connects when its first item is asked for.
    pub fn start(self) -> Result<Subscription, SetupError> {
        let hub = Hub::new(&self.url)?;
        Ok(Subscription::new(hub, self))
    }
}

/// How far back to start without a cursor: a count of events (`20`), a duration (`90s`, `5m`, `2h`,
/// `1d`) or `all` that the hub retains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewind(String);

impl Rewind {
    /// The last so many events.
    pub fn events(count: u32) -> Self {
        Self(count.to_string())
    }

    /// The events of the last so many seconds.
    pub fn secs(secs: u64) -> Self {
        Self(format!("{secs}s"))
    }

    /// Everything that is retained.
    pub fn all() -> Self {
        Self("all".to_owned())
    }
}

impl fmt::Display for Rewind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Rewind {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        let number = text.strip_suffix(['s', 'm', 'h', 'd']).unwrap_or(text);
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        if text == "all" || digits {
            Ok(Self(text.to_owned()))
        } else {
            Err(SetupError::Rewind(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewind_is_a_count_a_duration_or_all() {
        for text in ["20", "0", "90s", "5m", "2h", "1d", "all"] {
            assert_eq!(text.parse::<Rewind>().unwrap().to_string(), text);
        }
        for text in ["", "m", "-5", "5 m", "5w", "5mm", "ALL", "1.5h"] {
            assert!(text.parse::<Rewind>().is_err(), "{text:?}");
        }
    }
}
