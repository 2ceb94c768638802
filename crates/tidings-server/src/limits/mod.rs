//! How often: an exact sliding window for each user or address, and whose address a request has.
//!
//! Pure over the time it is told. What is limited, and what a refusal looks like, is not known here.

mod address;
mod window;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;

pub(crate) use address::{client_address, subnet};
pub(crate) use window::LIMIT_MAX;
use window::{Key, Windows};
pub(crate) use window::{Uses, Verdict};

/// Subjects forgotten before others get a turn.
const FORGOTTEN_AT_ONCE_MAX: usize = 1000;

/// So many uses in any span of so long. A limit of 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) limit: usize,
    window_ns: u64,
}

const NANOS_PER_SEC: u64 = 1_000_000_000;

impl Quota {
    pub(crate) fn new(limit: usize, window_secs: u64) -> Self {
        Self { limit, window_ns: window_secs.saturating_mul(NANOS_PER_SEC) }
    }

    pub(crate) fn window_secs(self) -> u64 {
        self.window_ns / NANOS_PER_SEC
    }
}

/// Whose uses are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject<'a> {
    /// A user's requests to one endpoint.
    User(Endpoint, &'a str),
    /// The requests to one endpoint from an address, by people without a name.
    Address(Endpoint, IpAddr),
    /// The failed tries of an address to prove who it is.
    Failures(IpAddr),
    /// A limit of the application's own: the key of its server, the limit's name, and whom it counts.
    Lent(&'a str, &'a str, &'a str),
}

/// What a subscriber calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    /// `GET /api/sse`.
    Sse,
    /// `GET /api/polling`.
    Polling,
}

impl Endpoint {
    /// The name of its limit, in the settings and in answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Polling => "polling",
        }
    }
}

/// The limits there are, by the names they have in metrics.
const LIMITS: [&str; 4] = ["sse", "polling", "auth-failures", "lent"];

impl<'a> Subject<'a> {
    /// What nodes that count together call it.
    pub(crate) fn shared(self) -> SharedKey<'a> {
        SharedKey(self)
    }

    /// With the whole network that somebody may take addresses from.
    fn by_subnet(self) -> Self {
        match self {
            Self::Address(endpoint, address) => Self::Address(endpoint, subnet(address)),
            Self::Failures(address) => Self::Failures(subnet(address)),
            named @ (Self::User(..) | Self::Lent(..)) => named,
        }
    }

    /// Whose limit it is, among [`LIMITS`].
    fn limit(&self) -> usize {
        match self {
            Self::User(Endpoint::Sse, _) | Self::Address(Endpoint::Sse, _) => 0,
            Self::User(Endpoint::Polling, _) | Self::Address(Endpoint::Polling, _) => 1,
            Self::Failures(_) => 2,
            Self::Lent(..) => 3,
        }
    }
}

/// How often a limit was asked, and how often it refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LimitUses {
    pub(crate) limit: &'static str,
    pub(crate) checks: u64,
    pub(crate) refusals: u64,
}

/// A subject as nodes that count together know it: the same on each, and no longer than it must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedKey<'a>(Subject<'a>);

impl SharedKey<'_> {
    /// A name for what is counted.
    pub(crate) fn digest(&self) -> [u8; 16] {
        let mut context = digest::Context::new(&digest::SHA256);
        // Each part with its length, so that no two subjects have the same bytes.
        let mut part = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        match self.0.by_subnet() {
            Subject::User(endpoint, user) => {
                part(b"user");
                part(endpoint.name().as_bytes());
                part(user.as_bytes());
            }
            Subject::Address(endpoint, address) => {
                part(b"address");
                part(endpoint.name().as_bytes());
                part(address.to_string().as_bytes());
            }
            Subject::Failures(address) => {
                part(b"failures");
                part(address.to_string().as_bytes());
            }
            Subject::Lent(key, name, subject) => {
                part(b"lent");
                part(key.as_bytes());
                part(name.as_bytes());
                part(subject.as_bytes());
            }
        }
        let digest = context.finish();
        digest.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes")
    }
}

/// Counts uses. What is remembered is bounded by the number of subjects, see [`window`].
#[derive(Debug, Default)]
pub(crate) struct Limits {
    hasher: RandomState,
    windows: Mutex<Windows>,
    checks: [AtomicU64; LIMITS.len()],
    refusals: [AtomicU64; LIMITS.len()],
}

impl Limits {
    /// Takes one use, if there is one left.
    pub(crate) fn take(
        &self,
        subject: Subject<'_>,
        quota: Quota,
        keys_max: usize,
        now_ns: u64,
    ) -> Verdict {
        if quota.limit == 0 {
            return Verdict::UNLIMITED;
        }
        let verdict = self.windows().take(self.key(subject), quota, keys_max, now_ns);
        self.count(subject, verdict);
        verdict
    }

    /// Whose uses are remembered: their number.
    pub(crate) fn keys(&self) -> usize {
        self.windows().keys()
    }

    /// What each limit was asked, where it is not lifted.
    pub(crate) fn uses(&self) -> Vec<LimitUses> {
        let of = |(index, &limit): (usize, &&'static str)| LimitUses {
            limit,
            checks: self.checks[index].load(Ordering::Relaxed),
            refusals: self.refusals[index].load(Ordering::Relaxed),
        };
        LIMITS.iter().enumerate().map(of).collect()
    }

    /// Whether there is a use left, without taking it.
    #[cfg(test)]
    pub(crate) fn has_one_left(&self, subject: Subject<'_>, quota: Quota, now_ns: u64) -> bool {
        quota.limit == 0 || self.windows().peek(self.key(subject), quota, now_ns).is_allowed
    }

    /// Forgets what no window reaches back to any more.
    pub(crate) fn forget(&self, now_ns: u64) {
        while self.windows().forget(now_ns, FORGOTTEN_AT_ONCE_MAX) {}
    }

    /// Counts one use that was asked for elsewhere.
    pub(crate) fn count(&self, subject: Subject<'_>, verdict: Verdict) {
        self.checks[subject.limit()].fetch_add(1, Ordering::Relaxed);
        if !verdict.is_allowed {
            self.refusals[subject.limit()].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Eight bytes, whatever the name is. An attacker cannot choose whom to share them with.
    fn key(&self, subject: Subject<'_>) -> Key {
        Key(self.hasher.hash_one(subject.by_subnet()))
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { limit: 2, window_ns: 1000 };

    fn allowed(limits: &Limits, subject: Subject<'_>) -> bool {
        limits.take(subject, QUOTA, 100_000, 5).is_allowed
    }

    #[test]
    fn each_subject_has_a_window_of_its_own() {
        let limits = Limits::default();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let subjects = [
            Subject::User(Endpoint::Sse, "ann"),
            Subject::User(Endpoint::Polling, "ann"),
            Subject::User(Endpoint::Sse, "192.0.2.1"),
            Subject::Address(Endpoint::Sse, address),
            Subject::Failures(address),
            Subject::Lent("key:a", "login", "ann"),
            Subject::Lent("key:b", "login", "ann"),
            Subject::Lent("key:a", "loginann", ""),
        ];
        for subject in subjects {
            assert!(allowed(&limits, subject) && allowed(&limits, subject), "{subject:?}");
            assert!(!allowed(&limits, subject), "{subject:?}");
        }
    }

    #[test]
    fn every_spelling_of_an_address_and_a_whole_subnet_are_one() {
        let limits = Limits::default();
        let of = |text: &str| Subject::Address(Endpoint::Sse, text.parse().unwrap());
        assert!(allowed(&limits, of("2001:db8::1")));
        assert!(allowed(&limits, of("2001:DB8:0:0:0:0:0:1")));
        for host in 0..10_000_u32 {
            let text = format!("2001:db8::{:x}:{:x}", host >> 16, host & 0xffff);
            assert!(!allowed(&limits, of(&text)), "{text}");
        }
        assert!(allowed(&limits, of("2001:db8:0:1::1")));
        assert!(allowed(&limits, of("192.0.2.1")) && allowed(&limits, of("::ffff:192.0.2.1")));
        assert!(!allowed(&limits, of("::ffff:c000:201")));
    }

    #[test]
    fn a_limit_of_nothing_is_no_limit() {
        let limits = Limits::default();
        let quota = Quota { limit: 0, window_ns: 1000 };
        let subject = Subject::User(Endpoint::Sse, "ann");
        assert!((0..100).all(|_| limits.take(subject, quota, 10, 5).is_allowed));
        assert!(limits.has_one_left(subject, quota, 5));
    }
}
