//! `[alerts]`: when somebody is told that a node is not well, and who.
//!
//! Names, units, defaults and bounds, as in `sections`. A threshold of 0 is off; a target is on once
//! the setting it cannot do without is set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MailAddress, Secret, SmtpUrl, WebhookUrl};

/// `[alerts]`: what there may be of everything before somebody is told, and who is told. A threshold
/// of 0 is off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// What alerts call this node.
    #[schemars(length(min = 1, max = 64))]
    pub node: String,
    /// Seconds between two looks at the numbers.
    #[schemars(range(min = 1, max = 60))]
    pub every_secs: u64,
    /// Seconds that a number must be over its threshold before somebody is told, and below it again
    /// before it is taken back.
    #[schemars(range(min = 0, max = 3600))]
    pub for_secs: u64,
    /// Seconds from one alert of a number to the next, also while it stays over its threshold.
    #[schemars(range(min = 1, max = 86_400))]
    pub cooldown_secs: u64,
    /// Open streams.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub connections_max: u64,
    /// The most streams that were open at once since the last look. Told at once, without
    /// `for_secs`.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub connections_peak_max: u64,
    /// Requests that were refused and streams that were closed for an error, in the last minute.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub errors_per_minute_max: u64,
    /// Gaps that readers were told of in the last minute.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub gaps_per_minute_max: u64,
    /// Milliseconds from a publisher's request to the last socket, for the slowest hundredth of the
    /// last minute's events.
    #[schemars(range(min = 0, max = 3_600_000))]
    pub event_p99_ms_max: u64,
    /// Milliseconds that the broker takes to store a request's events, for the slowest hundredth of
    /// the last minute's.
    #[schemars(range(min = 0, max = 3_600_000))]
    pub append_p99_ms_max: u64,
    /// Events of the log that the slowest reader has not been written yet.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub reader_lag_events_max: u64,
    /// Alerts in the node's own log.
    pub log: AlertLog,
    /// Addresses that alerts are posted to.
    #[schemars(length(max = 16))]
    pub webhooks: Vec<Webhook>,
    /// Alerts by mail.
    pub mail: AlertMail,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            node: "tidings".to_owned(),
            every_secs: 10,
            for_secs: 30,
            cooldown_secs: 900,
            connections_max: 0,
            connections_peak_max: 0,
            errors_per_minute_max: 0,
            gaps_per_minute_max: 0,
            event_p99_ms_max: 0,
            append_p99_ms_max: 0,
            reader_lag_events_max: 0,
            log: AlertLog::default(),
            webhooks: Vec::new(),
            mail: AlertMail::default(),
        }
    }
}

impl Alerts {
    /// Whether alerts go to the same places as with other settings.
    pub fn has_targets_of(&self, other: &Self) -> bool {
        self.webhooks == other.webhooks && self.mail == other.mail
    }
}

/// `[alerts.log]`: alerts as warnings in the node's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertLog {
    /// Whether alerts are logged.
    pub enabled: bool,
}

impl Default for AlertLog {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// One of `[[alerts.webhooks]]`: an address that alerts are posted to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where to: `https`, or `http` on this machine.
    #[schemars(extend("examples" = ["https://alerts.example.com/tidings"]))]
    pub url: WebhookUrl,
    /// What alerts are signed with, so that their receiver knows them: at least 32 bytes. Not set,
    /// they are not signed.
    #[schemars(extend("examples" = ["changeme"]))]
    #[serde(default)]
    pub secret: Option<Secret>,
    /// What is posted: `json`, or `slack` for a text that Slack and its like can show.
    #[schemars(extend("examples" = ["json"]))]
    #[serde(default)]
    pub format: WebhookFormat,
}

/// What is posted to a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum WebhookFormat {
    /// All there is to know, for a program.
    #[default]
    Json,
    /// A text for a chat room.
    Slack,
}

/// `[alerts.mail]`: alerts by mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertMail {
    /// The mail server: `smtps://HOST` for TLS from the start, `smtp://HOST` for STARTTLS, which it
    /// must offer unless it is on this machine. Setting it turns this on.
    #[schemars(extend("examples" = ["smtps://smtp.example.com"]))]
    pub smtp_url: Option<SmtpUrl>,
    /// Who the mail is from.
    #[schemars(extend("examples" = ["Tidings <tidings@example.com>"]))]
    pub from: Option<MailAddress>,
    /// Who gets it.
    #[schemars(length(max = 16), extend("examples" = [["on-call@example.com"]]))]
    pub to: Vec<MailAddress>,
    /// The name to sign in to the mail server with.
    #[schemars(length(min = 1, max = 256), extend("examples" = ["tidings"]))]
    pub username: Option<String>,
    /// The password that goes with it.
    #[schemars(length(min = 1, max = 1024), extend("examples" = ["changeme"]))]
    pub password: Option<Secret>,
}
