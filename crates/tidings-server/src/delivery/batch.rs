//! Bytes for sockets, in one piece, and where in the log each part of them leads.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use tidings_hub::{Position, StoredEvent};

use crate::metrics::Delivered;

/// What is written in one go: frames one after the other.
#[derive(Debug, Default)]
pub(super) struct Batch {
    parts: Vec<Part>,
    /// All parts in one piece, when there are several.
    joined: Vec<u8>,
}

#[derive(Debug)]
struct Part {
    bytes: Bytes,
    /// Where whoever has taken this part is in the log.
    position: Position,
    /// Where this part ends in the whole.
    end: usize,
    /// The events up to and with this part.
    events: Delivered,
}

/// How far a write got.
#[derive(Debug)]
pub(super) enum Written {
    /// To the end.
    All {
        /// The events in it.
        delivered: Delivered,
    },
    /// The socket is full.
    Blocked {
        /// Where the reader is once it has taken `rest`.
        position: Position,
        /// What is left of the part that was cut, perhaps nothing.
        rest: Bytes,
        /// Whether anything was taken.
        progress: bool,
        /// The events that were taken whole.
        delivered: Delivered,
        /// The event that `rest` is the end of.
        cut: Delivered,
    },
}

impl Batch {
    /// Something of the hub's own, which is no event.
    pub(super) fn push(&mut self, bytes: Bytes, position: Position) {
        self.push_part(bytes, position, Delivered::default());
    }

    pub(super) fn push_event(&mut self, event: &Arc<StoredEvent>) {
        let one = Delivered::of(event);
        self.push_part(event.frame().clone(), event.position(), one);
    }

    fn push_part(&mut self, bytes: Bytes, position: Position, one: Delivered) {
        let mut events = self.events_before(self.parts.len());
        events += one;
        let end = self.len() + bytes.len();
        match self.parts.len() {
            0 => {}
            1 => {
                self.joined.extend_from_slice(&self.parts[0].bytes);
                self.joined.extend_from_slice(&bytes);
            }
            _ => self.joined.extend_from_slice(&bytes),
        }
        self.parts.push(Part { bytes, position, end, events });
    }

    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.joined.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Where whoever has taken it all is in the log.
    pub(super) fn last(&self) -> Option<Position> {
        self.parts.last().map(|part| part.position)
    }

    /// The first part that lies after a position.
    pub(super) fn index_after(&self, position: Position) -> usize {
        if self.parts.first().is_none_or(|part| part.position > position) {
            return 0;
        }
        self.parts.partition_point(|part| part.position <= position)
    }

    /// Events up to a position.
    pub(super) fn events_up_to(&self, position: Position) -> u64 {
        self.events_before(self.parts.partition_point(|part| part.position <= position)).events
    }

    fn events_before(&self, part: usize) -> Delivered {
        part.checked_sub(1).map_or(Delivered::default(), |previous| self.parts[previous].events)
    }

    /// Writes from a part on, to a reader that is at `before`.
    pub(super) fn write(
        &self,
        socket: &mut impl Write,
        from: usize,
        before: Position,
    ) -> io::Result<Written> {
        let start = from.checked_sub(1).map_or(0, |previous| self.parts[previous].end);
        let bytes = &self.bytes()[start..];
        let count = match write_some(socket, bytes)? {
            count if count == bytes.len() => {
                let delivered = self.events_before(self.parts.len()) - self.events_before(from);
                return Ok(Written::All { delivered });
            }
            count => count,
        };
        let reached = start + count;
        let cut = self.parts.partition_point(|part| part.end <= reached);
        let cut_start = cut.checked_sub(1).map_or(0, |previous| self.parts[previous].end);
        let rest = if reached == cut_start {
            Bytes::new()
        } else {
            self.parts[cut].bytes.slice(reached - cut_start..)
        };
        let delivered = self.events_before(cut) - self.events_before(from);
        let cut_event = if rest.is_empty() {
            Delivered::default()
        } else {
            self.events_before(cut + 1) - self.events_before(cut)
        };
        let position = match (rest.is_empty(), cut) {
            (false, cut) => self.parts[cut].position,
            (true, cut) if cut == from => before,
            (true, cut) => self.parts[cut - 1].position,
        };
        let progress = count > 0;
        Ok(Written::Blocked { position, rest, progress, delivered, cut: cut_event })
    }

    fn bytes(&self) -> &[u8] {
        match &self.parts[..] {
            [] => &[],
            [part] => &part.bytes,
            _ => &self.joined,
        }
    }

    fn len(&self) -> usize {
        self.parts.last().map_or(0, |part| part.end)
    }
}

/// Writes what the socket takes at once, perhaps nothing.
pub(super) fn write_some(socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match socket.write(&bytes[written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            // A short write means that the socket is full; asking again would say so.
            Ok(count) if count < bytes.len() - written => return Ok(written + count),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
