//! Everything that is stored in a stream, from a place on and as it comes, in order and whole: what is
//! lost on the way, or a server that says nothing any more, ends it. What the messages are is not
//! known here.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, push};
use async_nats::{Message, StatusCode, Subscriber, jetstream};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::trouble::Trouble;

/// How often a server says that there is nothing new.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long it may say nothing at all. It is to be noticed within five seconds that it is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// How long a server keeps a reader that is gone.
const READER_KEPT: Duration = Duration::from_secs(30);
/// Messages that are handed on together.
const AT_ONCE_MAX: usize = 512;

const LAST_CONSUMER: &str = "Nats-Last-Consumer";
const STALLED: &str = "Nats-Consumer-Stalled";

/// A message of a stream, and its place there.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) sequence: u64,
    /// When the server had it, in nanoseconds since the Unix epoch.
    pub(super) stamp_ns: i128,
    pub(super) message: jetstream::Message,
}

/// Reads a stream.
#[derive(Debug)]
pub(super) struct Tail {
    context: Context,
    messages: Subscriber,
    /// Messages that came so far.
    delivered: u64,
    heard: Instant,
    /// Messages that were there when the reading began.
    pub(super) pending: u64,
}

impl Tail {
    pub(super) async fn open(
        context: &Context,
        stream: &str,
        from: DeliverPolicy,
    ) -> Result<Self, Trouble> {
        let client = context.client();
        let inbox = client.new_inbox();
        // Before anything is sent there.
        let messages = client.subscribe(inbox.clone()).await.map_err(|_| Trouble::Ended)?;
        let config = push::Config {
            deliver_subject: inbox,
            deliver_policy: from,
            ack_policy: AckPolicy::None,
            max_deliver: 1,
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: READER_KEPT,
            memory_storage: true,
            num_replicas: 1,
            ..push::Config::default()
        };
        let consumer = context
            .create_consumer_on_stream(config, stream)
            .await
            .map_err(|error| Trouble::Api("reading a stream", error.to_string()))?;
        let pending = consumer.cached_info().num_pending;
        let heard = Instant::now();
        Ok(Self { context: context.clone(), messages, delivered: 0, heard, pending })
    }

    /// What has come: at least one message. Nothing is lost when nobody waits for it to the end.
    pub(super) async fn next(&mut self) -> Result<Vec<Stored>, Trouble> {
        let mut stored = Vec::new();
        loop {
            let message = timeout_at(self.heard + SILENCE_MAX, self.messages.next())
                .await
                .map_err(|_| Trouble::Silent)?;
            self.take(message.ok_or(Trouble::Ended)?, &mut stored)?;
            while stored.len() < AT_ONCE_MAX
                && let Some(message) = self.messages.next().now_or_never()
            {
                self.take(message.ok_or(Trouble::Ended)?, &mut stored)?;
            }
            if !stored.is_empty() {
                return Ok(stored);
            }
        }
    }

    fn take(&mut self, message: Message, stored: &mut Vec<Stored>) -> Result<(), Trouble> {
        self.heard = Instant::now();
        match message.status {
            None => {}
            Some(StatusCode::IDLE_HEARTBEAT) => return self.hear(message),
            // The reader was removed, or nobody is left to read from.
            Some(_) => return Err(Trouble::Changed),
        }
        let message = jetstream::Message { message, context: self.context.clone() };
        let info = message.info().map_err(|_| Trouble::Lost)?;
        if info.consumer_sequence != self.delivered + 1 {
            return Err(Trouble::Lost);
        }
        self.delivered += 1;
        let (sequence, stamp_ns) = (info.stream_sequence, info.published.unix_timestamp_nanos());
        stored.push(Stored { sequence, stamp_ns, message });
        Ok(())
    }

    /// The server says how much it has sent, or asks whether that has come.
    fn hear(&self, message: Message) -> Result<(), Trouble> {
        let header = |name: &str| {
            message.headers.as_ref().and_then(|headers| headers.get(name)).map(ToString::to_string)
        };
        let sent = header(LAST_CONSUMER).and_then(|sent| sent.parse::<u64>().ok());
        if sent.is_some_and(|sent| sent != self.delivered) {
            return Err(Trouble::Lost);
        }
        let stalled = header(STALLED);
        if let Some(asks) = message.reply.map(|reply| reply.to_string()).or(stalled) {
            let client = self.context.client();
            tokio::spawn(async move { client.publish(asks, Bytes::new()).await });
        }
        Ok(())
    }
}
