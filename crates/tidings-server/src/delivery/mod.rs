//! From the log to whoever listens: streams, and the waiting of long polls.
//!
//! Everyone reads the one log by cursor; what is handed around when an event is stored is only the
//! news that there is something to read. A stream over plain HTTP/1.1 is delivered by a shard on a
//! socket of our own, any other by hyper from a body that reads the same log. Who may listen to what
//! was decided before.

mod admission;
mod batch;
mod body;
mod census;
mod closing;
mod connection;
#[cfg(test)]
mod cuts;
mod groups;
mod log;
mod mailbox;
mod opening;
mod shard;
mod shards;
mod subscriber;
mod survey;
mod waiters;
mod wire;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tidings_hub::{Position, Selection, StoredEvent, Topic};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::metrics::{Metrics, UserStreams};
use crate::revocations::{Holder, Revocations};
use admission::Reservation;
pub(crate) use admission::{Admission, AdmissionBounds, Full};
pub(crate) use body::stream_body;
use census::Listing;
pub(crate) use census::{Arrival, Census, Filter, Listed, Protocol};
pub(crate) use closing::{ConnectionId, Owner, Target};
pub(crate) use log::SharedLog;
pub(crate) use opening::{Introduction, OpenStream, StreamBounds};
pub(crate) use shards::Shards;
pub(crate) use subscriber::Subscriber;
pub(crate) use waiters::Waiter;
use waiters::{Card, Waiters};
pub(crate) use wire::gap_json;

/// How long a delivery thread may take to answer: many turns of one that has much to do.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// A delivery thread did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer;

/// What delivery threads answer; one that has ended has nothing to say.
async fn answers_of<T>(answers: Vec<oneshot::Receiver<T>>) -> Result<Vec<T>, NoAnswer> {
    let answers = timeout(ANSWERS_WITHIN, join_all(answers)).await.map_err(|_| NoAnswer)?;
    Ok(answers.into_iter().flatten().collect())
}

/// The log, and all who wait for it.
#[derive(Debug)]
pub(crate) struct Delivery {
    log: SharedLog,
    shards: Shards,
    waiters: Arc<Waiters>,
    admission: Admission,
    revocations: Arc<Revocations>,
    metrics: Arc<Metrics>,
    leaving: AtomicBool,
    draining: watch::Sender<bool>,
}

impl Delivery {
    /// With so many shards; none leaves all streams to hyper.
    pub(crate) fn start(
        log: SharedLog,
        shards: usize,
        revocations: Arc<Revocations>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let admission = Admission::new(Arc::clone(&metrics));
        Ok(Self {
            shards: Shards::start(shards, &log, &admission, &revocations)?,
            log,
            waiters: Arc::default(),
            admission,
            revocations,
            metrics,
            leaving: AtomicBool::new(false),
            draining: watch::Sender::new(false),
        })
    }

    pub(crate) fn log(&self) -> &SharedLog {
        &self.log
    }

    pub(crate) fn shards(&self) -> &Shards {
        &self.shards
    }

    /// Tells whoever listens to one of these events that there is something to read.
    pub(crate) fn announce(&self, events: &[Arc<StoredEvent>]) {
        let shards = self.shards.announce();
        self.waiters.wake(events, |event, woken| {
            self.metrics.flights.announced(event.position(), shards + woken);
        });
    }

    /// A place to wait for events of this selection. Made before the log is read, it cannot miss
    /// what is published in between.
    fn wait_for(
        &self,
        selection: &Selection,
        owner: Owner,
        position: Position,
        card: Option<Card>,
    ) -> Waiter {
        let waiter = Waiter::new(&self.waiters, selection, owner, position, card);
        // Revoked since they were let in: from here on a revocation finds them.
        if self.revocations.is_revoked(&owner.holder) {
            waiter.revoke();
        }
        waiter
    }

    /// The same for a poll, which has no connection to be closed.
    pub(crate) fn poll_waits_for(&self, selection: &Selection, holder: Holder) -> Waiter {
        let owner = Owner { connection: ConnectionId::random(), holder };
        self.wait_for(selection, owner, self.log.newest().position, None)
    }

    /// The same for the hub itself.
    pub(crate) fn own_waits_for(&self, selection: &Selection) -> Waiter {
        self.poll_waits_for(selection, Holder::default())
    }

    /// Closes the streams that are meant, and answers the long polls; returns how many it were, once
    /// those on sockets of our own are closed.
    pub(crate) async fn close(&self, target: Target) -> usize {
        self.waiters.close(&target) + self.shards.close(target).await
    }

    /// Who has open streams, and what these were written so far.
    pub(crate) async fn users(&self) -> Vec<UserStreams> {
        self.shards.settle().await;
        self.admission.users()
    }

    /// How far the slowest reader that hyper carries is behind, in events of the log.
    pub(crate) fn lag_events(&self) -> u64 {
        self.waiters.lag_events(self.log.newest().position)
    }

    /// Who is connected.
    pub(crate) async fn census(&self, census: Census) -> Result<Listing, NoAnswer> {
        let census = Arc::new(census);
        let answers = self.shards.census(&census);
        let mut listing = self.waiters.census(&census);
        for found in answers_of(answers).await? {
            listing.merge(found, census.streams_max);
        }
        Ok(listing)
    }

    /// How many streams listen to each of these topics.
    pub(crate) async fn listeners(&self, topics: Arc<[Topic]>) -> Result<Vec<usize>, NoAnswer> {
        let answers = self.shards.listeners(&topics);
        let mut listeners: Vec<usize> =
            topics.iter().map(|topic| self.waiters.listeners(topic)).collect();
        for found in answers_of(answers).await? {
            for (count, more) in listeners.iter_mut().zip(found) {
                *count += more;
            }
        }
        Ok(listeners)
    }

    /// Who is let in.
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Open streams.
    pub(crate) fn streams(&self) -> usize {
        self.admission.streams()
    }

    /// Says that this node is going away, while it still serves whoever has not heard yet.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether this node is going away.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Ends every stream and every long poll: each stream with `tidings.closing`, spread out.
    pub(crate) fn drain(&self) {
        self.draining.send_replace(true);
        self.shards.drain();
    }

    /// Turns true once, when [`Delivery::drain`] is called.
    pub(crate) fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    fn spread_out_retry(&self) -> Duration {
        opening::spread_out_retry(self.streams())
    }
}
