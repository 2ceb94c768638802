//! Which keys were used lately, for what, and with what answer.
//!
//! Pure over the time it is told. Keys are kept for a window, and their answers up to a number;
//! past that the oldest keys are forgotten first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tidings_hub::Cursor;

use crate::config;

/// SHA-256 of what was published with a key.
pub(crate) type Fingerprint = [u8; 32];

/// A publisher's key for one publication, and what is published with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey {
    /// Whose key it is: two publishers may use the same text.
    pub(crate) publisher: Arc<str>,
    pub(crate) text: Arc<str>,
    /// Which event of a request that has one key for all of them.
    pub(crate) index: usize,
    pub(crate) fingerprint: Fingerprint,
}

/// How long, and how many answers: a key that covers a whole request has one for each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyBounds {
    pub(crate) window_secs: u64,
    pub(crate) keys_max: usize,
}

impl From<config::Idempotency> for IdempotencyBounds {
    fn from(config: config::Idempotency) -> Self {
        Self { window_secs: config.window_secs, keys_max: config.keys_max }
    }
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Never,
    /// Used for the same; this was the answer.
    Same(Cursor),
    /// Used for something else.
    Different,
}

/// A publisher and its key.
type Name = (Arc<str>, Arc<str>);

#[derive(Debug)]
pub(crate) struct Idempotency {
    bounds: IdempotencyBounds,
    used: HashMap<Name, Used>,
    oldest_first: VecDeque<(u64, Name)>,
    answers: usize,
}

#[derive(Debug)]
struct Used {
    fingerprint: Fingerprint,
    /// The answer for each event of the request, by index; nothing for one that was refused.
    answers: Vec<Option<Cursor>>,
}

impl Idempotency {
    pub(crate) fn new(bounds: IdempotencyBounds) -> Self {
        Self { bounds, used: HashMap::new(), oldest_first: VecDeque::new(), answers: 0 }
    }

    pub(crate) fn look_up(&mut self, key: &IdempotencyKey, uptime_ms: u64) -> Seen {
        self.expire(uptime_ms);
        let Some(used) = self.used.get(&name(key)) else { return Seen::Never };
        if used.fingerprint != key.fingerprint {
            return Seen::Different;
        }
        used.answers.get(key.index).copied().flatten().map_or(Seen::Never, Seen::Same)
    }

    /// Remembers a key that [`Idempotency::look_up`] has never seen.
    pub(crate) fn remember(&mut self, key: &IdempotencyKey, cursor: Cursor, uptime_ms: u64) {
        while self.answers >= self.bounds.keys_max.max(1) && !self.oldest_first.is_empty() {
            self.forget_oldest();
        }
        let name = name(key);
        let used = self.used.entry(name.clone()).or_insert_with(|| {
            self.oldest_first.push_back((uptime_ms, name));
            Used { fingerprint: key.fingerprint, answers: Vec::new() }
        });
        let len = used.answers.len().max(key.index + 1);
        self.answers += len - used.answers.len();
        used.answers.resize(len, None);
        used.answers[key.index] = Some(cursor);
    }

    /// Forgets a key that was remembered for what was not stored after all.
    pub(crate) fn forget(&mut self, key: &IdempotencyKey) {
        let name = name(key);
        let Some(used) = self.used.get_mut(&name) else { return };
        if let Some(answer) = used.answers.get_mut(key.index) {
            *answer = None;
        }
        if used.answers.iter().all(Option::is_none) {
            self.answers -= used.answers.len();
            self.used.remove(&name);
            // It is among the newest.
            if let Some(index) = self.oldest_first.iter().rposition(|(_, used)| *used == name) {
                self.oldest_first.remove(index);
            }
        }
    }

    pub(crate) fn expire(&mut self, uptime_ms: u64) {
        let window_ms = self.bounds.window_secs * 1000;
        while self.oldest_first.front().is_some_and(|(used_ms, _)| used_ms + window_ms <= uptime_ms)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, name)) = self.oldest_first.pop_front()
            && let Some(used) = self.used.remove(&name)
        {
            self.answers -= used.answers.len();
        }
    }
}

fn name(key: &IdempotencyKey) -> Name {
    (Arc::clone(&key.publisher), Arc::clone(&key.text))
}

#[cfg(test)]
mod tests {
    use tidings_hub::{Epoch, Position};

    use super::*;

    fn key(publisher: &str, text: &str, index: usize, body: u8) -> IdempotencyKey {
        let fingerprint = [body; 32];
        IdempotencyKey { publisher: publisher.into(), text: text.into(), index, fingerprint }
    }

    fn cursor(number: u64) -> Cursor {
        Cursor { epoch: Epoch::from_random(7), position: Position::new(number) }
    }

    #[test]
    fn a_key_answers_for_its_own_publisher_index_and_body_only() {
        let mut keys = Idempotency::new(IdempotencyBounds { window_secs: 600, keys_max: 10 });
        keys.remember(&key("a", "k", 0, 1), cursor(5), 0);
        let rows = [
            (key("a", "k", 0, 1), Seen::Same(cursor(5))),
            (key("a", "k", 0, 2), Seen::Different),
            (key("a", "k", 1, 1), Seen::Never),
            (key("a", "k", 1, 2), Seen::Different),
            (key("b", "k", 0, 1), Seen::Never),
            (key("a", "K", 0, 1), Seen::Never),
        ];
        for (key, expected) in rows {
            assert_eq!(keys.look_up(&key, 1), expected, "{key:?}");
        }
    }

    #[test]
    fn a_key_is_forgotten_when_its_window_is_over() {
        let mut keys = Idempotency::new(IdempotencyBounds { window_secs: 600, keys_max: 10 });
        keys.remember(&key("a", "k", 0, 1), cursor(5), 1000);
        assert_eq!(keys.look_up(&key("a", "k", 0, 1), 600_999), Seen::Same(cursor(5)));
        assert_eq!(keys.look_up(&key("a", "k", 0, 1), 601_000), Seen::Never);
        assert!(keys.used.is_empty());
    }

    #[test]
    fn a_key_of_what_was_not_stored_is_as_if_never_used() {
        let mut keys = Idempotency::new(IdempotencyBounds { window_secs: 600, keys_max: 10 });
        keys.remember(&key("a", "k", 0, 1), cursor(5), 1000);
        keys.remember(&key("a", "l", 0, 1), cursor(6), 1000);
        keys.remember(&key("a", "l", 1, 1), cursor(7), 1000);
        keys.forget(&key("a", "l", 1, 1));
        assert_eq!(keys.look_up(&key("a", "l", 1, 1), 1000), Seen::Never);
        assert_eq!(keys.look_up(&key("a", "l", 0, 1), 1000), Seen::Same(cursor(6)));
        keys.forget(&key("a", "l", 0, 1));
        assert_eq!(keys.look_up(&key("a", "l", 0, 2), 1000), Seen::Never);
        assert_eq!((keys.answers, keys.oldest_first.len()), (1, 1));
        keys.remember(&key("a", "l", 0, 2), cursor(8), 2000);
        assert_eq!(keys.look_up(&key("a", "l", 0, 2), 601_000), Seen::Same(cursor(8)));
    }

    #[test]
    fn the_oldest_keys_make_room() {
        let mut keys = Idempotency::new(IdempotencyBounds { window_secs: 600, keys_max: 3 });
        for number in 0..10 {
            keys.remember(&key("a", &number.to_string(), 0, 1), cursor(number), number);
        }
        assert_eq!(keys.used.len(), 3);
        assert_eq!(keys.look_up(&key("a", "6", 0, 1), 10), Seen::Never);
        assert_eq!(keys.look_up(&key("a", "7", 0, 1), 10), Seen::Same(cursor(7)));
    }
}
