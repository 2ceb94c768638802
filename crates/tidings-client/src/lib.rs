//! Rust client for Tidings: subscribe with resume, publish with safe retries.
//!
//! A [`Subscription`] yields events as they come. It reconnects by itself with jittered waits,
//! resumes on its cursor over whichever [`Transport`] is chosen, removes repeats, renews its token,
//! and says [`Item::Gap`] when events were lost. A [`Publisher`] retries without publishing
//! twice. [`Parser`] reads any event stream by the letter of
//! the standard.
//!
//! Both know the wire protocol and nothing of the hub's inside; from `tidings-hub` comes only the
//! [`Cursor`].

mod backoff;
mod credential;
mod event;
mod http;
mod new_event;
mod open_stream;
mod parser;
mod place;
mod problem;
mod publish;
mod request;
mod subscribe;
mod subscription;

pub use backoff::BackoffBounds;
pub use credential::{Credential, TokenError};
pub use event::{
    Closing, ClosingReason, Connected, Content, Event, Expiring, ExpiringReason, Gap, GapReason,
};
pub use http::SetupError;
pub use new_event::NewEvent;
pub use parser::{BLOCK_BYTES_MAX, Block, BlockTooLarge, Parser, RawEvent};
pub use problem::Problem;
pub use publish::{PUBLISH_EVENTS_MAX, PublishError, Published, Publisher};
pub use subscribe::{Rewind, Subscribe};
pub use subscription::{Interruption, Item, SubscribeError, Subscription, Transport};
pub use tidings_hub::{Cursor, Epoch, Position};
