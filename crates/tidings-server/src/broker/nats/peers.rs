//! Which nodes live: each says so every second, and one that has not for some seconds does not count.
//!
//! It is said to whoever listens and kept nowhere, so a node that has listened for less than that takes
//! others for alive.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a node says that it lives.
pub(super) const SAID_EVERY: Duration = Duration::from_secs(1);
/// How long it is believed.
pub(super) const BELIEVED_FOR: Duration = Duration::from_secs(5);
/// What follows the name of a node that leaves.
const LEAVES: &str = " leaves";
/// Nodes that are remembered; there are never as many.
const NODES_MAX: usize = 1000;

#[derive(Debug)]
pub(super) struct Peers(Mutex<Heard>);

#[derive(Debug)]
struct Heard {
    since: Instant,
    /// Nothing for one that has left.
    last: HashMap<String, Option<Instant>>,
}

impl Default for Peers {
    fn default() -> Self {
        Self(Mutex::new(Heard { since: Instant::now(), last: HashMap::new() }))
    }
}

impl Peers {
    /// From now on it is heard what is said.
    pub(super) fn listen(&self) {
        self.heard().since = Instant::now();
    }

    /// What a node says while it lives, or when it leaves.
    pub(super) fn says(node: &str, leaves: bool) -> String {
        format!("{node}{}", if leaves { LEAVES } else { "" })
    }

    /// Somebody has said this.
    pub(super) fn hear(&self, said: &[u8]) {
        let Ok(said) = std::str::from_utf8(said) else { return };
        let (node, at) = match said.strip_suffix(LEAVES) {
            Some(node) => (node, None),
            None => (said, Some(Instant::now())),
        };
        let mut heard = self.heard();
        heard.last.retain(|_, at| at.is_some_and(|at| at.elapsed() < 10 * BELIEVED_FOR));
        if heard.last.len() < NODES_MAX {
            heard.last.insert(node.to_owned(), at);
        }
    }

    /// Whether a node lives, as far as is known.
    pub(super) fn lives(&self, node: &str) -> bool {
        let heard = self.heard();
        match heard.last.get(node) {
            Some(Some(at)) => at.elapsed() < BELIEVED_FOR || heard.since.elapsed() < BELIEVED_FOR,
            Some(None) => false,
            None => heard.since.elapsed() < BELIEVED_FOR,
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
