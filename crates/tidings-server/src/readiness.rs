//! Whether the node takes events and delivers them: an event of its own is stored, read back, and
//! waited for on every way of delivery.
//!
//! It is published to a topic that begins with `$`, which nobody can hear, which counts against no
//! bound of the log and in no metric. However many ask, there is one such event at a time and at most
//! two in a second. Who asks, and what they are answered with, is not known here.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tidings_hub::{Selection, Topic};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use crate::broker::{Broker, Probed};
use crate::delivery::{Delivery, Waiter};

/// The topic of the events that are waited for.
const TOPIC: &str = "$tidings/ready";
/// How long all of it may take: many turns of a delivery thread with a hundred thousand sockets. One
/// that is only busy must not be taken for one that is stuck, or load would move on and fell the next.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// How old the answer may be that is given again.
const GOOD_FOR: Duration = Duration::from_millis(500);

/// What was found out, and when.
type Found = (Instant, Arc<Report>);

/// Finds out whether the node is ready.
#[derive(Debug)]
pub(crate) struct Readiness {
    broker: Arc<Broker>,
    delivery: Arc<Delivery>,
    /// Held while it is found out.
    last: Arc<Mutex<Option<Found>>>,
    /// Held by the threads that ask. One that never comes back keeps others from following it.
    thread: Arc<Semaphore>,
}

/// What was found out.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Report {
    /// Whether events go in.
    broker: Check,
    /// Whether they come out of the log.
    log: Check,
    /// Whether they come to each of those who deliver them.
    delivery: Vec<Check>,
}

/// One part, and whether it does its work.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Check {
    name: String,
    status: CheckStatus,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum CheckStatus {
    Ok,
    Failed,
}

/// What is wrong with a part that did not answer in time.
const NO_ANSWER: &str = "no answer within 5 seconds";

impl Check {
    fn new(name: impl Into<String>, outcome: Result<(), &'static str>) -> Self {
        let status = if outcome.is_ok() { CheckStatus::Ok } else { CheckStatus::Failed };
        Self { name: name.into(), status, detail: outcome.err() }
    }
}

impl Report {
    pub(crate) fn is_ready(&self) -> bool {
        let parts = [&self.broker, &self.log].into_iter().chain(&self.delivery);
        parts.map(|check| check.status).all(|status| status == CheckStatus::Ok)
    }
}

impl Readiness {
    pub(crate) fn new(broker: Arc<Broker>, delivery: Arc<Delivery>) -> Self {
        Self { broker, delivery, last: Arc::default(), thread: Arc::new(Semaphore::new(1)) }
    }

    /// Finds out, or says what was found out a moment ago.
    pub(crate) async fn report(self: &Arc<Self>) -> Arc<Report> {
        let last = Arc::clone(&self.last).lock_owned().await;
        if let Some((at, report)) = &*last
            && at.elapsed() < GOOD_FOR
        {
            return Arc::clone(report);
        }
        // To its end, though whoever asked may go: else they could have an event stored each time.
        let found = tokio::spawn(Arc::clone(self).find_out(last)).await;
        found.unwrap_or_else(|_| Arc::new(Report::broken()))
    }

    async fn find_out(self: Arc<Self>, mut last: OwnedMutexGuard<Option<Found>>) -> Arc<Report> {
        let report = Arc::new(self.probe().await);
        if !report.is_ready() {
            tracing::warn!(?report, "not ready");
        }
        *last = Some((Instant::now(), Arc::clone(&report)));
        report
    }

    async fn probe(&self) -> Report {
        let deadline = Instant::now() + READY_WITHIN;
        let selection = Selection::new([own_topic().into()]);
        let (broker, delivery) = (Arc::clone(&self.broker), Arc::clone(&self.delivery));
        let selected = selection.clone();
        let runtime = Handle::current();
        let published = self.in_time(deadline, move || {
            let waiter = delivery.own_waits_for(&selected);
            runtime.block_on(broker.probe(own_topic())).map(|probed| (waiter, probed))
        });
        let (waiter, probed) = match published.await.and_then(|published| published) {
            Ok(published) => published,
            Err(reason) => return Report::without_broker(reason),
        };
        let (cursor, waiter) = match probed {
            Probed::Event(cursor) => (cursor, Some(waiter)),
            Probed::Answer(cursor) => (cursor, None),
        };
        let reached = self.delivery.shards().reach(cursor);
        let log = self.delivery.log().clone();
        let is_event = waiter.is_some();
        let read = self.in_time(deadline, move || {
            if is_event { log.has(cursor, &selection) } else { log.has_come_to(cursor) }
        });
        let missing = if is_event { "it is not there" } else { "it is behind the broker" };
        let read = read.await.and_then(|found| if found { Ok(()) } else { Err(missing) });
        Report {
            broker: Check::new(self.broker.kind(), Ok(())),
            log: Check::new("log", read),
            delivery: delivered(deadline, waiter, reached).await,
        }
    }

    /// On a thread of its own, since what is asked for may be behind a lock that nobody gives back.
    async fn in_time<T: Send + 'static>(
        &self,
        deadline: Instant,
        ask: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, &'static str> {
        let Ok(permit) = Arc::clone(&self.thread).try_acquire_owned() else {
            return Err("it has not answered the question before");
        };
        let asked = tokio::task::spawn_blocking(move || {
            let answer = ask();
            drop(permit);
            answer
        });
        match timeout_at(deadline, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err("it has panicked"),
            Err(_) => Err(NO_ANSWER),
        }
    }
}

/// `waiter` waits for an event of the node's own, where there is one.
async fn delivered(
    deadline: Instant,
    waiter: Option<Waiter>,
    reached: Vec<oneshot::Receiver<()>>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(waiter) = waiter {
        let woken = timeout_at(deadline, waiter.woken()).await.map_err(|_| NO_ANSWER);
        checks.push(Check::new("waiters", woken));
    }
    for (number, reached) in reached.into_iter().enumerate() {
        let outcome = match timeout_at(deadline, reached).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("it has ended; restart the node"),
            Err(_) => Err(NO_ANSWER),
        };
        checks.push(Check::new(format!("shard-{number}"), outcome));
    }
    checks
}

impl Report {
    fn without_broker(reason: &'static str) -> Self {
        let unknown = Err("nothing could be published");
        Self {
            broker: Check::new("broker", Err(reason)),
            log: Check::new("log", unknown),
            delivery: Vec::new(),
        }
    }

    fn broken() -> Self {
        Self::without_broker("a fault of the hub's own")
    }
}

fn own_topic() -> Topic {
    Topic::reserved(TOPIC).expect("a constant that is a topic")
}
