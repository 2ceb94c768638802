//! When somebody is told: a state machine for each number, told the time and the values.
//!
//! A number is told when it was over its threshold for long enough, again after each cooldown while it
//! stays there, and taken back when it was well below for as long. Who is told is not known here.

use tidings_hub::Moment;

use super::measure::Measure;
use super::window::Values;
use crate::config;

/// How far below its threshold a number must be to be below it again: one that moves around its
/// threshold is one alert, not many.
const RECOVERED_PERCENT: u64 = 90;

/// What is told of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It is over its threshold.
    Raised,
    /// It still is, a cooldown later.
    StillRaised,
    /// It is not any more.
    Recovered,
}

/// Something to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(super) measure: Measure,
    pub(super) news: News,
    pub(super) value: u64,
    pub(super) threshold: u64,
    /// When the number was first seen to be over its threshold.
    pub(super) since: Moment,
}

/// What is known of each number.
#[derive(Debug, Default)]
pub(super) struct Rules {
    watched: [Watched; Measure::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    phase: Phase,
    /// When it was last told that this is too much.
    told_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    #[default]
    Calm,
    /// Over the threshold, and not told.
    Over { since: Moment },
    /// Told.
    Raised { since: Moment, below_since_ms: Option<u64> },
}

/// How long is waited with what.
#[derive(Clone, Copy, Debug)]
struct Patience {
    raise_ms: u64,
    recover_ms: u64,
    cooldown_ms: u64,
}

impl Rules {
    /// Judges the numbers by these thresholds; what is to be told now.
    pub(super) fn judge(
        &mut self,
        now: Moment,
        values: &Values,
        alerts: &config::Alerts,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for (watched, measure) in self.watched.iter_mut().zip(Measure::ALL) {
            let threshold = measure.threshold(alerts);
            if threshold == 0 {
                *watched = Watched::default();
                continue;
            }
            let for_ms = alerts.for_secs * 1000;
            let patience = Patience {
                raise_ms: if measure.is_told_at_once() { 0 } else { for_ms },
                recover_ms: for_ms,
                cooldown_ms: alerts.cooldown_secs * 1000,
            };
            let value = measure.value(values);
            if let Some((news, since)) = watched.step(now, value, threshold, patience) {
                changes.push(Change { measure, news, value, threshold, since });
            }
        }
        changes
    }
}

impl Watched {
    fn step(
        &mut self,
        now: Moment,
        value: u64,
        threshold: u64,
        patience: Patience,
    ) -> Option<(News, Moment)> {
        let now_ms = now.uptime_ms;
        let is_over = value > threshold;
        let is_well_below =
            value.saturating_mul(100) <= threshold.saturating_mul(RECOVERED_PERCENT);
        let has_passed = |since_ms: u64, span_ms: u64| now_ms.saturating_sub(since_ms) >= span_ms;
        let may_tell = self.told_ms.is_none_or(|told_ms| has_passed(told_ms, patience.cooldown_ms));
        match self.phase {
            Phase::Calm | Phase::Over { .. } if !is_over => {
                self.phase = Phase::Calm;
                None
            }
            Phase::Calm | Phase::Over { .. } => {
                let since = if let Phase::Over { since } = self.phase { since } else { now };
                self.phase = Phase::Over { since };
                if !may_tell || !has_passed(since.uptime_ms, patience.raise_ms) {
                    return None;
                }
                self.phase = Phase::Raised { since, below_since_ms: None };
                self.told_ms = Some(now_ms);
                Some((News::Raised, since))
            }
            Phase::Raised { since, below_since_ms } if is_well_below => {
                let below_since_ms = below_since_ms.unwrap_or(now_ms);
                if has_passed(below_since_ms, patience.recover_ms) {
                    self.phase = Phase::Calm;
                    return Some((News::Recovered, since));
                }
                self.phase = Phase::Raised { since, below_since_ms: Some(below_since_ms) };
                None
            }
            Phase::Raised { since, .. } => {
                self.phase = Phase::Raised { since, below_since_ms: None };
                if !is_over || !may_tell {
                    return None;
                }
                self.told_ms = Some(now_ms);
                Some((News::StillRaised, since))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::News::{Raised, Recovered, StillRaised};
    use super::*;

    fn alerts(for_secs: u64, cooldown_secs: u64) -> config::Alerts {
        config::Alerts { connections_max: 100, for_secs, cooldown_secs, ..Default::default() }
    }

    /// By the wall clock it is always an hour later.
    fn at(secs: u64) -> Moment {
        Moment { unix_ms: 3_600_000 + secs * 1000, uptime_ms: secs * 1000 }
    }

    fn open(connections: u64) -> Values {
        Values { connections, ..Values::default() }
    }

    /// Each row: the second, how many streams are open at it, and what is told then.
    type Rows<'a> = &'a [(u64, u64, Option<News>)];

    #[rstest]
    #[case::at_its_threshold_it_is_not_over(0, 60, &[(0, 100, None), (10, 101, Some(Raised))])]
    #[case::once(0, 60, &[(0, 101, Some(Raised)), (10, 500, None), (20, 101, None)])]
    #[case::after_a_while(30, 60, &[
        (0, 101, None), (10, 101, None), (29, 101, None), (30, 101, Some(Raised)), (40, 101, None),
    ])]
    #[case::a_short_excess_is_none(30, 60, &[
        (0, 101, None), (20, 101, None), (25, 100, None), (30, 101, None), (59, 101, None),
        (60, 101, Some(Raised)),
    ])]
    #[case::recovers_well_below(0, 60, &[
        (0, 101, Some(Raised)), (10, 91, None), (20, 90, Some(Recovered)), (30, 90, None),
    ])]
    #[case::recovers_after_a_while(30, 60, &[
        (0, 101, None), (30, 101, Some(Raised)), (40, 90, None), (50, 95, None), (60, 90, None),
        (89, 90, None), (90, 0, Some(Recovered)), (100, 0, None),
    ])]
    #[case::around_its_threshold_it_is_one_alert(0, 600, &[
        (0, 101, Some(Raised)), (10, 99, None), (20, 101, None), (30, 99, None), (40, 101, None),
        (50, 50, Some(Recovered)),
    ])]
    #[case::again_only_after_the_cooldown(0, 60, &[
        (0, 101, Some(Raised)), (10, 0, Some(Recovered)), (20, 101, None), (59, 101, None),
        (60, 101, Some(Raised)), (70, 0, Some(Recovered)),
    ])]
    #[case::what_was_not_told_is_not_taken_back(0, 60, &[
        (0, 101, Some(Raised)), (10, 0, Some(Recovered)), (20, 101, None), (30, 0, None),
        (90, 101, Some(Raised)),
    ])]
    #[case::reminds_after_each_cooldown(0, 60, &[
        (0, 101, Some(Raised)), (59, 101, None), (60, 101, Some(StillRaised)), (61, 101, None),
        (119, 101, None), (120, 95, None), (121, 101, Some(StillRaised)), (122, 0, Some(Recovered)),
    ])]
    fn tells(#[case] for_secs: u64, #[case] cooldown_secs: u64, #[case] rows: Rows<'_>) {
        let (mut rules, alerts) = (Rules::default(), alerts(for_secs, cooldown_secs));
        for &(secs, connections, expected) in rows {
            let told = rules.judge(at(secs), &open(connections), &alerts);
            let news: Vec<_> = told.iter().map(|change| change.news).collect();
            assert_eq!(news, Vec::from_iter(expected), "at {secs} s with {connections}");
        }
    }

    #[test]
    fn says_how_much_there_is_of_what_and_since_when() {
        let (mut rules, alerts) = (Rules::default(), alerts(30, 60));
        assert!(rules.judge(at(5), &open(150), &alerts).is_empty());
        let expected = Change {
            measure: Measure::Connections,
            news: Raised,
            value: 170,
            threshold: 100,
            since: at(5),
        };
        assert_eq!(rules.judge(at(35), &open(170), &alerts), [expected]);
    }

    #[test]
    fn every_number_has_its_own_threshold_and_is_off_without_one() {
        let values = Values {
            connections: 11,
            connections_peak: 12,
            errors: 13,
            gaps: 14,
            event_p99_ms: 15,
            append_p99_ms: 16,
            reader_lag_events: 17,
        };
        let off = config::Alerts { for_secs: 0, ..config::Alerts::default() };
        assert!(Rules::default().judge(at(0), &values, &off).is_empty());
        let on = config::Alerts {
            connections_max: 10,
            connections_peak_max: 10,
            errors_per_minute_max: 10,
            gaps_per_minute_max: 10,
            event_p99_ms_max: 10,
            append_p99_ms_max: 10,
            reader_lag_events_max: 10,
            ..off
        };
        let told = Rules::default().judge(at(0), &values, &on);
        let told: Vec<_> =
            told.iter().map(|change| (change.measure.name(), change.value)).collect();
        let expected = [
            ("connections", 11),
            ("connections_peak", 12),
            ("errors_per_minute", 13),
            ("gaps_per_minute", 14),
            ("event_p99_ms", 15),
            ("append_p99_ms", 16),
            ("reader_lag_events", 17),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_peak_is_told_at_once() {
        let alerts = config::Alerts { connections_peak_max: 10, ..config::Alerts::default() };
        let values = Values { connections_peak: 11, ..Values::default() };
        assert_eq!(Rules::default().judge(at(0), &values, &alerts)[0].news, Raised);
    }

    #[test]
    fn new_thresholds_are_taken_over_between_two_looks() {
        let mut rules = Rules::default();
        let mut alerts = alerts(0, 60);
        assert_eq!(rules.judge(at(0), &open(150), &alerts).len(), 1);
        alerts.connections_max = 200;
        assert_eq!(rules.judge(at(1), &open(150), &alerts)[0].news, Recovered);
        // Turned off and on again, it is as if nothing had been told.
        alerts.connections_max = 0;
        assert!(rules.judge(at(2), &open(150), &alerts).is_empty());
        alerts.connections_max = 100;
        assert_eq!(rules.judge(at(3), &open(150), &alerts)[0].news, Raised);
    }
}
