//! One open stream: its bytes, how long it may be silent, and what its events mean.
//!
//! It ends with the connection. What came before it, and what to do about its end, is not known
//! here.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::event::{Closing, Connected, Event, Expiring, Gap};
use crate::http::explain;
use crate::parser::{Parser, RawEvent};
use crate::subscription::Interruption;

/// The silence a hub stays below, as long as it has promised nothing.
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(15);
/// A silence of this many heartbeats means that the connection is dead: one may be lost or late.
const MUTE_HEARTBEATS: f64 = 2.5;
/// The longest heartbeat that is believed; beyond it a dead connection would never be noticed.
const HEARTBEAT_SECS_MAX: f64 = 3600.0;

/// A stream that is being read.
pub(crate) struct OpenStream {
    response: Response,
    pub(crate) parser: Parser,
    mute_after: Duration,
    heard_at: Instant,
}

impl OpenStream {
    pub(crate) fn new(response: Response, block_bytes_max: usize) -> Self {
        Self {
            response,
            parser: Parser::new(block_bytes_max),
            mute_after: HEARTBEAT_DEFAULT.mul_f64(MUTE_HEARTBEATS),
            heard_at: Instant::now(),
        }
    }

    /// Takes the hub's promise of how long a silence lasts at most.
    pub(crate) fn promised(&mut self, heartbeat_secs: Option<f64>) {
        if let Some(secs) = heartbeat_secs.filter(|secs| *secs > 0.0) {
            let heartbeat = Duration::from_secs_f64(secs.min(HEARTBEAT_SECS_MAX));
            self.mute_after = heartbeat.mul_f64(MUTE_HEARTBEATS);
        }
    }

    /// The next bytes, or why there are none. Dropping the future loses nothing.
    pub(crate) async fn read(&mut self) -> Result<Bytes, Interruption> {
        match timeout_at(self.heard_at + self.mute_after, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                self.heard_at = Instant::now();
                Ok(bytes)
            }
            Ok(Ok(None)) => Err(Interruption::Ended),
            Ok(Err(error)) => Err(Interruption::Network(explain(error))),
            Err(_) => Err(Interruption::Mute { silence: self.mute_after }),
        }
    }
}

/// What an event of the stream means.
pub(crate) enum Message {
    Event(Event),
    Connected(Connected),
    Gap(Gap),
    Expiring(Expiring),
    Closing(Closing),
    /// One of the hub's own that this client is too old to know.
    Unknown,
}

impl Message {
    pub(crate) fn new(raw: RawEvent) -> Result<Self, String> {
        let Some(kind) = raw.r#type.strip_prefix("tidings.") else {
            return Event::from_raw(raw).map(Self::Event);
        };
        Ok(match kind {
            "connected" => Self::Connected(read(&raw)?),
            "gap" => Self::Gap(read(&raw)?),
            "expiring" => Self::Expiring(read(&raw)?),
            "closing" => Self::Closing(read(&raw)?),
            _ => Self::Unknown,
        })
    }
}

fn read<T: DeserializeOwned>(raw: &RawEvent) -> Result<T, String> {
    serde_json::from_str(&raw.data)
        .map_err(|error| format!("its {} event cannot be read: {error}", raw.r#type))
}
