//! What can go wrong between this node and NATS, in the words of whoever reads the log; and one line
//! when it begins and one when it is over, however often it is tried in between.

use std::time::Instant;

use tracing::{info, warn};

/// Why there is no session, or why it has ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it does not let us in: look at the user, the password or nats.credentials_file")]
    Refused,
    #[error("{0}")]
    Credentials(String),
    #[error(
        "it takes messages of {server_bytes_max} bytes and an event may need {message_bytes_max}: \
         raise its max_payload, or lower event_bytes_max"
    )]
    TooSmall { server_bytes_max: usize, message_bytes_max: usize },
    #[error("its stream `{0}` is not one of ours: choose another nats.stream")]
    Foreign(String),
    #[error("{0} was refused: {1}")]
    Api(&'static str, String),
    #[error("it has been silent for too long")]
    Silent,
    #[error("the connection has ended")]
    Ended,
    #[error("messages were lost on the way")]
    Lost,
    #[error("its log is not the one there was")]
    Changed,
}

impl Trouble {
    /// Whether trying again is no use until somebody has changed a setting.
    pub(super) fn is_a_setting(&self) -> bool {
        matches!(
            self,
            Self::Refused | Self::Credentials(_) | Self::TooSmall { .. } | Self::Foreign(_)
        )
    }
}

/// Whether there is trouble at the moment.
#[derive(Debug, Default)]
pub(super) struct Outage {
    since: Option<Instant>,
}

impl Outage {
    pub(super) fn begins(&mut self, trouble: &Trouble) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            warn!(cause = %trouble, "NATS is away: publishes are refused, streams stay open");
        }
    }

    pub(super) fn is_over(&mut self) {
        if let Some(since) = self.since.take() {
            let lasted_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            info!(lasted_ms, "NATS is back");
        }
    }
}
