//! `[redis]`: how the broker of that name uses the Redis that `broker` points to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Secret;

/// `[redis]`: for a broker that is a Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// What the names of all keys begin with, in braces. Nodes with the same prefix share one log;
    /// several hubs in one Redis have one each.
    #[schemars(length(min = 1, max = 64))]
    pub prefix: String,
    /// Events kept in Redis. A node that starts has those to begin with, so it should be what `[log]`
    /// lets a node keep.
    #[schemars(range(min = 1000, max = 100_000_000))]
    pub events_max: usize,
    /// Milliseconds that Redis may take to answer before it counts as gone.
    #[schemars(range(min = 100, max = 30_000))]
    pub timeout_ms: u64,
    /// A file with the certificates, in PEM form, of whoever vouches for Redis, where it is spoken to
    /// by TLS. Not set, those that the system trusts.
    #[schemars(length(min = 1), extend("examples" = ["/etc/tidings/redis-ca.pem"]))]
    pub ca_file: Option<String>,
    /// The password of the Sentinels, where they have one.
    #[schemars(extend("examples" = ["changeme"]))]
    pub sentinel_password: Option<Secret>,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            prefix: "tidings".to_owned(),
            events_max: 1_000_000,
            timeout_ms: 2000,
            ca_file: None,
            sentinel_password: None,
        }
    }
}
