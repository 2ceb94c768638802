//! What a shard is asked about its streams: a look through all of them, a slice a turn, so that
//! nobody's events wait for it.

use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use slab::Slab;
use tidings_hub::{Cursor, Topic};
use tokio::sync::oneshot;

use super::census::{Census, Listed, Listing};
use super::connection::Connection;
use super::groups::{Groups, Key};

/// Streams looked at in one turn.
const LOOKED_AT_ONCE: usize = 4096;
/// Groups looked at in one turn, past those of one topic.
const GROUPS_AT_ONCE: usize = 4096;

/// A question.
#[derive(Debug)]
pub(super) enum Question {
    /// Who is connected?
    Census(Arc<Census>, oneshot::Sender<Listing>),
    /// How many streams listen to each of these topics?
    Listeners(Arc<[Topic]>, oneshot::Sender<Vec<usize>>),
}

impl Question {
    /// Whether whoever asked has gone.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Census(_, answer) => answer.is_closed(),
            Self::Listeners(_, answer) => answer.is_closed(),
        }
    }
}

/// Questions, the first of them half answered perhaps.
#[derive(Debug, Default)]
pub(super) struct Survey {
    questions: VecDeque<Question>,
    /// Where the first has come to: streams or topics.
    from: usize,
    /// The streams found that come first: their name and their key.
    found: BinaryHeap<(u64, Key)>,
    total: usize,
    listeners: Vec<usize>,
}

impl Survey {
    pub(super) fn is_over(&self) -> bool {
        self.questions.is_empty()
    }

    pub(super) fn ask(&mut self, question: Question) {
        self.questions.push_back(question);
    }

    /// Goes on with the first question. `listed` says what is told of a stream.
    pub(super) fn go_on(
        &mut self,
        connections: &Slab<Connection>,
        groups: &Groups,
        listed: impl Fn(&Connection) -> Listed,
    ) {
        let Some(question) = self.questions.pop_front() else { return };
        if question.is_abandoned() {
            self.begin();
            return;
        }
        match question {
            Question::Census(census, answer) => {
                if self.count(&census, connections, groups) {
                    // One that has left since may have been followed by another in its place.
                    let still_there = |(name, key): (u64, Key)| {
                        let connection = connections.get(key as usize)?;
                        (connection.owner.connection.number() == name).then_some(connection)
                    };
                    let found = std::mem::take(&mut self.found).into_sorted_vec();
                    let streams = found.into_iter().filter_map(still_there).map(listed).collect();
                    let _ = answer.send(Listing { streams, total: self.total });
                    self.begin();
                } else {
                    self.questions.push_front(Question::Census(census, answer));
                }
            }
            Question::Listeners(topics, answer) => {
                let mut looked_at = 0;
                while self.from < topics.len() && looked_at < GROUPS_AT_ONCE {
                    let (listeners, groups) = groups.listeners(&topics[self.from]);
                    self.listeners.push(listeners);
                    self.from += 1;
                    looked_at += groups + 1;
                }
                if self.from == topics.len() {
                    let _ = answer.send(std::mem::take(&mut self.listeners));
                    self.begin();
                } else {
                    self.questions.push_front(Question::Listeners(topics, answer));
                }
            }
        }
    }

    fn begin(&mut self) {
        *self = Self { questions: std::mem::take(&mut self.questions), ..Self::default() };
    }

    /// Looks at the next streams; whether these were the last.
    fn count(&mut self, census: &Census, connections: &Slab<Connection>, groups: &Groups) -> bool {
        let to = (self.from + LOOKED_AT_ONCE).min(connections.capacity());
        let after = census.after.map(super::ConnectionId::number);
        for index in self.from..to {
            let Some(connection) = connections.get(index) else { continue };
            let place = connection.reservation();
            let selection = groups.selection(connection.group);
            let (user, address) = (place.user().map(AsRef::as_ref), place.address());
            if !census.filter.passes(user, address, connection.arrival, selection) {
                continue;
            }
            self.total += 1;
            let name = connection.owner.connection.number();
            if after.is_some_and(|after| name <= after) {
                continue;
            }
            self.found.push((name, super::shard::key(index)));
            if self.found.len() > census.streams_max {
                self.found.pop();
            }
        }
        self.from = to;
        to == connections.capacity()
    }
}

/// Tells the shard to answer once it has read the log up to a position.
#[derive(Debug)]
pub(super) struct Milestone {
    pub(super) cursor: Cursor,
    pub(super) reached: oneshot::Sender<()>,
}

impl Milestone {
    /// Whether whoever has read up to `place` is past it.
    pub(super) fn is_reached(&self, place: Cursor) -> bool {
        place.epoch == self.cursor.epoch && place.position >= self.cursor.position
    }
}
