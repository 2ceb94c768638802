//! What a round brings: named numbers with a unit, and how several rounds become one. Knows nothing
//! of how they were measured or how they are shown.

use std::fmt;

/// One kind of number that a scenario reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Metric {
    /// Its name in JSON; ends with the unit where it has one.
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    PerSecond,
    Bytes,
    Plain,
    Percent,
}

const fn metric(name: &'static str, label: &'static str, unit: Unit) -> Metric {
    Metric { name, label, unit }
}

pub(crate) const CPU_PER_DELIVERY: Metric =
    metric("cpu_per_delivery_ns", "server CPU per delivery", Unit::Nanoseconds);
pub(crate) const DELIVERIES: Metric = metric("deliveries_per_sec", "deliveries", Unit::PerSecond);
pub(crate) const PER_RECEIVE: Metric =
    metric("events_per_receive", "events per receive", Unit::Plain);
pub(crate) const DELAY_P50: Metric = metric("p50_ns", "p50", Unit::Nanoseconds);
pub(crate) const DELAY_P99: Metric = metric("p99_ns", "p99", Unit::Nanoseconds);
pub(crate) const DELAY_P999: Metric = metric("p999_ns", "p99.9", Unit::Nanoseconds);
pub(crate) const DELAY_MAX: Metric = metric("max_ns", "longest", Unit::Nanoseconds);
pub(crate) const MEMORY_PER_CONNECTION: Metric =
    metric("memory_per_connection_bytes", "user memory per connection", Unit::Bytes);
pub(crate) const MEMORY: Metric = metric("memory_bytes", "user memory in all", Unit::Bytes);
pub(crate) const CONNECTS: Metric = metric("connects_per_sec", "connects", Unit::PerSecond);
pub(crate) const CPU_PER_CONNECT: Metric =
    metric("cpu_per_connect_ns", "server CPU per connect", Unit::Nanoseconds);
pub(crate) const STORM_TIME: Metric = metric("storm_ns", "until all are back", Unit::Nanoseconds);
pub(crate) const STORM_CPU: Metric =
    metric("storm_cpu_ns", "server CPU of the storm", Unit::Nanoseconds);
pub(crate) const CALM_CPU: Metric =
    metric("calm_cpu_ns", "server CPU of as many connects + deliveries", Unit::Nanoseconds);
pub(crate) const STORM_TO_CALM: Metric =
    metric("storm_to_calm", "storm / connects + deliveries", Unit::Plain);
pub(crate) const EVENTS: Metric = metric("events_per_sec", "events", Unit::PerSecond);
pub(crate) const BARE_EVENTS: Metric =
    metric("bare_events_per_sec", "events, appended by a bare loop", Unit::PerSecond);
pub(crate) const TO_BARE: Metric = metric("to_bare", "log / bare loop", Unit::Plain);
pub(crate) const PER_WRITE: Metric = metric("events_per_write", "events per write", Unit::Plain);
pub(crate) const CPU_PER_EVENT: Metric =
    metric("cpu_per_event_ns", "server CPU per event", Unit::Nanoseconds);
pub(crate) const BYTES_PER_SEC: Metric = metric("bytes_per_sec", "bytes per second", Unit::Bytes);
pub(crate) const CLIENT_BUSY: Metric =
    metric("client_busy_percent", "load generator busy", Unit::Percent);

/// What one round on one target brought.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) values: Vec<(Metric, f64)>,
    /// Events that should have come and did not.
    pub(crate) lost: u64,
    /// Events that came more than once.
    pub(crate) repeated: u64,
}

impl Figures {
    pub(crate) fn add(&mut self, metric: Metric, value: f64) {
        self.values.push((metric, value));
    }
}

/// The middle of several values; between the two in the middle of an even number.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The median of every metric over several rounds, in the order of the first.
pub(crate) fn medians(rounds: &[Figures]) -> Vec<(Metric, f64)> {
    let Some(first) = rounds.first() else { return Vec::new() };
    let of = |metric: Metric| {
        let values: Vec<f64> = rounds
            .iter()
            .flat_map(|round| &round.values)
            .filter(|(other, _)| *other == metric)
            .map(|(_, value)| *value)
            .collect();
        median(&values)
    };
    first.values.iter().filter_map(|(metric, _)| Some((*metric, of(*metric)?))).collect()
}

/// A number that was counted, as one that can be divided.
#[allow(clippy::cast_precision_loss, reason = "nothing counted here comes near 2^52")]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

impl Unit {
    /// Three digits and the unit that suits them.
    pub(crate) fn show(self, value: f64) -> String {
        let scales: &[(f64, &str)] = match self {
            Self::Nanoseconds => &[(1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1.0, " ns")],
            Self::Bytes => &[(1_048_576.0, " MiB"), (1024.0, " KiB"), (1.0, " B")],
            Self::PerSecond => &[(1e6, " M/s"), (1e3, " k/s"), (1.0, " /s")],
            Self::Percent => &[(1.0, " %")],
            Self::Plain => &[(1.0, "")],
        };
        let (scale, name) = scales
            .iter()
            .find(|(scale, _)| value.abs() >= *scale)
            .or(scales.last())
            .copied()
            .unwrap_or((1.0, ""));
        format!("{}{name}", Digits(value / scale))
    }
}

/// A number with three digits that count.
struct Digits(f64);

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = match self.0.abs() {
            size if size >= 100.0 => 0,
            size if size >= 10.0 => 1,
            _ => 2,
        };
        write!(f, "{:.places$}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let rows: &[(&[f64], Option<f64>)] = &[
            (&[], None),
            (&[3.0], Some(3.0)),
            (&[9.0, 1.0], Some(5.0)),
            (&[9.0, 1.0, 2.0], Some(2.0)),
            (&[4.0, 1.0, 3.0, 1000.0, 2.0], Some(3.0)),
        ];
        for (values, expected) in rows {
            assert_eq!(median(values), *expected, "{values:?}");
        }
    }

    #[test]
    fn rounds_become_one_metric_by_metric() {
        let round = |p99, memory| Figures {
            values: vec![(DELAY_P99, p99), (MEMORY, memory)],
            ..Figures::default()
        };
        let one = medians(&[round(1.0, 30.0), round(3.0, 10.0), round(2.0, 20.0)]);
        assert_eq!(one, [(DELAY_P99, 2.0), (MEMORY, 20.0)]);
    }

    #[test]
    fn numbers_are_shown_with_three_digits_and_their_unit() {
        let rows = [
            (Unit::Nanoseconds, 8_714.0, "8.71 µs"),
            (Unit::Nanoseconds, 12.0, "12.0 ns"),
            (Unit::Nanoseconds, 2.5e9, "2.50 s"),
            (Unit::Bytes, 256.0, "256 B"),
            (Unit::Bytes, 9_000.0, "8.79 KiB"),
            (Unit::PerSecond, 123_456.0, "123 k/s"),
            (Unit::Percent, 0.0, "0.00 %"),
            (Unit::Plain, 15.97, "16.0"),
        ];
        for (unit, value, shown) in rows {
            assert_eq!(unit.show(value), shown);
        }
    }
}
