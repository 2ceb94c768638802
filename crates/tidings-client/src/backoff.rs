//! How long to wait before the next attempt.
//!
//! Full jitter between the shortest wait and a ceiling that doubles with every failure, so that
//! clients dropped together do not come back together. Time and randomness are arguments: it never
//! waits itself and knows nothing of connections.

use std::time::{Duration, Instant};

/// The bounds of the waits between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffBounds {
    /// The shortest wait.
    pub min: Duration,
    /// The longest wait, unless the server asks for a longer one.
    pub max: Duration,
    /// How long a connection must live to count as a success. One that is accepted and dropped at
    /// once, over and over, is a failure each time.
    pub stable_after: Duration,
}

impl Default for BackoffBounds {
    /// Waits of 1 to 30 seconds; a connection is a success when it lived for 10.
    fn default() -> Self {
        Self {
            min: Duration::from_secs(1),
            max: Duration::from_secs(30),
            stable_after: Duration::from_secs(10),
        }
    }
}

/// The longest wait a server can ask for: past this its answer is more likely wrong than patient.
pub(crate) const ASKED_WAIT_MAX: Duration = Duration::from_mins(5);

/// What is used while the server has said nothing.
const BASE_DEFAULT: Duration = Duration::from_secs(3);

/// The failures so far, and what the server has asked for.
#[derive(Debug)]
pub(crate) struct Backoff {
    bounds: BackoffBounds,
    base: Duration,
    /// Failures since the last stable connection.
    failures: u32,
    connected_at: Option<Instant>,
}

impl Backoff {
    pub(crate) fn new(bounds: BackoffBounds) -> Self {
        Self { bounds, base: BASE_DEFAULT, failures: 0, connected_at: None }
    }

    /// Takes the server's `retry` field as the first ceiling.
    pub(crate) fn set_base(&mut self, retry: Duration) {
        self.base = retry;
    }

    /// An attempt succeeded; the connection begins (or goes on) living.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.connected_at.get_or_insert(now);
    }

    /// The wait after a failure at `now`. `random` is drawn from 0 to 1; `asked` is what the server
    /// asked for (`Retry-After`): the wait is never shorter than that, and up to a tenth longer.
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        asked: Option<Duration>,
        random: f64,
    ) -> Duration {
        if let Some(connected_at) = self.connected_at.take()
            && now.saturating_duration_since(connected_at) >= self.bounds.stable_after
        {
            self.failures = 0;
        }
        let BackoffBounds { min, max, .. } = self.bounds;
        let doubled = self.base.saturating_mul(1 << self.failures.min(16));
        let ceiling = doubled.clamp(min, max.max(min));
        self.failures = self.failures.saturating_add(1);
        let wait = min + ceiling.saturating_sub(min).mul_f64(random);
        match asked {
            Some(asked) => wait.max(asked.min(ASKED_WAIT_MAX).mul_f64(1.0 + random / 10.0)),
            None => wait,
        }
    }

    /// The wait before coming back to a server that closed the connection on purpose and said when.
    /// It spreads its clients itself, so what it says is followed to the millisecond.
    pub(crate) fn planned(&mut self, asked: Duration) -> Duration {
        self.connected_at = None;
        self.failures = 0;
        asked.clamp(self.bounds.min, ASKED_WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> (Backoff, Instant) {
        (Backoff::new(BackoffBounds::default()), Instant::now())
    }

    fn ceilings(backoff: &mut Backoff, now: Instant, count: usize) -> Vec<u128> {
        (0..count).map(|_| backoff.failed(now, None, 1.0).as_millis()).collect()
    }

    #[test]
    fn the_ceiling_doubles_from_the_servers_retry_to_the_maximum() {
        let (mut backoff, now) = backoff();
        backoff.set_base(Duration::from_millis(2500));
        assert_eq!(ceilings(&mut backoff, now, 6), [2500, 5000, 10_000, 20_000, 30_000, 30_000]);
    }

    #[test]
    fn the_ceiling_stays_at_the_maximum_after_any_number_of_failures() {
        let (mut backoff, now) = backoff();
        assert_eq!(ceilings(&mut backoff, now, 200).last(), Some(&30_000));
    }

    #[test]
    fn the_wait_is_drawn_between_the_minimum_and_the_ceiling() {
        let (mut backoff, now) = backoff();
        assert_eq!(backoff.failed(now, None, 0.0), Duration::from_secs(1));
        assert_eq!(backoff.failed(now, None, 0.5), Duration::from_millis(3500));
    }

    #[test]
    fn a_servers_retry_of_zero_does_not_make_the_client_spin() {
        let (mut backoff, now) = backoff();
        backoff.set_base(Duration::ZERO);
        assert_eq!(ceilings(&mut backoff, now, 3), [1000, 1000, 1000]);
    }

    #[test]
    fn a_servers_endless_retry_is_bounded() {
        let (mut backoff, now) = backoff();
        backoff.set_base(Duration::from_millis(u64::MAX));
        assert_eq!(ceilings(&mut backoff, now, 2), [30_000, 30_000]);
        let asked = Some(Duration::from_secs(u64::MAX));
        assert_eq!(backoff.failed(now, asked, 0.0), ASKED_WAIT_MAX);
    }

    #[test]
    fn only_a_stable_connection_resets_the_ceiling() {
        let (mut backoff, now) = backoff();
        ceilings(&mut backoff, now, 2);
        backoff.connected(now);
        let flapped = backoff.failed(now + Duration::from_secs(9), None, 1.0);
        assert_eq!(flapped, Duration::from_secs(12));
        backoff.connected(now);
        backoff.connected(now + Duration::from_secs(5));
        let lived = backoff.failed(now + Duration::from_secs(10), None, 1.0);
        assert_eq!(lived, Duration::from_secs(3));
    }

    #[test]
    fn what_the_server_asks_for_is_the_shortest_wait() {
        let (mut backoff, now) = backoff();
        let asked = Some(Duration::from_mins(1));
        assert_eq!(backoff.failed(now, asked, 0.0), Duration::from_mins(1));
        assert_eq!(backoff.failed(now, asked, 1.0), Duration::from_secs(66));
    }
}
