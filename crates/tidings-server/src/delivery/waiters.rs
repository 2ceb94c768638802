//! Who waits for which topics, and how they are woken: by news, or because they are to hear no more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tidings_hub::{Pattern, PatternIndex, Position, Selection, StoredEvent};
use tokio::sync::Notify;

use super::closing::{Owner, Target};

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
    ) -> Self {
        let bell = Arc::new(Bell {
            news: Notify::new(),
            owner,
            is_revoked: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            position: AtomicU64::new(position.get()),
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
