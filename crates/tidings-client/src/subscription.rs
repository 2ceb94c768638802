//! A subscription: one stage at a time of connecting, receiving and waiting, over and over, on one
//! cursor.
//!
//! It starts no task and buffers no more than one chunk or page: what is not asked for is not read,
//! and the hub keeps the place. What counts as a repeat or a gap is the place's business.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::Stream;
use tidings_hub::Cursor;
use tokio::time::Sleep;

use crate::backoff::{ASKED_WAIT_MAX, Backoff};
use crate::event::{
    Closing, ClosingReason, Connected, Event, Expiring, ExpiringReason, Gap, cursor_of,
};
use crate::http::Hub;
use crate::open_stream::{Message, OpenStream};
use crate::parser::{Block, BlockTooLarge};
use crate::place::Place;
use crate::problem::Problem;
use crate::request::{Answer, Failure, Outcome, Page, Request};
use crate::subscribe::Subscribe;

/// The wait between polls when the hub proposes none.
const POLL_INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
/// A long poll that came back empty sooner than this did not wait as asked; the next one is held
/// back, or a proxy that cuts waits short would be polled in a tight loop.
const LONG_POLL_MIN: Duration = Duration::from_secs(1);

/// How to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One open stream.
    Sse,
    /// One request at a time that the hub answers when there is something to say.
    LongPoll,
    /// A request every few seconds.
    Poll,
}

/// What a subscription yields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Item {
    /// The hub has let the subscriber in, at first or again.
    Connected(Connected),
    /// An event; never one that was yielded before.
    Event(Event),
    /// Events were lost to the subscriber: refetch the state. What follows is live again.
    Gap(Gap),
    /// The hub will soon end the stream; the subscription comes back by itself.
    Expiring(Expiring),
    /// The hub ends the stream.
    Closing(Closing),
    /// There is no connection now; the next attempt is made after a wait.
    Retrying {
        /// The wait.
        after: Duration,
        /// Why there is no connection.
        reason: Interruption,
    },
}

/// Why a connection ended or was not made, where trying again may help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Interruption {
    /// The stream ended without a word.
    #[error("the stream ended")]
    Ended,
    /// The hub said that it would end the stream.
    #[error("the hub closed the stream ({0:?})")]
    Closed(ClosingReason),
    /// Nothing was heard for longer than the hub promised.
    #[error("nothing was heard for {} seconds", silence.as_secs_f64())]
    Mute {
        /// How long.
        silence: Duration,
    },
    /// The answer did not come in time.
    #[error("no answer within {} seconds", within.as_secs())]
    NoAnswer {
        /// In what time.
        within: Duration,
    },
    /// The connection could not be made, or broke.
    #[error("{0}")]
    Network(String),
    /// The hub, or something before it, refused for now.
    #[error("refused for now: {0}")]
    Refused(Problem),
    /// The token provider failed.
    #[error("no token could be had: {0}")]
    Token(String),
}

/// Why a subscription ended. Trying again without changing anything does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The hub refused the request: 400 for a bad topic or cursor, 403 for a topic outside the
    /// grant, 404 and 410 for a wrong address.
    #[error("the hub refused the subscription: {0}")]
    Refused(Problem),
    /// The hub does not take the credential, nor a fresh one where there was one to be had.
    #[error("the hub does not accept the credential: {0}")]
    Unauthenticated(Problem),
    /// The answer is not a hub's.
    #[error("this does not speak the Tidings protocol: {0}; check the URL")]
    Protocol(String),
    /// An event is larger than the subscriber accepts.
    #[error(transparent)]
    BlockTooLarge(#[from] BlockTooLarge),
    /// Another connection took this one's place; coming back would only take it away again.
    #[error("another connection of the same subscriber took this one's place")]
    Replaced,
}

/// Events as they come, and what happens to the connection meanwhile.
///
/// Reconnects by itself, and yields an error once, at the end, when that is pointless. Dropping the
/// future of [`next`](Self::next) loses nothing, so it may stand in a `select!`.
pub struct Subscription {
    hub: Hub,
    options: Subscribe,
    transport: Transport,
    place: Place,
    backoff: Backoff,
    /// The secret that was last accepted, or not yet refused.
    secret: Option<Arc<str>>,
    /// The secret was refused and a fresh one has been asked for; a second refusal is final.
    renewed: bool,
    /// A poller has been told that it is connected.
    polling: bool,
    stage: Stage,
}

enum Stage {
    Idle,
    Waiting(Pin<Box<Sleep>>),
    Requesting {
        began: Instant,
        offered: Option<Cursor>,
        outcome: Pin<Box<dyn Future<Output = Outcome> + Send>>,
    },
    Streaming(Box<OpenStream>),
    Failed(SubscribeError),
    Ended,
}

impl Stage {
    fn protocol(error: String) -> Self {
        Self::Failed(SubscribeError::Protocol(error))
    }
}

impl Subscription {
    pub(crate) fn new(hub: Hub, options: Subscribe) -> Self {
        Self {
            hub,
            transport: options.transport,
            place: Place::new(options.since),
            backoff: Backoff::new(options.backoff),
            secret: None,
            renewed: false,
            polling: false,
            stage: Stage::Idle,
            options,
        }
    }

    /// The next item; `None` when the hub wants no more requests (204) or after an error.
    pub async fn next(&mut self) -> Option<Result<Item, SubscribeError>> {
        loop {
            if let Some(item) = self.place.next_item() {
                return Some(Ok(item));
            }
            match &mut self.stage {
                Stage::Idle => self.stage = self.request(),
                Stage::Waiting(sleep) => {
                    sleep.as_mut().await;
                    self.stage = Stage::Idle;
                }
                Stage::Requesting { began, offered, outcome } => {
                    let (began, offered) = (*began, *offered);
                    let outcome = outcome.as_mut().await;
                    self.stage = Stage::Idle;
                    self.answered(began, offered, outcome);
                }
                Stage::Streaming(stream) => {
                    let read = stream.read().await;
                    self.streamed(read);
                }
                Stage::Failed(_) => {
                    let Stage::Failed(error) = std::mem::replace(&mut self.stage, Stage::Ended)
                    else {
                        unreachable!("the stage was just matched");
                    };
                    return Some(Err(error));
                }
                Stage::Ended => return None,
            }
        }
    }

    /// The same items as a [`Stream`].
    pub fn into_stream(self) -> impl Stream<Item = Result<Item, SubscribeError>> + Send {
        futures_util::stream::unfold(self, |mut subscription| async move {
            subscription.next().await.map(|item| (item, subscription))
        })
    }

    /// The place of what has been yielded so far: store it, and a later subscription can start
    /// there.
    pub fn cursor(&self) -> Option<Cursor> {
        self.place.handed()
    }

    /// How it receives, from the next connection on.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Receives another way, from the next connection on; [`reconnect`](Self::reconnect) makes that
    /// now.
    pub fn set_transport(&mut self, transport: Transport) {
        self.transport = transport;
        self.polling = false;
    }

    /// Drops the connection, or the wait for it, and connects again at once, on the same cursor.
    pub fn reconnect(&mut self) {
        match self.stage {
            Stage::Failed(_) | Stage::Ended => {}
            Stage::Idle | Stage::Waiting(_) | Stage::Requesting { .. } | Stage::Streaming(_) => {
                self.stage = Stage::Idle;
            }
        }
    }

    fn request(&self) -> Stage {
        let Subscribe { topics, types, rewind, credential, .. } = &self.options;
        let offered = self.place.read();
        let mut query: Vec<_> = topics.iter().map(|topic| ("topic", topic.clone())).collect();
        if !types.is_empty() {
            query.push(("types", types.join(",")));
        }
        if let (None, Some(rewind)) = (offered, rewind) {
            query.push(("rewind", rewind.to_string()));
        }
        let request = Request {
            hub: self.hub.clone(),
            transport: self.transport,
            query,
            cursor: offered,
            credential: credential.clone(),
            secret: self.secret.clone(),
        };
        let outcome = Box::pin(request.send());
        Stage::Requesting { began: Instant::now(), offered, outcome }
    }

    fn answered(&mut self, began: Instant, offered: Option<Cursor>, outcome: Outcome) {
        self.secret = outcome.secret;
        match outcome.answer {
            Ok(Answer::Stream(response)) => {
                self.renewed = false;
                self.backoff.connected(Instant::now());
                let stream = OpenStream::new(response, self.options.block_bytes_max);
                self.stage = Stage::Streaming(Box::new(stream));
            }
            Ok(Answer::Page(page)) => {
                self.renewed = false;
                self.backoff.connected(Instant::now());
                self.paged(began, offered, *page);
            }
            Ok(Answer::NoMore) => self.stage = Stage::Ended,
            Err(Failure::Retry(reason)) => self.retry(reason),
            Err(Failure::Unauthenticated(problem)) => {
                if self.options.credential.is_renewable() && !self.renewed {
                    self.renewed = true;
                    self.secret = None;
                } else {
                    self.stage = Stage::Failed(SubscribeError::Unauthenticated(problem));
                }
            }
            Err(Failure::End(error)) => self.stage = Stage::Failed(error),
        }
    }

    fn paged(&mut self, began: Instant, offered: Option<Cursor>, page: Page) {
        let connected = page.connected(offered);
        if !self.polling || !connected.resumed {
            self.polling = true;
            self.place.connected(connected);
        }
        let proposed = page.poll_after_ms.map(Duration::from_millis);
        let cut_short = page.events.is_empty() && page.gap.is_none();
        let wait = match self.transport {
            _ if page.has_more => Duration::ZERO,
            Transport::Poll => {
                let set = self.options.poll_interval.or(proposed);
                set.unwrap_or(POLL_INTERVAL_DEFAULT)
            }
            Transport::Sse | Transport::LongPoll => {
                let rest = LONG_POLL_MIN.saturating_sub(began.elapsed());
                let held_back = if cut_short { rest } else { Duration::ZERO };
                held_back.max(proposed.unwrap_or_default())
            }
        }
        .min(ASKED_WAIT_MAX);
        if let Some(gap) = page.gap {
            self.place.gap(gap);
        }
        for event in page.events {
            self.place.event(event);
        }
        self.place.moved(page.cursor);
        if !wait.is_zero() {
            self.stage = Stage::Waiting(Box::pin(tokio::time::sleep(wait)));
        }
    }

    fn streamed(&mut self, read: Result<Bytes, Interruption>) {
        let Stage::Streaming(stream) = &mut self.stage else {
            unreachable!("only a stream is read");
        };
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(reason) => return self.retry(reason),
        };
        let pushed = stream.parser.push(&bytes);
        // What was complete before a block that is too large is still good.
        while let Some(block) = stream.parser.next_block() {
            match block {
                Block::Retry(ms) => self.backoff.set_base(Duration::from_millis(ms)),
                Block::Id(id) => match cursor_of(&id) {
                    Ok(cursor) => self.place.moved(cursor),
                    Err(error) => return self.stage = Stage::protocol(error),
                },
                Block::Event(raw) => match Message::new(raw) {
                    Ok(Message::Event(event)) => self.place.event(event),
                    Ok(Message::Connected(connected)) => {
                        stream.promised(connected.heartbeat_secs);
                        self.place.connected(connected);
                    }
                    Ok(Message::Gap(gap)) => self.place.gap(gap),
                    Ok(Message::Expiring(expiring)) => {
                        if expiring.reason == ExpiringReason::Token {
                            self.secret = None;
                        }
                        self.place.tell(Item::Expiring(expiring));
                    }
                    Ok(Message::Closing(closing)) => {
                        self.place.tell(Item::Closing(closing));
                        return self.closed(closing);
                    }
                    Ok(Message::Unknown) => {}
                    Err(error) => return self.stage = Stage::protocol(error),
                },
            }
        }
        if let Err(error) = pushed {
            self.stage = Stage::Failed(error.into());
        }
    }

    fn closed(&mut self, closing: Closing) {
        match closing.reason {
            ClosingReason::Replaced => return self.stage = Stage::Failed(SubscribeError::Replaced),
            // The secret has been used up; a renewable one is asked for again.
            ClosingReason::Revoked | ClosingReason::Expired => self.secret = None,
            ClosingReason::Drain | ClosingReason::Other => {}
        }
        let reason = Interruption::Closed(closing.reason);
        match closing.retry_ms {
            Some(ms) => {
                let after = self.backoff.planned(Duration::from_millis(ms));
                self.wait(after, reason);
            }
            None => self.retry(reason),
        }
    }

    fn retry(&mut self, reason: Interruption) {
        let asked = match &reason {
            Interruption::Refused(problem) => problem.retry_after,
            _ => None,
        };
        let after = self.backoff.failed(Instant::now(), asked, fastrand::f64());
        self.wait(after, reason);
    }

    fn wait(&mut self, after: Duration, reason: Interruption) {
        self.polling = false;
        self.place.tell(Item::Retrying { after, reason });
        self.stage = Stage::Waiting(Box::pin(tokio::time::sleep(after)));
    }
}
