//! Turns at what has a name: one at a time, others at the same time.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::{Mutex, MutexGuard};

/// More than there are at a time, as a rule; two that share one only wait for each other.
const LOCKS: usize = 256;

#[derive(Debug)]
pub(super) struct Turns {
    hasher: RandomState,
    locks: Vec<Mutex<()>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { hasher: RandomState::new(), locks: (0..LOCKS).map(|_| Mutex::default()).collect() }
    }
}

impl Turns {
    /// Waits for a turn; it lasts until the guard is dropped.
    pub(super) async fn of(&self, name: &str) -> MutexGuard<'_, ()> {
        let index = self.hasher.hash_one(name) % LOCKS as u64;
        self.locks[usize::try_from(index).unwrap_or(0)].lock().await
    }
}
