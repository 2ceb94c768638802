//! One stream from its first byte to its end: counted when it begins, and when it is dropped.

use super::Metrics;

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its reader hung up, or the network did.
    Gone,
    /// Its reader took nothing of what waited for it for too long.
    Stalled,
    /// Its time was over: its authority's or its own.
    Expired,
    /// It was closed from outside.
    Revoked,
    /// The node went away.
    Drain,
    /// Its socket could not be watched.
    Unwatched,
}

impl Outcome {
    pub(super) const NAMES: &[&str] =
        &["gone", "write-stalled", "expired", "revoked", "drain", "unwatched"];
    /// Those that are errors of delivery.
    pub(super) const ERRORS: &[&str] = &["write-stalled", "unwatched"];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Stalled => "write-stalled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Drain => "drain",
            Self::Unwatched => "unwatched",
        }
    }
}

/// A stream's life. Until something else is known, it ends because its reader is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    opened_ns: u64,
    outcome: Outcome,
}

impl Life {
    /// Begins now, for a reader who has proved by this method who it is.
    pub(crate) fn begin(metrics: &Metrics, method: &str) -> Self {
        metrics.opens(method);
        Self { opened_ns: metrics.now_ns(), outcome: Outcome::Gone }
    }

    /// When it began, in nanoseconds of uptime.
    pub(crate) fn opened_ns(self) -> u64 {
        self.opened_ns
    }

    /// Says why it ends. The first to know is right.
    pub(crate) fn ends(&mut self, outcome: Outcome) {
        if self.outcome == Outcome::Gone {
            self.outcome = outcome;
        }
    }

    /// It has ended.
    pub(crate) fn end(self, metrics: &Metrics) {
        metrics.closes(self.outcome, metrics.now_ns().saturating_sub(self.opened_ns));
    }
}
