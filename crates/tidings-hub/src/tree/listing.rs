//! The tree as an operator looks at it: its topics by name and by how recently they were published
//! to, each search bounded in the nodes it visits. What a topic holds is not looked at here.

use std::collections::BinaryHeap;
use std::ops::Bound;

use super::{NodeKey, TopicTree};
use crate::position::Position;

/// Nodes that a search by name, or a count, may visit: a few milliseconds.
const STEPS_MAX: usize = 100_000;
/// Nodes that a search by recency may visit for each topic it may find, and a floor to that.
const STEPS_PER_TOPIC: usize = 8;

/// What a search by name found.
#[derive(Debug, Default)]
pub(crate) struct NamedTopics {
    pub(crate) found: Vec<NodeKey>,
    /// The name to go on after, where the search was cut short.
    pub(crate) next: Option<String>,
}

/// A search by name under way.
struct NameSearch<'a> {
    /// The prefix, by segments; the last may be the beginning of one.
    prefix: Vec<&'a str>,
    topics_max: usize,
    steps_left: usize,
    found: Vec<NodeKey>,
    /// The last name that was looked at.
    last: String,
}

/// What a search by recency has come upon, ordered by how new it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sight {
    newest: Position,
    kind: SightKind,
    key: NodeKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SightKind {
    /// A node, what is below it, and its siblings.
    Branch,
    /// The same; its name must still be held against the prefix.
    BranchToCheck,
    /// A topic that holds something.
    Topic,
}

impl TopicTree {
    /// The key of this topic, if it holds an event.
    pub(crate) fn find(&self, name: &str) -> Option<NodeKey> {
        let key = self.descend(name, name.split('/'))?;
        (!self.node(key).places.is_empty()).then_some(key)
    }

    /// Frame bytes of the events that a topic holds.
    pub(crate) fn frame_bytes(&self, key: NodeKey) -> u64 {
        self.node(key).frame_bytes
    }

    /// Topics whose name begins with `prefix` and comes after `after`, segment by segment.
    pub(crate) fn topics_by_name(
        &self,
        prefix: &str,
        after: Option<&str>,
        topics_max: usize,
    ) -> NamedTopics {
        let after: Option<Vec<&str>> = after.map(|name| name.split('/').collect());
        let mut search = NameSearch {
            prefix: prefix.split('/').collect(),
            topics_max,
            steps_left: STEPS_MAX,
            found: Vec::new(),
            last: String::new(),
        };
        let root = self.root_of(prefix);
        let is_complete = self.search(root, &mut Vec::new(), after.as_deref(), &mut search);
        let NameSearch { found, last, .. } = search;
        NamedTopics { found, next: (!is_complete).then_some(last) }
    }

    /// Searches below a node whose segments are `path`. False when there may be more.
    fn search<'a>(
        &'a self,
        key: NodeKey,
        path: &mut Vec<&'a str>,
        after: Option<&[&str]>,
        search: &mut NameSearch<'_>,
    ) -> bool {
        let (beginning, is_whole) = match search.prefix.get(path.len()) {
            Some(segment) => (*segment, path.len() + 1 < search.prefix.len()),
            None => ("", false),
        };
        let passed = after.and_then(|after| after.first()).copied().unwrap_or_default();
        let from = if passed > beginning { passed } else { beginning };
        let children =
            self.node(key).children.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        for (name, &child) in children {
            if !name.starts_with(beginning) || (is_whole && **name != *beginning) {
                break;
            }
            if search.steps_left == 0 || search.found.len() == search.topics_max {
                // Whatever is here, if anything, comes after the last name.
                return false;
            }
            search.steps_left -= 1;
            // Looked at already, when it leads to the name to go on after or is that name.
            let rest = after.filter(|after| after.first() == Some(&&**name));
            path.push(name);
            if rest.is_none() {
                search.last = path.join("/");
            }
            let node = self.node(child);
            if rest.is_none() && !is_whole && !node.places.is_empty() {
                search.found.push(child);
            }
            let rest = rest.map(|rest| &rest[1..]).filter(|rest| !rest.is_empty());
            let is_complete = node.held == 0 || self.search(child, path, rest, search);
            path.pop();
            if !is_complete {
                return false;
            }
        }
        true
    }

    /// Topics whose name begins with `prefix`, most recently published first.
    pub(crate) fn topics_by_recency(&self, prefix: &str, topics_max: usize) -> Vec<NodeKey> {
        let mut found = Vec::new();
        let Some((parent, beginning)) = self.parent_of(prefix) else { return found };
        let mut sights = BinaryHeap::new();
        let see = |sights: &mut BinaryHeap<Sight>, key: Option<NodeKey>, kind| {
            let newest = key.map(|key| self.node(key).newest);
            sights.extend(key.zip(newest).map(|(key, newest)| Sight { newest, kind, key }));
        };
        see(&mut sights, self.node(parent).most_recent, SightKind::BranchToCheck);
        let steps_max = topics_max.saturating_mul(STEPS_PER_TOPIC).clamp(1000, STEPS_MAX);
        for _ in 0..steps_max {
            let Some(Sight { key, kind, .. }) = sights.pop() else { break };
            if kind == SightKind::Topic {
                found.push(key);
                if found.len() == topics_max {
                    break;
                }
                continue;
            }
            let node = self.node(key);
            see(&mut sights, node.less_recent, kind);
            if kind == SightKind::BranchToCheck && !node.segment.starts_with(beginning) {
                continue;
            }
            if let Some(newest) = node.places.newest_position() {
                sights.push(Sight { newest, kind: SightKind::Topic, key });
            }
            see(&mut sights, node.most_recent, SightKind::Branch);
        }
        found
    }

    /// How many topics there are whose name begins with `prefix`.
    pub(crate) fn count_topics(&self, prefix: &str) -> usize {
        let Some((parent, beginning)) = self.parent_of(prefix) else { return 0 };
        let parent = self.node(parent);
        if beginning.is_empty() {
            return parent.topics as usize - usize::from(!parent.places.is_empty());
        }
        let from = (Bound::Included(beginning), Bound::Unbounded);
        let children = parent.children.range::<str, _>(from).take(STEPS_MAX);
        children
            .take_while(|(name, _)| name.starts_with(beginning))
            .map(|(_, &child)| self.node(child).topics as usize)
            .sum()
    }

    /// The node of a prefix's whole segments, and what a child's segment must begin with.
    fn parent_of<'a>(&self, prefix: &'a str) -> Option<(NodeKey, &'a str)> {
        let (whole, beginning) = prefix.rsplit_once('/').unwrap_or(("", prefix));
        let segments = whole.split('/').filter(|_| prefix.contains('/'));
        Some((self.descend(prefix, segments)?, beginning))
    }

    fn descend<'a>(
        &self,
        name: &str,
        mut segments: impl Iterator<Item = &'a str>,
    ) -> Option<NodeKey> {
        segments.try_fold(self.root_of(name), |key, segment| {
            self.node(key).children.get(segment).copied()
        })
    }
}
