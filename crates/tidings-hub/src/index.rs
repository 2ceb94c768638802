//! Who listens to what: listeners by topic and by pattern.
//!
//! The other way round from the log's index: there a pattern looks for topics, here a published
//! topic looks for the patterns that match it. What a listener is, its owner knows.

use std::collections::BTreeMap;

use crate::topic::{Pattern, PatternSegment, Topic};

/// Listeners by pattern. Finding those of a topic visits only the branches that match it.
#[derive(Debug)]
pub struct PatternIndex<T> {
    root: Node<T>,
}

/// Most nodes are the last segment of one listener's topic, so what they rarely have is elsewhere.
#[derive(Debug)]
struct Node<T> {
    literal: BTreeMap<Box<str>, Node<T>>,
    /// Patterns that end here.
    here: Listeners<T>,
    wild: Option<Box<Wild<T>>>,
}

#[derive(Debug)]
struct Wild<T> {
    /// Behind a `*`.
    one: Node<T>,
    /// Patterns that end here with `**`.
    rest: Listeners<T>,
}

/// A set as a sorted list: four bytes for a listener that is a small number, where a tree's
/// smallest node takes sixty.
#[derive(Debug)]
struct Listeners<T>(Vec<T>);

impl<T> Default for PatternIndex<T> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { literal: BTreeMap::new(), here: Listeners::default(), wild: None }
    }
}

impl<T> Default for Wild<T> {
    fn default() -> Self {
        Self { one: Node::default(), rest: Listeners::default() }
    }
}

impl<T> Default for Listeners<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> Listeners<T> {
    fn insert(&mut self, listener: T) {
        if let Err(index) = self.0.binary_search(&listener) {
            if self.0.is_empty() {
                self.0.reserve_exact(1);
            }
            self.0.insert(index, listener);
        }
    }

    fn remove(&mut self, listener: &T) {
        if let Ok(index) = self.0.binary_search(listener) {
            self.0.remove(index);
            if self.0.len() < self.0.capacity() / 4 {
                self.0.shrink_to(self.0.len() * 2);
            }
        }
    }
}

impl<T: Ord> PatternIndex<T> {
    /// Adds a listener to a pattern; adding it twice is adding it once.
    pub fn insert(&mut self, pattern: &Pattern, listener: T) {
        let mut node = &mut self.root;
        for segment in pattern.segments() {
            node = match segment {
                PatternSegment::Literal(name) => node.literal.entry(name.into()).or_default(),
                PatternSegment::One => &mut node.wild.get_or_insert_default().one,
                PatternSegment::Rest => {
                    node.wild.get_or_insert_default().rest.insert(listener);
                    return;
                }
            };
        }
        node.here.insert(listener);
    }

    /// Takes a listener from a pattern.
    pub fn remove(&mut self, pattern: &Pattern, listener: &T) {
        let segments: Vec<_> = pattern.segments().collect();
        self.root.remove(&segments, listener);
    }

    /// Calls `visit` with every listener of a pattern that matches the topic: once per pattern.
    pub fn for_each_match<'a>(&'a self, topic: &Topic, mut visit: impl FnMut(&'a T)) {
        let segments: Vec<_> = topic.segments().collect();
        let wildcards = !topic.as_str().starts_with('$');
        self.root.visit(&segments, wildcards, &mut visit);
    }

    /// Whether nobody listens to anything.
    pub fn is_empty(&self) -> bool {
        self.root.is_empty()
    }
}

impl<T: Ord> Node<T> {
    fn remove(&mut self, segments: &[PatternSegment<'_>], listener: &T) {
        let Some((segment, rest)) = segments.split_first() else {
            self.here.remove(listener);
            return;
        };
        match segment {
            PatternSegment::Literal(name) => {
                if let Some(node) = self.literal.get_mut(*name) {
                    node.remove(rest, listener);
                    if node.is_empty() {
                        self.literal.remove(*name);
                    }
                }
            }
            PatternSegment::One | PatternSegment::Rest => {
                let Some(wild) = &mut self.wild else { return };
                if *segment == PatternSegment::Rest {
                    wild.rest.remove(listener);
                } else {
                    wild.one.remove(rest, listener);
                }
                if wild.is_empty() {
                    self.wild = None;
                }
            }
        }
    }

    fn visit<'a>(&'a self, segments: &[&str], wildcards: bool, visit: &mut impl FnMut(&'a T)) {
        let Some((name, rest)) = segments.split_first() else {
            self.here.0.iter().for_each(visit);
            return;
        };
        if wildcards && let Some(wild) = &self.wild {
            wild.rest.0.iter().for_each(&mut *visit);
            wild.one.visit(rest, wildcards, visit);
        }
        if let Some(node) = self.literal.get(*name) {
            node.visit(rest, true, visit);
        }
    }

    fn is_empty(&self) -> bool {
        self.literal.is_empty() && self.here.0.is_empty() && self.wild.is_none()
    }
}

impl<T: Ord> Wild<T> {
    fn is_empty(&self) -> bool {
        self.one.is_empty() && self.rest.0.is_empty()
    }
}
