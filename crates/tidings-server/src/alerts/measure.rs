//! What is watched: the numbers, what they are called, and which setting is the threshold of each.

use super::window::Values;
use crate::config;

/// A number that there may be too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Connections,
    ConnectionsPeak,
    Errors,
    Gaps,
    EventTime,
    AppendTime,
    ReaderLag,
}

impl Measure {
    pub(super) const ALL: [Self; 7] = [
        Self::Connections,
        Self::ConnectionsPeak,
        Self::Errors,
        Self::Gaps,
        Self::EventTime,
        Self::AppendTime,
        Self::ReaderLag,
    ];

    /// Its name: that of its threshold's setting, without `_max`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPeak => "connections_peak",
            Self::Errors => "errors_per_minute",
            Self::Gaps => "gaps_per_minute",
            Self::EventTime => "event_p99_ms",
            Self::AppendTime => "append_p99_ms",
            Self::ReaderLag => "reader_lag_events",
        }
    }

    /// What people call it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Connections => "open streams",
            Self::ConnectionsPeak => "streams open at once",
            Self::Errors => "errors in a minute",
            Self::Gaps => "gaps in a minute",
            Self::EventTime => "milliseconds from publisher to subscribers (p99)",
            Self::AppendTime => "milliseconds to store events (p99)",
            Self::ReaderLag => "events the slowest reader is behind",
        }
    }

    /// The most there may be; 0 is any number.
    pub(super) fn threshold(self, alerts: &config::Alerts) -> u64 {
        match self {
            Self::Connections => alerts.connections_max,
            Self::ConnectionsPeak => alerts.connections_peak_max,
            Self::Errors => alerts.errors_per_minute_max,
            Self::Gaps => alerts.gaps_per_minute_max,
            Self::EventTime => alerts.event_p99_ms_max,
            Self::AppendTime => alerts.append_p99_ms_max,
            Self::ReaderLag => alerts.reader_lag_events_max,
        }
    }

    /// How much there is.
    pub(super) fn value(self, values: &Values) -> u64 {
        match self {
            Self::Connections => values.connections,
            Self::ConnectionsPeak => values.connections_peak,
            Self::Errors => values.errors,
            Self::Gaps => values.gaps,
            Self::EventTime => values.event_p99_ms,
            Self::AppendTime => values.append_p99_ms,
            Self::ReaderLag => values.reader_lag_events,
        }
    }

    /// Whether it is told as soon as it is seen: a peak between two looks is over at the next one.
    pub(super) fn is_told_at_once(self) -> bool {
        self == Self::ConnectionsPeak
    }
}
