//! Says every second that this node is alive, gives back the seats of streams that have ended as soon as
//! they have, and has dropped what no node keeps any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::failure::Cause;
use super::session::{LEASE_MS, Session};
use super::shared::Shared;

const BEATS_EVERY: Duration = Duration::from_secs(1);
/// How often the log is trimmed to what this node keeps.
const TRIMS_EVERY: Duration = Duration::from_secs(10);

/// Beats until the session ends; why.
pub(super) async fn beat(shared: Arc<Shared>, session: Arc<Session>) -> Cause {
    let names = &shared.names;
    let seats = names.seats_of(&session.lease);
    let keys = [&names.log, &names.meta, &names.nodes, &seats, &names.revoked].map(String::as_str);
    let mut trims_at = Instant::now() + TRIMS_EVERY;
    let mut counted_before = false;
    loop {
        let beats_at = Instant::now() + BEATS_EVERY;
        let (owed, has_seats) = shared.seats.settle(&session.lease);
        let kept_after = if Instant::now() >= trims_at {
            trims_at = Instant::now() + TRIMS_EVERY;
            shared.replica.kept_after().to_string()
        } else {
            String::new()
        };
        let mut call = session.scripts.beat(&keys);
        call.arg(session.epoch.as_str()).arg(&session.lease).arg(LEASE_MS).arg(kept_after);
        // Those of the last round: one that was taken since may be on its way.
        call.arg(u8::from(counted_before && has_seats));
        for (subject, count) in owed {
            call.arg(subject.as_slice()).arg(count);
        }
        let answer = call.query_async::<(String, bool)>(&mut session.commands.clone()).await;
        match answer {
            Ok((epoch, _)) if epoch != session.epoch.as_str() => return Cause::AnotherLog,
            Ok((_, false)) => return Cause::LeaseLost,
            Ok((_, true)) => {}
            Err(error) => return error.into(),
        }
        counted_before = has_seats;
        tokio::select! {
            () = sleep_until(beats_at) => {}
            () = shared.seats.changed.notified() => {}
        }
    }
}
