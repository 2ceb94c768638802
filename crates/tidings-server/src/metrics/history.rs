//! What a node did in the last minutes and hours: two rings of samples, fine and coarse, each of a
//! bounded length. When a pulse is taken is not decided here.

use std::collections::VecDeque;

use super::pulse::{Pulse, Sample};

/// Samples of a second each: ten minutes, some 150 kB.
pub(crate) const FINE_MAX: usize = 600;
/// Samples of ten seconds each: six hours, some 500 kB.
pub(crate) const COARSE_MAX: usize = 2160;
/// Fine samples in a coarse one.
pub(crate) const COARSE_SECS: usize = 10;

#[derive(Debug, Default)]
pub(crate) struct History {
    fine: Ring,
    coarse: Ring,
    /// Pulses since the last coarse sample.
    since_coarse: usize,
}

#[derive(Debug, Default)]
struct Ring {
    last: Option<Pulse>,
    samples: VecDeque<Sample>,
}

impl History {
    /// Takes the pulse of another second. The sample of that second, unless it is the first.
    pub(crate) fn take(&mut self, pulse: Pulse) -> Option<Sample> {
        if self.coarse.last.is_none() {
            self.coarse.take(pulse.clone(), COARSE_MAX);
        } else {
            self.since_coarse += 1;
            if self.since_coarse == COARSE_SECS {
                self.since_coarse = 0;
                self.coarse.take(pulse.clone(), COARSE_MAX);
            }
        }
        self.fine.take(pulse, FINE_MAX);
        self.fine.samples.back().cloned()
    }

    /// Of so many seconds, oldest first, and how many seconds each of them is of.
    pub(crate) fn last(&self, secs: usize) -> (usize, Vec<Sample>) {
        if secs <= FINE_MAX {
            (1, self.fine.last(secs))
        } else {
            (COARSE_SECS, self.coarse.last(secs.div_ceil(COARSE_SECS)))
        }
    }
}

impl Ring {
    fn take(&mut self, pulse: Pulse, samples_max: usize) {
        if let Some(last) = &self.last {
            if self.samples.len() == samples_max {
                self.samples.pop_front();
            }
            self.samples.push_back(Sample::between(last, &pulse));
        }
        self.last = Some(pulse);
    }

    fn last(&self, count: usize) -> Vec<Sample> {
        let passed = self.samples.len().saturating_sub(count);
        self.samples.iter().skip(passed).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::pulse::Broker;
    use super::super::{LogReading, Metrics};
    use super::*;

    #[test]
    fn both_rings_are_bounded_and_give_the_newest_last() {
        let metrics = Metrics::default();
        let mut history = History::default();
        let broker = Broker { kind: "memory", status: "ok" };
        let pulse = metrics.pulse(LogReading::default(), broker);
        assert!(history.take(pulse.clone()).is_none());
        assert_eq!(history.last(1), (1, Vec::new()));
        let mut newest = None;
        for events in 1..=COARSE_MAX * COARSE_SECS + 25 {
            let log = LogReading { events, ..LogReading::default() };
            newest = history.take(pulse.clone().with_log(log));
        }
        for (secs, every_secs, count) in [
            (1, 1, 1),
            (600, 1, 600),
            (601, COARSE_SECS, 61),
            (3600, COARSE_SECS, 360),
            (1_000_000, COARSE_SECS, COARSE_MAX),
        ] {
            let (every, samples) = history.last(secs);
            assert_eq!((every, samples.len()), (every_secs, count), "{secs}");
            if every == 1 {
                assert_eq!(samples.last(), newest.as_ref());
            }
        }
    }
}
