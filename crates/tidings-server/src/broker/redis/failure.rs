//! What goes wrong between a node and its Redis: what it means for what was asked, whether the session
//! can go on, and what the log says.

use redis::RedisError;

use super::super::Failure;
use super::address::AddressError;

/// Why there is no session, or none any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("it does not answer")]
    Silent,
    #[error("it is a replica, and takes nothing")]
    Replica,
    #[error("no Sentinel that answers knows a master by this name")]
    UnknownMaster,
    #[error("two connections to it lead to two servers")]
    TwoServers,
    #[error("its answer is none that this version understands: {0}")]
    Answer(&'static str),
    /// The log is another than this session's. Not an outage: the next session knows it.
    #[error("its log is another one")]
    AnotherLog,
    /// The node was held up for so long that others have stopped counting its streams.
    #[error("this node was held up, and its lease has run out")]
    LeaseLost,
    #[error("the node stops")]
    Stopping,
}

/// Settings that do not work, as they are, however often they are tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error("broker: {0}")]
    Address(#[from] AddressError),
    #[error("redis.prefix must not have braces in it: it is put into some")]
    Prefix,
    #[error("redis.ca_file {path} cannot be read: {error}")]
    CaFile { path: String, error: std::io::Error },
    #[error("redis.ca_file cannot be used: {0}")]
    Tls(RedisError),
    #[error("redis.ca_file is for TLS; the broker's URL must begin with rediss")]
    CaWithoutTls,
}

impl Cause {
    /// Whether trying again cannot help: a wrong password, or no right to what is needed.
    pub(super) fn is_hopeless(&self) -> bool {
        match self {
            Self::Redis(error) => {
                matches!(error.code(), Some("WRONGPASS" | "NOAUTH" | "NOPERM"))
                    || error.kind() == redis::ErrorKind::AuthenticationFailed
            }
            _ => false,
        }
    }
}

/// What an error means for the publications it was the answer to, and whether the session ends with it.
pub(super) fn judge(error: &RedisError) -> (Failure, bool) {
    match error.code() {
        Some("OOM") => (Failure::NoRoom, false),
        // It cannot write its own files; somebody has to see to that.
        Some("MISCONF") => (Failure::Broken, false),
        Some("NOREPLICAS") => (Failure::Unreachable, false),
        Some(
            "READONLY" | "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "NOSCRIPT" | "LOADING"
            | "MASTERDOWN" | "NOAUTH" | "NOPERM" | "BUSY",
        ) => (Failure::Unreachable, true),
        // It may have been done or not.
        _ => (Failure::Unknown, true),
    }
}
