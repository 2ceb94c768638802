//! Reads an event stream: bytes in, blocks out, by the rules of the WHATWG HTML standard for
//! server-sent events, plus Tidings' own fields `topic` and `time`.
//!
//! It knows nothing of connections, cursors or JSON. Ours rather than a crate's because the crates
//! at hand hide blocks that only carry an `id:`, which is how a quiet stream moves a cursor.

use std::collections::VecDeque;

/// Bytes of one block (its longest line, or all its data and names together) when the caller sets
/// no other bound.
pub const BLOCK_BYTES_MAX: usize = 1024 * 1024;

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// What the stream said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// An event to be handed on.
    Event(RawEvent),
    /// A block without data that changed the last event id, which is this now.
    Id(String),
    /// How long to wait before reconnecting, in milliseconds.
    Retry(u64),
}

/// An event as the stream spells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawEvent {
    /// The last event id as of this event; empty when there is none.
    pub id: String,
    /// The event's type; `message` when the stream named none.
    pub r#type: String,
    /// The `topic` field as written: several topics are joined by commas.
    pub topic: Option<String>,
    /// The `time` field, milliseconds since the Unix epoch.
    pub time: Option<u64>,
    /// The data, its lines joined by LF.
    pub data: String,
}

/// One block of the stream was larger than the reader is willing to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stream sent a block of more than {bytes_max} bytes; raise the reader's block_bytes_max if \
     events may be that large"
)]
pub struct BlockTooLarge {
    /// The bound that was exceeded.
    pub bytes_max: usize,
}

/// The state of reading one stream. A reconnect needs a new one.
#[derive(Debug)]
pub struct Parser {
    block_bytes_max: usize,
    /// How much of a byte order mark has been seen, until it is known whether there is one.
    mark: Option<usize>,
    /// The last line ended with CR, so an LF that comes next belongs to it.
    after_cr: bool,
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// The block that has not ended yet: its data has a LF after every line.
    block: RawEvent,
    /// The last event id, as far as blocks have ended.
    last_id: String,
    /// The last event id including the block that has not ended yet.
    next_id: String,
    ready: VecDeque<Block>,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new(BLOCK_BYTES_MAX)
    }
}

impl Parser {
    /// A reader at the start of a stream that holds at most this many bytes of one block.
    pub fn new(block_bytes_max: usize) -> Self {
        Self {
            block_bytes_max,
            mark: Some(0),
            after_cr: false,
            line: Vec::new(),
            block: RawEvent::default(),
            last_id: String::new(),
            next_id: String::new(),
            ready: VecDeque::new(),
        }
    }

    /// Takes the next bytes of the stream. What they complete is then returned by
    /// [`next_block`](Self::next_block); after an error the stream cannot be read further.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), BlockTooLarge> {
        if let Some(seen) = self.mark {
            bytes = self.skip_mark(seen, bytes);
        }
        while let Some(&first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.hold(bytes)?;
                break;
            };
            self.after_cr = bytes[end] == b'\r';
            if self.line.is_empty() {
                self.end_line(&bytes[..end])?;
            } else {
                self.hold(&bytes[..end])?;
                let mut line = std::mem::take(&mut self.line);
                self.end_line(&line)?;
                line.clear();
                self.line = line;
            }
            bytes = &bytes[end + 1..];
        }
        Ok(())
    }

    /// The next block that is complete.
    pub fn next_block(&mut self) -> Option<Block> {
        self.ready.pop_front()
    }

    /// The last event id as far as blocks have ended; empty when there is none.
    pub fn last_event_id(&self) -> &str {
        &self.last_id
    }

    /// Drops a byte order mark, however it is cut. Bytes that only began like one were text.
    fn skip_mark<'a>(&mut self, mut seen: usize, mut bytes: &'a [u8]) -> &'a [u8] {
        while let Some(&byte) = bytes.first() {
            if byte != BYTE_ORDER_MARK[seen] {
                self.line.extend_from_slice(&BYTE_ORDER_MARK[..seen]);
                self.mark = None;
                return bytes;
            }
            bytes = &bytes[1..];
            seen += 1;
            if seen == BYTE_ORDER_MARK.len() {
                self.mark = None;
                return bytes;
            }
        }
        self.mark = Some(seen);
        bytes
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), BlockTooLarge> {
        self.check_room(self.line.len() + bytes.len())?;
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn check_room(&self, bytes: usize) -> Result<(), BlockTooLarge> {
        if bytes > self.block_bytes_max {
            return Err(BlockTooLarge { bytes_max: self.block_bytes_max });
        }
        Ok(())
    }

    fn end_line(&mut self, line: &[u8]) -> Result<(), BlockTooLarge> {
        self.check_room(line.len())?;
        if line.is_empty() {
            self.end_block();
            return Ok(());
        }
        // A line end is never inside a UTF-8 sequence, so decoding line by line replaces exactly
        // what decoding the whole stream would.
        let (name, value) = match memchr::memchr(b':', line) {
            Some(0) => return Ok(()),
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        let value = String::from_utf8_lossy(value);
        match name {
            b"data" => {
                self.block.data.push_str(&value);
                self.block.data.push('\n');
            }
            b"id" if !value.contains('\0') => self.next_id = value.into_owned(),
            b"event" => self.block.r#type = value.into_owned(),
            b"topic" => self.block.topic = Some(value.into_owned()).filter(|it| !it.is_empty()),
            b"time" => self.block.time = decimal(&value),
            b"retry" => self.ready.extend(decimal(&value).map(Block::Retry)),
            _ => {}
        }
        let topic_bytes = self.block.topic.as_ref().map_or(0, String::len);
        self.check_room(
            self.block.data.len() + self.block.r#type.len() + topic_bytes + self.next_id.len(),
        )
    }

    fn end_block(&mut self) {
        let mut block = std::mem::take(&mut self.block);
        let moved = self.last_id != self.next_id;
        self.last_id.clone_from(&self.next_id);
        if block.data.pop().is_none() {
            if moved {
                self.ready.push_back(Block::Id(self.last_id.clone()));
            }
            return;
        }
        if block.r#type.is_empty() {
            "message".clone_into(&mut block.r#type);
        }
        block.id.clone_from(&self.last_id);
        self.ready.push_back(Block::Event(block));
    }
}

/// A number of nothing but ASCII digits; one too large to hold counts as the largest.
fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_at_the_bound_is_read_and_one_byte_more_is_refused() {
        let mut parser = Parser::new(16);
        parser.push(b"data: 0123456789\n\n").unwrap();
        assert!(
            matches!(parser.next_block(), Some(Block::Event(event)) if event.data == "0123456789")
        );
        assert_eq!(parser.push(b"data: 0123456789A"), Err(BlockTooLarge { bytes_max: 16 }));
    }

    #[test]
    fn a_block_of_many_short_lines_is_bounded_too() {
        let mut parser = Parser::new(16);
        let outcome = (0..100).try_for_each(|_| parser.push(b"data: 0\n"));
        assert_eq!(outcome, Err(BlockTooLarge { bytes_max: 16 }));
    }

    #[test]
    fn a_whole_line_in_one_chunk_is_bounded_too() {
        let mut parser = Parser::new(16);
        assert!(parser.push(b": a comment of more than sixteen bytes\n").is_err());
    }
}
