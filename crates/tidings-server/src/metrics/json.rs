//! The counts as JSON: `GET /api/admin/sse-metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::Reading;
use super::largest::Ranking;
use super::reading::Counts;
use super::times::TimesReading;
use crate::clock::rfc_3339;

/// Under this name stands everyone who is not named.
const OTHERS: &str = "(other)";

/// What a node has done since it was started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SseMetrics {
    /// Which node.
    #[schema(value_type = String)]
    node: Arc<str>,
    /// When this was read, RFC 3339.
    timestamp: String,
    metrics: Counted,
}

#[derive(Debug, Serialize, ToSchema)]
struct Counted {
    connections: Connections,
    events: Events,
    performance: Performance,
    errors: Errors,
    log: Log,
    /// From when on it was counted, RFC 3339.
    since: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Connections {
    /// Streams that were opened.
    total: u64,
    /// Streams that are open now.
    active: u64,
    /// The most that were open at once.
    peak: u64,
    /// Open streams of the 100 users with the most; `(other)` for the rest.
    by_user: BTreeMap<String, u64>,
    /// `sse`: streams that were opened. `long-poll` and `poll`: requests.
    by_transport: BTreeMap<&'static str, u64>,
    /// Streams that were opened, by how their reader proved who it is.
    by_method: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Events {
    /// Events that were published.
    total: u64,
    /// Events that were written to subscribers, once for each of them.
    delivered: u64,
    /// Published events of the 100 most frequent types; `(other)` for the rest.
    by_type: BTreeMap<String, u64>,
    /// Deliveries to the 100 users with the most; `(other)` for the rest.
    by_user: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Performance {
    /// Events that have arrived at everyone who was listening.
    event_processing_count: u64,
    average_event_processing_time_ms: f64,
    event_processing_time_ms: Quantiles,
}

/// Good to 2%; the maximum is exact.
#[derive(Debug, Serialize, ToSchema)]
struct Quantiles {
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Errors {
    total: u64,
    /// By the code of the problem that was answered, and by the error of delivery.
    by_type: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Log {
    events: usize,
    bytes: usize,
    topics: usize,
    oldest_age_secs: f64,
}

impl SseMetrics {
    pub(crate) fn of(reading: &Reading) -> Self {
        let errors: BTreeMap<_, _> = reading.errors().filter(|(_, count)| *count > 0).collect();
        let opened = sum(&reading.opened);
        Self {
            node: Arc::clone(&reading.node),
            timestamp: rfc_3339(reading.unix_ms),
            metrics: Counted {
                connections: Connections {
                    total: opened,
                    active: reading.active,
                    peak: reading.peak,
                    by_user: named(&reading.active_of),
                    by_transport: BTreeMap::from([
                        ("sse", opened),
                        ("long-poll", sum(&reading.long_polls)),
                        ("poll", sum(&reading.polls)),
                    ]),
                    by_method: reading.opened.iter().copied().collect(),
                },
                events: Events {
                    total: reading.published,
                    delivered: sum(&reading.delivered),
                    by_type: named(&reading.published_of),
                    by_user: named(&reading.delivered_to),
                },
                performance: Performance::of(&reading.publish_to_socket),
                errors: Errors { total: errors.values().sum(), by_type: errors },
                log: Log {
                    events: reading.log.events,
                    bytes: reading.log.bytes,
                    topics: reading.log.topics,
                    oldest_age_secs: reading.log.oldest_age_secs,
                },
                since: rfc_3339(reading.since_unix_ms),
            },
        }
    }
}

impl Performance {
    fn of(times: &TimesReading) -> Self {
        Self {
            event_processing_count: times.count,
            average_event_processing_time_ms: millis(times.average_secs()),
            event_processing_time_ms: Quantiles {
                p50: millis(times.p50_secs),
                p95: millis(times.p95_secs),
                p99: millis(times.p99_secs),
                max: millis(times.max_secs),
            },
        }
    }
}

fn named(ranking: &Ranking) -> BTreeMap<String, u64> {
    let named = ranking.named.iter().map(|(name, count)| (name.as_ref().to_owned(), *count));
    let mut named: BTreeMap<_, _> = named.collect();
    if ranking.others > 0 {
        // Somebody may be called that.
        *named.entry(OTHERS.to_owned()).or_default() += ranking.others;
    }
    named
}

fn sum(counts: &Counts) -> u64 {
    counts.iter().map(|(_, count)| count).sum()
}

/// To the microsecond.
fn millis(secs: f64) -> f64 {
    (secs * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_who_is_called_like_the_rest_does_not_hide_it() {
        let ranking = Ranking { named: vec![("(other)".into(), 2), ("ann".into(), 1)], others: 3 };
        assert_eq!(named(&ranking), BTreeMap::from([("(other)".into(), 5), ("ann".into(), 1)]));
    }
}
