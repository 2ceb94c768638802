//! Live numbers: the node's pulse every second, what it was in the last hours, and the topic on which
//! whoever looks on hears it.
//!
//! The topic is the node's own. Where several nodes share a broker, each publishes its numbers there
//! for those who listen to it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;
use tidings_hub::{Event, EventType, Payload, Topic};

use crate::broker::Broker;
use crate::clock::Clock;
use crate::delivery::Delivery;
use crate::metrics::{BrokerReading, History, LogReading, Metrics, Sample};

/// The topic of the numbers.
pub(crate) const TOPIC: &str = "$tidings/stats";
/// The type of its events.
const EVENT_TYPE: &str = "stats";
/// How long after a poll the topic is published to: three times what a poller is asked to wait.
const POLLED_FOR_NS: u64 = 30_000_000_000;
/// Bytes that a sample never has.
const SAMPLE_BYTES_MAX: usize = 4096;

/// The numbers of a node.
#[derive(Debug)]
pub(crate) struct Stats {
    metrics: Arc<Metrics>,
    broker: Arc<Broker>,
    delivery: Arc<Delivery>,
    clock: Clock,
    history: Mutex<History>,
    streams: Arc<AtomicUsize>,
    /// When they were last polled, in nanoseconds of uptime; 0 for never.
    polled_ns: AtomicU64,
}

/// A stream that hears the numbers, until this is dropped.
#[derive(Debug)]
pub(crate) struct Hearing(Arc<AtomicUsize>);

impl Drop for Hearing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Stats {
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        broker: Arc<Broker>,
        delivery: Arc<Delivery>,
        clock: Clock,
    ) -> Self {
        Self {
            metrics,
            broker,
            delivery,
            clock,
            history: Mutex::default(),
            streams: Arc::default(),
            polled_ns: AtomicU64::new(0),
        }
    }

    /// Another second has passed: to be called once in each.
    pub(crate) fn tick(&self) {
        let broker = BrokerReading { kind: self.broker.kind(), status: self.broker.status() };
        let pulse = self.metrics.pulse(self.log(), broker);
        let sample = self.history().take(pulse);
        if let Some(sample) = sample
            && self.is_heard()
        {
            self.broker.publish_own(event(&sample));
        }
    }

    /// Of so many seconds, oldest first, and how many seconds each is of.
    pub(crate) fn last(&self, secs: usize) -> (usize, Vec<Sample>) {
        self.history().last(secs)
    }

    /// A stream begins that hears the numbers.
    pub(crate) fn hear(&self) -> Hearing {
        self.streams.fetch_add(1, Ordering::Relaxed);
        Hearing(Arc::clone(&self.streams))
    }

    /// Somebody polls for the numbers.
    pub(crate) fn polled(&self) {
        self.polled_ns.store(self.clock.uptime_ns(), Ordering::Relaxed);
    }

    /// What the log holds.
    pub(crate) fn log(&self) -> LogReading {
        let size = self.delivery.log().size();
        let oldest_ns = size.oldest_uptime_ms.map(|oldest_ms| oldest_ms.saturating_mul(1_000_000));
        let age_ns =
            oldest_ns.map_or(0, |oldest_ns| self.clock.uptime_ns().saturating_sub(oldest_ns));
        LogReading {
            events: size.events,
            bytes: size.bytes,
            topics: size.topics,
            oldest_age_secs: std::time::Duration::from_nanos(age_ns).as_secs_f64(),
        }
    }

    fn is_heard(&self) -> bool {
        let polled_ns = self.polled_ns.load(Ordering::Relaxed);
        let was_polled =
            polled_ns > 0 && self.clock.uptime_ns().saturating_sub(polled_ns) < POLLED_FOR_NS;
        self.streams.load(Ordering::Relaxed) > 0 || was_polled
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event(sample: &Sample) -> Event {
    const CONSTANT: &str = "made of constants that are right";
    let text = serde_json::to_string(sample).expect("a struct of numbers");
    let data = RawValue::from_string(text).expect("it was just written as JSON");
    let topic = Topic::reserved(TOPIC).expect(CONSTANT);
    let event_type = EventType::new(EVENT_TYPE).expect(CONSTANT);
    let payload = Payload::json(&data);
    Event::new(event_type, [topic], payload, None, SAMPLE_BYTES_MAX).expect(CONSTANT)
}
