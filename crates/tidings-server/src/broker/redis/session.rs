//! From connecting to the first thing that goes wrong. A session begins by finding out whether the log is
//! still the one that this node knows, and nothing is published or applied in it before that.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Value, cmd};
use tidings_hub::{Cursor, Epoch, Position};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{info, warn};

use super::beat::beat;
use super::dial::read;
use super::failure::Cause;
use super::queue::Request;
use super::scripts::Scripts;
use super::shared::Shared;
use super::tail::{self, follow};
use super::writer::write;

/// How long a node counts as alive after it was last heard of.
pub(super) const LEASE_MS: u64 = 5000;
/// How long nodes have to vouch for a log under another run id before there is a new epoch. Those that
/// are there try to connect every second at the least.
const VOUCH_WITHIN_MS: u64 = 4000;
/// How often it is asked whether they all have.
const ASKS_EVERY: Duration = Duration::from_millis(50);
/// Seats or revocations that Redis is told at once.
const TOLD_AT_ONCE_MAX: usize = 1000;

/// What is the same for as long as the connections hold.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) commands: MultiplexedConnection,
    pub(super) scripts: Scripts,
    pub(super) epoch: Epoch,
    /// What this node's seats are counted under.
    pub(super) lease: String,
    failed: mpsc::Sender<Cause>,
}

/// A session, and what it takes to keep it.
pub(super) struct Begun {
    pub(super) session: Arc<Session>,
    tail: MultiplexedConnection,
    failures: mpsc::Receiver<Cause>,
}

impl Session {
    /// Ends it.
    pub(super) fn fail(&self, cause: Cause) {
        // The first is the one that counts.
        let _ = self.failed.try_send(cause);
    }
}

/// Connects, and comes to know the log. The first time, this returns when the node has all of it.
pub(super) async fn begin(shared: &Shared) -> Result<Begun, Cause> {
    let mut dialed = shared.dialer.dial().await?;
    if let Some(policy) = &dialed.evicts {
        shared.warn_of_eviction(policy);
    }
    let scripts = Scripts::load(&mut dialed.commands).await?;
    let lease = format!("{}.{}", shared.node, shared.number());
    let claimed = shared.claimed();
    let log = greet(shared, &mut dialed.commands, &scripts, &dialed.run_id, &lease).await?;
    let is_first = claimed.is_none();
    let is_another = claimed.is_none_or(|claimed| claimed.cursor.epoch != log.epoch);
    if is_another {
        if is_first {
            info!(place = %dialed.place, epoch = %log.epoch, "connected to Redis");
        } else {
            warn!(epoch = %log.epoch, "the log in Redis is another one: all readers are told of a gap");
            tell_revocations(shared, &mut dialed.commands).await?;
        }
        tail::enter(shared, &mut dialed.commands, log, is_first).await?;
    }
    let seats = shared.seats.copy_under(&lease);
    let name = shared.names.seats_of(&lease);
    for some in seats.chunks(TOLD_AT_ONCE_MAX) {
        let mut set = cmd("HSET");
        set.arg(&name);
        for (subject, count) in some {
            set.arg(subject.as_slice()).arg(count);
        }
        let mut expire = cmd("PEXPIRE");
        expire.arg(&name).arg(LEASE_MS);
        let mut tell = redis::pipe();
        tell.add_command(set).add_command(expire);
        tell.query_async::<Value>(&mut dialed.commands).await?;
    }
    let (failed, failures) = mpsc::channel(1);
    let session = Session { commands: dialed.commands, scripts, epoch: log.epoch, lease, failed };
    Ok(Begun { session: Arc::new(session), tail: dialed.tail, failures })
}

impl Begun {
    /// Publishes and applies until something goes wrong; what.
    pub(super) async fn serve(
        mut self,
        shared: &Arc<Shared>,
        requests: &Arc<tokio::sync::Mutex<mpsc::Receiver<Request>>>,
    ) -> Cause {
        let session = || Arc::clone(&self.session);
        let mut tasks = JoinSet::new();
        tasks.spawn(write(Arc::clone(shared), session(), Arc::clone(requests)));
        tasks.spawn(follow(Arc::clone(shared), session(), self.tail));
        tasks.spawn(beat(Arc::clone(shared), session()));
        let cause = tokio::select! {
            Some(ended) = tasks.join_next() => {
                ended.unwrap_or_else(|error| match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Cause::Stopping,
                })
            }
            Some(cause) = self.failures.recv() => cause,
        };
        tasks.shutdown().await;
        cause
    }
}

async fn greet(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
    scripts: &Scripts,
    run_id: &str,
    lease: &str,
) -> Result<Cursor, Cause> {
    let names = &shared.names;
    let keys = [&names.log, &names.meta, &names.nodes, &names.vouched].map(String::as_str);
    let fresh = Epoch::from_random(fastrand::u64(..));
    let claimed = shared.claimed();
    let (epoch, position, mark) = match &claimed {
        Some(claim) => {
            let Cursor { epoch, position } = claim.cursor;
            (epoch.to_string(), position.get(), claim.mark.as_str())
        }
        None => (String::new(), 0, ""),
    };
    let mut call = scripts.greet(&keys);
    call.arg(&shared.node).arg(lease).arg(&names.seats).arg(run_id);
    call.arg(epoch).arg(position).arg(mark).arg(fresh.as_str());
    call.arg(LEASE_MS).arg(VOUCH_WITHIN_MS);
    loop {
        let answer: Vec<String> = call.query_async(connection).await?;
        match answer.as_slice() {
            [word] if word == "wait" => sleep(ASKS_EVERY).await,
            [word, epoch, position] => {
                const MALFORMED: Cause = Cause::Answer("how far the log has come");
                let epoch = epoch.parse().map_err(|_| MALFORMED)?;
                let position = position.parse().map(Position::new).map_err(|_| MALFORMED)?;
                if word == "begun" {
                    info!(%epoch, "a log begins in Redis");
                }
                return Ok(Cursor { epoch, position });
            }
            _ => return Err(Cause::Answer("how it greets")),
        }
    }
}

/// Whoever was revoked stays so, though Redis may have lost it.
async fn tell_revocations(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
) -> Result<(), Cause> {
    for some in shared.revoked().chunks(TOLD_AT_ONCE_MAX) {
        let mut add = cmd("ZADD");
        add.arg(&shared.names.revoked);
        for (json, until_ms) in some {
            add.arg(until_ms).arg(json);
        }
        let value = add.query_async(connection).await?;
        read::<u64>(value, "how many revocations it has taken")?;
    }
    Ok(())
}
