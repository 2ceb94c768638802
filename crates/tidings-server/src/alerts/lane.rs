//! What waits to be sent to one target: so many, each tried so often. Every target has its own, so that
//! a mail server that is down does not keep a chat room waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::notice::Notice;
use super::target::Target;
use crate::clock;

/// Alerts that wait for one target; what comes on top of them is not sent there.
const WAITING_MAX: usize = 64;
/// How often one is sent before it is given up.
const ATTEMPTS_MAX: u32 = 5;
/// How long is waited after the first failure, more or less; twice as long after each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Where alerts are put for one target.
pub(super) struct Lane {
    name: String,
    waiting: mpsc::Sender<Arc<Notice>>,
}

impl Lane {
    /// Opens one. What is in it when it is dropped is still sent, by a task among these.
    pub(super) fn open(target: Arc<Target>, tasks: &mut JoinSet<()>) -> Self {
        let (waiting, mut queue) = mpsc::channel::<Arc<Notice>>(WAITING_MAX);
        let name = target.name.clone();
        tasks.spawn(async move {
            while let Some(notice) = queue.recv().await {
                deliver(&target, &notice).await;
            }
        });
        Self { name, waiting }
    }

    pub(super) fn put(&self, notice: Arc<Notice>) {
        match self.waiting.try_send(notice) {
            Ok(()) => {}
            Err(TrySendError::Full(notice) | TrySendError::Closed(notice)) => {
                warn!(
                    target_name = self.name,
                    id = notice.id,
                    waiting_max = WAITING_MAX,
                    "alert not sent: too many wait"
                );
            }
        }
    }
}

async fn deliver(target: &Target, notice: &Notice) {
    for attempt in 1..=ATTEMPTS_MAX {
        let Err(error) = target.send(notice, clock::unix_ms() / 1000).await else {
            debug!(target_name = target.name, id = notice.id, attempt, "alert sent");
            return;
        };
        if !error.may_pass || attempt == ATTEMPTS_MAX {
            warn!(target_name = target.name, id = notice.id, attempt, %error, "alert not sent");
            return;
        }
        debug!(target_name = target.name, id = notice.id, attempt, %error, "alert not sent yet");
        // Between half and all of it, so that nodes that fail together do not come back together.
        let wait = FIRST_WAIT * 2_u32.pow(attempt - 1);
        sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
    }
}
