//! Who waits for which topics, and how they are woken: by news, or because they are to hear no more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tidings_hub::{Pattern, PatternIndex, Selection, Topic};
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
}

impl Waiters {
    /// Wakes everyone who waits for one of these topics.
    pub(crate) fn wake<'a>(&self, topics: impl Iterator<Item = &'a Topic>) {
        let registry = self.registry();
        for topic in topics {
            registry.index.for_each_match(topic, |&key| registry.bells[key].news.notify_one());
        }
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
    fn revoke(&self) {
        self.is_revoked.store(true, Ordering::Release);
        self.news.notify_one();
    }
}

impl Waiter {
    pub(super) fn new(waiters: &Arc<Waiters>, selection: &Selection, owner: Owner) -> Self {
        let (news, is_revoked) = (Notify::new(), AtomicBool::new(false));
        let bell = Arc::new(Bell { news, owner, is_revoked });
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
