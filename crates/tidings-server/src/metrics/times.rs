//! How long something took: a histogram whose quantiles are good to 2%, the sum and the longest, all
//! counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use histogram::AtomicHistogram;

/// Buckets in each doubling are 2 to the power of this: a bucket is at most 3.2% wide.
const GROUPING_POWER: u8 = 5;
/// The longest that is told apart, as a power of two of the unit: 73 minutes of nanoseconds, 139
/// years of milliseconds.
const VALUE_POWER_MAX: u8 = 42;

/// Times in one unit.
#[derive(Debug)]
pub(super) struct Times {
    units_per_sec: f64,
    histogram: AtomicHistogram,
    sum: AtomicU64,
    longest: AtomicU64,
}

/// What [`Times`] were, in seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimesReading {
    pub(crate) count: u64,
    pub(crate) sum_secs: f64,
    pub(crate) p50_secs: f64,
    pub(crate) p95_secs: f64,
    pub(crate) p99_secs: f64,
    pub(crate) max_secs: f64,
    /// The end of each bucket that holds anything, in seconds, and how many it holds.
    pub(crate) buckets: Vec<(f64, u64)>,
}

impl Times {
    pub(super) fn in_nanos() -> Self {
        Self::new(1e9)
    }

    pub(super) fn in_millis() -> Self {
        Self::new(1e3)
    }

    fn new(units_per_sec: f64) -> Self {
        let histogram = AtomicHistogram::new(GROUPING_POWER, VALUE_POWER_MAX);
        let histogram = histogram.expect("two constants that go together");
        Self { units_per_sec, histogram, sum: AtomicU64::new(0), longest: AtomicU64::new(0) }
    }

    /// So many times, each so long.
    pub(super) fn record(&self, time: u64, count: u64) {
        if count == 0 {
            return;
        }
        let time = time.min((1 << VALUE_POWER_MAX) - 1);
        self.histogram.add(time, count).expect("no time is out of range");
        self.sum.fetch_add(time * count, Ordering::Relaxed);
        self.longest.fetch_max(time, Ordering::Relaxed);
    }

    #[allow(clippy::cast_precision_loss, reason = "a time of 2^53 nanoseconds is 104 days")]
    pub(super) fn read(&self) -> TimesReading {
        let secs = |time: u64| time as f64 / self.units_per_sec;
        let longest = self.longest.load(Ordering::Relaxed);
        let sum = self.sum.load(Ordering::Relaxed);
        let histogram = self.histogram.load();
        let quantile = |quantile: f64| {
            let bucket = histogram.quantile_bucket(quantile).expect("it is from 0 to 1");
            // The middle of the bucket, but nothing is longer than the longest.
            bucket.map_or(0.0, |bucket| {
                secs(u64::midpoint(bucket.start(), bucket.end()).min(longest))
            })
        };
        let held = histogram.iter().filter(|bucket| bucket.count() > 0);
        let buckets: Vec<_> = held.map(|bucket| (secs(bucket.end()), bucket.count())).collect();
        TimesReading {
            count: buckets.iter().map(|(_, count)| count).sum(),
            sum_secs: secs(sum),
            p50_secs: quantile(0.5),
            p95_secs: quantile(0.95),
            p99_secs: quantile(0.99),
            max_secs: secs(longest),
            buckets,
        }
    }
}

impl TimesReading {
    pub(crate) fn average_secs(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "an average is none the worse for it")]
        let count = self.count as f64;
        if self.count == 0 { 0.0 } else { self.sum_secs / count }
    }

    /// Those that an earlier reading does not have: the end of each bucket in seconds, and how many.
    pub(super) fn since(&self, earlier: &Self) -> Vec<(f64, u64)> {
        let mut before = earlier.buckets.iter().peekable();
        let since = self.buckets.iter().map(|&(end, count)| {
            // A bucket that held something then holds it now.
            let had = before.next_if(|(other, _)| *other <= end).map_or(0, |(_, had)| *had);
            (end, count.saturating_sub(had))
        });
        since.filter(|(_, count)| *count > 0).collect()
    }

    /// How many were at most so long and longer than the bound before, for each of these bounds in
    /// seconds, and for no bound.
    pub(super) fn within(&self, bounds_secs: &[f64]) -> Vec<(f64, u64)> {
        let mut buckets = self.buckets.iter().peekable();
        let bounds = bounds_secs.iter().copied().chain([f64::INFINITY]);
        let within = bounds.map(|bound| {
            let mut count = 0;
            while let Some((_, held)) = buckets.next_if(|(end, _)| *end <= bound) {
                count += held;
            }
            (bound, count)
        });
        within.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_good_to_a_twentieth_at_any_scale() {
        for scale in [1_u64, 1000, 1_000_000, 1_000_000_000] {
            let times = Times::in_nanos();
            for time in 1..=1000 {
                times.record(time * scale, 1);
            }
            let read = times.read();
            #[allow(clippy::cast_precision_loss, reason = "small numbers")]
            let scale_secs = scale as f64 / 1e9;
            let rows = [(read.p50_secs, 500.0), (read.p95_secs, 950.0), (read.p99_secs, 990.0)];
            for (found, expected) in rows {
                let off = (found / (expected * scale_secs) - 1.0).abs();
                assert!(off < 0.05, "{found} instead of {expected} at {scale}");
            }
            assert!((read.max_secs / (1000.0 * scale_secs) - 1.0).abs() < 1e-9);
            assert!((read.average_secs() / (500.5 * scale_secs) - 1.0).abs() < 1e-9);
            assert_eq!(read.count, 1000);
        }
    }

    #[test]
    fn buckets_add_up_and_what_is_too_long_is_in_the_last() {
        let times = Times::in_nanos();
        times.record(900_000, 3);
        times.record(9_000_000, 2);
        times.record(u64::MAX, 1);
        let within = times.read().within(&[0.001, 0.01, 10.0]);
        let counts: Vec<_> = within.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [3, 2, 0, 1]);
    }

    #[test]
    fn nothing_recorded_reads_as_nothing() {
        let read = Times::in_millis().read();
        assert_eq!((read.count, read.within(&[1.0])), (0, vec![(1.0, 0), (f64::INFINITY, 0)]));
        assert!(read.p99_secs == 0.0 && read.average_secs() == 0.0);
    }
}
