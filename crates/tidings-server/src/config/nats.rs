//! The settings of the broker `nats`: what its streams are called, how much they keep, and how a
//! server is trusted and signed in to. Where it is, `broker` says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bytes in the name of a stream.
const STREAM_BYTES_MAX: usize = 64;

/// `[nats]`: how the log is kept in NATS, where `broker` is `nats://…` or `tls://…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Nats {
    /// What the stream with the log is called. What nodes share beside it is in two more, whose names
    /// begin with this one.
    pub stream: StreamName,
    /// On how many servers of a cluster each stream is kept.
    #[schemars(range(min = 1, max = 5))]
    pub replicas: usize,
    /// Where the servers keep the log: `file`, or `memory`, which a restart empties.
    #[schemars(extend("enum" = ["file", "memory"]))]
    pub storage: NatsStorage,
    /// Bytes of the log that the servers keep, with some hundred for each event besides its data. The
    /// oldest go first. 0 is as much as there is room for.
    #[schemars(range(max = 1_099_511_627_776_u64))]
    pub bytes_max: u64,
    /// Events that the servers keep. The oldest go first. 0 is any number.
    #[schemars(range(max = 1_000_000_000_u64))]
    pub events_max: u64,
    /// Milliseconds after which a server that has not answered is not waited for.
    #[schemars(range(min = 100, max = 30_000))]
    pub timeout_ms: u64,
    /// The file with the certificates, in PEM form, that a server must be vouched for by; those of the
    /// system when there is none. With it, connections are encrypted.
    #[schemars(length(min = 1), extend("examples" = ["/etc/tidings/nats-ca.pem"]))]
    pub ca_file: Option<String>,
    /// The file with the credentials to sign in with, as `nsc` makes it. Read for every connection.
    #[schemars(length(min = 1), extend("examples" = ["/etc/tidings/nats.creds"]))]
    pub credentials_file: Option<String>,
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            stream: StreamName("TIDINGS".to_owned()),
            replicas: 1,
            storage: NatsStorage::File,
            bytes_max: 1_073_741_824,
            events_max: 0,
            timeout_ms: 2000,
            ca_file: None,
            credentials_file: None,
        }
    }
}

/// The name of a stream, which is the beginning of its subjects too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline)]
pub struct StreamName(String);

impl StreamName {
    /// The name: letters, digits, `_` and `-`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for StreamName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_right = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if text.is_empty() || text.len() > STREAM_BYTES_MAX || !text.bytes().all(is_right) {
            return Err(format!("`{text}` must be 1 to 64 of A-Z a-z 0-9 _ -"));
        }
        Ok(Self(text))
    }
}

impl From<StreamName> for String {
    fn from(name: StreamName) -> Self {
        name.0
    }
}

/// Where NATS keeps a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", rename_all = "lowercase")]
#[schemars(inline)]
pub enum NatsStorage {
    /// On disk.
    File,
    /// In memory: a restart empties it.
    Memory,
}

impl TryFrom<String> for NatsStorage {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "file" => Ok(Self::File),
            "memory" => Ok(Self::Memory),
            _ => Err("it is \"file\" or \"memory\"".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("TIDINGS", true)]
    #[case("shop-2_live", true)]
    #[case("", false)]
    #[case("a.b", false)]
    #[case("a*", false)]
    #[case("a b", false)]
    fn takes_what_is_both_a_name_and_part_of_a_subject(#[case] text: &str, #[case] right: bool) {
        assert_eq!(StreamName::try_from(text.to_owned()).is_ok(), right);
    }
}
