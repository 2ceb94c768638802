//! Which events are on their way whose publications are traced, by position.
//!
//! An entry is made before anyone can read its event, and taken out when the event has landed. What
//! is counted is the traced events alone: the others find the count at zero, and go on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_hub::Position;

use super::trace::Trace;

/// Events that are followed at once; what is stored beyond that is not waited for.
const FOLLOWED_MAX: usize = 8192;
/// How long an event is followed at the most: longer than whoever counts flights waits for one.
const FOLLOWED_FOR_NS: u64 = 3_000_000_000;

#[derive(Default)]
pub(super) struct UnderWay {
    count: AtomicUsize,
    followed: Mutex<HashMap<Position, Followed>>,
}

struct Followed {
    trace: Arc<Trace>,
    stored_ns: u64,
}

impl UnderWay {
    /// Whoever reads an event that was followed before it could be read sees that there is one.
    pub(super) fn is_any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    pub(super) fn follow(&self, position: Position, stored_ns: u64, trace: &Arc<Trace>) {
        trace.departs(position, stored_ns);
        let mut followed = self.followed();
        if followed.len() >= FOLLOWED_MAX {
            drop(followed);
            trace.lands(stored_ns);
            return;
        }
        let earlier = followed.insert(position, Followed { trace: Arc::clone(trace), stored_ns });
        self.count.store(followed.len(), Ordering::Relaxed);
        drop(followed);
        if let Some(earlier) = earlier {
            earlier.trace.lands(stored_ns);
        }
    }

    pub(super) fn heard(&self, position: Position, listeners: impl FnOnce() -> usize) {
        if !self.is_any() {
            return;
        }
        let trace = self.followed().get(&position).map(|followed| Arc::clone(&followed.trace));
        if let Some(trace) = trace {
            trace.is_heard_by(listeners());
        }
    }

    pub(super) fn landed(&self, position: Position, written_ns: u64) {
        if !self.is_any() {
            return;
        }
        let mut followed = self.followed();
        let landed = followed.remove(&position);
        self.count.store(followed.len(), Ordering::Relaxed);
        drop(followed);
        if let Some(landed) = landed {
            landed.trace.lands(written_ns);
        }
    }

    /// Lands what was not heard of for too long, as of the moment it was stored.
    pub(super) fn settle(&self, now_ns: u64) {
        if !self.is_any() {
            return;
        }
        let mut followed = self.followed();
        let is_late = |_: &Position, one: &mut Followed| {
            one.stored_ns.saturating_add(FOLLOWED_FOR_NS) <= now_ns
        };
        let late: Vec<_> = followed.extract_if(is_late).collect();
        self.count.store(followed.len(), Ordering::Relaxed);
        drop(followed);
        for (_, one) in late {
            one.trace.lands(one.stored_ns);
        }
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<Position, Followed>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
