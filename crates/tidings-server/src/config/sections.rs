//! The sections of the configuration file: names, units, defaults and bounds, nothing more.
//!
//! Bounds stand in `range` and `length`; the loader reads them from the schema, so a bound is
//! written once and both documented and enforced.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HttpUrl, LegacyUserId, Origin, Secret, Session, TopicTemplate};

/// `[log]`: how many events are kept for those who come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Events kept for each topic.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub events_per_topic_max: usize,
    /// Bytes kept in all. The oldest go first.
    #[schemars(range(min = 1_048_576, max = 1_099_511_627_776_u64))]
    pub bytes_max: usize,
    /// Seconds an event is kept; its own `ttlSecs` may shorten that.
    #[schemars(range(min = 1, max = 2_592_000))]
    pub age_max_secs: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self { events_per_topic_max: 1000, bytes_max: 268_435_456, age_max_secs: 3600 }
    }
}

/// `[streams]`: open streams and what they replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Streams {
    /// Seconds of silence after which a stream gets a heartbeat.
    #[schemars(range(min = 1, max = 300))]
    pub heartbeat_secs: u64,
    /// Seconds a stream lives, less up to 10% at random; its client then comes back by itself.
    #[schemars(range(min = 10, max = 604_800))]
    pub age_max_secs: u64,
    /// Seconds a reader may take nothing of what waits for it before its stream is closed.
    #[schemars(range(min = 1, max = 600))]
    pub write_stall_secs: u64,
    /// Whether streams over plain HTTP/1.1 are written to their sockets directly, by one thread per
    /// core. `false` leaves them to the HTTP library, at several times the memory.
    pub own_sockets: bool,
    /// Topics and patterns one subscriber may ask for.
    #[schemars(range(min = 1, max = 10_000))]
    pub topics_per_subscriber_max: usize,
    /// Events written in one turn to a reader that catches up.
    #[schemars(range(min = 1, max = 100_000))]
    pub replay_events_max: usize,
    /// Bytes written in one turn to a reader that catches up; one event always goes.
    #[schemars(range(min = 1024, max = 67_108_864))]
    pub replay_bytes_max: usize,
    /// Seconds that streams and requests get to end once the node was told to stop.
    #[schemars(range(min = 1, max = 600))]
    pub drain_secs: u64,
    /// Seconds between no longer being ready and closing streams, for load balancers to notice.
    #[schemars(range(min = 0, max = 600))]
    pub drain_delay_secs: u64,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            heartbeat_secs: 15,
            age_max_secs: 3600,
            write_stall_secs: 20,
            own_sockets: true,
            topics_per_subscriber_max: 100,
            replay_events_max: 512,
            replay_bytes_max: 262_144,
            drain_secs: 10,
            drain_delay_secs: 2,
        }
    }
}

/// So many in any span of so many seconds, each with defaults of its own.
macro_rules! rates {
    ($($(#[$doc:meta])* $name:ident = $limit:literal in $window_secs:literal;)+) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            /// How many. 0 lifts the limit.
            #[schemars(range(min = 0, max = 10_000))]
            pub limit: usize,
            /// In how many seconds: in any span of this length, not only from one full minute to the
            /// next.
            #[schemars(range(min = 1, max = 86_400))]
            pub window_secs: u64,
        }

        impl Default for $name {
            fn default() -> Self {
                Self { limit: $limit, window_secs: $window_secs }
            }
        }
    )+ };
}

rates! {
    /// `[limits.sse]`: how often one user, or one address of people without a name, may open a
    /// stream. API keys are not counted.
    SseRate = 5 in 60;
    /// `[limits.polling]`: how often one user, or one address of people without a name, may poll. API
    /// keys are not counted.
    PollingRate = 60 in 60;
    /// `[limits.auth_failures]`: how often one address may fail to prove who it is before it is told
    /// to wait. What is good is let in all the same.
    AuthFailureRate = 10 in 60;
}

/// `[limits]`: how many there may be, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open streams on this node. 0 lifts the limit.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub connections_per_node: usize,
    /// Open streams of one user. 0 lifts the limit.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub connections_per_user: usize,
    /// Open streams from one address; an IPv6 address counts as its /64. Behind a proxy that is not
    /// among `trusted_proxies` every stream comes from the proxy's address. 0 lifts the limit.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub connections_per_address: usize,
    /// Revocations remembered at the same time; one more is refused.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub revocations_max: usize,
    /// Users, addresses and limits of the application's own whose uses are remembered. Beyond that
    /// those not seen for longest are forgotten, and may use their limit anew.
    #[schemars(range(min = 1000, max = 100_000_000))]
    pub keys_max: usize,
    /// Opening streams.
    pub sse: SseRate,
    /// Polling.
    pub polling: PollingRate,
    /// Failing to prove who one is.
    pub auth_failures: AuthFailureRate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_node: 100_000,
            connections_per_user: 20,
            connections_per_address: 1000,
            revocations_max: 250_000,
            keys_max: 100_000,
            sse: SseRate::default(),
            polling: PollingRate::default(),
            auth_failures: AuthFailureRate::default(),
        }
    }
}

/// `[idempotency]`: publishing again with the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Idempotency {
    /// Seconds during which the same key gets the first answer again.
    #[schemars(range(min = 1, max = 86_400))]
    pub window_secs: u64,
    /// Keys remembered. The oldest go first.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub keys_max: usize,
}

impl Default for Idempotency {
    fn default() -> Self {
        Self { window_secs: 600, keys_max: 100_000 }
    }
}

/// `[tokens]`: signed by the application, carried by its users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// What HS256 tokens are signed with: at least 32 bytes, shared with the application. Better
    /// given as `TIDINGS_TOKEN_SECRET` than in this file. Make one with: openssl rand -base64 32
    #[schemars(extend("examples" = ["changeme"]))]
    pub secret: Option<Secret>,
    /// What a token's `aud` must contain.
    #[schemars(length(min = 1, max = 256))]
    pub audience: String,
    /// What a token's `iss` must be. Not set, `iss` is not looked at.
    #[schemars(length(min = 1, max = 256), extend("examples" = ["https://example.com"]))]
    pub issuer: Option<String>,
    /// Seconds from a token's `iat` to its `exp`; one that lives longer is refused. So long must a
    /// revocation be remembered.
    #[schemars(range(min = 60, max = 31_536_000))]
    pub ttl_max_secs: u64,
    /// Where the issuer publishes its public keys, for tokens by RS256, ES256 and EdDSA. Needs
    /// `issuer`.
    #[schemars(extend("examples" = ["https://example.com/.well-known/jwks.json"]))]
    pub jwks_url: Option<HttpUrl>,
    /// In place of `jwks_url`, a file with the same. Read again on SIGHUP, and when a token names a
    /// key that is not in it.
    #[schemars(length(min = 1), extend("examples" = ["/etc/tidings/jwks.json"]))]
    pub jwks_file: Option<String>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            secret: None,
            audience: "tidings".to_owned(),
            issuer: None,
            ttl_max_secs: 86_400,
            jwks_url: None,
            jwks_file: None,
        }
    }
}

/// `[tls]`: encrypted connections, on every address listened on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The file with the certificate and those that vouch for it, in PEM form. Read again on SIGHUP.
    #[schemars(length(min = 1), extend("examples" = ["/etc/tidings/cert.pem"]))]
    pub cert: Option<String>,
    /// The file with the certificate's private key, in PEM form. Read again on SIGHUP.
    #[schemars(length(min = 1), extend("examples" = ["/etc/tidings/key.pem"]))]
    pub key: Option<String>,
}

/// `[auth]`: who may hear what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The topics every user may subscribe to, and gets when a request names none. `{user}` stands
    /// for the user's id, percent-encoded; whoever has no user gets only those without it.
    #[schemars(length(max = 100))]
    pub default_topics: Vec<TopicTemplate>,
    /// Whether a bare `userId` parameter is believed when there is no credential: `off`, or
    /// `insecure`, with which anyone can claim to be anyone.
    #[schemars(extend("enum" = ["off", "insecure"]))]
    pub legacy_user_id: LegacyUserId,
    /// Whether a `userId` parameter is believed from other machines too.
    pub legacy_user_id_remote: bool,
    /// The application's own sessions, so that its users need no token. At most one of its three
    /// methods may be on.
    pub session: Session,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            default_topics: vec![TopicTemplate::user(), TopicTemplate::broadcast()],
            legacy_user_id: LegacyUserId::Off,
            legacy_user_id_remote: false,
            session: Session::default(),
        }
    }
}

/// `[cors]`: which web sites may call from a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    /// Exact origins, as in `https://app.example.com`: scheme, host, and the port unless it is the
    /// scheme's own. There is no wildcard.
    #[schemars(length(max = 1000), extend("examples" = [["https://app.example.com"]]))]
    pub origins: Vec<Origin>,
}

/// One of `[[keys]]`: an API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What logs call it.
    #[schemars(length(min = 1, max = 64), extend("examples" = ["orders-service"]))]
    pub name: String,
    /// `tk_` and at least 32 of `A-Z a-z 0-9 _ -`.
    #[schemars(extend("examples" = ["tk_changeme"]))]
    pub secret: Secret,
    /// What it may be used for: `publish`, `token`, `admin`.
    #[schemars(length(min = 1), extend("examples" = [["publish"]]))]
    pub scopes: Vec<Scope>,
}

/// What an API key may be used for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Publishing to any topic.
    Publish,
    /// Minting tokens.
    Token,
    /// Everything an operator does, and subscribing to any topic.
    Admin,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 3] = [Self::Publish, Self::Token, Self::Admin];
}
