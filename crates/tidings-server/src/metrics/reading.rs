//! All counts of one moment, together with what other parts of the node know: plain numbers, of which
//! the JSON and the Prometheus text are views.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::largest::Ranking;
use super::process::Process;
use super::times::TimesReading;
use super::{Metrics, NAMED_MAX, lock};
use crate::limits::LimitUses;

/// What is known elsewhere in the node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outside {
    /// Users with open streams.
    pub(crate) users: Vec<UserStreams>,
    pub(crate) log: LogReading,
    pub(crate) limits: Vec<LimitUses>,
    /// Whose uses the limiter remembers.
    pub(crate) limiter_keys: usize,
    /// Requests that were let in for nothing but a `userId` parameter.
    pub(crate) insecure_user_ids: u64,
    /// How far the slowest reader is behind that hyper carries, in events.
    pub(crate) lag_events: u64,
}

/// A user's open streams.
#[derive(Clone, Debug)]
pub(crate) struct UserStreams {
    pub(crate) user: Arc<str>,
    pub(crate) streams: usize,
    /// Events that these, and others that were open with them, were written.
    pub(crate) delivered: u64,
}

/// What the log holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogReading {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) topics: usize,
    pub(crate) oldest_age_secs: f64,
}

/// Counts by name.
pub(super) type Counts = Vec<(&'static str, u64)>;

/// All there is to be told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    pub(super) node: Arc<str>,
    pub(super) unix_ms: u64,
    pub(super) since_unix_ms: u64,
    pub(super) uptime_secs: f64,
    pub(super) opened: Counts,
    pub(super) closed: Counts,
    pub(super) active: u64,
    pub(super) peak: u64,
    pub(super) active_of: Ranking,
    pub(super) lives: TimesReading,
    pub(super) long_polls: Counts,
    pub(super) polls: Counts,
    pub(super) insecure_user_ids: u64,
    pub(super) published: u64,
    pub(super) published_of: Ranking,
    pub(super) duplicates: u64,
    pub(super) delivered: Counts,
    pub(super) delivered_bytes: Counts,
    pub(super) delivered_to: Ranking,
    pub(super) replayed: u64,
    pub(super) gaps: Counts,
    pub(super) lag_events: u64,
    pub(super) publish_to_socket: TimesReading,
    pub(super) fanout: TimesReading,
    pub(super) append: TimesReading,
    pub(super) append_failures: u64,
    pub(super) refusals: Counts,
    pub(super) limits: Vec<LimitUses>,
    pub(super) limiter_keys: usize,
    pub(super) log: LogReading,
    pub(super) process: Process,
}

impl Metrics {
    /// Everything, now.
    pub(crate) fn read(&self, outside: Outside) -> Reading {
        let now = self.clock.now();
        let active = self.active.load(Ordering::Acquire);
        let (published, published_of) = {
            let published = lock(&self.published).clone();
            let total = published.total();
            (total, Ranking::of(published.certain(), total, NAMED_MAX))
        };
        let lags = self.lags.iter().map(|lag| lag.load(Ordering::Relaxed));
        Reading {
            node: self.node(),
            unix_ms: now.unix_ms,
            since_unix_ms: self.since_unix_ms,
            uptime_secs: self.clock.runs_for().as_secs_f64(),
            opened: self.opened.read(),
            closed: self.closed.read(),
            active,
            peak: self.peak.load(Ordering::Relaxed),
            active_of: active_of(&outside.users),
            lives: self.lives.read(),
            long_polls: self.long_polls.read(),
            polls: self.polls.read(),
            insecure_user_ids: outside.insecure_user_ids,
            published,
            published_of,
            duplicates: self.duplicates.load(Ordering::Relaxed),
            delivered: self.delivered.read(),
            delivered_bytes: self.delivered_bytes.read(),
            delivered_to: self.deliveries(&outside.users),
            replayed: self.replayed.load(Ordering::Relaxed),
            gaps: self.gaps.read(),
            lag_events: lags.max().unwrap_or(0).max(outside.lag_events),
            publish_to_socket: self.flights.whole(),
            fanout: self.flights.fanout(),
            append: self.append.read(),
            append_failures: self.append_failures.load(Ordering::Relaxed),
            refusals: self.refusals.read(),
            limits: outside.limits,
            limiter_keys: outside.limiter_keys,
            log: outside.log,
            process: Process::now(),
        }
    }

    /// Deliveries by user: those of open streams, and what was counted when others ended.
    fn deliveries(&self, users: &[UserStreams]) -> Ranking {
        let earlier = lock(&self.delivered_to).clone();
        let open: u64 = users.iter().map(|user| user.delivered).sum();
        let total = earlier.total() + open;
        let mut counts: HashMap<Arc<str>, u64> = earlier.certain().collect();
        for user in users {
            *counts.entry(Arc::clone(&user.user)).or_default() += user.delivered;
        }
        Ranking::of(counts.into_iter(), total, NAMED_MAX)
    }
}

fn active_of(users: &[UserStreams]) -> Ranking {
    let counts = users.iter().map(|user| (Arc::clone(&user.user), user.streams as u64));
    let total = users.iter().map(|user| user.streams as u64).sum();
    Ranking::of(counts, total, NAMED_MAX)
}

impl Reading {
    /// Everything that went wrong for somebody, by the code of the answer or the error of delivery.
    pub(super) fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.refusals.iter().copied().chain(self.delivery_errors())
    }

    pub(super) fn delivery_errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let is_error = |(name, _): &(&str, u64)| super::Outcome::ERRORS.contains(name);
        self.closed.iter().copied().filter(is_error)
    }
}
