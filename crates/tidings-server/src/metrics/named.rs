//! Counts under a few names that are known beforehand: there are never more series than these.

use std::sync::atomic::{AtomicU64, Ordering};

/// A name that is not among the known ones is a fault of ours, and counted under this.
const UNKNOWN: &str = "other";

/// One count for each of its names.
#[derive(Debug)]
pub(super) struct Named {
    names: &'static [&'static str],
    counts: Box<[AtomicU64]>,
    unknown: AtomicU64,
}

impl Named {
    pub(super) fn new(names: &'static [&'static str]) -> Self {
        let counts = names.iter().map(|_| AtomicU64::new(0)).collect();
        Self { names, counts, unknown: AtomicU64::new(0) }
    }

    /// A look through the names, of which there are few.
    pub(super) fn add(&self, name: &str, count: u64) {
        let known = self.names.iter().position(|known| *known == name);
        let counter = known.map_or(&self.unknown, |index| &self.counts[index]);
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// Every name and its count, also those that are 0.
    pub(super) fn read(&self) -> Vec<(&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let mut read: Vec<_> = self.names.iter().copied().zip(counts).collect();
        let unknown = self.unknown.load(Ordering::Relaxed);
        if unknown > 0 {
            read.push((UNKNOWN, unknown));
        }
        read
    }
}
