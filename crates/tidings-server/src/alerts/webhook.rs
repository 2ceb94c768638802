//! A webhook: one address of the operator's that alerts are posted to. No redirect is followed, no
//! proxy of the environment is used, and the address is never shown beyond its host.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};

use super::notice::Notice;
use super::signature::{SIGNATURE_HEADER, signature};
use super::target::SendError;
use crate::config::{self, WebhookFormat};
use crate::outbound::{self, OutboundError};

/// How long an answer may take. Nobody waits for it, and chat services take their time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Webhook {
    settings: config::Webhook,
    client: Client,
}

impl Webhook {
    pub(super) fn new(settings: &config::Webhook) -> Result<Self, OutboundError> {
        let client = outbound::client(settings.url.expose())?;
        Ok(Self { settings: settings.clone(), client })
    }

    /// What may be shown of its address.
    pub(super) fn host(&self) -> &str {
        self.settings.url.host()
    }

    /// Posts it once.
    pub(super) async fn send(&self, notice: &Notice, unix_secs: u64) -> Result<(), SendError> {
        let body = match self.settings.format {
            WebhookFormat::Json => notice.json(),
            WebhookFormat::Slack => notice.slack(),
        };
        let body = body.to_string();
        let mut request = self
            .client
            .post(self.settings.url.expose().url().clone())
            .timeout(ANSWER_TIMEOUT)
            .header(CONTENT_TYPE, "application/json");
        if let Some(secret) = &self.settings.secret {
            let signature = signature(secret.expose(), unix_secs, body.as_bytes());
            request = request.header(SIGNATURE_HEADER, signature);
        }
        let answer = request.body(body).send().await.map_err(|error| SendError {
            what: OutboundError::from(error).to_string(),
            may_pass: true,
        })?;
        judge(answer.status())
    }
}

/// What an answer means. Of its body nothing is read.
fn judge(status: StatusCode) -> Result<(), SendError> {
    let number = status.as_u16();
    let (what, may_pass) = if status.is_success() {
        return Ok(());
    } else if status.is_redirection() {
        (format!("it answered {number}, and redirects are not followed"), false)
    } else {
        let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        (format!("it answered {number}"), status.is_server_error() || busy.contains(&status))
    };
    Err(SendError { what, may_pass })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(200, None)]
    #[case(204, None)]
    #[case(301, Some(false))]
    #[case(307, Some(false))]
    #[case(400, Some(false))]
    #[case(404, Some(false))]
    #[case(408, Some(true))]
    #[case(410, Some(false))]
    #[case(429, Some(true))]
    #[case(500, Some(true))]
    #[case(503, Some(true))]
    fn tries_again_only_where_it_may_pass(#[case] status: u16, #[case] may_pass: Option<bool>) {
        let judged = judge(StatusCode::from_u16(status).unwrap());
        assert_eq!(judged.err().map(|error| error.may_pass), may_pass);
    }
}
