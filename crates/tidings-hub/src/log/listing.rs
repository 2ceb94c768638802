//! The log as an operator looks at it: what each topic holds, and the events of one, newest first.
//! Each look is bounded in what it visits; whoever wants more comes back with where it ended.

use std::sync::Arc;

use crate::event::StoredEvent;
use crate::log::{Log, PageBounds};
use crate::position::Position;
use crate::topic::Topic;
use crate::tree::NodeKey;

/// Seconds that count as lately.
pub const RECENT_SECS: u64 = 60;

/// What one topic holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Its name.
    pub topic: Topic,
    /// Events it holds.
    pub events: usize,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Those of the last minute that it still holds.
    pub recent_events: usize,
    /// When its oldest event was published, in milliseconds since the Unix epoch.
    pub oldest_ms: u64,
    /// When its newest event was published.
    pub newest_ms: u64,
}

/// Some of the topics, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPage {
    /// The topics.
    pub topics: Vec<TopicState>,
    /// The name to go on after, when there may be more. A topic of that name need not exist.
    pub next: Option<String>,
}

/// Some of the events of a topic.
#[derive(Debug, Default)]
pub struct History {
    /// Newest first.
    pub events: Vec<Arc<StoredEvent>>,
    /// Whether there are older ones.
    pub more: bool,
}

impl Log {
    pub(crate) fn topics(
        &self,
        prefix: &str,
        after: Option<&str>,
        topics_max: usize,
        uptime_ms: u64,
    ) -> TopicPage {
        let named = self.tree.topics_by_name(prefix, after, topics_max);
        TopicPage { topics: self.states(&named.found, uptime_ms), next: named.next }
    }

    pub(crate) fn recent_topics(
        &self,
        prefix: &str,
        topics_max: usize,
        uptime_ms: u64,
    ) -> Vec<TopicState> {
        self.states(&self.tree.topics_by_recency(prefix, topics_max), uptime_ms)
    }

    pub(crate) fn count_topics(&self, prefix: &str) -> usize {
        self.tree.count_topics(prefix)
    }

    pub(crate) fn events_before(
        &self,
        topic: &Topic,
        before: Position,
        bounds: PageBounds,
    ) -> History {
        let mut page = History::default();
        let Some(key) = self.tree.find(topic.as_str()) else { return page };
        let mut bytes = 0;
        for place in self.tree.places(key).backwards_before(before) {
            let event = &self.entry(place.entry).event;
            bytes += event.frame().len();
            let full = page.events.len() == bounds.events_max || bytes > bounds.bytes_max;
            if full && !page.events.is_empty() {
                page.more = true;
                break;
            }
            page.events.push(Arc::clone(event));
        }
        page
    }

    fn states(&self, keys: &[NodeKey], uptime_ms: u64) -> Vec<TopicState> {
        let since_secs = (uptime_ms / 1000).saturating_sub(RECENT_SECS - 1);
        let since_secs = u32::try_from(since_secs).unwrap_or(u32::MAX);
        keys.iter().filter_map(|&key| self.state(key, since_secs)).collect()
    }

    fn state(&self, key: NodeKey, since_secs: u32) -> Option<TopicState> {
        let places = self.tree.places(key);
        let (oldest, newest) = (places.oldest()?, places.newest()?);
        let entry = self.entry(newest.entry);
        // The event has the name already.
        let index = entry.holders.iter().position(|holder| *holder == Some(key))?;
        Some(TopicState {
            topic: entry.event.topics()[index].clone(),
            events: places.len(),
            bytes: self.tree.frame_bytes(key),
            recent_events: places.len_since(since_secs).min(places.len()),
            oldest_ms: self.entry(oldest.entry).event.time_ms(),
            newest_ms: entry.event.time_ms(),
        })
    }
}
