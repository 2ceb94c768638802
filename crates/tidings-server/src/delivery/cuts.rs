//! Tests of what a socket takes only a part of: wherever a write is cut, the reader gets the same
//! bytes in the end as one whose socket takes everything.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tidings_hub::{
    Cursor, Epoch, Event, EventType, Hub, LogBounds, PageBounds, Pattern, Payload, Position,
    Reader, Selection, StoredEvent, Topic,
};

use super::batch::{Batch, Written};
use super::connection::{Behind, Source, Tick, Turn};
use super::log::SharedLog;
use crate::clock::Clock;
use crate::metrics::{Delivered, Work};

/// Takes so many bytes and is full; then again, as often as it is emptied.
#[derive(Debug, Default)]
struct Socket {
    room: usize,
    taken: Vec<u8>,
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.room);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room -= count;
        self.taken.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hub(events_per_topic_max: usize) -> Hub {
    let bounds = LogBounds {
        events_per_topic_max,
        bytes_max: usize::MAX,
        age_max_ms: u64::MAX,
        topics_remembered_max: 100,
    };
    Hub::new(Epoch::from_random(1), bounds)
}

fn append(hub: &mut Hub, topic: &str, text: &str) -> Arc<StoredEvent> {
    let topic = Topic::new(topic).unwrap();
    let event = Event::new(EventType::default(), [topic], Payload::text(text), None, 1000);
    hub.append(event.unwrap(), Clock::start().now()).event
}

fn counted<'a>(events: impl IntoIterator<Item = &'a Arc<StoredEvent>>) -> Delivered {
    let mut counted = Delivered::default();
    for event in events {
        counted += Delivered { events: 1, bytes: event.frame().len() as u64 };
    }
    counted
}

#[test]
fn a_batch_cut_at_any_byte_is_gone_on_with_from_the_reported_place() {
    let mut hub = hub(100);
    let events: Vec<_> =
        (0..5).map(|number| append(&mut hub, "a", &"x".repeat(number * 7))).collect();
    for count in 1..=events.len() {
        let mut batch = Batch::default();
        for event in &events[..count] {
            batch.push_event(event);
        }
        for from in 0..count {
            let before = from.checked_sub(1).map_or(Position::START, |i| events[i].position());
            assert_eq!(batch.index_after(before), from);
            let whole: Vec<u8> =
                events[from..count].iter().flat_map(|event| event.frame().to_vec()).collect();
            for room in 0..=whole.len() {
                let mut socket = Socket { room, ..Socket::default() };
                let written = batch.write(&mut socket, from, before).unwrap();
                let mut got = socket.taken;
                match written {
                    Written::All { delivered } => {
                        assert_eq!(room, whole.len());
                        assert_eq!(delivered, counted(&events[from..count]));
                    }
                    Written::Blocked { position, rest, progress, mut delivered, cut } => {
                        assert_eq!(progress, room > 0);
                        assert_eq!(cut.events, u64::from(!rest.is_empty()));
                        delivered += cut;
                        let reached = events[from..count].iter();
                        let reached = reached.take_while(|event| event.position() <= position);
                        assert_eq!(delivered, counted(reached));
                        got.extend_from_slice(&rest);
                        for event in &events[..count] {
                            if event.position() > position {
                                got.extend_from_slice(event.frame());
                            }
                        }
                    }
                }
                assert_eq!(got, whole, "{count} from {from} cut at {room}");
            }
        }
    }
}

/// What a reader behind is written in all from a cursor on, when its socket has room for these many
/// bytes at a time.
fn read_all(
    log: &SharedLog,
    from: Cursor,
    selection: &Selection,
    page_events: usize,
    rooms: &[usize],
) -> String {
    let first_bytes = Bytes::from_static(b"head\n\n");
    let mut behind = Behind::new(first_bytes, Reader::at(from), false, Tick(0));
    behind.replays_up_to(log.newest().position);
    let mut work = Work::default();
    let mut socket = Socket::default();
    let mut batch = Batch::default();
    let page = PageBounds { events_max: page_events, bytes_max: 10_000 };
    let source = Source { log, selection, page };
    for turn in 0.. {
        assert!(turn < 100_000, "it never ends");
        socket.room = rooms.get(turn).copied().unwrap_or(usize::MAX);
        let outcome = behind.go_on(&mut socket, source, &mut batch, Tick(0), &mut work);
        if outcome.unwrap() == Turn::CaughtUp {
            break;
        }
    }
    assert_eq!(behind.position(), log.newest().position);
    let text = String::from_utf8(socket.taken).unwrap();
    // Cut or not, every event is counted once, and so is a gap.
    assert_eq!(work.delivered.events, text.matches("\ntopic: ").count() as u64);
    assert_eq!(work.replayed, work.delivered.events);
    assert_eq!(work.gaps, text.matches("event: tidings.gap").count() as u64);
    text
}

/// That a reader gets the same wherever its socket is full, and how many gaps it is told of.
fn check_cuts(log: &SharedLog, from: Cursor, selection: &Selection, page_events: usize) -> usize {
    let read = |rooms: &[usize]| read_all(log, from, selection, page_events, rooms);
    let whole = read(&[]);
    for first in 0..=whole.len() {
        for rest in [0, 1, 40] {
            assert_eq!(read(&[first, rest]), whole, "cut at {first}, then after {rest} more");
        }
    }
    assert_eq!(read(&vec![1; 2 * whole.len()]), whole, "byte by byte");
    whole.matches("event: tidings.gap").count()
}

#[test]
fn a_reader_that_catches_up_gets_the_same_wherever_its_socket_is_full() {
    let mut hub = hub(4);
    append(&mut hub, "quiet", "one");
    for number in 0..9 {
        append(&mut hub, "busy", &format!("event {number}\nof many"));
    }
    append(&mut hub, "quiet", "two");
    let log = SharedLog::new(Arc::new(Mutex::new(hub)), Clock::start());
    let start = Cursor { position: Position::START, ..log.newest() };
    let selections = [&["busy"][..], &["quiet"], &["busy", "quiet"], &["**"], &["other"]];
    for (patterns, page_events) in selections.iter().flat_map(|one| [(one, 3), (one, 100)]) {
        let patterns = patterns.iter().map(|pattern| Pattern::new(pattern).unwrap());
        let selection = Selection::new(patterns);
        let gaps = check_cuts(&log, start, &selection, page_events);
        let lost = selection.matches_topic(&Topic::new("busy").unwrap());
        assert_eq!(gaps, usize::from(lost));
    }
}

/// Its position, ahead of all in the new log, means nothing there.
#[test]
fn a_reader_whose_log_is_another_by_now_gets_all_of_it_wherever_its_socket_is_full() {
    let mut hub = hub(100);
    for number in 0..5 {
        append(&mut hub, "busy", &format!("event {number}"));
    }
    let log = SharedLog::new(Arc::new(Mutex::new(hub)), Clock::start());
    let before = Cursor { epoch: Epoch::from_random(2), position: Position::new(950) };
    for (topic, page_events) in [("busy", 2), ("busy", 100), ("other", 100)] {
        let selection = Selection::new([Pattern::new(topic).unwrap()]);
        assert_eq!(check_cuts(&log, before, &selection, page_events), 1, "{topic}");
        let whole = read_all(&log, before, &selection, page_events, &[]);
        let events = whole.matches("\ntopic: ").count();
        assert_eq!(events, if topic == "busy" { 5 } else { 0 }, "{whole}");
    }
}
