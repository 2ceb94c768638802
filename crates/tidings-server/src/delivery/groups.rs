//! Listeners that asked for the same, together: an event is matched, and its bytes are gathered,
//! once for all of them.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;
use tidings_hub::{PatternIndex, Selection, StoredEvent, Topic};

/// A connection's key in its shard.
pub(super) type Key = u32;

/// A group's key in its shard.
pub(super) type GroupKey = u32;

#[derive(Debug, Default)]
pub(super) struct Groups {
    by_selection: HashMap<Arc<Selection>, GroupKey>,
    groups: Slab<Group>,
    index: PatternIndex<GroupKey>,
    /// Groups that have something pending.
    dirty: Vec<GroupKey>,
}

/// Everyone in a shard with one selection.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) selection: Arc<Selection>,
    pub(super) members: Vec<Key>,
    /// Events gathered for the members since the last flush.
    pub(super) pending: Vec<Arc<StoredEvent>>,
}

impl Groups {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Adds a connection to those with its selection: its group, and its place there.
    pub(super) fn join(&mut self, selection: Selection, key: Key) -> (GroupKey, u32) {
        let group_key = match self.by_selection.get(&selection) {
            Some(&group_key) => group_key,
            None => self.found(selection),
        };
        let members = &mut self.groups[group_key as usize].members;
        members.push(key);
        (group_key, short(members.len() - 1))
    }

    fn found(&mut self, selection: Selection) -> GroupKey {
        let selection = Arc::new(selection);
        let group =
            Group { selection: Arc::clone(&selection), members: Vec::new(), pending: Vec::new() };
        let group_key = short(self.groups.insert(group));
        for pattern in selection.patterns() {
            self.index.insert(pattern, group_key);
        }
        self.by_selection.insert(selection, group_key);
        group_key
    }

    /// Takes a connection out. Returns whose place is now the one that was given up.
    pub(super) fn leave(&mut self, group_key: GroupKey, place: u32) -> Option<Key> {
        let group = &mut self.groups[group_key as usize];
        group.members.swap_remove(place as usize);
        let moved = group.members.get(place as usize).copied();
        if group.members.is_empty() {
            let group = self.groups.remove(group_key as usize);
            for pattern in group.selection.patterns() {
                self.index.remove(pattern, &group_key);
            }
            self.by_selection.remove(&group.selection);
        }
        moved
    }

    pub(super) fn selection(&self, group_key: GroupKey) -> &Arc<Selection> {
        &self.groups[group_key as usize].selection
    }

    /// Gathers an event for every group that wants it: once, however many of its topics match.
    /// Whether there is one.
    pub(super) fn gather(&mut self, event: &Arc<StoredEvent>) -> bool {
        let Self { groups, index, dirty, .. } = self;
        let mut is_wanted = false;
        for topic in event.topics() {
            index.for_each_match(topic, |&group_key| {
                let group = &mut groups[group_key as usize];
                let is_last = group.pending.last().is_some_and(|last| Arc::ptr_eq(last, event));
                if is_last || !group.selection.wants_type(event.event_type()) {
                    return;
                }
                if group.pending.is_empty() {
                    dirty.push(group_key);
                }
                group.pending.push(Arc::clone(event));
                is_wanted = true;
            });
        }
        is_wanted
    }

    /// How many connections want an event.
    pub(super) fn wanting(&self, event: &StoredEvent) -> usize {
        let mut found = Vec::new();
        for topic in event.topics() {
            self.index.for_each_match(topic, |&group_key| found.push(group_key));
        }
        // A group may have several patterns, and an event several topics.
        found.sort_unstable();
        found.dedup();
        let groups = found.iter().map(|&group_key| &self.groups[group_key as usize]);
        let wanting = groups.filter(|group| group.selection.wants_type(event.event_type()));
        wanting.map(|group| group.members.len()).sum()
    }

    /// A group with something pending, and what it is: each once, until none is left.
    pub(super) fn next_dirty(&mut self) -> Option<(GroupKey, Vec<Arc<StoredEvent>>)> {
        while let Some(group_key) = self.dirty.pop() {
            // A group may have lost its last member since.
            if let Some(group) = self.groups.get_mut(group_key as usize)
                && !group.pending.is_empty()
            {
                return Some((group_key, std::mem::take(&mut group.pending)));
            }
        }
        None
    }

    /// How many connections listen to a topic, and in how many groups they are.
    pub(super) fn listeners(&self, topic: &Topic) -> (usize, usize) {
        let mut found = Vec::new();
        self.index.for_each_match(topic, |&group_key| found.push(group_key));
        // A group may have several patterns that match.
        found.sort_unstable();
        found.dedup();
        (found.iter().map(|&group_key| self.members(group_key).len()).sum(), found.len())
    }

    pub(super) fn members(&self, group_key: GroupKey) -> &[Key] {
        self.groups.get(group_key as usize).map_or(&[], |group| &group.members)
    }
}

fn short(index: usize) -> u32 {
    u32::try_from(index).expect("file descriptors run out long before")
}
