//! The settings of one node, one struct per section.
//!
//! A [`Config`] comes from [`ConfigSource::load`] alone, so whoever holds one holds a checked one.
//! The doc comments here are the documentation: `tidings config default` and `tidings config
//! schema` are made of them. What the settings do is not known here.

mod alert_demands;
mod alerts;
mod catalogue;
mod demands;
mod disk;
mod document;
mod layers;
mod mail;
mod names;
mod nats;
mod network;
mod origin;
mod otlp;
mod problem;
mod redis;
mod secret;
mod sections;
mod session;
mod session_demands;
mod source;
#[cfg(test)]
mod tests;
mod url;
mod values;
mod webhook_url;

use std::net::SocketAddr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};

pub use self::redis::Redis;
pub use alerts::{AlertLog, AlertMail, Alerts, Webhook, WebhookFormat};
pub use disk::{Disk, Durability};
pub use document::default_document;
pub use mail::{MailAddress, SmtpSecurity, SmtpUrl};
pub use names::{CookieName, ForwardedHeader, NodeName};
pub use nats::{Nats, NatsStorage, StreamName};
pub use network::{Host, Network};
pub use origin::Origin;
pub use otlp::Otlp;
pub use problem::{ConfigErrors, Problem, Provenance};
pub(crate) use secret::API_KEY_PREFIX;
pub use secret::Secret;
pub use sections::{
    Auth, AuthFailureRate, Cors, Idempotency, Key, Limits, Log, PollingRate, Scope, SseRate,
    Streams, Tls, Tokens,
};
pub use session::{AuthJs, Introspect, Session, SessionJwt, SessionMethod};
pub use source::{ConfigSource, DevSecrets, Flags};
pub use url::HttpUrl;
pub(crate) use url::is_loopback;
pub use values::{BasePath, Broker, BrokerUrl, LegacyUserId, TopicTemplate};
pub use webhook_url::WebhookUrl;

/// Settings of Tidings.
///
/// Flags go over `TIDINGS_*` environment variables, those over this file, and this file over the
/// defaults. `TIDINGS_LOG__BYTES_MAX` is `bytes_max` of `[log]`, lists are separated by commas, and
/// a secret's variable with `_FILE` at its end names a file to read the secret from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen: IP addresses with their ports. Port 0 takes any free one.
    #[schemars(length(min = 1, max = 16))]
    pub listen: Vec<SocketAddr>,
    /// Where to listen for operators: then revocations, metrics, what is under `/api/admin` and the
    /// dashboard are there and nowhere else. Without it they are on `listen`, behind their API key.
    #[schemars(length(max = 16), extend("examples" = [["127.0.0.1:4001"]]))]
    pub admin_listen: Vec<SocketAddr>,
    /// The hosts that requests may be addressed to, as in `live.example.com`; any other is refused with
    /// 421, health checks too. Empty takes any.
    #[schemars(length(max = 1000), extend("examples" = [["live.example.com"]]))]
    pub hosts: Vec<Host>,
    /// Addresses and networks of your own proxies, as in `10.0.0.0/8`: what they say of whom a request
    /// comes from (`Forwarded`, `X-Forwarded-For`) is believed.
    #[schemars(length(max = 1000), extend("examples" = [["10.0.0.0/8"]]))]
    pub trusted_proxies: Vec<Network>,
    /// What goes before every path, as in `/live`, when a proxy hands on a part of its own site.
    pub base_path: BasePath,
    /// What orders and keeps the events: `memory`, as long as the process lives; `disk:FOLDER`, in a
    /// folder of this machine; `redis://…` or `nats://…`, where several nodes share one log.
    #[schemars(extend("examples" = ["disk:./data"]))]
    pub broker: Broker,
    /// What this node is called in its metrics, where several share a log. Not set, it is the machine's
    /// name and four characters that are others after each start.
    #[schemars(extend("examples" = ["live-1"]))]
    pub node_name: Option<NodeName>,
    /// Milliseconds a publisher is kept waiting while the broker cannot be reached, before it is told to
    /// try again.
    #[schemars(range(max = 30_000))]
    pub publish_wait_ms: u64,
    /// The API key that has every scope: `tk_` and at least 32 of `A-Z a-z 0-9 _ -`. Better given
    /// as `TIDINGS_API_KEY` than in this file. Make one with: echo "tk_$(openssl rand -hex 32)"
    #[schemars(extend("examples" = ["tk_changeme"]))]
    pub api_key: Option<Secret>,
    /// Bytes in one event's data.
    #[schemars(range(min = 256, max = 16_777_216))]
    pub event_bytes_max: usize,
    /// Bytes in the body of one request, which may carry many events.
    #[schemars(range(min = 1024, max = 268_435_456))]
    pub request_bytes_max: usize,
    /// Events in one publish request.
    #[schemars(range(min = 1, max = 10_000))]
    pub batch_events_max: usize,
    /// Bytes in the head of one request: its request line and headers.
    #[schemars(range(min = 8192, max = 1_048_576))]
    pub head_bytes_max: usize,
    /// Seconds a request may take to send its head.
    #[schemars(range(min = 1, max = 300))]
    pub head_timeout_secs: u64,
    /// Seconds a connection may be kept between requests.
    #[schemars(range(min = 1, max = 3600))]
    pub idle_timeout_secs: u64,
    /// Seconds a request may take to send its body.
    #[schemars(range(min = 1, max = 3600))]
    pub body_timeout_secs: u64,
    /// How many events are kept for those who come back.
    pub log: Log,
    /// For a broker that is a Redis.
    pub redis: Redis,
    /// Open streams and what they replay.
    pub streams: Streams,
    /// How many there may be.
    pub limits: Limits,
    /// Publishing again with the same key.
    pub idempotency: Idempotency,
    /// How the log is kept in NATS, where `broker` names one.
    pub nats: Nats,
    /// How the broker `disk` keeps the log.
    pub disk: Disk,
    /// Encrypted connections, on every address listened on.
    pub tls: Tls,
    /// Tokens: signed by the application, carried by its users.
    pub tokens: Tokens,
    /// Who may hear what.
    pub auth: Auth,
    /// Which web sites may call from a browser.
    pub cors: Cors,
    /// When somebody is told that this node is not well: how much of each thing there may be before
    /// that. 0 is any number.
    pub alerts: Alerts,
    /// Traces of publish requests, for an OpenTelemetry collector. Only for binaries that were built
    /// with the feature `otlp`.
    pub otlp: Otlp,
    /// API keys beside `api_key`, each with only the scopes it needs.
    #[schemars(length(max = 1000))]
    pub keys: Vec<Key>,
    /// Whether this node runs with `--dev`: loopback only, missing secrets made up. Only the flag
    /// sets it.
    #[serde(skip)]
    pub dev: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 4000))],
            admin_listen: Vec::new(),
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            base_path: BasePath::default(),
            broker: Broker::Memory,
            node_name: None,
            publish_wait_ms: 0,
            api_key: None,
            event_bytes_max: 65_536,
            request_bytes_max: 8_388_608,
            batch_events_max: 1000,
            head_bytes_max: 16_384,
            head_timeout_secs: 10,
            idle_timeout_secs: 75,
            body_timeout_secs: 15,
            log: Log::default(),
            redis: Redis::default(),
            streams: Streams::default(),
            limits: Limits::default(),
            idempotency: Idempotency::default(),
            nats: Nats::default(),
            disk: Disk::default(),
            tls: Tls::default(),
            tokens: Tokens::default(),
            auth: Auth::default(),
            cors: Cors::default(),
            alerts: Alerts::default(),
            otlp: Otlp::default(),
            keys: Vec::new(),
            dev: false,
        }
    }
}

impl Config {
    /// How long a credential that is good now can be good at the most: so long a revocation has to be
    /// remembered.
    pub fn longest_life(&self) -> Duration {
        /// Seconds by which the clock of whoever issued it may be ahead.
        const CLOCK_SECS: u64 = 60;
        let of_sessions = match self.auth.session.methods().next() {
            Some(SessionMethod::Jwt | SessionMethod::AuthJs) => self.auth.session.age_max_secs,
            // The application is asked again, sooner than anything expires.
            Some(SessionMethod::Introspect) | None => 0,
        };
        Duration::from_secs(self.tokens.ttl_max_secs.max(of_sessions) + CLOCK_SECS)
    }

    /// The settings that differ in `other` and that a running node cannot take over: they wait for
    /// a restart. Keys, tokens, `auth`, `cors`, `alerts`, `streams`, `limits` and the bounds of one
    /// request's body change on reload.
    pub fn needs_restart(&self, other: &Self) -> Vec<&'static str> {
        // Taken apart by name, so that a new setting does not compile before it is decided here.
        let Self {
            listen,
            admin_listen,
            hosts: _,
            trusted_proxies: _,
            base_path,
            broker,
            node_name,
            publish_wait_ms,
            api_key: _,
            event_bytes_max: _,
            request_bytes_max: _,
            batch_events_max: _,
            head_bytes_max,
            head_timeout_secs,
            idle_timeout_secs,
            body_timeout_secs: _,
            log,
            redis,
            streams,
            limits: _,
            idempotency,
            nats,
            disk,
            tls,
            tokens: _,
            auth: _,
            cors: _,
            alerts: _,
            otlp,
            keys: _,
            dev: _,
        } = self;
        let differs = [
            ("listen", *listen != other.listen),
            ("admin_listen", *admin_listen != other.admin_listen),
            ("base_path", *base_path != other.base_path),
            ("broker", *broker != other.broker),
            ("node_name", *node_name != other.node_name),
            ("publish_wait_ms", *publish_wait_ms != other.publish_wait_ms),
            ("tls", tls.cert.is_some() != other.tls.cert.is_some()),
            ("head_bytes_max", *head_bytes_max != other.head_bytes_max),
            ("idle_timeout_secs", *idle_timeout_secs != other.idle_timeout_secs),
            ("head_timeout_secs", *head_timeout_secs != other.head_timeout_secs),
            ("streams.own_sockets", streams.own_sockets != other.streams.own_sockets),
            ("log", *log != other.log),
            ("redis", *redis != other.redis),
            ("idempotency", *idempotency != other.idempotency),
            ("nats", *nats != other.nats),
            ("disk", *disk != other.disk),
            ("otlp", *otlp != other.otlp),
        ];
        differs.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
    }
}

/// The JSON Schema of the configuration file.
pub fn schema() -> Schema {
    schema_for!(Config)
}
