//! How many streams are open: on the node, for each user and from each address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::subnet;

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
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    node: usize,
    users: HashMap<Arc<str>, usize>,
    addresses: HashMap<IpAddr, usize>,
}

impl Admission {
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
        let address = subnet(address);
        let mut counts = self.counts();
        if is_full(counts.node, bounds.per_node) {
            return Err(Full::Node);
        }
        let of_user = user.and_then(|user| counts.users.get(user)).copied().unwrap_or(0);
        if is_full(of_user, bounds.per_user) {
            return Err(Full::User);
        }
        let of_address = counts.addresses.get(&address).copied().unwrap_or(0);
        if is_full(of_address, bounds.per_address) {
            return Err(Full::Address);
        }
        counts.node += 1;
        *counts.addresses.entry(address).or_default() += 1;
        let user = user.map(|user| {
            let known = counts.users.get_key_value(user).map(|(known, _)| Arc::clone(known));
            let user = known.unwrap_or_else(|| user.into());
            *counts.users.entry(Arc::clone(&user)).or_default() += 1;
            user
        });
        Ok(Reservation { admission: self.clone(), user, address, held: None })
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
    address: IpAddr,
    /// What else the stream's end lets go of.
    held: Option<Box<dyn Held>>,
}

/// Anything whose dropping means something.
pub(crate) trait Held: fmt::Debug + Send + Sync {}

impl<T: fmt::Debug + Send + Sync> Held for T {}

impl Reservation {
    /// Keeps something until the stream ends.
    pub(crate) fn hold(&mut self, held: impl Held + 'static) {
        self.held = Some(Box::new(held));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        counts.node -= 1;
        decrement(&mut counts.addresses, self.address);
        if let Some(user) = self.user.take() {
            decrement(&mut counts.users, user);
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
        let admission = Admission::default();
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
        let admission = Admission::default();
        drop(admission.admit(Some("a"), address("::1"), BOUNDS).unwrap());
        let counts = admission.counts();
        assert!(counts.users.is_empty() && counts.addresses.is_empty() && counts.node == 0);
    }
}
