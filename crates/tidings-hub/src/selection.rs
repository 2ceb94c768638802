//! What a subscriber asks for: some patterns, and perhaps only some event types.
//!
//! Whether the subscriber may have it was decided before; this only says whether an event is in it.

use crate::event::{EventType, StoredEvent};
use crate::topic::{Pattern, Topic};

/// The topics and types a reader wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selection {
    patterns: Box<[Pattern]>,
    types: Option<Box<[EventType]>>,
}

impl Selection {
    /// Every event whose topics match one of the patterns; repeats are dropped.
    pub fn new(patterns: impl IntoIterator<Item = Pattern>) -> Self {
        let mut unique: Vec<Pattern> = Vec::new();
        for pattern in patterns {
            if !unique.contains(&pattern) {
                unique.push(pattern);
            }
        }
        Self { patterns: unique.into(), types: None }
    }

    /// Only events of these types. No types at all means every type.
    #[must_use]
    pub fn of_types(mut self, types: impl IntoIterator<Item = EventType>) -> Self {
        let types: Box<[EventType]> = types.into_iter().collect();
        self.types = (!types.is_empty()).then_some(types);
        self
    }

    /// The patterns, without repeats.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// The only event types that are wanted; nothing when all are.
    pub fn types(&self) -> Option<&[EventType]> {
        self.types.as_deref()
    }

    /// Whether a topic matches one of the patterns.
    pub fn matches_topic(&self, topic: &Topic) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(topic))
    }

    /// Whether events of this type are wanted.
    pub fn wants_type(&self, event_type: &EventType) -> bool {
        self.types.as_ref().is_none_or(|types| types.contains(event_type))
    }

    /// Whether this event is wanted.
    pub fn matches(&self, event: &StoredEvent) -> bool {
        self.wants_type(event.event_type())
            && event.topics().iter().any(|topic| self.matches_topic(topic))
    }
}
