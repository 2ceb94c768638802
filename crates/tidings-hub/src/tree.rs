//! The log's index by topic: which events each topic holds, and what each has dropped.
//!
//! A tree of segments, so that a pattern is a walk. Two things make the walk cost what it returns
//! rather than what there is: siblings are chained by how recently something was published below
//! them, so a walk stops at the first that has nothing new; and every node knows the newest
//! position dropped below it, so that a gap is found, or ruled out, without visiting the topics.
//! Events themselves, and how many of them there may be, belong to the log.

mod listing;

use std::collections::{BTreeMap, BTreeSet};

use slab::Slab;

use crate::places::{Place, Places};
use crate::position::Position;
use crate::topic::{Pattern, PatternSegment, Topic};

/// A topic's key, valid while the topic holds an event.
pub(crate) type NodeKey = u32;

#[derive(Debug)]
pub(crate) struct TopicTree {
    nodes: Slab<Node>,
    /// Topics from outside.
    root: NodeKey,
    /// The hub's own topics, those with a leading `$`: apart, so that no wildcard can reach them.
    hub_root: NodeKey,
    /// Bytes of the nodes that hold something, themselves or below, without the hub's own.
    bytes: usize,
    /// Topics that hold nothing any more but are remembered for what they dropped, oldest first.
    emptied: BTreeSet<(Position, NodeKey)>,
    topics_remembered_max: usize,
    /// What has been dropped by topics that have been forgotten since.
    forgotten: Dropped,
    /// Events released so far, an event once per topic.
    releases: u64,
}

/// What a topic, or several, have dropped: how far into the log that reaches, and when it last
/// happened, as drops need not come in the order of the log.
#[derive(Clone, Copy, Debug, Default)]
struct Dropped {
    newest: Position,
    /// The number of the last release.
    release: u64,
}

impl Dropped {
    fn add(&mut self, other: Self) {
        self.newest = self.newest.max(other.newest);
        self.release = self.release.max(other.release);
    }

    /// Whether there may be a drop after `complete.position` that came after
    /// `complete.releases`.
    fn breaks(self, complete: Complete) -> bool {
        self.newest > complete.position && self.release > complete.releases
    }
}

/// What a reader misses nothing of: positions up to one, and whatever had been dropped before the
/// reader began, so many releases into the life of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Complete {
    pub(crate) position: Position,
    pub(crate) releases: u64,
}

#[derive(Debug, Default)]
struct Node {
    parent: Option<NodeKey>,
    segment: Box<str>,
    children: BTreeMap<Box<str>, NodeKey>,
    /// The child most recently published to or below; the others follow by `less_recent`.
    most_recent: Option<NodeKey>,
    more_recent: Option<NodeKey>,
    less_recent: Option<NodeKey>,
    /// The newest position published to this topic or below it.
    newest: Position,
    /// Events held by this topic and those below it, an event once per topic.
    held: usize,
    /// Topics that hold an event, this one and those below it.
    topics: u32,
    /// Frame bytes of the events that this topic holds.
    frame_bytes: u64,
    places: Places,
    /// What this topic has dropped.
    dropped: Dropped,
    /// What the topics below this one have dropped.
    dropped_below: Dropped,
}

/// What a walk for the topics of a pattern may cost, and whether it got to the end.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Matching topics found.
    pub(crate) found: Vec<NodeKey>,
    /// Nodes the walk may still visit.
    pub(crate) steps_left: usize,
}

impl TopicTree {
    pub(crate) fn new(topics_remembered_max: usize) -> Self {
        let mut nodes = Slab::new();
        let root = insert(&mut nodes, Node::default());
        let hub_root = insert(&mut nodes, Node::default());
        Self {
            nodes,
            root,
            hub_root,
            bytes: 0,
            emptied: BTreeSet::new(),
            topics_remembered_max,
            forgotten: Dropped::default(),
            releases: 0,
        }
    }

    /// Says of a new tree that every topic has dropped whatever there was up to a position, after so
    /// many releases.
    pub(crate) fn have_dropped_up_to(&mut self, position: Position, releases: u64) {
        self.releases = releases + 1;
        self.forgotten = Dropped { newest: position, release: self.releases };
    }

    /// Topics that hold an event, without the hub's own.
    pub(crate) fn live_topics(&self) -> usize {
        self.node(self.root).topics as usize
    }

    /// Bytes of the nodes that topics with an event need, roughly; those of remembered topics are
    /// bounded by their number.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Events released so far, an event once per topic.
    pub(crate) fn releases(&self) -> u64 {
        self.releases
    }

    /// Gives a topic the newest event of the log, and the bytes of its frame.
    pub(crate) fn insert(&mut self, topic: &Topic, place: Place, frame_bytes: u64) -> NodeKey {
        let root = self.root_of(topic.as_str());
        let mut key = root;
        for segment in topic.segments() {
            key = match self.node(key).children.get(segment) {
                Some(&child) => child,
                None => self.add_child(key, segment),
            };
        }
        let node = self.node_mut(key);
        let is_new = node.places.is_empty();
        node.places.push(place);
        node.frame_bytes += frame_bytes;
        if is_new {
            let dropped = node.dropped.newest;
            self.emptied.remove(&(dropped, key));
        }

        let mut ancestor = Some(key);
        while let Some(key) = ancestor {
            let node = self.node_mut(key);
            node.newest = place.position;
            let was_empty = node.held == 0;
            node.held += 1;
            node.topics += u32::from(is_new);
            let bytes = node.footprint_bytes();
            ancestor = node.parent;
            if let Some(parent) = ancestor {
                self.bytes += if was_empty && root == self.root { bytes } else { 0 };
                self.make_most_recent(parent, key, was_empty);
            }
        }
        key
    }

    /// Takes the event at this position, and the bytes of its frame, from a topic that holds it.
    pub(crate) fn release(&mut self, key: NodeKey, position: Position, frame_bytes: u64) {
        self.releases += 1;
        let is_own = self.is_own(key);
        let drop = Dropped { newest: position, release: self.releases };
        let node = self.node_mut(key);
        let was_held = node.places.strike(position);
        debug_assert!(was_held, "only a held event is released");
        node.dropped.add(drop);
        node.frame_bytes -= frame_bytes;
        let emptied = node.places.is_empty();
        let dropped = node.dropped.newest;

        let mut child = key;
        loop {
            let node = self.node_mut(child);
            node.held -= 1;
            node.topics -= u32::from(emptied);
            let empty = node.held == 0;
            let bytes = node.footprint_bytes();
            let Some(parent) = node.parent else { break };
            if empty {
                self.bytes -= if is_own { 0 } else { bytes };
                self.unchain(parent, child);
            }
            self.node_mut(parent).dropped_below.add(drop);
            child = parent;
        }

        if emptied {
            self.emptied.insert((dropped, key));
            if self.emptied.len() > self.topics_remembered_max {
                self.forget_oldest();
            }
        }
    }

    /// The places a topic holds.
    pub(crate) fn places(&self, key: NodeKey) -> &Places {
        &self.node(key).places
    }

    /// Collects the topics that match and were published to after a position. False when the walk
    /// ran out of steps or found more than `found_max`: there may be more.
    pub(crate) fn walk(
        &self,
        pattern: &Pattern,
        after: Position,
        found_max: usize,
        walk: &mut Walk,
    ) -> bool {
        let segments: Vec<_> = pattern.segments().collect();
        self.walk_node(self.root_of(pattern.as_str()), &segments, after, found_max, walk)
    }

    fn walk_node(
        &self,
        key: NodeKey,
        segments: &[PatternSegment<'_>],
        after: Position,
        found_max: usize,
        walk: &mut Walk,
    ) -> bool {
        if walk.steps_left == 0 {
            return false;
        }
        walk.steps_left -= 1;
        let node = self.node(key);
        let Some((&segment, rest)) = segments.split_first() else {
            return self.found(key, after, found_max, walk);
        };
        if let PatternSegment::Literal(name) = segment {
            return match node.children.get(name) {
                Some(&child) if self.node(child).newest > after => {
                    self.walk_node(child, rest, after, found_max, walk)
                }
                _ => true,
            };
        }
        let mut next = node.most_recent;
        while let Some(key) = next {
            let child = self.node(key);
            if child.newest <= after {
                break;
            }
            let complete = match segment {
                PatternSegment::Rest => {
                    self.found(key, after, found_max, walk)
                        && self.walk_node(key, segments, after, found_max, walk)
                }
                _ => self.walk_node(key, rest, after, found_max, walk),
            };
            if !complete {
                return false;
            }
            next = child.less_recent;
        }
        true
    }

    fn found(&self, key: NodeKey, after: Position, found_max: usize, walk: &mut Walk) -> bool {
        if self.node(key).places.newest_position().is_some_and(|newest| newest > after) {
            if walk.found.len() == found_max {
                return false;
            }
            walk.found.push(key);
        }
        true
    }

    /// Whether a topic that matches has dropped an event that a reader needs. Topics long forgotten
    /// are taken to have dropped up to where the forgetting has come: a gap too many, never one
    /// too few; and so is a pattern that it would take too many steps to know of.
    pub(crate) fn has_lost(
        &self,
        pattern: &Pattern,
        complete: Complete,
        steps_left: &mut usize,
    ) -> bool {
        if !pattern.is_literal() && self.forgotten.breaks(complete) {
            return true;
        }
        let segments: Vec<_> = pattern.segments().collect();
        self.node_has_lost(self.root_of(pattern.as_str()), &segments, complete, steps_left)
    }

    fn node_has_lost(
        &self,
        key: NodeKey,
        segments: &[PatternSegment<'_>],
        complete: Complete,
        steps_left: &mut usize,
    ) -> bool {
        let node = self.node(key);
        let Some((&segment, rest)) = segments.split_first() else {
            return node.dropped.breaks(complete);
        };
        match segment {
            PatternSegment::Rest => node.dropped_below.breaks(complete),
            PatternSegment::Literal(name) => match node.children.get(name) {
                Some(&child) => self.node_has_lost(child, rest, complete, steps_left),
                None => self.forgotten.breaks(complete),
            },
            PatternSegment::One => {
                node.dropped_below.breaks(complete)
                    && node.children.values().any(|&child| {
                        if *steps_left == 0 {
                            return true;
                        }
                        *steps_left -= 1;
                        self.node_has_lost(child, rest, complete, steps_left)
                    })
            }
        }
    }

    fn root_of(&self, name: &str) -> NodeKey {
        if name.starts_with('$') { self.hub_root } else { self.root }
    }

    /// Whether a topic is one of the hub's own.
    fn is_own(&self, mut key: NodeKey) -> bool {
        while let Some(parent) = self.node(key).parent {
            key = parent;
        }
        key == self.hub_root
    }

    fn add_child(&mut self, parent: NodeKey, segment: &str) -> NodeKey {
        let node = Node {
            parent: Some(parent),
            segment: segment.into(),
            dropped: self.forgotten,
            ..Node::default()
        };
        let key = insert(&mut self.nodes, node);
        self.node_mut(parent).children.insert(segment.into(), key);
        key
    }

    fn make_most_recent(&mut self, parent: NodeKey, key: NodeKey, was_empty: bool) {
        if self.node(parent).most_recent == Some(key) {
            return;
        }
        if !was_empty {
            self.unchain(parent, key);
        }
        let first = self.node_mut(parent).most_recent.replace(key);
        if let Some(first) = first {
            self.node_mut(first).more_recent = Some(key);
        }
        let node = self.node_mut(key);
        node.less_recent = first;
        node.more_recent = None;
    }

    fn unchain(&mut self, parent: NodeKey, key: NodeKey) {
        let node = self.node_mut(key);
        let (more, less) = (node.more_recent.take(), node.less_recent.take());
        match more {
            Some(more) => self.node_mut(more).less_recent = less,
            None => self.node_mut(parent).most_recent = less,
        }
        if let Some(less) = less {
            self.node_mut(less).more_recent = more;
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, key)) = self.emptied.pop_first() else { return };
        let forgotten = self.node(key).dropped;
        self.forgotten.add(forgotten);
        let mut key = key;
        loop {
            let node = self.node(key);
            let Some(parent) = node.parent else { return };
            let remembered = node.held > 0 || self.emptied.contains(&(node.dropped.newest, key));
            if remembered || !node.children.is_empty() {
                return;
            }
            let node = self.nodes.remove(key as usize);
            self.node_mut(parent).children.remove(&node.segment);
            key = parent;
        }
    }

    fn node(&self, key: NodeKey) -> &Node {
        &self.nodes[key as usize]
    }

    fn node_mut(&mut self, key: NodeKey) -> &mut Node {
        &mut self.nodes[key as usize]
    }
}

impl Node {
    /// Bytes this node keeps in memory, roughly: measured as 390 among many siblings, 465 where
    /// every branch is a topic of its own.
    fn footprint_bytes(&self) -> usize {
        /// Slots in the parent's map and in the queue of places, and the allocator's share.
        const OVERHEAD_BYTES: usize = 192;
        size_of::<Self>() + OVERHEAD_BYTES + 2 * self.segment.len()
    }
}

fn insert(nodes: &mut Slab<Node>, node: Node) -> NodeKey {
    NodeKey::try_from(nodes.insert(node)).expect("the log's byte bound is reached long before")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of the two roots.
    const ROOTS: usize = 2;

    /// Publishes to topics of three segments, many sharing their beginnings, and releases all.
    fn tree_after_churn(topics_remembered_max: usize) -> (TopicTree, usize) {
        let mut tree = TopicTree::new(topics_remembered_max);
        let mut rng = fastrand::Rng::with_seed(42);
        let mut held: Vec<(NodeKey, Position)> = Vec::new();
        let mut nodes_max = 0;
        for number in 1..50_000 {
            let name = match rng.u32(..3) {
                0 => format!("a/{}", rng.u32(..1_000)),
                1 => format!("a/{}/{}", rng.u32(..1_000), rng.u32(..1_000)),
                _ => format!("{}/b/c", rng.u32(..1_000_000)),
            };
            let position = Position::new(number);
            let place = Place { position, entry: 0, uptime_secs: 0 };
            held.push((tree.insert(&Topic::new(&name).expect("a topic"), place, 1), position));
            if held.len() > 50 {
                let (node, position) = held.swap_remove(rng.usize(..held.len()));
                tree.release(node, position, 1);
            }
            nodes_max = nodes_max.max(tree.nodes.len());
        }
        for (node, position) in held {
            tree.release(node, position, 1);
        }
        (tree, nodes_max)
    }

    #[test]
    fn nothing_is_left_of_topics_that_are_forgotten() {
        let (tree, nodes_max) = tree_after_churn(0);
        assert_eq!((tree.nodes.len(), tree.live_topics(), tree.emptied.len()), (ROOTS, 0, 0));
        assert!(nodes_max <= ROOTS + 3 * 51, "{nodes_max} nodes for 51 topics");
    }

    #[test]
    fn only_so_many_topics_are_remembered() {
        let (tree, nodes_max) = tree_after_churn(100);
        assert_eq!((tree.live_topics(), tree.emptied.len()), (0, 100));
        assert!(nodes_max <= ROOTS + 3 * 151, "{nodes_max} nodes for 151 topics");
    }
}
