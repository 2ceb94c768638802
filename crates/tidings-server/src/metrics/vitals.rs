//! What tells whether a node is well: a few of its counts, cheap enough to be read every second.
//!
//! What is too much of something is not known here.

use std::sync::atomic::Ordering;

use super::times::TimesReading;
use super::{Metrics, Outcome};

/// Counts of one moment. Errors, gaps and times are those since the start of the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vitals {
    /// Open streams.
    pub(crate) connections: u64,
    /// The most that were open at once since they were last taken.
    pub(crate) connections_peak: u64,
    /// Everything that went wrong for somebody.
    pub(crate) errors: u64,
    /// Gaps that readers were told of.
    pub(crate) gaps: u64,
    /// How far the slowest reader is behind, in events of the log.
    pub(crate) reader_lag_events: u64,
    /// From a publisher's request to the last socket.
    pub(crate) event: TimesReading,
    /// How long the broker took for a request's events.
    pub(crate) append: TimesReading,
}

impl Metrics {
    /// Takes them, for the one who watches. `lag_events` is how far the slowest reader is behind
    /// of those that hyper carries.
    pub(crate) fn vitals(&self, lag_events: u64) -> Vitals {
        let connections = self.active.load(Ordering::Relaxed);
        let sum = |counts: Vec<(&str, u64)>| counts.iter().map(|(_, count)| count).sum::<u64>();
        let is_error = |(name, _): &(&str, u64)| Outcome::ERRORS.contains(name);
        let errors_of_delivery = self.closed.read().into_iter().filter(is_error).collect();
        let lags = self.lags.iter().map(|lag| lag.load(Ordering::Relaxed));
        Vitals {
            connections,
            connections_peak: self
                .peak_lately
                .swap(connections, Ordering::Relaxed)
                .max(connections),
            errors: sum(self.refusals.read()) + sum(errors_of_delivery),
            gaps: sum(self.gaps.read()),
            reader_lag_events: lags.max().unwrap_or(0).max(lag_events),
            event: self.flights.whole(),
            append: self.append.read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Life;
    use super::*;

    #[test]
    fn a_peak_between_two_looks_is_seen_once() {
        let metrics = Metrics::default();
        let lives: Vec<_> = (0..3).map(|_| Life::begin(&metrics, "token")).collect();
        for life in lives {
            life.end(&metrics);
        }
        let seen = |pulse: Vitals| (pulse.connections, pulse.connections_peak);
        assert_eq!(seen(metrics.vitals(0)), (0, 3));
        assert_eq!(seen(metrics.vitals(0)), (0, 0));
        let _open = Life::begin(&metrics, "token");
        assert_eq!(seen(metrics.vitals(0)), (1, 1));
        assert_eq!(seen(metrics.vitals(0)), (1, 1));
    }
}
