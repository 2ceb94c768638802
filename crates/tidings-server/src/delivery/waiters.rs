//! Who waits for which topics, and how they are woken: by news, or because they are to hear no more.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tidings_hub::{Pattern, PatternIndex, Position, Selection, StoredEvent, Topic};
use tokio::sync::Notify;

use super::census::{Arrival, Census, Listed, Listing};
use super::closing::{ConnectionId, Owner, Target};
use crate::metrics::Delivered;

/// Streams looked at under one hold of the lock.
const LOOKED_AT_ONCE: usize = 4096;

/// Everyone who waits.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    registry: Mutex<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    index: PatternIndex<usize>,
    bells: Slab<Arc<Bell>>,
}

/// How one who waits is reached.
#[derive(Debug)]
struct Bell {
    news: Notify,
    owner: Owner,
    is_revoked: AtomicBool,
    /// Whether there is something in the log that it has not read.
    is_behind: AtomicBool,
    /// How far it has read.
    position: AtomicU64,
    /// What is told of a stream. A poll has none.
    card: Option<Card>,
}

/// What is told of a stream that hyper carries.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) user: Option<Arc<str>>,
    pub(super) address: IpAddr,
    pub(super) arrival: Arrival,
    pub(super) selection: Arc<Selection>,
    pub(super) opened_ns: u64,
    pub(super) ends_ns: u64,
    pub(super) sent_events: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    /// Whether hyper has bytes and has not asked for more.
    pub(super) is_blocked: AtomicBool,
}

impl Waiters {
    /// Wakes everyone who waits for a topic of one of these events, and says of each event how many
    /// were. Whoever waits for two of its topics counts twice.
    pub(super) fn wake(
        &self,
        events: &[Arc<StoredEvent>],
        mut woken: impl FnMut(&StoredEvent, usize),
    ) {
        let registry = self.registry();
        for event in events {
            let mut count = 0;
            for topic in event.topics() {
                registry.index.for_each_match(topic, |&key| {
                    registry.bells[key].ring();
                    count += 1;
                });
            }
            woken(event, count);
        }
    }

    /// Goes through the streams, some at a time, so that nobody waits long to be woken.
    pub(super) fn census(&self, census: &Census) -> Listing {
        let after = census.after.map(ConnectionId::number);
        let mut listing = Listing::default();
        let mut from = 0;
        loop {
            let registry = self.registry();
            let to = (from + LOOKED_AT_ONCE).min(registry.bells.capacity());
            let mut found = Listing::default();
            for bell in (from..to).filter_map(|index| registry.bells.get(index)) {
                let Some(card) = &bell.card else { continue };
                let (user, selection) = (card.user.as_deref(), &card.selection);
                if census.filter.passes(user, card.address, card.arrival, selection) {
                    found.total += 1;
                    if after.is_none_or(|after| bell.owner.connection.number() > after) {
                        found.streams.push(bell.listed(card));
                    }
                }
            }
            let is_over = to == registry.bells.capacity();
            drop(registry);
            listing.merge(found, census.streams_max);
            if is_over {
                return listing;
            }
            from = to;
        }
    }

    /// How many streams listen to a topic.
    pub(super) fn listeners(&self, topic: &Topic) -> usize {
        let registry = self.registry();
        let mut found = Vec::new();
        registry.index.for_each_match(topic, |&key| {
            if registry.bells[key].card.is_some() {
                found.push(key);
            }
        });
        // One may have several patterns that match.
        found.sort_unstable();
        found.dedup();
        found.len()
    }

    /// How far the slowest is behind, in events of the log.
    pub(super) fn lag_events(&self, newest: Position) -> u64 {
        let registry = self.registry();
        let lag = |bell: &Arc<Bell>| {
            let is_behind = bell.is_behind.load(Ordering::Relaxed);
            let position = bell.position.load(Ordering::Relaxed);
            if is_behind { newest.get().saturating_sub(position) } else { 0 }
        };
        registry.bells.iter().map(|(_, bell)| lag(bell)).max().unwrap_or(0)
    }

    /// Has those who are meant hear no more; returns their number.
    pub(super) fn close(&self, target: &Target) -> usize {
        let registry = self.registry();
        let hit = registry.bells.iter().filter(|(_, bell)| target.hits(&bell.owner));
        hit.map(|(_, bell)| bell.revoke()).count()
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One place in the waiting room, given back when dropped.
#[derive(Debug)]
pub(crate) struct Waiter {
    waiters: Arc<Waiters>,
    patterns: Box<[Pattern]>,
    key: usize,
    bell: Arc<Bell>,
}

impl Bell {
    fn listed(&self, card: &Card) -> Listed {
        let is_behind = self.is_behind.load(Ordering::Relaxed);
        let position = Position::new(self.position.load(Ordering::Relaxed));
        Listed {
            connection: self.owner.connection,
            user: card.user.clone(),
            address: card.address,
            arrival: card.arrival,
            selection: Arc::clone(&card.selection),
            opened_ns: card.opened_ns,
            ends_ns: card.ends_ns,
            behind_at: is_behind.then_some(position),
            sent: Delivered {
                events: card.sent_events.load(Ordering::Relaxed),
                bytes: card.sent_bytes.load(Ordering::Relaxed),
            },
            is_blocked: card.is_blocked.load(Ordering::Relaxed),
        }
    }

    fn ring(&self) {
        self.is_behind.store(true, Ordering::Relaxed);
        self.news.notify_one();
    }

    fn revoke(&self) {
        self.is_revoked.store(true, Ordering::Release);
        self.news.notify_one();
    }
}

impl Waiter {
    pub(super) fn new(
        waiters: &Arc<Waiters>,
        selection: &Selection,
        owner: Owner,
        position: Position,
        card: Option<Card>,
    ) -> Self {
        let bell = Arc::new(Bell {
            news: Notify::new(),
            owner,
            is_revoked: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            position: AtomicU64::new(position.get()),
            card,
        });
        let mut registry = waiters.registry();
        let key = registry.bells.insert(Arc::clone(&bell));
        for pattern in selection.patterns() {
            registry.index.insert(pattern, key);
        }
        drop(registry);
        Self { waiters: Arc::clone(waiters), patterns: selection.patterns().into(), key, bell }
    }

    /// Returns when something was published since the last return, or since the waiter was made.
    pub(crate) async fn woken(&self) {
        self.bell.news.notified().await;
    }

    /// Says that the log is read now: what is published from here on is news again.
    pub(crate) fn begins_to_read(&self) {
        self.bell.is_behind.store(false, Ordering::Relaxed);
    }

    /// Says how far the log was read, and whether there is more.
    pub(crate) fn has_read(&self, position: Position, more: bool) {
        self.bell.position.store(position.get(), Ordering::Relaxed);
        if more {
            self.bell.is_behind.store(true, Ordering::Relaxed);
        }
    }

    /// Says that bytes were handed on, and what is in them.
    pub(super) fn hands_on(&self, delivered: Delivered) {
        if let Some(card) = &self.bell.card {
            card.sent_events.fetch_add(delivered.events, Ordering::Relaxed);
            card.sent_bytes.fetch_add(delivered.bytes, Ordering::Relaxed);
            card.is_blocked.store(true, Ordering::Relaxed);
        }
    }

    /// Says that there is room for more.
    pub(super) fn has_room(&self) {
        if let Some(card) = &self.bell.card {
            card.is_blocked.store(false, Ordering::Relaxed);
        }
    }

    /// Whether whoever waits may not hear the log any more.
    pub(crate) fn is_revoked(&self) -> bool {
        self.bell.is_revoked.load(Ordering::Acquire)
    }

    pub(super) fn revoke(&self) {
        self.bell.revoke();
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut registry = self.waiters.registry();
        for pattern in &self.patterns {
            registry.index.remove(pattern, &self.key);
        }
        registry.bells.remove(self.key);
    }
}
