//! What outlives a session: this node's copy of the log, what it knows to be in Redis, and what it is
//! called there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::RedisError;
use tidings_hub::Cursor;
use tokio::sync::watch;
use tracing::warn;

use super::dial::Dialer;
use super::entry::Mark;
use super::failure::SetupError;
use super::names::Names;
use super::passages::Passages;
use super::seats::Seats;
use super::session::Session;
use crate::broker::Replica;
use crate::config::{BrokerUrl, Config};
use crate::revocations::Revocation;

/// Nanoseconds between two complaints about a Redis that answers and does not do what it is asked.
const COMPLAINS_EVERY_NS: u64 = 10_000_000_000;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) replica: Replica,
    pub(super) dialer: Dialer,
    pub(super) names: Names,
    /// What this process is called in Redis.
    pub(super) node: String,
    pub(super) timeout: Duration,
    pub(super) publish_wait: Duration,
    pub(super) events_max: usize,
    pub(super) key_window_ms: u64,
    /// None while Redis is not there.
    pub(super) session: watch::Sender<Option<Arc<Session>>>,
    pub(super) seats: Arc<Seats>,
    pub(super) passages: Passages,
    claimed: Mutex<Option<Claim>>,
    /// By their JSON, with their ends in Unix milliseconds: what a Redis is told that has lost them.
    revoked: Mutex<HashMap<String, u64>>,
    numbers: AtomicU64,
    complained_ns: AtomicU64,
    has_warned_of_eviction: AtomicBool,
}

/// The newest publication that this node has seen in the log, or was told to be stored.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) cursor: Cursor,
    pub(super) mark: Mark,
}

impl Shared {
    pub(super) fn new(
        url: &BrokerUrl,
        config: &Config,
        replica: Replica,
    ) -> Result<Self, SetupError> {
        let settings = &config.redis;
        if settings.prefix.contains(['{', '}']) {
            return Err(SetupError::Prefix);
        }
        let names = Names::new(&settings.prefix);
        let dialer = Dialer::new(url, settings, names.meta.clone())?;
        Ok(Self {
            replica,
            dialer,
            names,
            node: format!("{:012x}", fastrand::u64(..) >> 16),
            timeout: Duration::from_millis(settings.timeout_ms),
            publish_wait: Duration::from_millis(config.publish_wait_ms),
            events_max: settings.events_max,
            key_window_ms: config.idempotency.window_secs * 1000,
            session: watch::Sender::new(None),
            seats: Arc::default(),
            passages: Passages::default(),
            claimed: Mutex::default(),
            revoked: Mutex::default(),
            numbers: AtomicU64::new(0),
            complained_ns: AtomicU64::new(0),
            has_warned_of_eviction: AtomicBool::new(false),
        })
    }

    /// The session there is.
    pub(super) fn session(&self) -> Option<Arc<Session>> {
        self.session.borrow().clone()
    }

    /// A number that no publication of this process has yet.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// This is in the log.
    pub(super) fn claim(&self, cursor: Cursor, mark: Mark) {
        let mut claimed = lock(&self.claimed);
        let is_news = claimed.as_ref().is_none_or(|known| {
            known.cursor.epoch != cursor.epoch || known.cursor.position < cursor.position
        });
        if is_news {
            *claimed = Some(Claim { cursor, mark });
        }
    }

    pub(super) fn claimed(&self) -> Option<Claim> {
        lock(&self.claimed).clone()
    }

    /// Follows a revocation, and remembers it.
    pub(super) fn revoke(&self, json: &str) {
        if let Some(revocation) = self.remember(json) {
            self.replica.revoke(revocation);
        }
    }

    /// Remembers a revocation for a Redis that has lost it.
    pub(super) fn remember(&self, json: &str) -> Option<Revocation> {
        match serde_json::from_str::<Revocation>(json) {
            Ok(revocation) => {
                lock(&self.revoked).insert(json.to_owned(), revocation.until_ms);
                Some(revocation)
            }
            Err(error) => {
                warn!(%error, "a revocation in Redis cannot be read");
                None
            }
        }
    }

    /// The revocations that are in force, by their JSON, with their ends.
    pub(super) fn revoked(&self) -> Vec<(String, u64)> {
        lock(&self.revoked).iter().map(|(json, until_ms)| (json.clone(), *until_ms)).collect()
    }

    /// Drops what has outlived its time.
    pub(super) fn expire(&self) {
        self.replica.expire();
        let now_ms = self.replica.clock.now().unix_ms;
        lock(&self.revoked).retain(|_, until_ms| *until_ms > now_ms);
    }

    /// Redis answers, and does not do it.
    pub(super) fn complain(&self, error: &RedisError) {
        let now_ns = self.replica.clock.uptime_ns();
        let last_ns = self.complained_ns.load(Ordering::Relaxed);
        if now_ns.saturating_sub(last_ns) >= COMPLAINS_EVERY_NS {
            self.complained_ns.store(now_ns, Ordering::Relaxed);
            warn!(%error, "Redis refuses to store events");
        }
    }

    /// Redis may throw the log away.
    pub(super) fn warn_of_eviction(&self, policy: &str) {
        if !self.has_warned_of_eviction.swap(true, Ordering::Relaxed) {
            warn!(
                maxmemory_policy = policy,
                "Redis may throw the log away when its memory is full; use noeviction or volatile-ttl"
            );
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
