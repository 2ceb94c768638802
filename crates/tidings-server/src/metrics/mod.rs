//! What is counted: connections, events, times and refusals, from the start of the process on.
//!
//! Everything on the way of an event is a relaxed atomic or a number that a delivery thread keeps to
//! itself until it is asked. The JSON and the Prometheus text are two views of one [`Reading`]. Who
//! counts, and who may look, is not known here.

mod exposition;
mod flights;
mod history;
mod json;
mod largest;
mod life;
mod named;
mod process;
mod pulse;
mod reading;
#[cfg(test)]
mod tests;
mod times;
mod vitals;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_hub::{Gap, StoredEvent};

use crate::clock::Clock;
use crate::traces::Traces;
pub(crate) use exposition::{Format, exposition};
pub(crate) use flights::Flights;
pub(crate) use history::{COARSE_MAX, COARSE_SECS, History};
pub(crate) use json::SseMetrics;
pub(crate) use largest::Largest;
pub(crate) use life::{Life, Outcome};
use named::Named;
pub(crate) use pulse::{Broker as BrokerReading, Sample};
pub(crate) use reading::{LogReading, Outside, Reading, UserStreams};
use times::Times;
pub(crate) use times::TimesReading;
pub(crate) use vitals::Vitals;

/// Users and types that are named in metrics; the others are counted together.
pub(crate) const NAMED_MAX: usize = 100;

/// How a subscriber receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Sse,
    LongPoll,
    Poll,
}

impl Transport {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::LongPoll => "long-poll",
            Self::Poll => "poll",
        }
    }
}

const TRANSPORTS: &[&str] = &["sse", "long-poll", "poll"];
const METHODS: &[&str] = &["api-key", "token", "session", "user-id"];
const GAP_REASONS: &[&str] = &["expired", "epoch", "unknown", "slow"];

/// Events that were written to subscribers, and the bytes of their frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

impl Delivered {
    /// One event, unless it is of the hub's own, which are not counted.
    pub(crate) fn of(event: &StoredEvent) -> Self {
        if event.is_own() {
            return Self::default();
        }
        Self { events: 1, bytes: event.frame().len() as u64 }
    }
}

impl std::ops::AddAssign for Delivered {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.bytes += other.bytes;
    }
}

impl std::ops::Sub for Delivered {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { events: self.events - other.events, bytes: self.bytes - other.bytes }
    }
}

/// What one delivery thread has done since it last said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) delivered: Delivered,
    /// Of the delivered, those from before their stream began.
    pub(crate) replayed: u64,
    /// Gaps that readers fell into who were too slow.
    pub(crate) gaps: u64,
}

/// All counts of a node.
#[derive(Debug)]
pub(crate) struct Metrics {
    clock: Clock,
    /// What the node is called.
    node: Arc<str>,
    since_unix_ms: u64,
    /// Streams that began, by how their reader proved who it is.
    opened: Named,
    /// Streams that ended, by why.
    closed: Named,
    active: AtomicU64,
    peak: AtomicU64,
    /// The same since it was last asked for.
    peak_lately: AtomicU64,
    lives: Times,
    long_polls: Named,
    polls: Named,
    /// Events that were stored, by type.
    published: Mutex<Largest>,
    duplicates: AtomicU64,
    delivered: Named,
    delivered_bytes: Named,
    replayed: AtomicU64,
    gaps: Named,
    /// Deliveries to users by polls, and by streams of whom no stream is left.
    delivered_to: Mutex<Largest>,
    pub(crate) flights: Flights,
    append: Times,
    append_failures: AtomicU64,
    refusals: Named,
    /// For each delivery thread, how many events its slowest reader is behind.
    lags: Box<[AtomicU64]>,
}

impl Metrics {
    /// For a node of this name with so many delivery threads, these codes of refusals, and traces of some flights.
    pub(crate) fn new(
        clock: Clock,
        node: Arc<str>,
        shards: usize,
        codes: &'static [&'static str],
        traces: Traces,
    ) -> Self {
        Self {
            clock,
            node,
            since_unix_ms: clock.now().unix_ms,
            opened: Named::new(METHODS),
            closed: Named::new(Outcome::NAMES),
            active: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            peak_lately: AtomicU64::new(0),
            lives: Times::in_millis(),
            long_polls: Named::new(METHODS),
            polls: Named::new(METHODS),
            published: Mutex::default(),
            duplicates: AtomicU64::new(0),
            delivered: Named::new(TRANSPORTS),
            delivered_bytes: Named::new(TRANSPORTS),
            replayed: AtomicU64::new(0),
            gaps: Named::new(GAP_REASONS),
            delivered_to: Mutex::default(),
            flights: Flights::new(traces),
            append: Times::in_nanos(),
            append_failures: AtomicU64::new(0),
            refusals: Named::new(codes),
            lags: (0..shards).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The clock that times are counted by.
    pub(crate) fn node(&self) -> Arc<str> {
        Arc::clone(&self.node)
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.uptime_ns()
    }

    /// A poll that was let in, by how its sender proved who it is.
    pub(crate) fn polled(&self, transport: Transport, method: &str) {
        let polls = if transport == Transport::LongPoll { &self.long_polls } else { &self.polls };
        polls.add(method, 1);
    }

    /// An event that was not stored again.
    pub(crate) fn deduplicated(&self) {
        self.duplicates.fetch_add(1, Ordering::Relaxed);
    }

    /// The types of events that were published here and that the broker has stored, and how long that took.
    pub(crate) fn appended<'a>(&self, types: impl Iterator<Item = &'a str>, took_ns: u64) {
        let mut types = types.peekable();
        if types.peek().is_none() {
            return;
        }
        self.append.record(took_ns, 1);
        let mut published = lock(&self.published);
        for event_type in types {
            published.add(event_type, 1);
        }
    }

    /// Events that the broker was asked to store and could not, or did not say that it has.
    pub(crate) fn append_failed(&self, events: u64) {
        self.append_failures.fetch_add(events, Ordering::Relaxed);
    }

    /// Events that were written to a subscriber.
    pub(crate) fn delivered(&self, transport: Transport, delivered: Delivered) {
        self.delivered.add(transport.as_str(), delivered.events);
        self.delivered_bytes.add(transport.as_str(), delivered.bytes);
    }

    /// Events from before their stream began.
    pub(crate) fn replayed(&self, events: u64) {
        self.replayed.fetch_add(events, Ordering::Relaxed);
    }

    /// Deliveries to a user that are not counted with one of their open streams.
    pub(crate) fn delivered_to(&self, user: &str, events: u64) {
        if events > 0 {
            lock(&self.delivered_to).add(user, events);
        }
    }

    /// A gap that a reader was told of.
    pub(crate) fn gap(&self, gap: &Gap) {
        self.gaps.add(gap.reason.as_str(), 1);
    }

    /// What a delivery thread has done.
    pub(crate) fn worked(&self, work: Work) {
        if work == Work::default() {
            return;
        }
        self.delivered(Transport::Sse, work.delivered);
        self.replayed(work.replayed);
        self.gaps.add("slow", work.gaps);
    }

    /// How far the slowest reader of a delivery thread is behind, in events of the log.
    pub(crate) fn lags(&self, shard: usize, events: u64) {
        self.lags[shard].store(events, Ordering::Relaxed);
    }

    /// An answer, or a part of one, that was a problem.
    pub(crate) fn refused(&self, code: &'static str) {
        self.refusals.add(code, 1);
    }

    fn opens(&self, method: &str) {
        self.opened.add(method, 1);
        let active = self.active.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(active, Ordering::Relaxed);
        self.peak_lately.fetch_max(active, Ordering::Relaxed);
    }

    fn closes(&self, outcome: Outcome, life_ns: u64) {
        self.closed.add(outcome.as_str(), 1);
        self.lives.record(life_ns / 1_000_000, 1);
        // Last: whoever sees it gone sees why.
        self.active.fetch_sub(1, Ordering::Release);
    }
}

/// With no codes and no delivery threads: what tests need.
#[cfg(test)]
impl Default for Metrics {
    fn default() -> Self {
        Self::new(Clock::start(), "".into(), 0, &[], Traces::default())
    }
}

fn lock(largest: &Mutex<Largest>) -> MutexGuard<'_, Largest> {
    largest.lock().unwrap_or_else(PoisonError::into_inner)
}
