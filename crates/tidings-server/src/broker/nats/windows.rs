//! Uses of a limit that all nodes count together: the moments of a subject's uses are one value, and
//! whoever takes one more has seen all others.
//!
//! The moments are those of the nodes' own clocks, each no earlier than the one before it: the limit is
//! as exact as the clocks agree.

use super::Shared;
use super::session::Session;
use super::state::{self, Change};
use crate::clock::unix_ns;
use crate::limits::{Quota, SharedKey, Uses, Verdict};

/// Takes one use, if one is left; nothing when it cannot be known.
pub(super) async fn take(
    shared: &Shared,
    session: &Session,
    key: SharedKey<'_>,
    quota: Quota,
) -> Option<Verdict> {
    let name = super::envelope::name(&[&key.digest()]);
    // Those of this node go one after the other, so that they do not get into each other's way.
    let _turn = shared.turns.of(&name).await;
    let decide = |value: &[u8]| {
        let mut uses = Uses::from_bytes(value);
        let verdict = uses.take(quota, unix_ns());
        if verdict.is_allowed {
            Change::Write(uses.to_bytes(), verdict)
        } else {
            Change::Keep(verdict)
        }
    };
    state::change(shared, session, &format!("uses.{name}"), decide).await.ok()
}
