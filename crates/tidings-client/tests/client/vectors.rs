//! Reads `spec/vectors/stream-parsing.json` and `frames.json`, whose formats are in
//! `spec/README.md`, and cuts every stream in many ways: the cuts must not show.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tidings_client::{Block, Parser, RawEvent};

const ROW_BYTES_MAX: usize = 2 * 1024 * 1024;
const EVERY_CUT_BYTES_MAX: usize = 2000;

#[derive(Deserialize)]
struct Table<T> {
    cases: Vec<T>,
}

fn read<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let path = format!("{}/../../spec/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let table: Table<T> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    table.cases
}

#[derive(Deserialize)]
struct Case {
    name: String,
    chunks: Vec<Chunk>,
    events: Vec<ExpectedEvent>,
    retry: Vec<u64>,
    #[serde(rename = "lastEventId")]
    last_event_id: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Chunk {
    Text(String),
    Hex { hex: String },
    Repeated { text: String, repeat: usize },
}

impl Chunk {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Hex { hex } => (0..hex.len() / 2)
                .map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap())
                .collect(),
            Self::Repeated { text, repeat } => text.repeat(*repeat).into_bytes(),
        }
    }
}

#[derive(Deserialize)]
struct ExpectedEvent {
    r#type: String,
    data: ExpectedData,
    #[serde(rename = "lastEventId")]
    last_event_id: String,
    topic: Option<String>,
    time: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ExpectedData {
    Text(String),
    Repeated {
        text: String,
        repeat: usize,
        #[serde(default)]
        then: String,
    },
}

impl From<ExpectedEvent> for RawEvent {
    fn from(event: ExpectedEvent) -> Self {
        let data = match event.data {
            ExpectedData::Text(text) => text,
            ExpectedData::Repeated { text, repeat, then } => text.repeat(repeat) + &then,
        };
        let ExpectedEvent { r#type, last_event_id: id, topic, time, .. } = event;
        Self { id, r#type, topic, time, data }
    }
}

#[derive(Debug, Default, PartialEq)]
struct Outcome {
    events: Vec<RawEvent>,
    retry: Vec<u64>,
    last_event_id: String,
}

fn parse<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut parser = Parser::new(ROW_BYTES_MAX);
    let mut outcome = Outcome::default();
    for chunk in chunks {
        parser.push(chunk).unwrap();
        while let Some(block) = parser.next_block() {
            match block {
                Block::Event(event) => {
                    outcome.last_event_id.clone_from(&event.id);
                    outcome.events.push(event);
                }
                Block::Id(id) => outcome.last_event_id = id,
                Block::Retry(ms) => outcome.retry.push(ms),
            }
        }
    }
    assert_eq!(outcome.last_event_id, parser.last_event_id(), "blocks must tell of every new id");
    outcome
}

#[test]
fn streams_parse_as_the_table_says_however_they_are_cut() {
    let cases: Vec<Case> = read("stream-parsing.json");
    assert!(cases.len() >= 40, "the table has lost rows");
    for Case { name, chunks, events, retry, last_event_id } in cases {
        let chunks: Vec<Vec<u8>> = chunks.iter().map(Chunk::bytes).collect();
        let events = events.into_iter().map(RawEvent::from).collect();
        let expected = Outcome { events, retry, last_event_id };

        assert!(parse(chunks.iter().map(Vec::as_slice)) == expected, "{name}: as given");
        let whole = chunks.concat();
        assert!(parse([whole.as_slice()]) == expected, "{name}: in one piece");
        assert!(parse(whole.chunks(1)) == expected, "{name}: byte by byte");
        if whole.len() <= EVERY_CUT_BYTES_MAX {
            for cut in 0..=whole.len() {
                let (head, tail) = whole.split_at(cut);
                let found = parse([head, tail]);
                assert_eq!(found, expected, "{name}: cut in two at byte {cut}");
            }
        }
    }
}

#[test]
fn an_event_comes_out_with_its_last_byte() {
    for stream in ["data: a\n\n", "data: a\r\r", "data: a\r\n\r"] {
        let mut parser = Parser::default();
        for (index, byte) in stream.bytes().enumerate() {
            assert_eq!(parser.next_block(), None, "{stream:?} before byte {index}");
            parser.push(&[byte]).unwrap();
        }
        assert!(parser.next_block().is_some(), "{stream:?} at its end");
    }
}

#[derive(Deserialize)]
struct Frame {
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
fn frames_are_read_back_as_the_events_they_were_made_from() {
    let frames: Vec<Frame> = read("frames.json");
    assert!(frames.len() >= 15, "the table has lost rows");
    for frame in frames {
        // Line ends between the tokens of JSON are spaces on the wire; those of text are all LF.
        let content = match (frame.data, frame.text) {
            (Some(json), None) => json.replace(['\r', '\n'], " "),
            (None, Some(text)) => text.replace("\r\n", "\n").replace('\r', "\n"),
            _ => panic!("{}: a row has data or text", frame.name),
        };
        let expected = RawEvent {
            id: frame.cursor.clone(),
            r#type: frame.r#type,
            topic: Some(frame.topics.join(",")),
            time: Some(frame.time),
            data: content,
        };
        let found = parse([frame.expect.as_bytes()]);
        assert_eq!(found.events, [expected], "{}", frame.name);
        assert_eq!(found.last_event_id, frame.cursor, "{}", frame.name);
    }
}
