//! Exact sliding windows: when each subject's last uses were, and so whether one more is allowed.
//!
//! Never more than the limit in *any* span of the window's length: a use is allowed when fewer than
//! that lie in the span that ends with it. Approximations by fixed windows let twice as many through
//! around their borders. A refused try is not a use.
//!
//! Times are nanoseconds, as fine as the clock is: of two uses timed in whole milliseconds, the second
//! could come almost a millisecond before the first had left its window.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::{NANOS_PER_SEC, Quota};

/// A subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(pub(super) u64);

/// Uses remembered, for each subject that may be remembered: whoever has fewer leaves room for others.
const USES_PER_KEY: usize = 16;
/// The highest limit there may be. So many of a subject's uses decide any limit and any window, and no
/// more of them are kept.
pub(crate) const LIMIT_MAX: usize = 10_000;

/// What came of asking for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) is_allowed: bool,
    pub(crate) limit: usize,
    /// Uses that are left.
    pub(crate) remaining: usize,
    /// Nanoseconds until there is one more than now.
    pub(crate) reset_ns: u64,
}

impl Verdict {
    /// Where there is no limit.
    pub(crate) const UNLIMITED: Self =
        Self { is_allowed: true, limit: 0, remaining: usize::MAX, reset_ns: 0 };

    /// Whole seconds until there is one more, at least 1.
    pub(crate) fn reset_secs(&self) -> u64 {
        self.reset_ns.div_ceil(NANOS_PER_SEC).max(1)
    }
}

/// Everyone's uses.
#[derive(Debug, Default)]
pub(super) struct Windows {
    subjects: HashMap<Key, Uses>,
    /// Who was looked at longest ago comes first.
    recency: BTreeMap<u64, Key>,
    /// Whose last use is needed for the shortest time comes first.
    ends: BTreeSet<(u64, Key)>,
    looks: u64,
    /// Uses remembered in all.
    uses: usize,
    /// The latest time that was told.
    now_ns: u64,
}

/// A subject's uses.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    /// When, oldest first.
    at_ns: VecDeque<u64>,
    /// How long they are needed: the longest window that was asked about.
    keep_ns: u64,
    looked_at: u64,
}

impl Windows {
    /// Takes one use, if one is left. Beyond `keys_max` subjects those go first whose uses are not
    /// needed any more, then those not looked at for longest: they may use their limit anew.
    ///
    /// Of two who read the clock before it is their turn, the later may come first. The other then
    /// counts as of the later time, or the uses would not be in order.
    pub(super) fn take(&mut self, key: Key, quota: Quota, keys_max: usize, now_ns: u64) -> Verdict {
        self.now_ns = self.now_ns.max(now_ns);
        let now_ns = self.now_ns;
        self.looks += 1;
        let uses = self.subjects.entry(key).or_default();
        self.recency.remove(&uses.looked_at);
        uses.looked_at = self.looks;
        self.recency.insert(self.looks, key);
        self.ends.remove(&(uses.end_ns(), key));
        self.uses -= uses.at_ns.len();

        let verdict = uses.take(quota, now_ns);
        self.uses += uses.at_ns.len();
        self.ends.insert((uses.end_ns(), key));
        self.make_room(key, keys_max);
        verdict
    }

    /// Subjects that are remembered.
    pub(super) fn keys(&self) -> usize {
        self.subjects.len()
    }

    /// The verdict on one more, without taking it.
    #[cfg(test)]
    pub(super) fn peek(&self, key: Key, quota: Quota, now_ns: u64) -> Verdict {
        let now_ns = self.now_ns.max(now_ns);
        self.subjects.get(&key).unwrap_or(&Uses::default()).verdict(quota, now_ns)
    }

    /// Forgets subjects whose uses are not needed any more, so many at the most. Whether there may be
    /// more of them.
    pub(super) fn forget(&mut self, now_ns: u64, at_once_max: usize) -> bool {
        self.now_ns = self.now_ns.max(now_ns);
        for _ in 0..at_once_max {
            let Some(key) = self.over() else { return false };
            self.remove(key);
        }
        true
    }

    /// One whose uses are not needed any more.
    fn over(&self) -> Option<Key> {
        let &(end_ns, key) = self.ends.first()?;
        (end_ns <= self.now_ns).then_some(key)
    }

    fn make_room(&mut self, spared: Key, keys_max: usize) {
        let uses_max = keys_max.saturating_mul(USES_PER_KEY);
        while self.subjects.len() > keys_max || self.uses > uses_max {
            let oldest = self.recency.first_key_value().map(|(_, &key)| key);
            match self.over().or(oldest) {
                Some(key) if key != spared => self.remove(key),
                _ => return,
            }
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(uses) = self.subjects.remove(&key) {
            self.recency.remove(&uses.looked_at);
            self.ends.remove(&(uses.end_ns(), key));
            self.uses -= uses.at_ns.len();
        }
    }
}

impl Uses {
    /// Takes one, if one is left. Whoever comes with an earlier time than the last counts as of that.
    pub(crate) fn take(&mut self, quota: Quota, now_ns: u64) -> Verdict {
        let now_ns = self.at_ns.back().map_or(now_ns, |last_ns| now_ns.max(*last_ns));
        self.keep_ns = self.keep_ns.max(quota.window_ns);
        self.forget(now_ns);
        let mut verdict = self.verdict(quota, now_ns);
        if verdict.is_allowed {
            self.add(now_ns);
            verdict.remaining -= 1;
            verdict.reset_ns = self.reset_ns(quota, now_ns);
        }
        verdict
    }

    /// As nodes hand them to each other: how long they are needed, then when each was, in eight bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let numbers = std::iter::once(&self.keep_ns).chain(&self.at_ns);
        numbers.flat_map(|number| number.to_be_bytes()).collect()
    }

    /// What [`Uses::to_bytes`] has made; of anything else, no uses.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|number| u64::from_be_bytes(*number));
        let keep_ns = numbers.next().unwrap_or(0);
        let at_ns: VecDeque<u64> = numbers.collect();
        if !rest.is_empty() || !at_ns.iter().is_sorted() || at_ns.len() > LIMIT_MAX {
            return Self::default();
        }
        Self { at_ns, keep_ns, looked_at: 0 }
    }

    /// When none is needed any more.
    fn end_ns(&self) -> u64 {
        self.at_ns.back().map_or(0, |at_ns| at_ns + self.keep_ns)
    }

    fn add(&mut self, now_ns: u64) {
        if self.at_ns.len() == LIMIT_MAX {
            // One that is in no window, or there would have been none left.
            self.at_ns.pop_front();
        }
        self.at_ns.push_back(now_ns);
    }

    /// Drops those that no window reaches back to, and the memory they took: a subject would keep what
    /// it needed once, and nobody counts that.
    fn forget(&mut self, now_ns: u64) {
        let gone = self.at_ns.partition_point(|at_ns| at_ns + self.keep_ns <= now_ns);
        self.at_ns.drain(..gone);
        if self.at_ns.capacity() > 4 * (self.at_ns.len() + 1) {
            self.at_ns.shrink_to(2 * (self.at_ns.len() + 1));
        }
    }

    fn verdict(&self, quota: Quota, now_ns: u64) -> Verdict {
        let used = self.in_window(quota, now_ns).len();
        Verdict {
            is_allowed: used < quota.limit,
            limit: quota.limit,
            remaining: quota.limit.saturating_sub(used),
            reset_ns: self.reset_ns(quota, now_ns),
        }
    }

    /// When there is one more than now: when the oldest use has left the window, or, after the limit
    /// was lowered, as many as are too many.
    fn reset_ns(&self, quota: Quota, now_ns: u64) -> u64 {
        let window = self.in_window(quota, now_ns);
        let surplus = window.len().saturating_sub(quota.limit);
        let leaves = self.at_ns.get(window.start + surplus);
        leaves.map_or(0, |at_ns| at_ns + quota.window_ns - now_ns)
    }

    /// The uses in the span that ends now.
    fn in_window(&self, quota: Quota, now_ns: u64) -> std::ops::Range<usize> {
        self.at_ns.partition_point(|at_ns| at_ns + quota.window_ns <= now_ns)..self.at_ns.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIVE_A_MINUTE: Quota = Quota { limit: 5, window_ns: 60_000 };
    const KEY: Key = Key(7);

    #[test]
    fn the_sixth_within_a_minute_is_refused_and_told_when_to_come_back() {
        let mut windows = Windows::default();
        for (index, remaining) in [4, 3, 2, 1, 0].into_iter().enumerate() {
            let verdict = windows.take(KEY, FIVE_A_MINUTE, 10, 1000 * index as u64);
            assert_eq!((verdict.is_allowed, verdict.remaining), (true, remaining));
            assert_eq!(verdict.reset_ns, 60_000 - 1000 * index as u64);
        }
        let refused = windows.take(KEY, FIVE_A_MINUTE, 10, 59_999);
        assert_eq!((refused.is_allowed, refused.remaining, refused.reset_ns), (false, 0, 1));
        // The first has left the span that ends now, and the refused try was none.
        assert!(windows.take(KEY, FIVE_A_MINUTE, 10, 60_000).is_allowed);
        assert!(!windows.take(KEY, FIVE_A_MINUTE, 10, 60_000).is_allowed);
        assert!(windows.take(KEY, FIVE_A_MINUTE, 10, 61_000).is_allowed);
    }

    #[test]
    fn looking_takes_nothing() {
        let mut windows = Windows::default();
        let one = Quota { limit: 1, window_ns: 10 };
        assert!((0..10).all(|_| windows.peek(KEY, one, 0).is_allowed));
        assert!(windows.take(KEY, one, 10, 0).is_allowed);
        assert!(!windows.peek(KEY, one, 9).is_allowed);
        assert!(windows.peek(KEY, one, 10).is_allowed);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_least_recent_go_first() {
        let mut windows = Windows::default();
        for number in 0..1000 {
            windows.take(Key(number), FIVE_A_MINUTE, 10, number);
            windows.take(KEY, Quota { limit: 1_000_000, window_ns: 60_000 }, 10, number);
            assert!(windows.subjects.len() <= 10);
            assert!(windows.uses <= 10 * USES_PER_KEY || windows.subjects.len() == 1);
            assert_eq!(windows.recency.len(), windows.subjects.len());
        }
        assert!(windows.subjects.contains_key(&KEY));
        assert!(windows.forget(1_000_000, 1) && !windows.forget(1_000_000, 100));
        assert!(windows.subjects.is_empty() && windows.recency.is_empty() && windows.uses == 0);
        assert!(windows.ends.is_empty());
    }

    #[test]
    fn what_is_over_goes_before_what_was_looked_at_longest_ago() {
        let mut windows = Windows::default();
        let day = Quota { limit: 1, window_ns: 86_400_000 };
        let second = Quota { limit: 1, window_ns: 1000 };
        windows.take(KEY, day, 10, 0);
        // Many more than there is room for, while the one that lasts is looked at no more.
        for number in 100..1100 {
            windows.take(Key(number), second, 10, 1000 * number);
            assert!(windows.subjects.len() <= 10);
        }
        assert!(!windows.take(KEY, day, 10, 2_000_000).is_allowed);
        // Nor does it keep others from being forgotten.
        windows.forget(3_000_000, 100);
        assert_eq!(windows.subjects.len(), 1);
    }

    #[test]
    fn one_subject_keeps_no_more_than_the_highest_limit_and_gives_memory_back() {
        let mut windows = Windows::default();
        // A long window once, and from then on a short one, as often as can be.
        windows.take(KEY, Quota { limit: LIMIT_MAX, window_ns: 86_400_000 }, 1000, 0);
        let often = Quota { limit: LIMIT_MAX, window_ns: 1000 };
        for number in 0..100_000 {
            assert!(windows.take(KEY, often, 1000, number).is_allowed);
        }
        assert_eq!(windows.uses, LIMIT_MAX);
        assert!(windows.subjects[&KEY].at_ns.capacity() <= 2 * LIMIT_MAX);
        windows.take(KEY, often, 1000, 86_400_000 + 100_000);
        assert_eq!(windows.uses, 1);
        assert!(windows.subjects[&KEY].at_ns.capacity() < 16);
    }

    #[test]
    fn whoever_comes_late_with_an_earlier_time_counts_as_of_the_later() {
        let mut windows = Windows::default();
        let two = Quota { limit: 2, window_ns: 1000 };
        assert!(windows.take(KEY, two, 10, 101).is_allowed);
        assert!(windows.take(KEY, two, 10, 100).is_allowed);
        for now_ns in 99..1101 {
            assert!(!windows.take(KEY, two, 10, now_ns).is_allowed, "{now_ns}");
        }
        assert!(windows.take(KEY, two, 10, 1101).is_allowed);
    }

    #[test]
    fn uses_that_were_handed_on_decide_as_those_kept() {
        let (mut kept, mut bytes) = (Windows::default(), Vec::new());
        let two = Quota { limit: 2, window_ns: 1000 };
        for now_ns in [5, 5, 900, 1004, 1005, 1006, 1900, 3000, 2990, 3001] {
            let mut handed_on = Uses::from_bytes(&bytes);
            assert_eq!(handed_on.take(two, now_ns), kept.take(KEY, two, 10, now_ns), "{now_ns}");
            bytes = handed_on.to_bytes();
        }
        assert!(Uses::from_bytes(&[1; 7]).at_ns.is_empty());
    }

    /// Every use that was allowed, and nothing else: the definition.
    #[derive(Default)]
    struct Oracle(Vec<u64>);

    impl Oracle {
        fn take(&mut self, quota: Quota, now_ns: u64) -> bool {
            let used = self.0.iter().filter(|at_ns| **at_ns + quota.window_ns > now_ns).count();
            let allowed = used < quota.limit;
            if allowed {
                self.0.push(now_ns);
            }
            allowed
        }

        /// The most uses in any span of this length.
        fn most_in(&self, window_ns: u64) -> usize {
            let ends = self.0.iter();
            let count = |start: u64| {
                self.0.iter().filter(|at_ns| (start..start + window_ns).contains(at_ns)).count()
            };
            ends.map(|start| count(*start)).max().unwrap_or(0)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn never_more_than_the_limit_in_any_span(
            limit in 1..8_usize,
            window_ns in 1..50_u64,
            steps in prop::collection::vec((0..3_u64, 0..20_u64), 1..200),
        ) {
            let quota = Quota { limit, window_ns };
            let (mut windows, mut oracles) = (Windows::default(), HashMap::new());
            let mut now_ns = 0;
            for (key, pause_ns) in steps {
                // A clock that stands still for a while, too.
                now_ns += pause_ns.saturating_sub(10);
                let oracle: &mut Oracle = oracles.entry(key).or_default();
                let seen = windows.peek(Key(key), quota, now_ns);
                let verdict = windows.take(Key(key), quota, 100, now_ns);
                prop_assert_eq!(seen.is_allowed, verdict.is_allowed);
                prop_assert_eq!(verdict.is_allowed, oracle.take(quota, now_ns));
                // When it says that there is one more, there is; not a moment sooner.
                let later = windows.peek(Key(key), quota, now_ns + verdict.reset_ns);
                prop_assert!(later.remaining > verdict.remaining);
                let sooner = windows.peek(Key(key), quota, now_ns + verdict.reset_ns - 1);
                prop_assert_eq!(sooner.remaining, verdict.remaining);
            }
            for oracle in oracles.values() {
                prop_assert!(oracle.most_in(window_ns) <= limit);
            }
        }

        #[test]
        fn a_quota_that_changes_is_held_by_the_uses_there_were(
            steps in prop::collection::vec((1..6_usize, 1..40_u64, 0..12_u64), 1..100),
        ) {
            let (mut windows, mut oracle) = (Windows::default(), Oracle::default());
            // Asked about once, so that nothing shorter is kept.
            windows.take(KEY, Quota { limit: 1, window_ns: 40 }, 10, 0);
            oracle.take(Quota { limit: 1, window_ns: 40 }, 0);
            let mut now_ns = 0;
            for (limit, window_ns, pause_ns) in steps {
                now_ns += pause_ns;
                let quota = Quota { limit, window_ns };
                let verdict = windows.take(KEY, quota, 10, now_ns);
                prop_assert_eq!(verdict.is_allowed, oracle.take(quota, now_ns));
            }
        }
    }
}
