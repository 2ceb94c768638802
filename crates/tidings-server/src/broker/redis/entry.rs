//! One entry of the log as Redis has it: a position as its id, who put it there, and what it is.

use redis::Value;
use tidings_hub::Position;

use super::failure::Cause;

/// What the node that published it calls a publication: its own name, a number, and when it had read the
/// request, in nanoseconds of its uptime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark(String);

impl Mark {
    pub(super) fn new(node: &str, number: u64, received_ns: u64) -> Self {
        Self(format!("{node}.{number}.{received_ns}"))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Its number, and when its request had been read, if this node is the one.
    pub(super) fn of(&self, node: &str) -> Option<(u64, u64)> {
        let rest = self.0.strip_prefix(node)?.strip_prefix('.')?;
        let (number, received_ns) = rest.split_once('.')?;
        Some((number.parse().ok()?, received_ns.parse().ok()?))
    }
}

/// An entry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) mark: Mark,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// The line of an event.
    Event(String),
    /// The JSON of a revocation.
    Revocation(String),
    /// The beginning of an epoch, or what a newer version has put here.
    Other,
}

/// The entries of an `XRANGE`.
pub(super) fn entries(range: Value) -> Result<Vec<Entry>, Cause> {
    match range {
        Value::Nil => Ok(Vec::new()),
        Value::Array(entries) => {
            entries.into_iter().map(|entry| read(entry).ok_or(MALFORMED)).collect()
        }
        _ => Err(MALFORMED),
    }
}

/// The entries of an `XREAD` of one stream.
pub(super) fn news(answer: Value) -> Result<Vec<Entry>, Cause> {
    let Value::Array(mut streams) = answer else { return Ok(Vec::new()) };
    match streams.pop() {
        Some(Value::Array(mut of_stream)) => entries(of_stream.pop().unwrap_or(Value::Nil)),
        _ => Err(MALFORMED),
    }
}

const MALFORMED: Cause = Cause::Answer("an entry of the log");

fn read(entry: Value) -> Option<Entry> {
    let Value::Array(parts) = entry else { return None };
    let [id, fields]: [Value; 2] = parts.try_into().ok()?;
    let (position, _) = text(id)?.split_once('-').map(|(a, b)| (a.to_owned(), b.to_owned()))?;
    let position = Position::new(position.parse().ok()?);
    let Value::Array(fields) = fields else { return None };
    let mut fields = fields.into_iter();
    let (mut mark, mut content) = (Mark::default(), Content::Other);
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        match text(name)?.as_str() {
            "n" => mark = Mark(text(value)?),
            "e" => content = Content::Event(text(value)?),
            "r" => content = Content::Revocation(text(value)?),
            _ => {}
        }
    }
    Some(Entry { position, mark, content })
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_tells_its_own_node_when_the_request_was_read() {
        let mark = Mark::new("k7q2", 5, 1234);
        assert_eq!(mark.as_str(), "k7q2.5.1234");
        assert_eq!(mark.of("k7q2"), Some((5, 1234)));
        assert_eq!(mark.of("k7q"), None);
        assert_eq!(Mark::default().of("k7q2"), None);
    }

    #[test]
    fn what_a_newer_version_has_put_in_is_passed_over() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields = ["n", "a.1.2", "x", "?", "e", "{}"].map(bulk).to_vec();
        let entry = Value::Array(vec![bulk("7-0"), Value::Array(fields)]);
        let read = entries(Value::Array(vec![entry])).unwrap();
        assert_eq!(read[0].position, Position::new(7));
        assert!(matches!(&read[0].content, Content::Event(line) if line == "{}"));
        assert!(entries(Value::Array(vec![Value::Int(1)])).is_err());
    }
}
