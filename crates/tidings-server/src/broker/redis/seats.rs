//! The streams of this node by whose they are and where they come from, as Redis is to count them with
//! those of the other nodes.
//!
//! What is true is here. Redis holds a copy under the lease of one session, which falls away with it; the
//! next session begins with a new one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::names::short_digest;
use crate::limits::subnet;

/// Whose streams are counted together: a user's, or those from an address.
pub(super) type Subject = [u8; 16];

pub(super) fn of_user(user: &str) -> Subject {
    short_digest(&[b"user", user.as_bytes()])
}

pub(super) fn of_address(address: IpAddr) -> Subject {
    short_digest(&[b"address", subnet(address).to_string().as_bytes()])
}

/// All seats of this node.
#[derive(Debug, Default)]
pub(super) struct Seats {
    counts: Mutex<Counts>,
    /// Something is owed.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    taken: HashMap<Subject, u64>,
    /// Under which lease Redis has a copy.
    lease: String,
    /// What the copy has too many of, or, below zero, too few.
    owed: HashMap<Subject, i64>,
}

/// A stream's seats, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    subjects: Vec<Subject>,
}

impl Seats {
    /// Takes a seat that Redis is asked for under this lease; whether that is still the one.
    pub(super) fn take(
        self: &Arc<Self>,
        subjects: &[Subject],
        lease: Option<&str>,
    ) -> (Seat, bool) {
        let mut counts = self.counts();
        let is_asked_for = lease == Some(counts.lease.as_str());
        for &subject in subjects {
            *counts.taken.entry(subject).or_default() += 1;
            if !is_asked_for {
                counts.owe(subject, -1);
            }
        }
        drop(counts);
        (Seat { seats: Arc::clone(self), subjects: subjects.to_vec() }, is_asked_for)
    }

    /// Begins another copy: everything that it is to have.
    pub(super) fn copy_under(&self, lease: &str) -> Vec<(Subject, u64)> {
        let mut counts = self.counts();
        lease.clone_into(&mut counts.lease);
        counts.owed.clear();
        counts.taken.iter().map(|(subject, count)| (*subject, *count)).collect()
    }

    /// What is owed to the copy of this lease, which is then paid.
    pub(super) fn settle(&self, lease: &str) -> (Vec<(Subject, i64)>, bool) {
        let mut counts = self.counts();
        let owed = if counts.lease == lease { counts.owed.drain().collect() } else { Vec::new() };
        (owed, !counts.taken.is_empty())
    }

    fn leave(&self, subjects: &[Subject], refused_under: Option<&str>) {
        let mut counts = self.counts();
        // What was refused was not counted, unless a copy was made meanwhile.
        let was_counted = refused_under.is_none_or(|lease| lease != counts.lease);
        for &subject in subjects {
            if let Some(count) = counts.taken.get_mut(&subject) {
                *count -= 1;
                if *count == 0 {
                    counts.taken.remove(&subject);
                }
            }
            if was_counted {
                counts.owe(subject, 1);
            }
        }
        drop(counts);
        if was_counted {
            self.changed.notify_one();
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn owe(&mut self, subject: Subject, seats: i64) {
        let owed = self.owed.entry(subject).or_default();
        *owed += seats;
        if *owed == 0 {
            self.owed.remove(&subject);
        }
    }
}

impl Seat {
    /// Redis has none left, as it said under this lease.
    pub(super) fn refuse(mut self, lease: &str) {
        let subjects = std::mem::take(&mut self.subjects);
        self.seats.leave(&subjects, Some(lease));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.subjects.is_empty() {
            self.seats.leave(&self.subjects, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Subject = [1; 16];

    #[test]
    fn a_copy_has_what_is_taken_and_is_owed_what_changes() {
        let seats = Arc::new(Seats::default());
        let (early, asked) = seats.take(&[ANN], None);
        assert!(!asked);
        assert_eq!(seats.copy_under("a.1"), [(ANN, 1)]);
        assert_eq!(seats.settle("a.1").0, []);
        // Redis was asked for this one itself.
        let (second, asked) = seats.take(&[ANN], Some("a.1"));
        assert!(asked);
        assert_eq!(seats.settle("a.1").0, []);
        drop(early);
        assert_eq!(seats.settle("a.1"), (vec![(ANN, 1)], true));
        // Of a session that has ended, or of none.
        let (third, asked) = seats.take(&[ANN], Some("a.0"));
        assert!(!asked);
        assert_eq!(seats.settle("a.1").0, [(ANN, -1)]);
        drop((second, third));
        assert_eq!(seats.settle("a.1"), (vec![(ANN, 2)], false));
    }

    #[test]
    fn what_was_refused_is_not_given_back_to_whoever_refused_it() {
        let seats = Arc::new(Seats::default());
        seats.copy_under("a.1");
        let (seat, _) = seats.take(&[ANN], Some("a.1"));
        seat.refuse("a.1");
        assert_eq!(seats.settle("a.1"), (vec![], false));
        let (seat, _) = seats.take(&[ANN], Some("a.1"));
        assert_eq!(seats.copy_under("a.2"), [(ANN, 1)]);
        seat.refuse("a.1");
        assert_eq!(seats.settle("a.2").0, [(ANN, 1)]);
    }
}
