//! Reads `spec/vectors`: the tables that this crate and the TypeScript package both obey. The
//! tables' formats are in `spec/README.md`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tidings_hub::{
    Cursor, CursorError, Event, EventType, Pattern, Payload, StoredEvent, Topic, TopicError,
};

fn read<T: DeserializeOwned>(file: &str) -> T {
    let path = format!("{}/../../spec/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Compares all rows before it fails, so that one run shows every wrong row.
fn check<T: PartialEq + std::fmt::Debug>(rows: impl IntoIterator<Item = (String, T, T)>) {
    let mut count = 0;
    let wrong: Vec<String> = rows
        .into_iter()
        .inspect(|_| count += 1)
        .filter(|(_, found, expected)| found != expected)
        .map(|(row, found, expected)| format!("{row}: found {found:?}, expected {expected:?}"))
        .collect();
    assert!(wrong.is_empty(), "{} of {count} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 0, "the table is empty");
}

fn topic_reason(error: TopicError) -> &'static str {
    match error {
        TopicError::Empty => "empty",
        TopicError::TooLong => "too-long",
        TopicError::TooManySegments => "too-many-segments",
        TopicError::EmptySegment => "empty-segment",
        TopicError::SegmentTooLong => "segment-too-long",
        TopicError::Control => "control",
        TopicError::Comma => "comma",
        TopicError::Reserved => "reserved",
        TopicError::Wildcard => "wildcard",
        TopicError::RestNotLast => "rest-not-last",
        TopicError::PartWildcard => "part-wildcard",
    }
}

#[derive(Deserialize)]
struct Topics {
    valid: Vec<String>,
    invalid: Vec<InvalidTopic>,
}

#[derive(Deserialize)]
struct InvalidTopic {
    topic: String,
    reason: String,
}

#[test]
fn topics_are_accepted_and_refused_as_the_table_says() {
    let Topics { valid, invalid } = read("topics.json");
    let judge = |topic: &str| match Topic::new(topic) {
        Ok(topic) => topic.to_string(),
        Err(error) => format!("refused: {}", topic_reason(error)),
    };
    check(valid.into_iter().map(|topic| (format!("{topic:?}"), judge(&topic), topic)));
    check(invalid.into_iter().map(|InvalidTopic { topic, reason }| {
        (format!("{topic:?}"), judge(&topic), format!("refused: {reason}"))
    }));
}

#[derive(Deserialize)]
struct Patterns {
    valid: Vec<String>,
    invalid: Vec<InvalidPattern>,
    matches: Vec<Match>,
    covers: Vec<Cover>,
}

#[derive(Deserialize)]
struct InvalidPattern {
    pattern: String,
    reason: String,
}

#[derive(Deserialize)]
struct Match {
    pattern: String,
    topic: String,
    matches: bool,
}

#[derive(Deserialize)]
struct Cover {
    wider: String,
    narrower: String,
    covers: bool,
}

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn patterns_are_accepted_and_refused_as_the_table_says() {
    let Patterns { valid, invalid, .. } = read("patterns.json");
    let judge = |text: &str| match Pattern::new(text) {
        Ok(pattern) => pattern.to_string(),
        Err(error) => format!("refused: {}", topic_reason(error)),
    };
    check(valid.into_iter().map(|text| (format!("{text:?}"), judge(&text), text)));
    check(invalid.into_iter().map(|InvalidPattern { pattern, reason }| {
        (format!("{pattern:?}"), judge(&pattern), format!("refused: {reason}"))
    }));
}

#[test]
fn patterns_match_what_the_table_says() {
    let Patterns { matches, .. } = read("patterns.json");
    check(matches.into_iter().map(|row| {
        let found = pattern(&row.pattern).matches(&topic(&row.topic));
        (format!("{:?} on {:?}", row.pattern, row.topic), found, row.matches)
    }));
}

#[test]
fn patterns_cover_what_the_table_says() {
    let Patterns { covers, .. } = read("patterns.json");
    check(covers.into_iter().map(|row| {
        let found = pattern(&row.wider).covers(&pattern(&row.narrower));
        (format!("{:?} over {:?}", row.wider, row.narrower), found, row.covers)
    }));
}

#[derive(Deserialize)]
struct Cursors {
    valid: Vec<ValidCursor>,
    invalid: Vec<InvalidCursor>,
}

#[derive(Deserialize)]
struct ValidCursor {
    cursor: String,
    epoch: String,
    position: String,
}

#[derive(Deserialize)]
struct InvalidCursor {
    cursor: String,
    reason: String,
}

#[test]
fn cursors_are_read_and_refused_as_the_table_says() {
    let Cursors { valid, invalid } = read("cursors.json");
    let judge = |text: &str| match text.parse::<Cursor>() {
        Ok(cursor) => {
            assert_eq!(cursor.to_string(), text, "a cursor must be written as it was read");
            format!("{} {}", cursor.epoch, cursor.position)
        }
        Err(CursorError::Shape) => "refused: shape".to_owned(),
        Err(CursorError::Epoch) => "refused: epoch".to_owned(),
        Err(CursorError::Position) => "refused: position".to_owned(),
    };
    check(valid.into_iter().map(|ValidCursor { cursor, epoch, position }| {
        (format!("{cursor:?}"), judge(&cursor), format!("{epoch} {position}"))
    }));
    check(invalid.into_iter().map(|InvalidCursor { cursor, reason }| {
        (format!("{cursor:?}"), judge(&cursor), format!("refused: {reason}"))
    }));
}

#[derive(Deserialize)]
struct Frames {
    cases: Vec<FrameCase>,
}

#[derive(Deserialize)]
struct FrameCase {
    name: String,
    cursor: String,
    r#type: String,
    topics: Vec<String>,
    time: u64,
    data: Option<String>,
    text: Option<String>,
    expect: String,
}

#[test]
fn frames_are_encoded_as_the_table_says() {
    let Frames { cases } = read("frames.json");
    check(cases.into_iter().map(|case| {
        let payload = match (&case.data, &case.text) {
            (Some(data), None) => Payload::json(serde_json::from_str(data).unwrap()),
            (None, Some(text)) => Payload::text(text),
            _ => panic!("{}: a case has data or text", case.name),
        };
        let topics = case.topics.iter().map(|topic| Topic::new(topic).unwrap());
        let event_type = EventType::new(&case.r#type).unwrap();
        let event = Event::new(event_type, topics, payload, None, usize::MAX).unwrap();
        let Cursor { epoch, position } = case.cursor.parse().unwrap();
        let stored = StoredEvent::new(event, epoch, position, case.time);
        let frame = std::str::from_utf8(stored.frame()).unwrap().to_owned();
        (case.name, frame, case.expect)
    }));
}
