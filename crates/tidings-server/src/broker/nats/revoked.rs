//! Revocations in a stream of their own, the newest for each subject: a node that starts reads them
//! all, and every node hears of the next as it is stored.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::Info;
use serde_json::json;
use tokio::time::timeout;
use tracing::warn;

use super::super::Failure;
use super::Shared;
use super::session::Session;
use super::tail::{Stored, Tail};
use super::trouble::Trouble;
use crate::revocations::Revocation;

/// How far the revocations were read, and of which stream.
#[derive(Debug, Default)]
pub(super) struct Read {
    stream_made_ns: i128,
    sequence: u64,
}

impl Read {
    /// Goes on from there; from the beginning when the stream is another one.
    pub(super) async fn open(
        &mut self,
        shared: &Shared,
        context: &Context,
    ) -> Result<Tail, Trouble> {
        const ASKED: &str = "asking for revocations";
        let stream = &shared.layout.revoked;
        let asked = context.request(format!("STREAM.INFO.{stream}"), &json!({})).await;
        let info: Info = match asked.map_err(|error| Trouble::Api(ASKED, error.to_string()))? {
            Response::Ok(info) => info,
            Response::Err { error } => return Err(Trouble::Api(ASKED, error.to_string())),
        };
        let stream_made_ns = info.created.unix_timestamp_nanos();
        if stream_made_ns != self.stream_made_ns || info.state.last_sequence < self.sequence {
            *self = Self { stream_made_ns, sequence: 0 };
        }
        let from = DeliverPolicy::ByStartSequence { start_sequence: self.sequence + 1 };
        Tail::open(context, stream, from).await
    }

    pub(super) fn take(&mut self, shared: &Shared, session: &Session, stored: Vec<Stored>) {
        let now_ms = shared.replica.clock.now().unix_ms;
        for Stored { sequence, message, .. } in stored {
            self.sequence = sequence;
            match serde_json::from_slice::<Revocation>(&message.payload) {
                // What was said here is followed here already.
                Ok(revocation) if shared.own_revocations.take(revocation) => {}
                Ok(revocation) if revocation.until_ms > now_ms => shared.replica.revoke(revocation),
                Ok(_) => forget(shared, session, sequence),
                Err(error) => warn!(sequence, %error, "a message is no revocation"),
            }
        }
    }
}

/// Its time is over. Whether another node was quicker makes no difference.
fn forget(shared: &Shared, session: &Session, sequence: u64) {
    let (context, stream) = (session.context.clone(), shared.layout.revoked.clone());
    tokio::spawn(async move {
        if let Ok(stream) = context.get_stream_no_info(stream).await {
            let _ = stream.delete_message(sequence).await;
        }
    });
}

/// Revocations that were said at this node, until it reads them.
#[derive(Debug, Default)]
pub(super) struct Own(Mutex<VecDeque<Revocation>>);

impl Own {
    /// More than are on their way at once, as a rule; one that is forgotten is followed twice.
    const MAX: usize = 1000;

    fn add(&self, revocation: Revocation) {
        let mut own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if own.len() == Self::MAX {
            own.pop_front();
        }
        own.push_back(revocation);
    }

    fn take(&self, revocation: Revocation) -> bool {
        let mut own = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = own.iter().position(|one| *one == revocation);
        found.and_then(|index| own.remove(index)).is_some()
    }
}

pub(super) async fn revoke(
    shared: &Shared,
    session: &Session,
    revocation: Revocation,
) -> Result<(), Failure> {
    shared.own_revocations.add(revocation);
    let text = serde_json::to_vec(&revocation).expect("a struct of numbers");
    let subject = format!("{}.{:016x}", shared.layout.revoked, revocation.mark());
    let storing = async {
        let sent = session.context.publish(subject, text.into()).await;
        sent.map_err(|_| Failure::Unreachable)?.await.map(drop).map_err(|_| Failure::Unknown)
    };
    tokio::select! {
        stored = timeout(shared.timeout, storing) => stored.unwrap_or(Err(Failure::Unknown)),
        () = session.has_ended() => Err(Failure::Unknown),
    }
}
