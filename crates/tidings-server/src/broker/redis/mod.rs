//! The broker that is a Redis which several nodes share: a stream is the log, one script gives positions
//! and checks keys, and every node reads the stream to its end.
//!
//! `dial` finds the server, `session` comes to know the log and keeps three tasks: `writer` sends what is
//! published, `tail` takes the log in, `beat` says that the node is alive. `supervisor` begins a session
//! again. What is asked of this broker goes through here.

mod address;
mod beat;
mod dial;
mod entry;
mod failure;
mod names;
mod passages;
mod queue;
mod scripts;
mod seats;
mod session;
mod shared;
mod supervisor;
mod tail;
mod writer;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use redis::cmd;
use tidings_hub::{Cursor, Event, Position};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::{APPLIED_WITHIN, Failure, Outcome, Publication, Replica};
use crate::config::{BrokerUrl, Config};
use crate::delivery::{AdmissionBounds, Full};
use crate::limits::{LIMIT_MAX, Quota, SharedKey, Verdict};
use crate::revocations::Revocation;
use queue::{Answer, Item, Kind, Request};
use session::LEASE_MS;
use shared::Shared;

pub(crate) use seats::Seat;

/// Requests that may wait to be sent.
const REQUESTS_MAX: usize = 4096;
const NANOS_PER_MICRO: u64 = 1000;
const MICROS_PER_SEC: u64 = 1_000_000;

/// A Redis that several nodes share.
#[derive(Debug)]
pub(crate) struct Redis {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    stop: watch::Sender<bool>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl Redis {
    /// Connects, and takes in all that the log holds.
    pub(crate) async fn connect(
        url: &BrokerUrl,
        config: &Config,
        replica: Replica,
    ) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::new(url, config, replica)?);
        let begun = supervisor::begin_first(&shared, url).await?;
        let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
        let (stop, stopped) = watch::channel(false);
        let supervised = supervisor::run(Arc::clone(&shared), begun, waiting, stopped);
        let supervisor = Mutex::new(Some(tokio::spawn(supervised)));
        Ok(Self { shared, requests, stop, supervisor })
    }

    pub(super) fn replica(&self) -> &Replica {
        &self.shared.replica
    }

    pub(super) async fn publish(&self, publications: Vec<Publication>) -> Vec<Outcome> {
        let Replica { clock, metrics, .. } = &self.shared.replica;
        if publications.is_empty() {
            return Vec::new();
        }
        let time_ms = clock.now().unix_ms;
        let item = |publication| Item::event(publication, time_ms);
        let items: Vec<_> = publications.into_iter().map(item).collect();
        let kinds: Vec<_> = items.iter().map(|item| item.kind.clone()).collect();
        let begun_ns = clock.uptime_ns();
        let answers = match self.ask(items).await {
            Ok(answers) => answers,
            Err(failure) => {
                metrics.append_failed(kinds.len() as u64);
                return vec![Outcome::Failed(failure); kinds.len()];
            }
        };
        let took_ns = clock.uptime_ns().saturating_sub(begun_ns);
        let is_new = |answer: &Answer| matches!(answer, Answer::Stored(_));
        let types = kinds.iter().zip(&answers).filter_map(|(kind, answer)| match kind {
            Kind::Event(event_type) if is_new(answer) => Some(event_type.as_str()),
            Kind::Event(_) | Kind::Revocation(_) => None,
        });
        metrics.appended(types, took_ns);
        let mut newest = None;
        let outcome = |answer| match answer {
            Answer::Stored(cursor) => {
                newest = Some(cursor);
                Outcome::Stored(cursor)
            }
            Answer::Before(cursor) => {
                metrics.deduplicated();
                Outcome::Stored(cursor)
            }
            Answer::Conflict => Outcome::Conflict,
        };
        let outcomes = answers.into_iter().map(outcome).collect();
        if let Some(newest) = newest {
            self.shared.replica.reach(newest, APPLIED_WITHIN).await;
        }
        outcomes
    }

    pub(super) fn status(&self) -> &'static str {
        if self.shared.session.borrow().is_some() { "ok" } else { "down" }
    }

    /// Nobody waits for it, and while Redis is not there it is dropped.
    pub(super) fn publish_own(&self, event: &Event) {
        if self.shared.session.borrow().is_none() {
            return;
        }
        let clock = self.shared.replica.clock;
        let item = Item::own(event, clock.now().unix_ms, clock.uptime_ns());
        let _ = self.requests.try_send(Request::unattended(vec![item]));
    }

    /// Asks how far the log has come, and waits until this node has come as far.
    pub(super) async fn probe(&self) -> Result<Cursor, &'static str> {
        let session = self.shared.session().ok_or("it cannot be reached")?;
        let mut state = cmd("HMGET");
        state.arg(&self.shared.names.meta).arg("epoch").arg("position");
        let asked = state.query_async(&mut session.commands.clone()).await;
        let (epoch, position): (Option<String>, Option<u64>) =
            asked.map_err(|_| "it does not answer")?;
        let epoch = epoch.and_then(|epoch| epoch.parse().ok());
        let (Some(epoch), Some(position)) = (epoch, position) else {
            return Err("its log is gone");
        };
        let cursor = Cursor { epoch, position: Position::new(position) };
        self.shared.replica.reach(cursor, self.shared.timeout).await;
        Ok(cursor)
    }

    pub(super) async fn take(&self, key: SharedKey<'_>, quota: Quota) -> Option<Verdict> {
        let session = self.shared.session()?;
        let uses = self.shared.names.uses(&key.digest());
        let mut call = session.scripts.take(&[&uses]);
        call.arg(quota.limit).arg(quota.window_secs() * MICROS_PER_SEC).arg(LIMIT_MAX);
        let taken = call.query_async(&mut session.commands.clone()).await;
        let (is_allowed, remaining, after_us): (bool, usize, u64) = taken.ok()?;
        let reset_ns = after_us.saturating_mul(NANOS_PER_MICRO);
        Some(Verdict { is_allowed, limit: quota.limit, remaining, reset_ns })
    }

    pub(super) async fn revoke(&self, revocation: Revocation) -> Result<(), Failure> {
        // Whoever asked closes this node's streams afterwards, unless they go.
        let closing = Closing { shared: &self.shared, revocation: Some(revocation) };
        let now_ns = self.shared.replica.clock.uptime_ns();
        let asked = self.ask(vec![Item::revocation(revocation, now_ns)]).await;
        closing.cancel();
        asked.map(|_| ())
    }

    pub(super) async fn admit(
        &self,
        user: Option<&str>,
        address: IpAddr,
        bounds: AdmissionBounds,
    ) -> Result<Option<Seat>, Full> {
        let of_address = (seats::of_address(address), bounds.per_address, Full::Address);
        let of_user = user.map(|user| (seats::of_user(user), bounds.per_user, Full::User));
        let wanted: Vec<_> = of_user.into_iter().chain([of_address]).collect();
        // To its end, though whoever asked may go: what Redis was asked for it may have counted.
        let admitted = tokio::spawn(admit(Arc::clone(&self.shared), wanted)).await;
        admitted.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())).map(Some)
    }

    pub(super) fn expire(&self) {
        self.shared.expire();
    }

    pub(super) async fn stop(&self) {
        self.stop.send_replace(true);
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(supervisor) = supervisor {
            let _ = supervisor.await;
        }
    }

    /// Has this stored, and waits for what comes of it.
    async fn ask(&self, items: Vec<Item>) -> Result<Vec<Answer>, Failure> {
        let is_there = self.shared.session.borrow().is_some();
        let patience = if is_there { self.shared.timeout } else { self.shared.publish_wait };
        let deadline = Instant::now() + patience;
        if !is_there {
            let mut sessions = self.shared.session.subscribe();
            let there = timeout_at(deadline, sessions.wait_for(Option::is_some)).await;
            if !matches!(there, Ok(Ok(_))) {
                return Err(Failure::Unreachable);
            }
        }
        let (request, mut waiting) = Request::new(items);
        if let Err(TrySendError::Full(request) | TrySendError::Closed(request)) =
            self.requests.try_send(request)
        {
            let sent = timeout_at(deadline, self.requests.send(request)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return Err(Failure::Unreachable);
            }
        }
        match timeout_at(deadline, &mut waiting.answers).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(_)) => Err(Failure::Unknown),
            Err(_) if waiting.take_back() => Err(Failure::Unreachable),
            // It was sent, and is answered or given up within its own time.
            Err(_) => waiting.answers.await.unwrap_or(Err(Failure::Unknown)),
        }
    }
}

/// Closes a revoked one's streams here if nobody else will.
struct Closing<'a> {
    shared: &'a Shared,
    revocation: Option<Revocation>,
}

impl Closing<'_> {
    fn cancel(mut self) {
        self.revocation = None;
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if let Some(revocation) = self.revocation.take() {
            self.shared.replica.revoke(revocation);
        }
    }
}

/// A seat for each of these, if all nodes together leave one; without Redis, one that only this node counts.
async fn admit(
    shared: Arc<Shared>,
    wanted: Vec<(seats::Subject, usize, Full)>,
) -> Result<Seat, Full> {
    let subjects: Vec<_> = wanted.iter().map(|(subject, ..)| *subject).collect();
    let session = shared.session();
    let lease = session.as_ref().map(|session| session.lease.as_str());
    let (seat, is_asked_for) = shared.seats.take(&subjects, lease);
    let Some(session) = session.filter(|_| is_asked_for) else { return Ok(seat) };
    let names = &shared.names;
    let mut call = session.scripts.admit(&[&names.nodes, &names.seats_of(&session.lease)]);
    call.arg(&session.lease).arg(&names.seats).arg(LEASE_MS);
    for (subject, most, _) in &wanted {
        call.arg(subject.as_slice()).arg(most);
    }
    match call.query_async::<usize>(&mut session.commands.clone()).await {
        Ok(0) => Ok(seat),
        Ok(number) => {
            seat.refuse(&session.lease);
            Err(wanted[number - 1].2)
        }
        // What Redis has counted is not known; the next session tells it anew.
        Err(error) => {
            session.fail(error.into());
            Ok(seat)
        }
    }
}
