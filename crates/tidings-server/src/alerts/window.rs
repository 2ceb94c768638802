//! From counts since the start of the process to numbers of the last minute. Pure over the time it is
//! told.

use std::collections::VecDeque;

use crate::metrics::{TimesReading, Vitals};

/// How far back a number looks.
const WINDOW_MS: u64 = 60_000;
/// Vitals that are remembered: one a second, the one that the minute begins with, and room.
const VITALS_MAX: usize = 64;

/// What is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) connections: u64,
    pub(super) connections_peak: u64,
    pub(super) errors: u64,
    pub(super) gaps: u64,
    pub(super) event_p99_ms: u64,
    pub(super) append_p99_ms: u64,
    pub(super) reader_lag_events: u64,
}

/// The vitals of the last minute, the newest last.
#[derive(Debug, Default)]
pub(super) struct Window {
    vitals: VecDeque<(u64, Vitals)>,
}

impl Window {
    /// Takes in newer ones. With less than a minute behind it, the numbers are those since the first one.
    pub(super) fn take(&mut self, now_ms: u64, vitals: Vitals) -> Values {
        let begins_ms = now_ms.saturating_sub(WINDOW_MS);
        while self.vitals.get(1).is_some_and(|(taken_ms, _)| *taken_ms <= begins_ms)
            || self.vitals.len() >= VITALS_MAX
        {
            self.vitals.pop_front();
        }
        let (_, then) = self.vitals.front().unwrap_or(&NEVER);
        let values = Values {
            connections: vitals.connections,
            connections_peak: vitals.connections_peak,
            errors: vitals.errors.saturating_sub(then.errors),
            gaps: vitals.gaps.saturating_sub(then.gaps),
            event_p99_ms: p99_ms(&vitals.event, &then.event),
            append_p99_ms: p99_ms(&vitals.append, &then.append),
            reader_lag_events: vitals.reader_lag_events,
        };
        self.vitals.push_back((now_ms, vitals));
        values
    }
}

/// Before anything was counted.
static NEVER: std::sync::LazyLock<(u64, Vitals)> = std::sync::LazyLock::new(Default::default);

/// The time that a hundredth took longer than, of those that were counted since then: in whole
/// milliseconds, rounded up. 0 when there were none.
fn p99_ms(now: &TimesReading, then: &TimesReading) -> u64 {
    let mut earlier = then.buckets.iter().peekable();
    let since: Vec<_> = now
        .buckets
        .iter()
        .map(|(end_secs, count)| {
            let held = earlier.next_if(|(earlier_end_secs, _)| earlier_end_secs <= end_secs);
            (*end_secs, count.saturating_sub(held.map_or(0, |(_, count)| *count)))
        })
        .collect();
    let total: u64 = since.iter().map(|(_, count)| count).sum();
    let mut left = (total * 99).div_ceil(100);
    for (end_secs, count) in since {
        if count > 0 && count >= left {
            return whole_ms(end_secs);
        }
        left -= count;
    }
    0
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times are positive and below 2^42 nanoseconds"
)]
fn whole_ms(secs: f64) -> u64 {
    (secs * 1e3).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(buckets: &[(f64, u64)]) -> TimesReading {
        TimesReading { buckets: buckets.to_vec(), ..TimesReading::default() }
    }

    #[test]
    fn counts_are_those_of_the_last_minute() {
        let mut window = Window::default();
        let errors = |window: &mut Window, secs: u64, errors| {
            window.take(secs * 1000, Vitals { errors, ..Vitals::default() }).errors
        };
        // Each row: the second, what was counted until then, and what of it is new.
        let rows = [(0, 0, 0), (10, 5, 5), (30, 5, 5), (60, 7, 7), (69, 7, 7), (71, 7, 2)];
        for (secs, counted, expected) in rows {
            assert_eq!(errors(&mut window, secs, counted), expected, "at {secs} s");
        }
        assert_eq!(errors(&mut window, 131, 7), 0);
    }

    #[test]
    fn what_was_counted_before_the_first_look_is_not_forgotten() {
        let mut window = Window::default();
        assert_eq!(window.take(0, Vitals { gaps: 3, ..Vitals::default() }).gaps, 3);
    }

    #[test]
    fn pulses_that_are_taken_too_often_take_no_more_room() {
        let mut window = Window::default();
        for millis in 0..10_000 {
            window.take(millis, Vitals::default());
        }
        assert_eq!(window.vitals.len(), VITALS_MAX);
    }

    #[test]
    fn the_slowest_hundredth_is_that_of_the_last_minute() {
        let nothing = times(&[]);
        let slow = times(&[(0.001, 99), (0.5, 1)]);
        let slower = times(&[(0.001, 98), (0.5, 2)]);
        let later = times(&[(0.001, 100), (0.25, 4), (0.5, 3)]);
        let rows = [
            (&nothing, &nothing, 0),
            (&slow, &nothing, 1),
            (&slower, &nothing, 500),
            (&slow, &slow, 0),
            (&later, &slower, 500),
            (&later, &times(&[(0.001, 100), (0.25, 1), (0.5, 3)]), 250),
            (&times(&[(0.0001, 1)]), &nothing, 1),
        ];
        for (row, (now, then, expected)) in rows.into_iter().enumerate() {
            assert_eq!(p99_ms(now, then), expected, "row {row}");
        }
    }
}
