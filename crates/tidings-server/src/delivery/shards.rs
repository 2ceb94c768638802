//! All delivery threads of a node: who gets the next connection, and how they are told things.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use mio::Poll;
use tidings_hub::{Cursor, Topic};
use tokio::sync::oneshot;

use super::census::{Census, Listing};
use super::closing::{Order, Target};
use super::mailbox::{Mailbox, Newcomer};
use super::opening::OpenStream;
use super::shard::{MAILBOX, Shard};
use super::survey::{Milestone, Question};
use super::{Admission, SharedLog};
use crate::revocations::Revocations;

#[derive(Debug)]
pub(crate) struct Shards {
    mailboxes: Vec<Arc<Mailbox>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    is_draining: Arc<AtomicBool>,
}

impl Shards {
    /// Starts so many delivery threads. `admission` counts the streams of the whole node.
    pub(crate) fn start(
        count: usize,
        log: &SharedLog,
        admission: &Admission,
        revocations: &Arc<Revocations>,
    ) -> io::Result<Self> {
        let is_draining = Arc::new(AtomicBool::new(false));
        let (mut mailboxes, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count {
            let poll = Poll::new()?;
            let mailbox = Arc::new(Mailbox::new(poll.registry(), MAILBOX)?);
            let shard = Shard::new(
                number,
                poll,
                Arc::clone(&mailbox),
                log.clone(),
                admission.clone(),
                Arc::clone(revocations),
                Arc::clone(&is_draining),
            );
            let thread = thread::Builder::new().name(format!("shard-{number}"));
            let until_end = CloseOnDrop(Arc::clone(&mailbox));
            threads.push(thread.spawn(move || {
                let _until_end = until_end;
                shard.run();
            })?);
            mailboxes.push(mailbox);
        }
        Ok(Self { mailboxes, threads: Mutex::new(threads), is_draining })
    }

    /// Whether a stream's socket can be handed over.
    pub(crate) fn are_running(&self) -> bool {
        self.mailboxes.iter().any(|mailbox| !mailbox.is_closed())
    }

    /// Gives a stream's socket to the shard with the fewest. Should the last shard end at that
    /// moment, the socket is closed, and its client comes back.
    pub(crate) fn hand_over(&self, socket: std::net::TcpStream, rest: Bytes, stream: OpenStream) {
        let running = self.mailboxes.iter().filter(|mailbox| !mailbox.is_closed());
        if let Some(mailbox) = running.min_by_key(|mailbox| mailbox.connections()) {
            mailbox.hand_over(Newcomer { socket, rest, stream });
        }
    }

    /// Tells every shard that has listeners that the log has grown; how many have.
    pub(crate) fn announce(&self) -> usize {
        self.mailboxes.iter().filter(|mailbox| mailbox.announce()).count()
    }

    /// Has every shard close the streams that are meant; their number, once they are closed.
    pub(super) async fn close(&self, target: Target) -> usize {
        let order = |mailbox: &Arc<Mailbox>| mailbox.order(|closed| Order::Close(target, closed));
        let answers: Vec<_> = self.mailboxes.iter().map(order).collect();
        let mut closed = 0;
        for answer in answers {
            closed += answer.await.unwrap_or(0);
        }
        closed
    }

    /// Has every shard count for their users what its streams were written: a few milliseconds for a
    /// hundred thousand.
    pub(super) async fn settle(&self) {
        let answers: Vec<_> =
            self.mailboxes.iter().map(|mailbox| mailbox.order(Order::Settle)).collect();
        for answer in answers {
            // One that has ended has none to count.
            let _ = answer.await;
        }
    }

    /// Asks every shard who is connected.
    pub(super) fn census(&self, census: &Arc<Census>) -> Vec<oneshot::Receiver<Listing>> {
        let ask = |mailbox: &Arc<Mailbox>| {
            let census = Arc::clone(census);
            mailbox.order(|answer| Order::Survey(Question::Census(census, answer)))
        };
        self.mailboxes.iter().map(ask).collect()
    }

    /// Asks every shard how many listen to each of these topics.
    pub(super) fn listeners(&self, topics: &Arc<[Topic]>) -> Vec<oneshot::Receiver<Vec<usize>>> {
        let ask = |mailbox: &Arc<Mailbox>| {
            let topics = Arc::clone(topics);
            mailbox.order(|answer| Order::Survey(Question::Listeners(topics, answer)))
        };
        self.mailboxes.iter().map(ask).collect()
    }

    /// Asks every shard to say when it has read the log up to a cursor.
    pub(crate) fn reach(&self, cursor: Cursor) -> Vec<oneshot::Receiver<()>> {
        let ask = |mailbox: &Arc<Mailbox>| {
            mailbox.order(|reached| Order::Reach(Milestone { cursor, reached }))
        };
        self.mailboxes.iter().map(ask).collect()
    }

    /// Has every shard close its streams and end.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
        for mailbox in &self.mailboxes {
            mailbox.wake();
        }
    }

    /// Waits for the threads to end; to be called after [`Shards::drain`], where blocking is fine.
    pub(crate) fn join(&self) {
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a shard panicked; its streams were closed");
            }
        }
    }
}

/// Has nobody else handed to a shard that has ended, though it be by a panic.
struct CloseOnDrop(Arc<Mailbox>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
