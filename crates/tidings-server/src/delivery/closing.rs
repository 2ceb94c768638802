//! Streams that are closed from outside: which they are, and how many it were.

use tokio::sync::oneshot;

use super::survey::{Milestone, Question};
use crate::revocations::{Holder, Revocation};

/// Whose a stream is, and its name: what it may be closed by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) connection: ConnectionId,
    pub(crate) holder: Holder,
}

/// Tells connections apart; it is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionId(u64);

impl ConnectionId {
    pub(crate) fn random() -> Self {
        Self(fastrand::u64(..))
    }

    pub(crate) fn from_number(number: u64) -> Self {
        Self(number)
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// Reads the 16 hex digits that `tidings.connected` gives.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let well_formed = text.len() == 16 && text.bytes().all(digits);
        well_formed.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl std::fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Which streams are to be closed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Those of whoever was revoked.
    Revoked(Revocation),
    /// The one of this name.
    Connection(ConnectionId),
}

impl Target {
    pub(super) fn hits(&self, owner: &Owner) -> bool {
        match self {
            Self::Revoked(revocation) => revocation.hits(&owner.holder),
            Self::Connection(connection) => owner.connection == *connection,
        }
    }
}

/// What a shard is told to do. It answers when it is done; one that has ended does not answer.
#[derive(Debug)]
pub(super) enum Order {
    /// Close streams, and say how many it were.
    Close(Target, oneshot::Sender<usize>),
    /// Count for their users what streams were written.
    Settle(oneshot::Sender<()>),
    /// Look through the streams.
    Survey(Question),
    /// Say when the log was read up to a position.
    Reach(Milestone),
}

impl Order {
    /// Whether nobody waits for its answer, which is all that it is for.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Close(..) => false,
            Self::Settle(done) => done.is_closed(),
            Self::Survey(question) => question.is_abandoned(),
            Self::Reach(milestone) => milestone.reached.is_closed(),
        }
    }
}
