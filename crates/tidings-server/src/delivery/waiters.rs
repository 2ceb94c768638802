//! Who waits for which topics, and how they are woken.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tidings_hub::{Pattern, PatternIndex, Selection, Topic};
use tokio::sync::Notify;

/// Everyone who waits.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    registry: Mutex<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    index: PatternIndex<usize>,
    bells: Slab<Arc<Notify>>,
}

impl Waiters {
    /// Wakes everyone who waits for one of these topics.
    pub(crate) fn wake<'a>(&self, topics: impl Iterator<Item = &'a Topic>) {
        let registry = self.registry();
        for topic in topics {
            registry.index.for_each_match(topic, |&key| registry.bells[key].notify_one());
        }
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
    bell: Arc<Notify>,
}

impl Waiter {
    pub(crate) fn new(waiters: &Arc<Waiters>, selection: &Selection) -> Self {
        let bell = Arc::new(Notify::new());
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
        self.bell.notified().await;
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
