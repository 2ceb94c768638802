//! A log that is lost or made anew while somebody reads it: nobody misses anything without a gap, and
//! nobody is told of one for nothing.
//!
//! `TIDINGS_SEED=…` replays what a failure names.

use tidings_hub::{
    Cursor, Epoch, Event, EventType, GapReason, Hub, LogBounds, Moment, PageBounds, Payload,
    Position, Reader, Selection, Start, Topic,
};

/// So wide that nothing is dropped but by a new beginning.
const BOUNDS: LogBounds = LogBounds {
    events_per_topic_max: 100_000,
    bytes_max: usize::MAX,
    age_max_ms: u64::MAX,
    topics_remembered_max: 50,
};
const PAGE: PageBounds = PageBounds { events_max: 7, bytes_max: usize::MAX };
const TOPICS: [&str; 4] = ["a", "b", "a/1", "a/2"];

fn event(topic: &str) -> Event {
    let topic = Topic::new(topic).unwrap();
    Event::new(EventType::default(), [topic], Payload::text("x"), None, 10).unwrap()
}

fn selection(patterns: &[&str]) -> Selection {
    Selection::new(patterns.iter().map(|pattern| pattern.parse().unwrap()))
}

fn start() -> Cursor {
    Cursor { epoch: Epoch::from_random(1), position: Position::START }
}

/// Where everything was published to.
type Published = Vec<(Cursor, &'static str)>;

struct Follower {
    reader: Reader,
    selection: Selection,
    /// How often the log had begun again when it last looked.
    beginnings: usize,
}

impl Follower {
    fn look(&mut self, hub: &Hub, published: &Published, beginnings: usize) {
        loop {
            let before = self.reader.cursor();
            let advance = hub.advance(&mut self.reader, &self.selection, PAGE);
            let after = self.reader.cursor();
            assert_eq!(after.epoch, hub.epoch());
            let from = match &advance.gap {
                None => before,
                Some(gap) => {
                    assert!(beginnings > self.beginnings, "a gap for nothing: {gap:?}");
                    assert_eq!(gap.patterns, self.selection.patterns());
                    let is_another = before.epoch != after.epoch;
                    assert_eq!(gap.reason == GapReason::Epoch, is_another);
                    gap.cursor
                }
            };
            let is_between = |cursor: Cursor| {
                cursor.epoch == from.epoch
                    && cursor.position > from.position
                    && cursor.position <= after.position
            };
            let expected: Vec<Cursor> = published
                .iter()
                .filter(|(cursor, topic)| {
                    is_between(*cursor) && self.selection.matches_topic(&Topic::new(topic).unwrap())
                })
                .map(|&(cursor, _)| cursor)
                .collect();
            let got: Vec<Cursor> = advance.page.events.iter().map(|event| event.cursor()).collect();
            if advance.gap.is_none() {
                assert_eq!(got, expected, "after {before}");
            } else {
                // What the log still has, and no more than there was.
                assert!(expected.ends_with(&got), "{got:?} after a gap, of {expected:?}");
            }
            self.beginnings = beginnings;
            if !advance.page.more {
                return;
            }
        }
    }
}

#[test]
fn whoever_reads_on_through_new_beginnings_misses_nothing_in_silence() {
    let seed = std::env::var("TIDINGS_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed: TIDINGS_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..200 {
        let mut hub = Hub::new(start().epoch, BOUNDS);
        let (mut published, mut beginnings) = (Published::new(), 0);
        let mut followers: Vec<Follower> = Vec::new();
        for _ in 0..rng.usize(10..200) {
            let newest = hub.cursor();
            match rng.u32(..20) {
                0 => {
                    // Another log; its positions may lie where the old ones did.
                    let epoch = Epoch::from_random(rng.u64(..));
                    drop(hub.begin_again(Cursor { epoch, position: Position::new(rng.u64(..50)) }));
                    beginnings += 1;
                }
                1 => {
                    // A part of it was lost to this hub.
                    let position = Position::new(newest.position.get() + rng.u64(1..20));
                    drop(hub.begin_again(Cursor { position, ..newest }));
                    beginnings += 1;
                }
                2 => hub.skip_to(Position::new(newest.position.get() + rng.u64(..20))),
                3..=5 => {
                    let patterns = *rng.choice(&[&["a"][..], &["a/*", "b"], &["**"]]).unwrap();
                    let selection = selection(patterns);
                    let offered = if rng.bool() { Start::Now } else { Start::After(newest) };
                    let opening = hub.open(offered, &selection, Moment::default());
                    assert!(opening.gap.is_none());
                    followers.push(Follower { reader: opening.reader, selection, beginnings });
                }
                6..=8 => {
                    for follower in &mut followers {
                        follower.look(&hub, &published, beginnings);
                    }
                }
                _ => {
                    let topic = *rng.choice(&TOPICS).unwrap();
                    let position = Position::new(newest.position.get() + rng.u64(1..3));
                    let stored = hub.append_at(position, event(topic), Moment::default()).event;
                    published.push((stored.cursor(), topic));
                }
            }
        }
        for follower in &mut followers {
            follower.look(&hub, &published, beginnings);
        }
    }
}

#[test]
fn a_cursor_from_before_a_new_beginning_is_told_of_a_gap() {
    let mut hub = Hub::new(start().epoch, BOUNDS);
    let seen = hub.append(event("a"), Moment::default()).event.cursor();
    let lost_to = Cursor { position: Position::new(10), ..seen };
    drop(hub.begin_again(lost_to));
    let kept = hub.append(event("b"), Moment::default()).event;
    assert_eq!(kept.position(), Position::new(11));
    for patterns in [&["a"][..], &["b"], &["new"], &["**"], &["*"]] {
        let open = |cursor| hub.open(Start::After(cursor), &selection(patterns), Moment::default());
        let opening = open(seen);
        assert!(!opening.resumed, "{patterns:?}");
        assert_eq!(opening.gap.unwrap().reason, GapReason::Expired, "{patterns:?}");
        assert!(open(lost_to).resumed, "{patterns:?}");
    }
    // Who has seen nothing has nothing to miss.
    assert!(hub.open(Start::All, &selection(&["**"]), Moment::default()).gap.is_none());
}

#[test]
fn whoever_hands_every_event_on_sees_that_the_log_is_another() {
    let mut hub = Hub::new(start().epoch, BOUNDS);
    let seen = hub.append(event("a"), Moment::default()).event.cursor();
    assert!(hub.tail(seen, PAGE).complete);
    let another = Cursor { epoch: Epoch::from_random(2), position: Position::START };
    drop(hub.begin_again(another));
    hub.append(event("a"), Moment::default());
    let tail = hub.tail(seen, PAGE);
    assert!(!tail.complete && tail.events.is_empty());
    assert_eq!(tail.cursor, hub.cursor());
    assert_eq!(hub.tail(another, PAGE).events.len(), 1);
}

#[test]
fn positions_that_are_left_out_are_behind_whoever_reads() {
    let mut hub = Hub::new(start().epoch, BOUNDS);
    hub.skip_to(Position::new(4096));
    let all = selection(&["**"]);
    let opening = hub.open(Start::After(start()), &all, Moment::default());
    assert!(opening.resumed);
    assert_eq!(opening.cursor.position, Position::new(4096));
    assert_eq!(hub.kept_after(), Position::new(4096));
    assert_eq!(hub.append(event("a"), Moment::default()).event.position(), Position::new(4097));
    assert_eq!(hub.kept_after(), Position::new(4096));
}
