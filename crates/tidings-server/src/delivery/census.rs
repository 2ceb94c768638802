//! Who is connected, as an operator asks: whom a listing is of, and what it says of each stream.
//!
//! A credential is in none of it. How the streams are gone through is known where they are.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tidings_hub::{Pattern, Position, Selection};

use super::closing::ConnectionId;
use crate::metrics::Delivered;

/// The version of HTTP that a stream was asked for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http10,
    Http11,
    Http2,
}

impl Protocol {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Http2 => "http/2",
        }
    }
}

/// How a stream came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// How its reader proved who it is, in the word of `tidings.connected`.
    pub(crate) method: &'static str,
    pub(crate) protocol: Protocol,
}

/// Which streams are asked for: all that nothing here excludes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) user: Option<String>,
    pub(crate) method: Option<String>,
    /// A topic that it hears, or a pattern that it named.
    pub(crate) listens_to: Option<Pattern>,
    pub(crate) network: Option<IpNet>,
}

/// What a listing is of: the streams that pass, in the order of their names, after one of them.
#[derive(Clone, Debug)]
pub(crate) struct Census {
    pub(crate) filter: Filter,
    pub(crate) after: Option<ConnectionId>,
    pub(crate) streams_max: usize,
}

/// Some of the streams that pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) streams: Vec<Listed>,
    /// All that pass, on whichever page.
    pub(crate) total: usize,
}

/// What is told of one stream.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) connection: ConnectionId,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) address: IpAddr,
    pub(crate) arrival: Arrival,
    pub(crate) selection: Arc<Selection>,
    /// When it was opened and when it ends, in nanoseconds of uptime.
    pub(crate) opened_ns: u64,
    pub(crate) ends_ns: u64,
    /// Where it is in the log, unless it has read all that there is for it.
    pub(crate) behind_at: Option<Position>,
    /// Events it was written, and the bytes of their frames.
    pub(crate) sent: Delivered,
    /// Whether its socket takes nothing at the moment.
    pub(crate) is_blocked: bool,
}

impl Filter {
    pub(super) fn passes(
        &self,
        user: Option<&str>,
        address: IpAddr,
        arrival: Arrival,
        selection: &Selection,
    ) -> bool {
        let is_user = self.user.as_deref().is_none_or(|asked| user == Some(asked));
        let is_method = self.method.as_deref().is_none_or(|asked| arrival.method == asked);
        let is_near = self.network.is_none_or(|network| network.contains(&address));
        is_user
            && is_method
            && is_near
            && self.listens_to.as_ref().is_none_or(|asked| listens(selection, asked))
    }
}

fn listens(selection: &Selection, asked: &Pattern) -> bool {
    let hears = asked.as_topic().is_some_and(|topic| selection.matches_topic(&topic));
    hears || selection.patterns().contains(asked)
}

impl Listing {
    /// Puts another's streams among these, and keeps so many.
    pub(super) fn merge(&mut self, other: Self, streams_max: usize) {
        self.total += other.total;
        self.streams.extend(other.streams);
        self.streams.sort_unstable_by_key(|listed| listed.connection.number());
        self.streams.truncate(streams_max);
    }
}
