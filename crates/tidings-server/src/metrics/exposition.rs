//! The counts for Prometheus: `GET /metrics`, as Prometheus text or as `OpenMetrics`.
//!
//! Labels are from fixed sets. Never a user, a topic, a type, a path or an address: whoever can choose
//! a label's value can make as many series as they like.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::Reading;
use super::reading::Counts;
use super::times::TimesReading;

/// Bounds of the times on the way of an event, in seconds.
const EVENT_SECS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// Bounds of the times streams last, in seconds.
const LIFE_SECS: &[f64] =
    &[1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0];

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format an `Accept` header likes best: Prometheus text where it does not say.
    pub(crate) fn accepted(accept: &str) -> Self {
        let mut best = (0.0, Self::Prometheus);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next() {
                Some(name) if name.eq_ignore_ascii_case("application/openmetrics-text") => {
                    Self::OpenMetrics
                }
                Some(name) if name.eq_ignore_ascii_case("text/plain") => Self::Prometheus,
                _ => continue,
            };
            let quality =
                parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
            if quality > best.0 {
                best = (quality, format);
            }
        }
        best.1
    }
}

/// All counts in this format.
pub(crate) fn exposition(reading: Reading, format: Format) -> String {
    let mut registry = Registry::with_prefix("tidings");
    registry.register_collector(Box::new(reading));
    let mut written = String::new();
    match format {
        Format::Prometheus => prometheus_text::encode(&mut written, &registry),
        Format::OpenMetrics => text::encode(&mut written, &registry),
    }
    .expect("writing to a string");
    written
}

impl Collector for Reading {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page { encoder };
        page.connections(self)?;
        page.events(self)?;
        page.performance(self)?;
        page.errors(self)?;
        page.log_and_broker(self)?;
        page.process(self)
    }
}

struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    fn connections(&mut self, reading: &Reading) -> fmt::Result {
        self.gauge("connections_active", "Streams that are open", None, &reading.active)?;
        self.gauge(
            "connections_peak",
            "The most streams that were open at once",
            None,
            &reading.peak,
        )?;
        let opened = "Streams that were opened, by how their reader proved who it is";
        self.counts("connections_opened", opened, "method", &reading.opened)?;
        let closed = "Streams that ended, by why";
        self.counts("connections_closed", closed, "reason", &reading.closed)?;
        self.times("connection_duration", "How long streams were open", &reading.lives, LIFE_SECS)?;
        let help =
            "Polls that were let in, by whether they wait and how their sender proved who it is";
        let mut family =
            self.encoder.encode_descriptor("polls", help, None, MetricType::Counter)?;
        for (transport, polls) in [("long-poll", &reading.long_polls), ("poll", &reading.polls)] {
            for (method, count) in polls {
                let labels = [("transport", transport), ("method", *method)];
                family.encode_family(&labels)?.encode_counter(count, NO_EXEMPLAR)?;
            }
        }
        let help = "Requests that were let in for nothing but a userId parameter";
        self.counter("insecure_user_ids", help, None, reading.insecure_user_ids)
    }

    fn events(&mut self, reading: &Reading) -> fmt::Result {
        self.counter("events_published", "Events that were stored", None, reading.published)?;
        let help = "Events that were not stored again, because their idempotency key was known";
        self.counter("events_deduplicated", help, None, reading.duplicates)?;
        let help = "Events that were written to subscribers, once for each of them";
        self.counts("events_delivered", help, "transport", &reading.delivered)?;
        let help = "Bytes of the events that were written to subscribers";
        let bytes = &Unit::Bytes;
        let mut family = self.encoder.encode_descriptor(
            "events_delivered",
            help,
            Some(bytes),
            MetricType::Counter,
        )?;
        for (transport, count) in &reading.delivered_bytes {
            family
                .encode_family(&[("transport", *transport)])?
                .encode_counter(count, NO_EXEMPLAR)?;
        }
        let help = "Events written to streams that are from before the stream began";
        self.counter("events_replayed", help, None, reading.replayed)?;
        let help = "Gaps that readers were told of, by why";
        self.counts("gaps", help, "reason", &reading.gaps)?;
        let help = "Events of the log that the slowest reader has not been written yet";
        self.gauge("reader_lag_events", help, None, &reading.lag_events)
    }

    fn performance(&mut self, reading: &Reading) -> fmt::Result {
        let help = "From the moment a publish request was read to the moment the last listening socket \
                    was written to, for each event";
        self.times("publish_to_socket", help, &reading.publish_to_socket, EVENT_SECS)?;
        let help = "The longest of them since the start";
        let longest = reading.publish_to_socket.max_secs;
        self.gauge("publish_to_socket_max", help, Some(&Unit::Seconds), &longest)?;
        let help = "From the moment an event was stored to the moment the last listening socket was \
                    written to";
        self.times("fanout", help, &reading.fanout, EVENT_SECS)
    }

    fn errors(&mut self, reading: &Reading) -> fmt::Result {
        let help = "Answers, and parts of answers to a batch, that were a problem, by its code";
        self.counts("refusals", help, "code", &reading.refusals)?;
        let errors: Counts = reading.delivery_errors().collect();
        self.counts("delivery_errors", "Streams that were closed for an error", "type", &errors)?;
        let help = "Uses that were asked of the limiter, where there is a limit";
        let checks = reading.limits.iter().map(|uses| (uses.limit, uses.checks)).collect();
        self.counts("limiter_checks", help, "limit", &checks)?;
        let help = "Uses that the limiter refused";
        let refusals = reading.limits.iter().map(|uses| (uses.limit, uses.refusals)).collect();
        self.counts("limiter_refusals", help, "limit", &refusals)?;
        let help = "Users and addresses whose uses the limiter remembers";
        self.gauge("limiter_keys", help, None, &reading.limiter_keys)
    }

    fn log_and_broker(&mut self, reading: &Reading) -> fmt::Result {
        let log = reading.log;
        self.gauge("log_events", "Events in the log", None, &log.events)?;
        let help = "Memory that the log takes, as log.bytes_max counts it";
        self.gauge("log", help, Some(&Unit::Bytes), &log.bytes)?;
        self.gauge("log_topics", "Topics that hold an event", None, &log.topics)?;
        let help = "Age of the oldest event in the log";
        self.gauge("log_oldest_age", help, Some(&Unit::Seconds), &log.oldest_age_secs)?;
        let help = "Events that the broker took";
        self.counter("broker_appends", help, None, reading.published)?;
        let help = "Events that the broker could not store";
        self.counter("broker_failures", help, None, reading.append_failures)?;
        let help = "How long the broker took for one request's events, up to 256 at once";
        self.times("broker_append", help, &reading.append, EVENT_SECS)
    }

    fn process(&mut self, reading: &Reading) -> fmt::Result {
        let (process, seconds) = (reading.process, Some(&Unit::Seconds));
        if let Some(secs) = process.cpu_secs {
            let help = "Processor time of the process, user and system";
            let mut metric = self.encoder.encode_descriptor(
                "process_cpu",
                help,
                seconds,
                MetricType::Counter,
            )?;
            metric.encode_counter(&secs, NO_EXEMPLAR)?;
        }
        if let Some(bytes) = process.resident_bytes {
            self.gauge("process_resident", "Memory of the process", Some(&Unit::Bytes), &bytes)?;
        }
        if let Some(count) = process.open_fds {
            self.gauge("process_open_fds", "Open file descriptors", None, &count)?;
        }
        #[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
        let start_secs = reading.since_unix_ms as f64 / 1e3;
        self.gauge(
            "process_start_time",
            "When the process began, Unix time",
            seconds,
            &start_secs,
        )?;
        self.gauge("process_uptime", "How long it runs", seconds, &reading.uptime_secs)?;
        let help = "The version that runs, and what the node is called";
        let mut metric = self.encoder.encode_descriptor("build", help, None, MetricType::Info)?;
        metric.encode_info(&[("version", env!("CARGO_PKG_VERSION")), ("node", &reading.node)])
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: &impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(value)
    }

    fn counter(&mut self, name: &str, help: &str, unit: Option<&Unit>, count: u64) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
        metric.encode_counter(&count, NO_EXEMPLAR)
    }

    fn counts(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        counts: &Counts,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (value, count) in counts {
            family.encode_family(&[(label, *value)])?.encode_counter(count, NO_EXEMPLAR)?;
        }
        Ok(())
    }

    fn times(
        &mut self,
        name: &str,
        help: &str,
        times: &TimesReading,
        bounds_secs: &[f64],
    ) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut metric = self.encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        let within = times.within(bounds_secs);
        metric.encode_histogram::<NoLabelSet>(times.sum_secs, times.count, &within, None)
    }
}

const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, f64>> = None;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing("", Format::Prometheus)]
    #[case::anything("*/*", Format::Prometheus)]
    #[case::text("text/plain;version=0.0.4", Format::Prometheus)]
    #[case::open("application/openmetrics-text", Format::OpenMetrics)]
    #[case::prometheus(
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        Format::OpenMetrics
    )]
    #[case::prefers_text(
        "application/openmetrics-text;q=0.1, text/plain;q=0.9",
        Format::Prometheus
    )]
    fn the_format_is_the_one_that_is_liked_best(#[case] accept: &str, #[case] format: Format) {
        assert_eq!(Format::accepted(accept), format);
    }
}
