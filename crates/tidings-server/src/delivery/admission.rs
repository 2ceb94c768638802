//! How many streams are open: on the node, for each user and from each address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::subnet;
use crate::metrics::{Life, Metrics, Outcome, UserStreams};

/// The most there may be; 0 lifts a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdmissionBounds {
    pub(crate) per_node: usize,
    pub(crate) per_user: usize,
    pub(crate) per_address: usize,
}

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Node,
    User,
    Address,
}

/// Counts the open streams. Cloning shares the counts.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    counts: Arc<Mutex<Counts>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Counts {
    node: usize,
    users: HashMap<Arc<str>, OfUser>,
    addresses: HashMap<IpAddr, usize>,
}

/// A user's open streams.
#[derive(Debug, Default)]
struct OfUser {
    streams: usize,
    /// Events that were written to these, and to others that were open with them.
    delivered: Arc<AtomicU64>,
}

impl Admission {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { counts: Arc::default(), metrics }
    }

    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Who has open streams.
    pub(super) fn users(&self) -> Vec<UserStreams> {
        let counts = self.counts();
        let of = |(user, of_user): (&Arc<str>, &OfUser)| UserStreams {
            user: Arc::clone(user),
            streams: of_user.streams,
            delivered: of_user.delivered.load(Ordering::Relaxed),
        };
        counts.users.iter().map(of).collect()
    }

    /// Open streams.
    pub(crate) fn streams(&self) -> usize {
        self.counts().node
    }

    /// Takes a place for a stream, if each of the three has one left.
    pub(crate) fn admit(
        &self,
        user: Option<&str>,
        address: IpAddr,
        bounds: AdmissionBounds,
    ) -> Result<Reservation, Full> {
        let subnet = subnet(address);
        let mut counts = self.counts();
        if is_full(counts.node, bounds.per_node) {
            return Err(Full::Node);
        }
        let of_user =
            user.and_then(|user| counts.users.get(user)).map_or(0, |of_user| of_user.streams);
        if is_full(of_user, bounds.per_user) {
            return Err(Full::User);
        }
        let of_address = counts.addresses.get(&subnet).copied().unwrap_or(0);
        if is_full(of_address, bounds.per_address) {
            return Err(Full::Address);
        }
        counts.node += 1;
        *counts.addresses.entry(subnet).or_default() += 1;
        let user = user.map(|user| {
            let known = counts.users.get_key_value(user).map(|(known, _)| Arc::clone(known));
            let user = known.unwrap_or_else(|| user.into());
            let of_user = counts.users.entry(Arc::clone(&user)).or_default();
            of_user.streams += 1;
            (user, Arc::clone(&of_user.delivered))
        });
        drop(counts);
        let (user, delivered) = user.unzip();
        let admission = self.clone();
        Ok(Reservation { admission, user, delivered, address, life: None, held: None })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_full(count: usize, bound: usize) -> bool {
    bound > 0 && count >= bound
}

/// A stream's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    admission: Admission,
    user: Option<Arc<str>>,
    /// Shared by all streams of the user.
    delivered: Option<Arc<AtomicU64>>,
    address: IpAddr,
    /// Once it is a stream.
    life: Option<Life>,
    /// What else the stream's end lets go of.
    held: Option<Box<dyn Held>>,
}

/// Anything whose dropping means something.
pub(crate) trait Held: fmt::Debug + Send + Sync {}

impl<T: fmt::Debug + Send + Sync> Held for T {}

impl Reservation {
    /// Keeps something until the stream ends.
    pub(crate) fn hold(&mut self, held: impl Held + 'static) {
        self.held = Some(match self.held.take() {
            None => Box::new(held),
            Some(other) => Box::new((other, held)),
        });
    }

    /// The stream begins, of a reader who has proved by this method who it is.
    pub(super) fn begin(&mut self, method: &str) {
        self.life = Some(Life::begin(self.metrics(), method));
    }

    /// Says why the stream ends.
    pub(super) fn ends(&mut self, outcome: Outcome) {
        if let Some(life) = &mut self.life {
            life.ends(outcome);
        }
    }

    /// Events were written to the stream.
    pub(super) fn count_delivered(&self, events: u64) {
        if let Some(delivered) = &self.delivered
            && events > 0
        {
            delivered.fetch_add(events, Ordering::Relaxed);
        }
    }

    pub(super) fn user(&self) -> Option<&Arc<str>> {
        self.user.as_ref()
    }

    /// Where it comes from.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// When the stream began, in nanoseconds of uptime.
    pub(super) fn opened_ns(&self) -> u64 {
        self.life.map_or(0, Life::opened_ns)
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.admission.metrics
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        counts.node -= 1;
        decrement(&mut counts.addresses, subnet(self.address));
        let mut left = None;
        if let Some(user) = self.user.take()
            && let Entry::Occupied(mut of_user) = counts.users.entry(user)
        {
            of_user.get_mut().streams -= 1;
            if of_user.get().streams == 0 {
                left = Some(of_user.remove_entry());
            }
        }
        drop(counts);
        if let Some((user, of_user)) = left {
            self.metrics().delivered_to(&user, of_user.delivered.load(Ordering::Relaxed));
        }
        if let Some(life) = self.life.take() {
            life.end(self.metrics());
        }
    }
}

fn decrement<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: AdmissionBounds = AdmissionBounds { per_node: 5, per_user: 2, per_address: 3 };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_bound_is_reached_by_itself_and_given_back() {
        let admission = Admission::new(Arc::default());
        let admit = |user, from| admission.admit(user, address(from), BOUNDS);
        let first = admit(Some("a"), "10.0.0.1").unwrap();
        let _second = admit(Some("a"), "10.0.0.2").unwrap();
        assert_eq!(admit(Some("a"), "10.0.0.3").unwrap_err(), Full::User);
        let _third = admit(Some("b"), "10.0.0.1").unwrap();
        let _fourth = admit(None, "10.0.0.1").unwrap();
        assert_eq!(admit(None, "10.0.0.1").unwrap_err(), Full::Address);
        let _fifth = admit(None, "10.0.0.4").unwrap();
        assert_eq!(admit(None, "10.0.0.5").unwrap_err(), Full::Node);
        drop(first);
        assert_eq!(admission.streams(), 4);
        assert!(admit(Some("a"), "10.0.0.1").is_ok());
    }

    #[test]
    fn nothing_is_remembered_of_whoever_has_left() {
        let admission = Admission::new(Arc::default());
        drop(admission.admit(Some("a"), address("::1"), BOUNDS).unwrap());
        let counts = admission.counts();
        assert!(counts.users.is_empty() && counts.addresses.is_empty() && counts.node == 0);
    }
}
