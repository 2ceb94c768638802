//! How a stream begins and when it must end, whichever way it is delivered.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tidings_hub::{Opening, PageBounds, Pattern, Position, Reader, Selection, Start};
use tokio::time::Instant;

use super::census::Arrival;
use super::closing::Owner;
use super::wire::{self, Connected, ExpiringReason};
use super::{Reservation, SharedLog};

/// `retry` of a stream that may simply come back, drawn from this span.
pub(super) const RETRY_MS: std::ops::RangeInclusive<u64> = 2000..=4000;
/// How long before its end a stream is told, at the most; short lives get a tenth of their span.
const EXPIRING_AHEAD_MAX: Duration = Duration::from_secs(30);

/// How a stream lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamBounds {
    pub(crate) heartbeat: Duration,
    /// The longest life, less up to a tenth at random.
    pub(crate) age_max: Duration,
    /// When the authority it was opened with ends, in milliseconds since the Unix epoch.
    pub(crate) authority_until_ms: Option<u64>,
    /// What one write to a reader that catches up may carry.
    pub(crate) page: PageBounds,
    /// How long a reader may take nothing of what waits for it.
    pub(crate) write_stall: Duration,
}

/// Who a stream is for, as it is told itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Introduction<'a> {
    pub(crate) user: Option<&'a str>,
    pub(crate) arrival: Arrival,
    pub(crate) owner: Owner,
}

/// A stream that has been let in and given a place, with nothing sent yet.
#[derive(Debug)]
pub(crate) struct OpenStream {
    pub(super) selection: Selection,
    pub(super) reader: Reader,
    /// The first bytes: `tidings.connected`, a gap if there is one, `retry`.
    pub(super) greeting: Bytes,
    /// Whether the greeting tells of a gap.
    pub(super) told_gap: bool,
    /// The newest event when it was opened: what it is sent up to here is replayed.
    pub(super) replay_end: Position,
    pub(super) bounds: StreamBounds,
    pub(super) end: End,
    pub(super) owner: Owner,
    pub(super) arrival: Arrival,
    pub(super) reservation: Reservation,
}

impl OpenStream {
    pub(crate) fn new(
        log: &SharedLog,
        mut reservation: Reservation,
        selection: Selection,
        start: Start,
        bounds: StreamBounds,
        introduction: Introduction<'_>,
    ) -> Self {
        let (Opening { reader, cursor, resumed, gap }, replay_end) = log.open(start, &selection);
        reservation.begin(introduction.arrival.method);
        let (now, now_ms) = (Instant::now(), log.clock().now().unix_ms);
        let end = End::of(now, now_ms, bounds);
        let owner = introduction.owner;
        let connected = Connected {
            connection: owner.connection.to_string(),
            user: introduction.user,
            method: introduction.arrival.method,
            topics: selection.patterns().iter().map(Pattern::as_str).collect(),
            cursor: cursor.to_string(),
            resumed,
            heartbeat_secs: bounds.heartbeat.as_secs(),
            expires_at: now_ms + millis(end.at - now),
        };
        let mut greeting = BytesMut::from(&connected.frame(gap.is_some())[..]);
        if let Some(gap) = &gap {
            reservation.metrics().gap(gap);
            greeting.extend_from_slice(&wire::gap(gap));
        }
        greeting.extend_from_slice(&wire::retry(fastrand::u64(RETRY_MS)));
        Self {
            selection,
            reader,
            greeting: greeting.freeze(),
            told_gap: gap.is_some(),
            replay_end,
            bounds,
            end,
            owner,
            arrival: introduction.arrival,
            reservation,
        }
    }
}

impl OpenStream {
    /// What the subscriber is to be sent first, after the answer's head.
    pub(crate) fn greeting(&self) -> &[u8] {
        &self.greeting
    }
}

/// When a stream ends by itself, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) at: Instant,
    pub(super) reason: ExpiringReason,
    /// When to say so.
    pub(super) warn_at: Instant,
}

impl End {
    /// The sooner of the two ends a stream can have.
    fn of(now: Instant, now_ms: u64, bounds: StreamBounds) -> Self {
        let authority_left = bounds
            .authority_until_ms
            .map(|until_ms| Duration::from_millis(until_ms.saturating_sub(now_ms)));
        let age = bounds.age_max.mul_f64(1.0 - 0.1 * fastrand::f64());
        let (life, reason) = match authority_left {
            Some(left) if left < age => (left, ExpiringReason::Token),
            _ => (age, ExpiringReason::Age),
        };
        let ahead = EXPIRING_AHEAD_MAX.min(life / 10);
        Self { at: now + life, reason, warn_at: now + life.saturating_sub(ahead) }
    }

    /// What to tell a stream that ends soon.
    pub(super) fn warning(&self, now: Instant) -> Bytes {
        let left = self.at.saturating_duration_since(now);
        wire::expiring(millis(left).div_ceil(1000), self.reason)
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("a duration below 500 million years")
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A random wait before coming back, for each stream of a hub that closes them all: from one
/// second up to a span that grows with their number, so that the next hub gets them one by one.
pub(super) fn spread_out_retry(streams: usize) -> Duration {
    const RETRY_MIN_MS: u64 = 1000;
    const SPREAD_MIN_MS: u64 = 4000;
    const SPREAD_MAX_MS: u64 = 29_000;
    /// At most two thousand come back in a second.
    const STREAMS_PER_MS: u64 = 2;
    let spread_ms = (streams as u64 / STREAMS_PER_MS).clamp(SPREAD_MIN_MS, SPREAD_MAX_MS);
    Duration::from_millis(RETRY_MIN_MS + fastrand::u64(..=spread_ms))
}
