//! No id, type, topic or payload makes two events of one, or none: whatever is accepted is read by
//! three independent parsers as exactly one equal event, in whatever pieces it arrives.
//!
//! One parser is the standard's algorithm, written down as it stands there; the others are what
//! people use. Proptest prints the failing input and keeps it to be tried again.

use std::convert::Infallible;

use eventsource_stream::Eventsource as _;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use proptest::prelude::*;
use serde_json::value::RawValue;
use sse_stream::SseStream;
use tidings_hub::{
    Epoch, Event, EventType, Hub, LogBounds, Moment, Pattern, Payload, StoredEvent, Topic,
};

/// What every parser must have read.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    id: String,
    event_type: String,
    data: String,
}

/// What only a parser that looks at Tidings' own fields can read.
#[derive(Debug, PartialEq, Eq)]
struct ReadMore {
    read: Read,
    topics: Vec<String>,
    time: String,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_accepted_is_read_as_exactly_that(
        first in event(),
        second in event(),
        pieces in prop::collection::vec(1_usize..40, 1..8),
        unix_ms: u64,
    ) {
        let mut hub = Hub::new(Epoch::from_random(unix_ms), BOUNDS);
        let mut stored = Vec::new();
        let mut expected = Vec::new();
        for event in [first, second] {
            let (event_type, data) = (event.event_type().clone(), event.payload().clone());
            let event = hub.append(event, Moment { unix_ms, uptime_ms: 0 }).event;
            let id = event.cursor().to_string();
            let (event_type, data) = (event_type.as_str().into(), data.as_str().into());
            expected.push(Read { id, event_type, data });
            stored.push(event);
        }
        for (event, expected) in stored.iter().zip(&expected) {
            let expected = std::slice::from_ref(expected);
            prop_assert_eq!(&read_with_eventsource_stream(event.frame(), &pieces), expected);
            prop_assert_eq!(&read_with_sse_stream(event.frame(), &pieces), expected);
            prop_assert_eq!(event.data(), &expected[0].data);
        }
        let both = [stored[0].frame().as_ref(), stored[1].frame()].concat();
        prop_assert_eq!(&read_with_eventsource_stream(&both, &pieces), &expected);
        prop_assert_eq!(&read_with_sse_stream(&both, &pieces), &expected);

        let more = |event: &StoredEvent, read| ReadMore {
            read,
            topics: event.topics().iter().map(|topic| topic.as_str().into()).collect(),
            time: event.time_ms().to_string(),
        };
        let expected: Vec<_> =
            stored.iter().zip(expected).map(|(event, read)| more(event, read)).collect();
        prop_assert_eq!(read_as_the_standard_says(&both), expected);
    }

    #[test]
    fn text_keeps_all_but_its_kind_of_line_end(text in hostile()) {
        let payload = Payload::text(&text);
        prop_assert_eq!(payload.as_str(), text.replace("\r\n", "\n").replace('\r', "\n"));
    }

    #[test]
    fn json_keeps_its_value_on_one_line(text in hostile(), spaces in "[ \t\r\n]{0,4}") {
        let string = serde_json::to_string(&text).unwrap();
        let json = format!("{spaces}[{spaces}{string}{spaces},{spaces}1]");
        let value: Box<RawValue> = serde_json::from_str(&json).unwrap();
        let payload = Payload::json(&value);
        prop_assert!(!payload.as_str().contains(['\r', '\n']));
        let before: serde_json::Value = serde_json::from_str(&json).unwrap();
        let after: serde_json::Value = serde_json::from_str(payload.as_str()).unwrap();
        prop_assert_eq!(before, after);
    }

    #[test]
    fn names_that_could_break_a_frame_or_a_list_are_refused(name in hostile()) {
        let breaks = |name: &str| name.is_empty() || name.contains(['\r', '\n', '\0', ',', '\u{85}']);
        if breaks(&name) {
            prop_assert!(EventType::new(&name).is_err());
            prop_assert!(Topic::new(&name).is_err());
            prop_assert!(Topic::reserved(&name).is_err());
            prop_assert!(Pattern::new(&name).is_err());
        }
        if let Ok(event_type) = EventType::new(&name) {
            prop_assert!(!name.starts_with("tidings.") && !name.contains(' '));
            prop_assert_eq!(event_type.as_str(), name);
        } else if let Ok(topic) = Topic::new(&name) {
            prop_assert!(!name.starts_with('$') && !name.contains('*'));
            prop_assert_eq!(topic.as_str(), name);
        }
    }
}

const BOUNDS: LogBounds = LogBounds {
    events_per_topic_max: 10,
    bytes_max: 1 << 20,
    age_max_ms: 1_000,
    topics_remembered_max: 10,
};

/// Text made of what means something in an event stream, among anything else.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec![
            "\n", "\r", "\r\n", "\n\n", ":", ": ", " ", "data", "data: x", "event: x", "id: 9-9",
            "id", "retry: 1", "topic: x", "\0", "\u{feff}", "\u{2028}", "\u{85}", "\u{b}", ",", "/",
            "*", "**", "$", "tidings.", "message", "a", "é", "\u{10ffff}", "\"", "\\", "{}",
        ]).prop_map(String::from),
        1 => any::<char>().prop_map(String::from),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// Names with odd characters that still have a chance to be accepted.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        hostile(),
        prop::collection::vec(
            prop::sample::select(vec![
                ":", "a", "é", "data", "\u{feff}", "\u{2028}", "/", " ", "🦀"
            ]),
            1..6
        )
        .prop_map(|pieces| pieces.concat()),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let topics = prop::collection::vec(name(), 0..4);
    (name(), topics, hostile(), any::<bool>()).prop_map(|(event_type, topics, data, is_json)| {
        let event_type = EventType::new(&event_type).unwrap_or_default();
        let mut topics: Vec<_> = topics.iter().filter_map(|name| Topic::new(name).ok()).collect();
        if topics.is_empty() {
            topics.push(Topic::new("a").unwrap());
        }
        let payload = if is_json {
            let json = format!("{{ \"a\":\r\n{} }}", serde_json::to_string(&data).unwrap());
            Payload::json(&RawValue::from_string(json).unwrap())
        } else {
            Payload::text(&data)
        };
        Event::new(event_type, topics, payload, None, usize::MAX).unwrap()
    })
}

fn chunks(bytes: &[u8], pieces: &[usize]) -> Vec<Result<Vec<u8>, Infallible>> {
    let mut chunks = Vec::new();
    let mut rest = bytes;
    for &size in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        chunks.push(Ok(chunk.to_vec()));
        rest = after;
    }
    chunks
}

fn read_with_eventsource_stream(bytes: &[u8], pieces: &[usize]) -> Vec<Read> {
    let events = stream::iter(chunks(bytes, pieces)).eventsource().map(|event| {
        let event = event.unwrap();
        Read { id: event.id, event_type: event.event, data: event.data }
    });
    events.collect().now_or_never().expect("all chunks are there")
}

fn read_with_sse_stream(bytes: &[u8], pieces: &[usize]) -> Vec<Read> {
    let chunks = chunks(bytes, pieces).into_iter().map(|chunk| chunk.map(bytes::Bytes::from));
    let events = SseStream::from_bytes_stream(stream::iter(chunks)).map(|event| {
        let event = event.unwrap();
        Read {
            id: event.id.unwrap(),
            event_type: event.event.unwrap_or_else(|| "message".into()),
            data: event.data.unwrap(),
        }
    });
    events.collect().now_or_never().expect("all chunks are there")
}

/// <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>,
/// and Tidings' own two fields.
fn read_as_the_standard_says(bytes: &[u8]) -> Vec<ReadMore> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut id, mut event_type, mut data) = (String::new(), String::new(), String::new());
    let (mut topics, mut time) = (Vec::new(), String::new());
    let mut events = Vec::new();
    for line in text.split('\n') {
        if line.is_empty() {
            let event_type = std::mem::take(&mut event_type);
            let (topics, time) = (std::mem::take(&mut topics), std::mem::take(&mut time));
            let mut data = std::mem::take(&mut data);
            // Without a data field there is no event.
            if data.pop().is_some() {
                let event_type = if event_type.is_empty() { "message".into() } else { event_type };
                let read = Read { id: id.clone(), event_type, data };
                events.push(ReadMore { read, topics, time });
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => event_type = value.into(),
            "data" => data = data + value + "\n",
            "id" if !value.contains('\0') => id = value.into(),
            "topic" => topics = value.split(',').map(Into::into).collect(),
            "time" => time = value.into(),
            _ => {}
        }
    }
    events
}
