//! Who is told: everything that alerts are sent to, and what came of it.

use std::sync::Arc;

use super::mail::Mail;
use super::notice::Notice;
use super::webhook::Webhook;
use crate::config;
use crate::outbound::OutboundError;

/// Why an alert did not arrive, in words without a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct SendError {
    pub(super) what: String,
    /// Whether another attempt may do better.
    pub(super) may_pass: bool,
}

/// Why there is nothing to send with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("alerts.webhooks[{0}]: {1}")]
    Webhook(usize, OutboundError),
    #[error("alerts.mail: {0}")]
    Mail(lettre::transport::smtp::Error),
}

/// One that is told over the network.
pub(super) struct Target {
    /// What the log calls it: its setting and its host.
    pub(super) name: String,
    way: Way,
}

enum Way {
    Webhook(Box<Webhook>),
    Mail(Box<Mail>),
}

impl Target {
    /// All that these settings name.
    pub(super) fn all(alerts: &config::Alerts) -> Result<Vec<Arc<Self>>, TargetError> {
        let mut targets = Vec::new();
        for (index, settings) in alerts.webhooks.iter().enumerate() {
            let webhook =
                Webhook::new(settings).map_err(|error| TargetError::Webhook(index, error))?;
            let name = format!("alerts.webhooks[{index}] ({})", webhook.host());
            targets.push(Arc::new(Self { name, way: Way::Webhook(Box::new(webhook)) }));
        }
        if let Some(mail) = Mail::new(&alerts.mail).map_err(TargetError::Mail)? {
            let name = format!("alerts.mail ({})", mail.host());
            targets.push(Arc::new(Self { name, way: Way::Mail(Box::new(mail)) }));
        }
        Ok(targets)
    }

    /// Tells it once.
    pub(super) async fn send(&self, notice: &Notice, unix_secs: u64) -> Result<(), SendError> {
        match &self.way {
            Way::Webhook(webhook) => webhook.send(notice, unix_secs).await,
            Way::Mail(mail) => mail.send(notice).await,
        }
    }
}
