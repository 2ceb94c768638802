//! What the log has at each position, as Redis has it: who put it there, and what it is. An entry of the
//! stream has what was published at once; its id is the position of the last of that.

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

/// What is at one position.
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

/// What is in an `XRANGE`.
pub(super) fn entries(range: Value) -> Result<Vec<Entry>, Cause> {
    let mut found = Vec::new();
    match range {
        Value::Nil => {}
        Value::Array(entries) => {
            for entry in entries {
                read(entry, &mut found).ok_or(MALFORMED)?;
            }
        }
        _ => return Err(MALFORMED),
    }
    Ok(found)
}

/// What is in an `XREAD` of one stream.
pub(super) fn news(answer: Value) -> Result<Vec<Entry>, Cause> {
    let Value::Array(mut streams) = answer else { return Ok(Vec::new()) };
    match streams.pop() {
        Some(Value::Array(mut of_stream)) => entries(of_stream.pop().unwrap_or(Value::Nil)),
        _ => Err(MALFORMED),
    }
}

const MALFORMED: Cause = Cause::Answer("an entry of the log");

/// What an entry has, after what is there already.
fn read(entry: Value, found: &mut Vec<Entry>) -> Option<()> {
    let Value::Array(parts) = entry else { return None };
    let [id, fields]: [Value; 2] = parts.try_into().ok()?;
    let last: u64 = text(id)?.split_once('-')?.0.parse().ok()?;
    let Value::Array(fields) = fields else { return None };
    let first = found.len();
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let content = match text(name)?.as_str() {
            "n" => {
                let (mark, content) = (Mark(text(value)?), Content::Other);
                found.push(Entry { position: Position::START, mark, content });
                continue;
            }
            "e" => Content::Event(text(value)?),
            "r" => Content::Revocation(text(value)?),
            _ => continue,
        };
        found[first..].last_mut()?.content = content;
    }
    let count = u64::try_from(found.len() - first).ok()?;
    let positions = last.checked_sub(count)? + 1..=last;
    for (entry, position) in found[first..].iter_mut().zip(positions) {
        entry.position = Position::new(position);
    }
    (count > 0).then_some(())
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
    fn what_was_published_at_once_has_positions_up_to_the_id() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let entry = |id: &str, fields: &[&str]| {
            let fields = fields.iter().map(|field| bulk(field)).collect();
            Value::Array(vec![bulk(id), Value::Array(fields)])
        };
        let range = Value::Array(vec![
            entry("7-0", &["n", "a.1.2", "e", "1", "n", "a.2.2", "r", "2", "n", "b.1.1", "e", "3"]),
            entry("8-0", &["n", "", "b", "k7q2m9x1"]),
        ]);
        let found = entries(range).unwrap();
        let positions: Vec<_> = found.iter().map(|entry| entry.position.get()).collect();
        assert_eq!(positions, [5, 6, 7, 8]);
        let marks: Vec<_> = found.iter().map(|entry| entry.mark.as_str()).collect();
        assert_eq!(marks, ["a.1.2", "a.2.2", "b.1.1", ""]);
        assert!(matches!(&found[1].content, Content::Revocation(json) if json == "2"));
        assert!(matches!(&found[3].content, Content::Other));
        for fields in [&[][..], &["e", "1"], &["n", "a", "e", "1", "n", "b", "e", "2"]] {
            assert!(entries(Value::Array(vec![entry("1-0", fields)])).is_err(), "{fields:?}");
        }
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
