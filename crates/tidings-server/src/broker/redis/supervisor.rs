//! Keeps a session: begins one again whenever it has ended, and says when there is none.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use redis::cmd;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::failure::Cause;
use super::queue::Request;
use super::session::{Begun, begin};
use super::shared::Shared;
use crate::config::BrokerUrl;

/// How long a node that starts waits for its Redis.
const START_WITHIN: Duration = Duration::from_secs(30);
/// Between two tries to connect, from the first to the last.
const TRIES_AFTER: Duration = Duration::from_millis(50);
const TRIES_AFTER_MAX: Duration = Duration::from_secs(1);

/// The first session: a node without one has nothing to show.
pub(super) async fn begin_first(shared: &Shared, url: &BrokerUrl) -> anyhow::Result<Begun> {
    let deadline = Instant::now() + START_WITHIN;
    let mut has_said = false;
    loop {
        let cause = match begin(shared).await {
            Ok(begun) => return Ok(begun),
            Err(cause) => cause,
        };
        if cause.is_hopeless() || Instant::now() >= deadline {
            return Err(cause).with_context(|| format!("cannot use the broker {url}"));
        }
        if !has_said {
            warn!(broker = %url, %cause, "waiting for Redis");
            has_said = true;
        }
        sleep(TRIES_AFTER_MAX).await;
    }
}

/// Serves one session after the other until the node stops.
pub(super) async fn run(
    shared: Arc<Shared>,
    first: Begun,
    requests: mpsc::Receiver<Request>,
    mut stopped: watch::Receiver<bool>,
) {
    let requests = Arc::new(Mutex::new(requests));
    let mut begun = first;
    loop {
        shared.session.send_replace(Some(Arc::clone(&begun.session)));
        let session = Arc::clone(&begun.session);
        let cause = tokio::select! {
            cause = begun.serve(&shared, &requests) => cause,
            _ = stopped.wait_for(|stopped| *stopped) => Cause::Stopping,
        };
        shared.session.send_replace(None);
        shared.passages.clear();
        if let Cause::Stopping = cause {
            // Nobody is to wait for this node, or count its streams.
            let mut leave = cmd("ZREM");
            leave.arg(&shared.names.nodes).arg(&session.lease);
            let mut forget = cmd("UNLINK");
            forget.arg(shared.names.seats_of(&session.lease));
            let mut leaving = redis::pipe();
            leaving.add_command(leave).add_command(forget);
            let mut commands = session.commands.clone();
            let asked = leaving.query_async::<redis::Value>(&mut commands);
            let _ = timeout(shared.timeout, asked).await;
            return;
        }
        drop(session);
        let next = tokio::select! {
            next = begin_again(&shared, cause) => next,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        begun = next;
    }
}

/// Connects again, for as long as it takes.
async fn begin_again(shared: &Shared, cause: Cause) -> Begun {
    let since = Instant::now();
    let mut is_said = !matches!(cause, Cause::AnotherLog);
    if is_said {
        warn!(%cause, "Redis is gone: nothing is published until it is back");
    }
    let mut wait = TRIES_AFTER;
    loop {
        match begin(shared).await {
            Ok(begun) => {
                if is_said {
                    let outage_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                    info!(outage_ms, "Redis is back");
                }
                return begun;
            }
            Err(cause) if !is_said => {
                warn!(%cause, "Redis is gone: nothing is published until it is back");
                is_said = true;
            }
            Err(cause) => tracing::debug!(%cause, "Redis is still gone"),
        }
        sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        wait = (wait * 2).min(TRIES_AFTER_MAX);
    }
}
