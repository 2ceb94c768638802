//! The names of everything that is kept in Redis. All have the same braces, which keep them on one
//! server of a Cluster.

use aws_lc_rs::digest;

use super::super::IdempotencyKey;

/// The names, complete or to be completed.
#[derive(Debug)]
pub(super) struct Names {
    /// A stream: the events and revocations in order, each with its position as its id.
    pub(super) log: String,
    /// A hash: the epoch, the newest position, the run id of the server.
    pub(super) meta: String,
    /// A sorted set: the leases of nodes by when they were last renewed, in Unix milliseconds.
    pub(super) nodes: String,
    /// A hash: who has vouched for the log under another run id.
    pub(super) vouched: String,
    /// A sorted set: revocations by when they are forgotten, in Unix milliseconds.
    pub(super) revoked: String,
    /// What the names of seats begin with, one hash for each lease.
    pub(super) seats: String,
    keys: String,
    uses: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        let name = |name: &str| format!("{{{prefix}}}:{name}");
        Self {
            log: name("log"),
            meta: name("meta"),
            nodes: name("nodes"),
            vouched: name("vouched"),
            revoked: name("revoked"),
            seats: name("seats:"),
            keys: name("key:"),
            uses: name("uses:"),
        }
    }

    /// Where the answers are that were given to a key.
    pub(super) fn key(&self, key: &IdempotencyKey) -> String {
        let digest = short_digest(&[key.publisher.as_bytes(), key.text.as_bytes()]);
        format!("{}{}", self.keys, hex(&digest))
    }

    /// Where a subject's uses of a limit are.
    pub(super) fn uses(&self, subject: &[u8]) -> String {
        format!("{}{}", self.uses, hex(subject))
    }

    /// Where the seats are that a lease's node has taken.
    pub(super) fn seats_of(&self, lease: &str) -> String {
        format!("{}{lease}", self.seats)
    }
}

/// Sixteen bytes for any number of parts.
pub(super) fn short_digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref()[..16].try_into().expect("SHA-256 has 32 bytes")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}
