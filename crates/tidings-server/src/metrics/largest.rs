//! The largest of any number of counts, in bounded memory: the Space-Saving algorithm of Metwally,
//! Agrawal and El Abbadi (2005).
//!
//! Up to [`TRACKED_MAX`] names all counts are exact. Past that a new name takes the place of the one
//! with the smallest count, and what it may have taken over is not said to be its own: what is told
//! of a name is never too much, and all that is told adds up to the total.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// Names that are counted at once: ten for each that is told, so that the largest are found among many.
const TRACKED_MAX: usize = 1024;

/// Counts by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Largest {
    places: HashMap<Arc<str>, usize>,
    tracked: Vec<Tracked>,
    total: u64,
    /// The smallest count when it was last looked for, and the place to look on from.
    smallest: u64,
    look_from: usize,
}

#[derive(Clone, Debug)]
struct Tracked {
    name: Arc<str>,
    count: u64,
    /// Of the count, what may be of others who were here before.
    inherited: u64,
}

impl Largest {
    /// Costs a look-up; a new name among too many also a look for the smallest.
    pub(crate) fn add(&mut self, name: &str, count: u64) {
        self.total += count;
        if let Some(&place) = self.places.get(name) {
            self.tracked[place].count += count;
            return;
        }
        let name: Arc<str> = name.into();
        if self.tracked.len() < TRACKED_MAX {
            self.places.insert(Arc::clone(&name), self.tracked.len());
            self.tracked.push(Tracked { name, count, inherited: 0 });
            return;
        }
        let place = self.smallest();
        let tracked = &mut self.tracked[place];
        let inherited = tracked.count;
        self.places.remove(&tracked.name);
        self.places.insert(Arc::clone(&name), place);
        *tracked = Tracked { name, count: inherited + count, inherited };
    }

    /// The place of a name with the smallest count. Counts only grow, so whoever was passed over is
    /// looked at again only after all others: names that come once cost one look each.
    fn smallest(&mut self) -> usize {
        loop {
            while let Some(tracked) = self.tracked.get(self.look_from) {
                self.look_from += 1;
                if tracked.count <= self.smallest {
                    return self.look_from - 1;
                }
            }
            let counts = self.tracked.iter().map(|tracked| tracked.count);
            self.smallest = counts.min().expect("it is full, so there is one");
            self.look_from = 0;
        }
    }

    /// Of everyone together.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// What is certain of each name that is tracked.
    pub(crate) fn certain(&self) -> impl Iterator<Item = (Arc<str>, u64)> {
        self.tracked.iter().map(|one| (Arc::clone(&one.name), one.count - one.inherited))
    }
}

/// The largest counts, largest first, and the rest of a total.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranking {
    pub(crate) named: Vec<(Arc<str>, u64)>,
    pub(crate) others: u64,
}

impl Ranking {
    pub(super) fn of(
        counts: impl Iterator<Item = (Arc<str>, u64)>,
        total: u64,
        named_max: usize,
    ) -> Self {
        let mut named: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
        let order = |(name, count): &(Arc<str>, u64)| (Reverse(*count), Arc::clone(name));
        if named.len() > named_max {
            named.select_nth_unstable_by_key(named_max, order);
            named.truncate(named_max);
        }
        named.sort_unstable_by_key(order);
        let sum: u64 = named.iter().map(|(_, count)| count).sum();
        Self { named, others: total.saturating_sub(sum) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(largest: &Largest, named_max: usize) -> Ranking {
        Ranking::of(largest.certain(), largest.total(), named_max)
    }

    #[test]
    fn few_names_are_counted_exactly_and_the_rest_of_them_together() {
        let mut largest = Largest::default();
        for number in 1..=200_u64 {
            largest.add(&format!("user-{number}"), number);
            largest.add(&format!("user-{number}"), number);
        }
        let ranking = ranking(&largest, 100);
        assert_eq!(ranking.named.len(), 100);
        assert_eq!(ranking.named[0], ("user-200".into(), 400));
        assert_eq!(ranking.named[99], ("user-101".into(), 202));
        assert_eq!(ranking.others, (1..=100).map(|number| 2 * number).sum::<u64>());
    }

    #[test]
    fn the_largest_are_found_among_any_number_and_everything_adds_up() {
        let mut largest = Largest::default();
        for number in 0..20_000_u64 {
            largest.add(&format!("passer-by-{number}"), 1);
            largest.add(&format!("regular-{}", number % 10), 1);
        }
        assert_eq!(largest.tracked.len(), TRACKED_MAX);
        assert_eq!(largest.places.len(), TRACKED_MAX);
        let ranking = ranking(&largest, 100);
        for (name, count) in &ranking.named[..10] {
            assert!(name.starts_with("regular-"), "{ranking:?}");
            assert_eq!(*count, 2000);
        }
        let sum: u64 = ranking.named.iter().map(|(_, count)| count).sum();
        assert_eq!(sum + ranking.others, 40_000);
    }
}
