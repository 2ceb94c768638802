//! An event as a log keeps it that outlives the process or is shared by several: one line of JSON.
//!
//! JSON, so that whoever looks into the log with its own tools can read it, and so that a node passes
//! over what a newer one has added. Positions and keys are the log's own, and not in it.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tidings_hub::{EVENT_TYPE_DEFAULT, Event, EventError, EventType, Payload, Topic, TopicError};

/// What is read back.
#[derive(Debug, Deserialize)]
struct Record<'a> {
    at: u64,
    #[serde(borrow, default)]
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    topics: Vec<Cow<'a, str>>,
    #[serde(default)]
    ttl: Option<u32>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

/// Why something is no event.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("it is not the JSON of an event: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it has neither data nor text")]
    NoPayload,
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error(transparent)]
    Event(#[from] EventError),
}

/// The line of an event that was published then, in milliseconds since the Unix epoch.
pub(super) fn encode(event: &Event, time_ms: u64) -> String {
    const INFALLIBLE: &str = "writing to a String cannot fail";
    let payload = event.payload().as_str();
    let mut line = String::with_capacity(payload.len() + 128);
    write!(line, "{{\"at\":{time_ms}").expect(INFALLIBLE);
    if event.event_type().as_str() != EVENT_TYPE_DEFAULT {
        line.push_str(",\"type\":");
        push_text(&mut line, event.event_type().as_str());
    }
    line.push_str(",\"topics\":[");
    for (index, topic) in event.topics().iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        push_text(&mut line, topic.as_str());
    }
    line.push(']');
    if let Some(ttl_secs) = event.ttl_secs() {
        write!(line, ",\"ttl\":{ttl_secs}").expect(INFALLIBLE);
    }
    match event.payload() {
        Payload::Json(json) => {
            line.push_str(",\"data\":");
            line.push_str(json);
        }
        Payload::Text(text) => {
            line.push_str(",\"text\":");
            push_text(&mut line, text);
        }
    }
    line.push('}');
    line
}

/// The event of a line, and when it was published.
pub(super) fn decode(line: &str) -> Result<(Event, u64), RecordError> {
    let record: Record<'_> = serde_json::from_str(line)?;
    let event_type =
        record.r#type.map_or(Ok(EventType::default()), |name| EventType::new(&name))?;
    let topic = |name: &Cow<'_, str>| {
        if name.starts_with('$') { Topic::reserved(name) } else { Topic::new(name) }
    };
    let topics: Vec<Topic> = record.topics.iter().map(topic).collect::<Result<_, _>>()?;
    let payload = match (record.data, record.text) {
        (Some(data), _) => Payload::json(data),
        (None, Some(text)) => Payload::text(&text),
        (None, None) => return Err(RecordError::NoPayload),
    };
    // It was within its bound when it was published.
    let event = Event::new(event_type, topics, payload, record.ttl, usize::MAX)?;
    Ok((event, record.at))
}

/// A field that is there is data, also when that is `null`.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn push_text(line: &mut String, text: &str) {
    line.push_str(&serde_json::to_string(text).expect("any text has a JSON form"));
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn json(text: &str) -> Payload {
        Payload::json(&RawValue::from_string(text.to_owned()).unwrap())
    }

    #[rstest]
    #[case::plain("message", &["a"], json("{\"a\":[1,2.50,null]}"), None)]
    #[case::null("note", &["a/b", "user/%C3%A9"], json("null"), Some(7))]
    #[case::text("note", &["a"], Payload::text("two\nlines \"quoted\" \\ \u{1f600}\u{0}"), None)]
    #[case::own("stats", &["$tidings/stats"], json("1"), None)]
    fn an_event_comes_back_as_it_was(
        #[case] name: &str,
        #[case] topics: &[&str],
        #[case] payload: Payload,
        #[case] ttl_secs: Option<u32>,
    ) {
        let topic = |name: &&str| {
            if name.starts_with('$') { Topic::reserved(name) } else { Topic::new(name) }.unwrap()
        };
        let event_type = EventType::new(name).unwrap();
        let topics = topics.iter().map(topic);
        let event = Event::new(event_type, topics, payload, ttl_secs, usize::MAX).unwrap();
        let line = encode(&event, 1_795_458_000_000);
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(decode(&line).unwrap(), (event, 1_795_458_000_000), "{line}");
    }

    #[test]
    fn what_a_newer_node_adds_is_passed_over() {
        let (event, at) = decode(r#"{"at":1,"topics":["a"],"data":1,"colour":"red"}"#).unwrap();
        assert_eq!((event.topics()[0].as_str(), at), ("a", 1));
    }

    #[rstest]
    #[case("")]
    #[case("{}")]
    #[case(r#"{"at":1,"topics":[],"data":1}"#)]
    #[case(r#"{"at":1,"topics":["a"]}"#)]
    #[case(r#"{"at":1,"topics":["a*"],"data":1}"#)]
    #[case(r#"{"at":1,"topics":["a"],"data":1,"type":"tidings.gap"}"#)]
    fn what_is_no_event_is_refused(#[case] line: &str) {
        assert!(decode(line).is_err());
    }
}
