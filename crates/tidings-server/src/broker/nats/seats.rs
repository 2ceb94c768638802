//! How many streams each user and each address has on all nodes together.
//!
//! For each of them there is one value with every node's own count. A node knows its own and writes it as
//! it is, so a write that was lost is made up for by the next; counts of nodes that do not live are not
//! counted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt, stream};
use tokio::sync::Notify;
use tracing::debug;

use super::super::Failure;
use super::Shared;
use super::envelope;
use super::session::Session;
use super::state::{self, Change};
use crate::delivery::{AdmissionBounds, Full};
use crate::limits::subnet;

/// Counts that are written at the same time.
const WRITES_AT_ONCE_MAX: usize = 32;

/// Whose streams are counted, by a name that can stand in a subject.
type Name = Arc<str>;

/// This node's own counts.
#[derive(Debug, Default)]
pub(super) struct Seats {
    own: Mutex<Own>,
    /// There is something to be written.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Own {
    counts: HashMap<Name, usize>,
    /// Those that others may not know as they are.
    unwritten: HashSet<Name>,
}

/// A stream's place among those that all nodes count, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    names: Vec<Name>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        for name in self.names.drain(..) {
            self.seats.leave(&name);
        }
    }
}

/// Takes a place, if each bound has one left. While it cannot be known, this node's own count is all
/// there is; what it is, others learn later.
pub(super) async fn admit(
    shared: &Shared,
    session: Option<&Session>,
    user: Option<&str>,
    address: IpAddr,
    bounds: AdmissionBounds,
) -> Result<Option<Seat>, Full> {
    let address = subnet(address).to_string();
    let user = user
        .filter(|_| bounds.per_user > 0)
        .map(|user| (envelope::name(&[b"user", user.as_bytes()]), bounds.per_user, Full::User));
    let address = (bounds.per_address > 0).then(|| {
        let name = envelope::name(&[b"address", address.as_bytes()]);
        (name, bounds.per_address, Full::Address)
    });
    let mut seat = Seat { seats: Arc::clone(&shared.seats), names: Vec::new() };
    for (name, bound, full) in user.into_iter().chain(address) {
        let name: Name = name.into();
        // One at a time, or two that ask for the last place would both be refused.
        let _turn = shared.turns.of(&name).await;
        seat.seats.enter(&name);
        seat.names.push(Arc::clone(&name));
        let Some(session) = session else { continue };
        match write(shared, session, &name, Some(bound)).await {
            Ok(true) => {}
            // What was taken of the others is given back with the seat.
            Ok(false) => return Err(full),
            Err(failure) => debug!(reason = failure.as_str(), "a stream counts on this node alone"),
        }
    }
    Ok((!seat.names.is_empty()).then_some(seat))
}

/// Writes what others may not know, for as long as the session lasts.
pub(super) async fn keep_written(shared: &Shared, session: &Session) {
    loop {
        let names = shared.seats.take_unwritten();
        if names.is_empty() {
            shared.seats.changed.notified().await;
            continue;
        }
        let writes =
            stream::iter(names).for_each_concurrent(WRITES_AT_ONCE_MAX, |name| async move {
                let _turn = shared.turns.of(&name).await;
                if write(shared, session, &name, None).await.is_err() {
                    shared.seats.own().unwritten.insert(name);
                }
            });
        writes.await;
        // One write at a time for a burst of streams that end; and no hurry when they fail.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Writes this node's count, unless that would be more than there may be on all nodes. Whether it was.
async fn write(
    shared: &Shared,
    session: &Session,
    name: &Name,
    bound: Option<usize>,
) -> Result<bool, Failure> {
    let own = shared.seats.count(name);
    let decide = |value: &[u8]| {
        let mut counts: BTreeMap<String, usize> = serde_json::from_slice(value).unwrap_or_default();
        counts
            .retain(|node, count| *count > 0 && (*node == shared.node || shared.peers.lives(node)));
        let written = counts.remove(&shared.node).unwrap_or(0);
        let others: usize = counts.values().sum();
        if bound.is_some_and(|bound| others + own > bound) {
            return Change::Keep(false);
        }
        if written == own {
            return Change::Keep(true);
        }
        if own > 0 {
            counts.insert(shared.node.clone(), own);
        }
        let value = if counts.is_empty() { Ok(Vec::new()) } else { serde_json::to_vec(&counts) };
        Change::Write(value.expect("text and numbers have a JSON form"), true)
    };
    let written = state::change(shared, session, &format!("streams.{name}"), decide).await;
    if written == Ok(true) {
        shared.seats.own().unwritten.remove(name);
    }
    written
}

impl Seats {
    /// Others may have forgotten all of it.
    pub(super) fn write_all(&self) {
        let mut own = self.own();
        let Own { counts, unwritten } = &mut *own;
        unwritten.extend(counts.keys().cloned());
        drop(own);
        self.changed.notify_one();
    }

    fn enter(&self, name: &Name) {
        let mut own = self.own();
        *own.counts.entry(Arc::clone(name)).or_default() += 1;
        own.unwritten.insert(Arc::clone(name));
    }

    fn leave(&self, name: &Name) {
        let mut own = self.own();
        if let Some(count) = own.counts.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                own.counts.remove(name);
            }
        }
        own.unwritten.insert(Arc::clone(name));
        drop(own);
        self.changed.notify_one();
    }

    fn count(&self, name: &Name) -> usize {
        self.own().counts.get(name).copied().unwrap_or(0)
    }

    fn take_unwritten(&self) -> Vec<Name> {
        self.own().unwritten.drain().collect()
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
