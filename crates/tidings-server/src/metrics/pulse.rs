//! The counts that a dashboard follows, of one moment: few and cheap enough to be read every second.
//! What lies between two of them is a [`Sample`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;
use utoipa::ToSchema;

use super::process::Process;
use super::times::TimesReading;
use super::{LogReading, Metrics, Outcome};

/// What a node has counted up to a moment.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    node: Arc<str>,
    unix_ms: u64,
    uptime_ns: u64,
    active: u64,
    peak: u64,
    opened: u64,
    published: u64,
    delivered: u64,
    errors: u64,
    gaps: u64,
    fanout: TimesReading,
    publish_to_socket: TimesReading,
    log: LogReading,
    broker: Broker,
    process: Process,
}

/// What a node did in one span of time, and where it stood at its end.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sample {
    /// Which node.
    #[schema(value_type = String)]
    node: Arc<str>,
    /// The end of the span, in milliseconds since the Unix epoch.
    timestamp: u64,
    connections: Connections,
    events: Events,
    fan_out_ms: Quantiles,
    publish_to_socket_ms: Quantiles,
    errors: Count,
    gaps: Count,
    log: Log,
    broker: Broker,
    process: ProcessUse,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = SampleConnections)]
struct Connections {
    active: u64,
    /// The most there were at once since the start.
    peak: u64,
    /// Those opened since the start.
    total: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SampleEvents)]
struct Events {
    /// Since the start.
    published: u64,
    /// Since the start, once for each subscriber.
    delivered: u64,
    published_per_sec: f64,
    delivered_per_sec: f64,
}

/// Of the events that arrived in the span; 0 when none did.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = SampleQuantiles)]
struct Quantiles {
    p50: f64,
    p99: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SampleCount)]
struct Count {
    /// Since the start.
    total: u64,
    per_sec: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SampleLog)]
struct Log {
    events: usize,
    bytes: usize,
    topics: usize,
    oldest_age_secs: f64,
}

/// What keeps the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SampleBroker)]
pub(crate) struct Broker {
    pub(crate) kind: &'static str,
    pub(crate) status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SampleProcess)]
struct ProcessUse {
    /// `null` where it cannot be found out.
    resident_bytes: Option<u64>,
    /// Of one core.
    cpu_percent: Option<f64>,
}

impl Metrics {
    /// What is counted now; what others know of it is given.
    pub(crate) fn pulse(&self, log: LogReading, broker: Broker) -> Pulse {
        let total = |counts: Vec<(&str, u64)>| counts.iter().map(|(_, count)| count).sum::<u64>();
        let is_error = |(name, _): &(&'static str, u64)| Outcome::ERRORS.contains(name);
        let failed: Vec<_> = self.closed.read().into_iter().filter(is_error).collect();
        Pulse {
            node: Arc::clone(&self.node),
            unix_ms: self.clock.now().unix_ms,
            uptime_ns: self.clock.uptime_ns(),
            active: self.active.load(Ordering::Relaxed),
            peak: self.peak.load(Ordering::Relaxed),
            opened: total(self.opened.read()),
            published: super::lock(&self.published).total(),
            delivered: total(self.delivered.read()),
            errors: total(self.refusals.read()) + total(failed),
            gaps: total(self.gaps.read()),
            fanout: self.flights.fanout(),
            publish_to_socket: self.flights.whole(),
            log,
            broker,
            process: Process::of_a_pulse(),
        }
    }
}

#[cfg(test)]
impl Pulse {
    /// The same with another log.
    pub(super) fn with_log(self, log: LogReading) -> Self {
        Self { log, ..self }
    }
}

impl Sample {
    /// What was done since an earlier moment.
    pub(crate) fn between(earlier: &Pulse, now: &Pulse) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "2^53 nanoseconds are a hundred days")]
        let secs = now.uptime_ns.saturating_sub(earlier.uptime_ns).max(1) as f64 / 1e9;
        let per_sec = |before: u64, after: u64| {
            #[allow(clippy::cast_precision_loss, reason = "a rate is none the worse for it")]
            let change = after.saturating_sub(before) as f64;
            thousandths(change / secs)
        };
        let count =
            |before: u64, after: u64| Count { total: after, per_sec: per_sec(before, after) };
        let cpu = earlier.process.cpu_secs.zip(now.process.cpu_secs);
        Self {
            node: Arc::clone(&now.node),
            timestamp: now.unix_ms,
            connections: Connections { active: now.active, peak: now.peak, total: now.opened },
            events: Events {
                published: now.published,
                delivered: now.delivered,
                published_per_sec: per_sec(earlier.published, now.published),
                delivered_per_sec: per_sec(earlier.delivered, now.delivered),
            },
            fan_out_ms: Quantiles::between(&earlier.fanout, &now.fanout),
            publish_to_socket_ms: Quantiles::between(
                &earlier.publish_to_socket,
                &now.publish_to_socket,
            ),
            errors: count(earlier.errors, now.errors),
            gaps: count(earlier.gaps, now.gaps),
            log: Log {
                events: now.log.events,
                bytes: now.log.bytes,
                topics: now.log.topics,
                oldest_age_secs: thousandths(now.log.oldest_age_secs),
            },
            broker: now.broker,
            process: ProcessUse {
                resident_bytes: now.process.resident_bytes,
                cpu_percent: cpu
                    .map(|(before, after)| thousandths((after - before).max(0.0) / secs * 100.0)),
            },
        }
    }
}

impl Quantiles {
    fn between(earlier: &TimesReading, now: &TimesReading) -> Self {
        let since = now.since(earlier);
        Self { p50: millis(&since, 0.5), p99: millis(&since, 0.99) }
    }
}

/// A quantile of times that are given as how many are at most so many seconds, in milliseconds.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "a count of events in a span"
)]
fn millis(buckets: &[(f64, u64)], quantile: f64) -> f64 {
    let count: u64 = buckets.iter().map(|(_, count)| count).sum();
    let rank = ((count as f64 * quantile).ceil() as u64).max(1);
    let mut passed = 0;
    let found = buckets.iter().find(|(_, count)| {
        passed += count;
        passed >= rank
    });
    thousandths(found.map_or(0.0, |(end_secs, _)| end_secs * 1e3))
}

fn thousandths(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_of_its_own_span() {
        let metrics = Metrics::default();
        let broker = Broker { kind: "memory", status: "ok" };
        let pulse = || metrics.pulse(LogReading::default(), broker);
        let position = tidings_hub::Position::new;
        let mut pulses = vec![pulse()];
        for (number, took_ms) in [(1, 100), (2, 1)] {
            metrics.flights.depart(position(number), 0, 0);
            metrics.flights.announced(position(number), 1);
            metrics.flights.arrived(position(number), Some(took_ms * 1_000_000));
            metrics.refused("not-found");
            pulses.push(pulse());
        }
        pulses.push(pulse());
        let samples: Vec<_> =
            pulses.windows(2).map(|pair| Sample::between(&pair[0], &pair[1])).collect();
        // The slow one is in the first span alone, and nothing is in the last.
        for (sample, expected_ms) in samples.iter().zip([100.0, 1.0, 0.0]) {
            for found in [sample.fan_out_ms.p50, sample.publish_to_socket_ms.p99] {
                assert!((found - expected_ms).abs() <= expected_ms * 0.05, "{sample:?}");
            }
        }
        for (pulse, cpu_secs, uptime_secs) in [(0, 0.5, 3), (1, 1.5, 5)] {
            pulses[pulse].uptime_ns = uptime_secs * 1_000_000_000;
            pulses[pulse].process.cpu_secs = Some(cpu_secs);
        }
        let sample = Sample::between(&pulses[0], &pulses[1]);
        assert_eq!(sample.process.cpu_percent, Some(50.0));
        assert_eq!(sample.errors, Count { total: 1, per_sec: 0.5 });
    }
}
