//! A subscriber's place in the log: what it has read, what it has been handed, and what is still
//! owed to it.
//!
//! Every transport reports to it in the same words, so repeats are removed and gaps told in one
//! place. It does no I/O. Within an epoch positions only grow; whatever contradicts that without a
//! gap from the hub is told as a gap, never swallowed.

use std::collections::VecDeque;

use tidings_hub::{Cursor, Position};

use crate::event::{Connected, Event, Gap, GapReason};
use crate::subscription::Item;

/// The place, and the items that have been read but not handed over yet.
#[derive(Debug)]
pub(crate) struct Place {
    /// Everything up to here has been read from the hub.
    read: Option<Cursor>,
    /// Everything up to here has been handed over.
    handed: Option<Cursor>,
    /// The hub did not resume from the cursor it was offered and has not said `gap` yet; it went on
    /// from here.
    owed: Option<Cursor>,
    waiting: VecDeque<(Option<Item>, Option<Cursor>)>,
}

impl Place {
    pub(crate) fn new(start: Option<Cursor>) -> Self {
        Self { read: start, handed: start, owed: None, waiting: VecDeque::new() }
    }

    /// The cursor to resume with.
    pub(crate) fn read(&self) -> Option<Cursor> {
        self.read
    }

    /// The cursor of what has been handed over.
    pub(crate) fn handed(&self) -> Option<Cursor> {
        self.handed
    }

    /// The next item to hand over.
    pub(crate) fn next_item(&mut self) -> Option<Item> {
        while let Some((item, cursor)) = self.waiting.pop_front() {
            self.handed = cursor;
            if item.is_some() {
                return item;
            }
        }
        None
    }

    /// Anything but an event or a gap: it moves nothing.
    pub(crate) fn tell(&mut self, item: Item) {
        self.waiting.push_back((Some(item), self.read));
    }

    /// A stream begins, or a poller's first answer has come.
    pub(crate) fn connected(&mut self, connected: Connected) {
        // A cursor that was not resumed from stays until its gap is told: should the connection
        // break in between, the next one must ask with it again or the gap would be lost.
        self.owed = (self.read.is_some() && !connected.resumed).then_some(connected.cursor);
        self.read.get_or_insert(connected.cursor);
        self.tell(Item::Connected(connected));
    }

    pub(crate) fn gap(&mut self, gap: Gap) {
        self.owed = None;
        let cursor = match self.read {
            // What is lost lies behind; what was read beyond it is not read again.
            Some(read)
                if read.epoch == gap.cursor.epoch
                    && matches!(gap.reason, GapReason::Expired | GapReason::Slow) =>
            {
                Cursor { position: read.position.max(gap.cursor.position), ..read }
            }
            _ => gap.cursor,
        };
        self.read = Some(cursor);
        self.tell(Item::Gap(gap));
    }

    /// An event has been read. One that was read before is dropped.
    pub(crate) fn event(&mut self, event: Event) {
        let before = Cursor { position: event.id.position.previous(), ..event.id };
        if self.passes(event.id, before) {
            self.read = Some(event.id);
            self.tell(Item::Event(event));
        }
    }

    /// Everything up to the cursor has been read, and no event of the subscriber's was among it.
    pub(crate) fn moved(&mut self, cursor: Cursor) {
        if self.passes(cursor, cursor) {
            self.read = Some(cursor);
            self.waiting.push_back((None, self.read));
        }
    }

    /// Whether the cursor lies ahead. Tells the gap that the hub should have told.
    fn passes(&mut self, cursor: Cursor, gap_ends: Cursor) -> bool {
        let other_epoch = self.read.is_some_and(|read| read.epoch != cursor.epoch);
        let untold = if other_epoch { self.owed.or(Some(gap_ends)) } else { self.owed };
        if let Some(ends) = untold {
            self.gap(Gap { reason: GapReason::Unknown, topics: Vec::new(), cursor: ends });
        }
        let behind = self.read.map_or(Position::START, |read| read.position);
        self.read.is_none() || cursor.position > behind
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Content;

    fn cursor(text: &str) -> Cursor {
        text.parse().unwrap()
    }

    fn event(id: &str) -> Event {
        let content = Content::new("1".to_owned());
        Event { id: cursor(id), r#type: "t".into(), topics: vec![], timestamp: 0, content }
    }

    fn connected(id: &str, resumed: bool) -> Connected {
        serde_json::from_value(serde_json::json!({ "cursor": id, "resumed": resumed })).unwrap()
    }

    fn gap(reason: GapReason, id: &str) -> Gap {
        Gap { reason, topics: vec![], cursor: cursor(id) }
    }

    /// What has been handed over, in short: `+` connected, `!` gap.
    fn drain(place: &mut Place) -> Vec<String> {
        std::iter::from_fn(|| place.next_item())
            .map(|item| match item {
                Item::Connected(connected) => format!("+{}", connected.cursor),
                Item::Gap(gap) => format!("!{}", gap.cursor),
                Item::Event(event) => event.id.to_string(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn repeats_are_removed_within_an_epoch() {
        let mut place = Place::new(None);
        place.connected(connected("aaaaaaaa-5", false));
        for id in ["aaaaaaaa-6", "aaaaaaaa-6", "aaaaaaaa-5", "aaaaaaaa-9", "aaaaaaaa-8"] {
            place.event(event(id));
        }
        assert_eq!(drain(&mut place), ["+aaaaaaaa-5", "aaaaaaaa-6", "aaaaaaaa-9"]);
    }

    #[test]
    fn a_small_position_of_a_new_epoch_is_no_repeat() {
        let mut place = Place::new(Some(cursor("aaaaaaaa-100")));
        place.connected(connected("bbbbbbbb-0", false));
        place.gap(gap(GapReason::Epoch, "bbbbbbbb-0"));
        place.event(event("bbbbbbbb-1"));
        assert_eq!(drain(&mut place), ["+bbbbbbbb-0", "!bbbbbbbb-0", "bbbbbbbb-1"]);
    }

    #[test]
    fn a_cursor_that_was_not_resumed_from_is_kept_until_the_gap_is_told() {
        let mut place = Place::new(Some(cursor("aaaaaaaa-100")));
        place.connected(connected("bbbbbbbb-7", false));
        assert_eq!(place.read(), Some(cursor("aaaaaaaa-100")));
        place.gap(gap(GapReason::Epoch, "bbbbbbbb-7"));
        assert_eq!(place.read(), Some(cursor("bbbbbbbb-7")));
    }

    #[test]
    fn a_gap_the_hub_did_not_tell_is_told() {
        let mut place = Place::new(Some(cursor("aaaaaaaa-3")));
        place.connected(connected("aaaaaaaa-7", false));
        place.event(event("aaaaaaaa-9"));
        assert_eq!(drain(&mut place), ["+aaaaaaaa-7", "!aaaaaaaa-7", "aaaaaaaa-9"]);

        let mut place = Place::new(Some(cursor("aaaaaaaa-3")));
        place.event(event("bbbbbbbb-9"));
        place.moved(cursor("cccccccc-4"));
        assert_eq!(drain(&mut place), ["!bbbbbbbb-8", "bbbbbbbb-9", "!cccccccc-4"]);
    }

    #[test]
    fn an_expired_gap_does_not_repeat_what_was_read_and_an_unknown_one_starts_over() {
        for (reason, expected) in
            [(GapReason::Expired, "aaaaaaaa-9"), (GapReason::Unknown, "aaaaaaaa-5")]
        {
            let mut place = Place::new(Some(cursor("aaaaaaaa-9")));
            place.gap(gap(reason, "aaaaaaaa-5"));
            assert_eq!(place.read(), Some(cursor(expected)), "{reason:?}");
        }
    }

    #[test]
    fn the_cursor_handed_over_follows_the_items_and_not_the_reading() {
        let mut place = Place::new(None);
        place.connected(connected("aaaaaaaa-1", false));
        place.event(event("aaaaaaaa-2"));
        place.moved(cursor("aaaaaaaa-8"));
        assert_eq!((place.handed(), place.read()), (None, Some(cursor("aaaaaaaa-8"))));
        place.next_item();
        place.next_item();
        assert_eq!(place.handed(), Some(cursor("aaaaaaaa-2")));
        assert!(place.next_item().is_none());
        assert_eq!(place.handed(), Some(cursor("aaaaaaaa-8")));
    }
}
