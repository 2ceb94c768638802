//! How others reach a shard: newcomers to adopt, and the news that the log has grown.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use mio::{Registry, Token, Waker};
use tokio::sync::oneshot;

use super::closing::Order;
use super::opening::OpenStream;

/// Orders below this number are kept though nobody waits for their answers any more.
const ORDERS_KEPT: usize = 64;

/// A stream whose socket is to be delivered to directly.
#[derive(Debug)]
pub(super) struct Newcomer {
    /// Not blocking.
    pub(super) socket: std::net::TcpStream,
    /// What the socket has not taken yet of the answer's head and the greeting.
    pub(super) rest: Bytes,
    pub(super) stream: OpenStream,
}

#[derive(Debug)]
pub(super) struct Mailbox {
    newcomers: Mutex<Vec<Newcomer>>,
    orders: Mutex<Vec<Order>>,
    /// Connections of this shard, those on their way included.
    connections: AtomicUsize,
    /// Whether the shard was woken and has not looked yet: then it need not be woken again.
    signalled: AtomicBool,
    waker: Waker,
    /// Whether it will be woken for newcomers in a moment.
    wake_is_due: AtomicBool,
    /// Whether the shard has ended, by a panic perhaps: it takes nobody any more.
    is_closed: AtomicBool,
}

impl Mailbox {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self {
            newcomers: Mutex::default(),
            orders: Mutex::default(),
            connections: AtomicUsize::new(0),
            signalled: AtomicBool::new(false),
            waker: Waker::new(registry, token)?,
            wake_is_due: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        })
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// To be called when the shard ends; those on their way are turned away.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        drop(self.take());
        drop(self.take_orders());
    }

    /// Gives the shard a connection. It was greeted already, so the shard is woken only after
    /// whoever else is ready to be handed over: a wake for each would switch threads for each, a
    /// third of what a connect costs.
    pub(super) fn hand_over(self: &Arc<Self>, newcomer: Newcomer) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.newcomers.lock().unwrap_or_else(PoisonError::into_inner).push(newcomer);
        if !self.wake_is_due.swap(true, Ordering::AcqRel) {
            let mailbox = Arc::clone(self);
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                mailbox.wake_is_due.swap(false, Ordering::AcqRel);
                mailbox.wake();
            });
        }
    }

    /// Tells the shard that the log has grown, if it has anyone to tell. Whether it has.
    pub(super) fn announce(&self) -> bool {
        let has_listeners = self.connections() > 0;
        if has_listeners {
            self.wake();
        }
        has_listeners
    }

    pub(super) fn wake(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel) {
            // The one way to fail is a full counter, and then the shard is awake.
            let _ = self.waker.wake();
        }
    }

    /// What was signalled up to now will be seen: to be called before looking.
    pub(super) fn answer(&self) {
        self.signalled.swap(false, Ordering::AcqRel);
    }

    pub(super) fn take(&self) -> Vec<Newcomer> {
        std::mem::take(&mut *self.newcomers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the shard do something, and answer; a shard that has ended gives no answer.
    pub(super) fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> oneshot::Receiver<T> {
        let (done, answer) = oneshot::channel();
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.len() >= ORDERS_KEPT {
            // It is long in coming to them, and those who asked have given up.
            orders.retain(|order| !order.is_abandoned());
        }
        orders.push(order(done));
        drop(orders);
        self.wake();
        if self.is_closed() {
            drop(self.take_orders());
        }
        answer
    }

    pub(super) fn take_orders(&self) -> Vec<Order> {
        std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One connection has ended.
    pub(super) fn forget(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
