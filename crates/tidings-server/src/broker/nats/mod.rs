//! The broker that is a NATS with `JetStream`, which several nodes share.
//!
//! One stream is the log: an event's position is its sequence there, and the order in which a node
//! reads it is the order in which it applies it, its own events too. All that is asked of NATS belongs
//! to a session, which ends with its connection; between two there is none, and nothing waits in
//! buffers for the next.

mod connection;
mod departures;
mod envelope;
mod follower;
mod layout;
mod peers;
mod publishing;
mod revoked;
mod seats;
mod session;
mod state;
mod tail;
mod trouble;
mod turns;
mod windows;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use async_nats::jetstream::consumer::DeliverPolicy;
use futures_util::StreamExt;
use tidings_hub::{Cursor, Event, Position};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use self::connection::Servers;
use self::departures::Departures;
use self::follower::Follower;
use self::layout::{Kind, Layout};
use self::peers::Peers;
use self::revoked::Read;
use self::seats::Seats;
use self::session::Session;
use self::tail::Tail;
use self::trouble::{Outage, Trouble};
use self::turns::Turns;
use super::idempotency::{Idempotency, IdempotencyBounds};
use super::replica::Replica;
use super::{Failure, Outcome, Publication, record};
use crate::config::{BrokerUrl, Config};
use crate::delivery::{AdmissionBounds, Full};
use crate::limits::{Quota, SharedKey, Verdict};
use crate::revocations::Revocation;

pub(crate) use seats::Seat;

/// Publishes that were sent and not yet answered.
const PUBLISHES_IN_FLIGHT_MAX: usize = 8192;
/// Between two tries to begin a session.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(100);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(1);

/// The log that nodes share.
#[derive(Debug)]
pub(crate) struct Nats {
    shared: Arc<Shared>,
    publish_wait: Duration,
    stopping: watch::Sender<bool>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What outlives a session.
#[derive(Debug)]
struct Shared {
    /// This node, among those that share the log: another name each time it starts.
    node: String,
    servers: Servers,
    layout: Layout,
    timeout: Duration,
    replica: Replica,
    keys_bounds: IdempotencyBounds,
    /// What was published with a key of late, as the log has it.
    keys: Mutex<Idempotency>,
    departures: Departures,
    own_revocations: revoked::Own,
    peers: Peers,
    seats: Arc<Seats>,
    turns: Turns,
    /// The session there is.
    session: watch::Sender<Option<Arc<Session>>>,
}

impl Shared {
    fn keys(&self) -> MutexGuard<'_, Idempotency> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_keys(&self) {
        *self.keys() = Idempotency::new(self.keys_bounds);
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.session.borrow().clone()
    }
}

impl Nats {
    /// Reads all that the log holds, if it can be reached; if not, the node waits for it. Settings that
    /// cannot be right are an error.
    pub(crate) async fn connect(
        url: &BrokerUrl,
        config: &Config,
        replica: Replica,
    ) -> anyhow::Result<Self> {
        let keys_bounds = config.idempotency.into();
        let shared = Arc::new(Shared {
            node: format!("{:016x}", fastrand::u64(..)),
            servers: Servers::new(url, config)?,
            layout: Layout::new(config),
            timeout: Duration::from_millis(config.nats.timeout_ms),
            replica,
            keys_bounds,
            keys: Mutex::new(Idempotency::new(keys_bounds)),
            departures: Departures::default(),
            own_revocations: revoked::Own::default(),
            peers: Peers::default(),
            seats: Arc::default(),
            turns: Turns::default(),
            session: watch::Sender::new(None),
        });
        let (stopping, stop) = watch::channel(false);
        let (began, beginning) = oneshot::channel();
        let keeper = tokio::spawn(keep(Arc::clone(&shared), began, stop));
        if let Ok(Err(trouble)) = beginning.await
            && trouble.is_a_setting()
        {
            keeper.abort();
            bail!("broker {url}: {trouble}");
        }
        let publish_wait = Duration::from_millis(config.publish_wait_ms);
        Ok(Self { shared, publish_wait, stopping, keeper: Mutex::new(Some(keeper)) })
    }

    pub(super) fn replica(&self) -> &Replica {
        &self.shared.replica
    }

    pub(super) async fn publish(&self, publications: Vec<Publication>) -> Vec<Outcome> {
        let mut sessions = self.shared.session.subscribe();
        let session = timeout(self.publish_wait, sessions.wait_for(Option::is_some)).await;
        let session = session.ok().and_then(|session| session.ok()?.clone());
        let Some(session) = session.or_else(|| self.shared.session()) else {
            self.shared.replica.metrics.append_failed(publications.len() as u64);
            return publications.iter().map(|_| Outcome::Failed(Failure::Unreachable)).collect();
        };
        publishing::publish(&self.shared, &session, publications).await
    }

    pub(super) fn status(&self) -> &'static str {
        if self.shared.session.borrow().is_some() { "ok" } else { "down" }
    }

    /// Nobody waits for it, and it is not missed when it is lost.
    pub(super) fn publish_own(&self, event: Event) {
        let Some(session) = self.shared.session() else { return };
        let now_ms = self.shared.replica.clock.now().unix_ms;
        let subject = self.shared.layout.subject(session.epoch, Kind::Own);
        let wait = self.shared.timeout;
        tokio::spawn(async move {
            let line = record::encode(&event, now_ms);
            let client = session.context.client();
            let _ = timeout(wait, client.publish(subject, line.into())).await;
        });
    }

    /// Asks how far the log has come.
    pub(super) async fn probe(&self) -> Result<Cursor, &'static str> {
        const SILENT: &str = "NATS does not answer";
        let session = self.shared.session().ok_or("NATS cannot be reached, or not its log")?;
        let asked = self.shared.layout.find_log(&session.context);
        let found = tokio::select! {
            found = timeout(self.shared.timeout, asked) => found.map_err(|_| SILENT)?,
            () = session.has_ended() => return Err(SILENT),
        };
        let info = found.map_err(|_| SILENT)?.ok_or("NATS does not have the log any more")?;
        let position = Position::new(info.state.last_sequence);
        Ok(Cursor { epoch: session.epoch, position })
    }

    pub(super) async fn take(&self, key: SharedKey<'_>, quota: Quota) -> Option<Verdict> {
        let session = self.shared.session()?;
        windows::take(&self.shared, &session, key, quota).await
    }

    pub(super) async fn revoke(&self, revocation: Revocation) -> Result<(), Failure> {
        let session = self.shared.session().ok_or(Failure::Unreachable)?;
        revoked::revoke(&self.shared, &session, revocation).await
    }

    pub(super) async fn admit(
        &self,
        user: Option<&str>,
        address: IpAddr,
        bounds: AdmissionBounds,
    ) -> Result<Option<Seat>, Full> {
        let session = self.shared.session();
        seats::admit(&self.shared, session.as_deref(), user, address, bounds).await
    }

    pub(super) fn expire(&self) {
        self.shared.replica.expire();
        self.shared.keys().expire(self.shared.replica.clock.now().uptime_ms);
    }

    pub(super) async fn stop(&self) {
        self.stopping.send_replace(true);
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            let _ = keeper.await;
        }
    }
}

/// Keeps a session, until it is told to stop. What came of the first try it says in `began`.
async fn keep(
    shared: Arc<Shared>,
    began: oneshot::Sender<Result<(), Trouble>>,
    mut stop: watch::Receiver<bool>,
) {
    let mut began = Some(began);
    let (mut follower, mut revoked) = (Follower::new(Arc::clone(&shared)), Read::default());
    let mut outage = Outage::default();
    let mut retry_after = RETRY_AFTER_MIN;
    loop {
        let ready = |outage: &mut Outage, began: &mut Option<oneshot::Sender<_>>| {
            outage.is_over();
            if let Some(began) = began.take() {
                let _ = began.send(Ok(()));
            }
        };
        let mut was_ready = false;
        let on_ready = || {
            was_ready = true;
            ready(&mut outage, &mut began);
        };
        let trouble = tokio::select! {
            trouble = hold(&shared, &mut follower, &mut revoked, on_ready) => trouble,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        if let Some(session) = shared.session.send_replace(None) {
            session.end();
        }
        outage.begins(&trouble);
        if let Some(began) = began.take() {
            let _ = began.send(Err(trouble));
        }
        retry_after =
            if was_ready { RETRY_AFTER_MIN } else { (2 * retry_after).min(RETRY_AFTER_MAX) };
        let jitter = retry_after.mul_f64(fastrand::f64() / 2.0);
        tokio::select! {
            () = sleep(retry_after + jitter) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    if let Some(session) = shared.session.send_replace(None) {
        leave(&shared, &session).await;
    }
}

/// One session from beginning to end; why it ended.
async fn hold(
    shared: &Arc<Shared>,
    follower: &mut Follower,
    revoked: &mut Read,
    on_ready: impl FnOnce(),
) -> Trouble {
    let begun = async {
        let (session, state) = Session::open(shared, &follower.place, follower.is_start()).await?;
        let mut revocations = revoked.open(shared, &session.context).await?;
        // Before any event: who must not hear it is known then.
        let mut left = revocations.pending;
        while left > 0 {
            let stored = revocations.next().await?;
            left = left.saturating_sub(stored.len() as u64);
            revoked.take(shared, &session, stored);
        }
        let start_sequence = follower.begin(session.epoch, &state);
        let from = DeliverPolicy::ByStartSequence { start_sequence };
        let mut log = Tail::open(&session.context, &shared.layout.log, from).await?;
        follower.expect(log.pending);
        while !follower.has_caught_up() {
            let stored = log.next().await?;
            follower.take(stored)?;
        }
        Ok((Arc::new(session), log, revocations))
    };
    let (session, log, revocations) = match begun.await {
        Ok(begun) => begun,
        Err(trouble) => return trouble,
    };
    shared.peers.listen();
    shared.seats.write_all();
    shared.session.send_replace(Some(Arc::clone(&session)));
    on_ready();
    tokio::select! {
        trouble = follow(shared, &session, follower, revoked, log, revocations) => trouble,
        trouble = live(shared, &session) => trouble,
        () = seats::keep_written(shared, &session) => Trouble::Ended,
        () = session.has_ended() => Trouble::Ended,
    }
}

/// Takes in what comes.
async fn follow(
    shared: &Shared,
    session: &Session,
    follower: &mut Follower,
    revoked: &mut Read,
    mut log: Tail,
    mut revocations: Tail,
) -> Trouble {
    loop {
        let taken = tokio::select! {
            stored = log.next() => stored.and_then(|stored| follower.take(stored)),
            stored = revocations.next() => {
                stored.map(|stored| revoked.take(shared, session, stored))
            }
        };
        if let Err(trouble) = taken {
            return trouble;
        }
    }
}

/// Says that this node lives, and hears which others do.
async fn live(shared: &Shared, session: &Session) -> Trouble {
    let client = session.context.client();
    let subject = &shared.layout.nodes;
    let Ok(mut said) = client.subscribe(subject.clone()).await else { return Trouble::Ended };
    let mut ticks = interval(peers::SAID_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_said = Instant::now();
    loop {
        tokio::select! {
            message = said.next() => match message {
                Some(message) => shared.peers.hear(&message.payload),
                None => return Trouble::Ended,
            },
            _ = ticks.tick() => {
                if last_said.elapsed() > peers::BELIEVED_FOR {
                    // Stopped for so long, it was taken for dead.
                    shared.seats.write_all();
                }
                last_said = Instant::now();
                let said = client.publish(subject.clone(), Peers::says(&shared.node, false).into());
                if !matches!(timeout(shared.timeout, said).await, Ok(Ok(()))) {
                    return Trouble::Silent;
                }
            }
        }
    }
}

/// Says goodbye, so that its counts are not waited out.
async fn leave(shared: &Shared, session: &Session) {
    let client = session.context.client();
    let goodbye = async {
        let said = Peers::says(&shared.node, true);
        let _ = client.publish(shared.layout.nodes.clone(), said.into()).await;
        let _ = client.flush().await;
    };
    let _ = timeout(shared.timeout, goodbye).await;
    session.end();
}
