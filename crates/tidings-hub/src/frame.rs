//! An event's bytes on a stream, encoded once for everyone.
//!
//! The fields come in a fixed order (`id`, `event`, `topic`, `time`, `data`), one `data:` line per
//! line of payload, as the WHATWG standard's event stream format has it. Nothing is escaped here,
//! because nothing that needs it can be inside an [`Event`].

use std::fmt::Write as _;
use std::ops::Range;

use bytes::Bytes;

use crate::event::{EVENT_TYPE_DEFAULT, Event};
use crate::position::Cursor;

/// Bytes of the longest field names, the cursor, the time and the line ends of one frame.
const FIELDS_BYTES: usize = 112;

/// One event on the wire, and its payload beside it.
///
/// Most payloads are one line and are read back out of the frame; only text of several lines is
/// kept a second time.
#[derive(Debug)]
pub(crate) struct Frame {
    bytes: Bytes,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Inside(Range<usize>),
    Beside(Box<str>),
}

impl Frame {
    pub(crate) fn encode(event: &Event, cursor: Cursor, time_ms: u64) -> Self {
        const INFALLIBLE: &str = "writing to a String cannot fail";
        let payload = event.payload().as_str();
        let topics_bytes: usize = event.topics().iter().map(|topic| topic.as_str().len() + 1).sum();
        let type_bytes = event.event_type().as_str().len();
        let mut text =
            String::with_capacity(FIELDS_BYTES + topics_bytes + type_bytes + payload.len());

        writeln!(text, "id: {cursor}").expect(INFALLIBLE);
        if event.event_type().as_str() != EVENT_TYPE_DEFAULT {
            writeln!(text, "event: {}", event.event_type().as_str()).expect(INFALLIBLE);
        }
        text.push_str("topic: ");
        for (index, topic) in event.topics().iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(topic.as_str());
        }
        write!(text, "\ntime: {time_ms}\n").expect(INFALLIBLE);

        let mut data = Data::Inside(0..0);
        let several_lines = payload.contains('\n');
        for line in payload.split('\n') {
            text.push_str("data: ");
            let start = text.len();
            text.push_str(line);
            if !several_lines {
                data = Data::Inside(start..text.len());
            }
            text.push('\n');
        }
        text.push('\n');
        if several_lines {
            data = Data::Beside(payload.into());
        }
        text.shrink_to_fit();
        Self { bytes: text.into(), data }
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn data(&self) -> &str {
        match &self.data {
            Data::Inside(range) => std::str::from_utf8(&self.bytes[range.clone()])
                .expect("a frame is made from a String and cut at its line ends"),
            Data::Beside(text) => text,
        }
    }

    pub(crate) fn footprint_bytes(&self) -> usize {
        match &self.data {
            Data::Inside(_) => self.bytes.len(),
            Data::Beside(text) => self.bytes.len() + text.len(),
        }
    }
}
