//! What each event carries so that the other end can be judged: a mark, a sequence number and the
//! time it was meant to leave. Writes them into payloads, finds them again in whatever arrives, and
//! knows nothing of HTTP, frames or sockets.
//!
//! The mark is one byte that occurs nowhere else in a stream, so counting is a `memchr` over the
//! buffer and a read may end anywhere. Behind it stand digits of fixed width; checking every
//! sequence number costs a few nanoseconds beside the microsecond its `read()` does.

use hdrhistogram::Histogram;

/// Occurs in nothing that a server adds to an event of ours.
pub(crate) const MARK: u8 = b'~';
const SEQUENCE_DIGITS: usize = 8;
const TIME_DIGITS: usize = 16;
const DIGITS: usize = SEQUENCE_DIGITS + TIME_DIGITS;
/// The mark and the digits behind it.
pub(crate) const STAMP_BYTES: usize = 1 + DIGITS;

const OPENING: &str = "{\"tb\":\"";
const MIDDLE: &str = "\",\"pad\":\"";
const CLOSING: &str = "\"}";
/// A payload that is all stamp and no padding.
pub(crate) const PAYLOAD_BYTES_MIN: usize =
    OPENING.len() + STAMP_BYTES + MIDDLE.len() + CLOSING.len();

/// Appends one payload: a JSON object of exactly `bytes` bytes, all of them printable ASCII.
pub(crate) fn write_payload(out: &mut Vec<u8>, sequence: u32, meant_at_ns: u64, bytes: usize) {
    out.extend_from_slice(OPENING.as_bytes());
    write_stamp(out, sequence, meant_at_ns);
    out.extend_from_slice(MIDDLE.as_bytes());
    out.resize(out.len() + bytes.saturating_sub(PAYLOAD_BYTES_MIN), b'x');
    out.extend_from_slice(CLOSING.as_bytes());
}

/// Appends the mark, the sequence number and the time.
pub(crate) fn write_stamp(out: &mut Vec<u8>, sequence: u32, meant_at_ns: u64) {
    use std::io::Write as _;
    let mark = char::from(MARK);
    write!(out, "{mark}{sequence:08x}{meant_at_ns:016x}").expect("a Vec takes all that is written");
}

/// What a reader has learned; shared by all readers of a run.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Events that were the next one.
    pub(crate) in_order: u64,
    /// Events that were skipped.
    pub(crate) lost: u64,
    /// Events that had come before.
    pub(crate) repeated: u64,
    /// Nanoseconds from when an event was meant to leave to when it was read, where asked for.
    pub(crate) delays_ns: Option<Histogram<u64>>,
}

impl Heard {
    /// Events that no longer are on their way.
    pub(crate) fn accounted(&self) -> u64 {
        self.in_order + self.lost
    }
}

/// One connection's place in the sequence.
#[derive(Debug, Clone)]
pub(crate) struct Tracker {
    next: Option<u32>,
    partial: [u8; DIGITS],
    /// Digits in `partial`, where a read ended within a stamp.
    held: Option<u8>,
}

impl Tracker {
    /// Takes the first sequence number that comes, or expects `next`.
    pub(crate) fn new(next: Option<u32>) -> Self {
        Self { next, partial: [0; DIGITS], held: None }
    }

    /// The sequence number that must come next; none before the first event.
    pub(crate) fn next(&self) -> Option<u32> {
        self.next
    }

    /// Reads what one `read()` brought, ended wherever it did.
    pub(crate) fn feed(&mut self, bytes: &[u8], now_ns: u64, heard: &mut Heard) {
        let mut rest = bytes;
        if let Some(held) = self.held {
            let held = usize::from(held);
            let take = rest.len().min(DIGITS - held);
            self.partial[held..held + take].copy_from_slice(&rest[..take]);
            rest = &rest[take..];
            if held + take < DIGITS {
                self.held = Some(narrow(held + take));
                return;
            }
            self.held = None;
            let digits = self.partial;
            self.take(&digits, now_ns, heard);
        }
        for mark in memchr::memchr_iter(MARK, rest) {
            let digits = &rest[mark + 1..];
            if let Some(digits) = digits.first_chunk::<DIGITS>() {
                self.take(digits, now_ns, heard);
            } else {
                self.partial[..digits.len()].copy_from_slice(digits);
                self.held = Some(narrow(digits.len()));
            }
        }
    }

    fn take(&mut self, digits: &[u8; DIGITS], now_ns: u64, heard: &mut Heard) {
        let (sequence, time) = digits.split_at(SEQUENCE_DIGITS);
        let sequence = u32::try_from(hex(sequence)).expect("eight hexadecimal digits fit 32 bits");
        match self.next {
            Some(next) if sequence < next => {
                heard.repeated += 1;
                return;
            }
            Some(next) => heard.lost += u64::from(sequence - next),
            None => {}
        }
        heard.in_order += 1;
        self.next = Some(sequence + 1);
        if let Some(delays) = &mut heard.delays_ns {
            delays.saturating_record(now_ns.saturating_sub(hex(time)).max(1));
        }
    }
}

fn narrow(digits: usize) -> u8 {
    u8::try_from(digits).expect("a stamp has few digits")
}

fn hex(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value, digit| {
        let nibble = (digit & 0xf) + 9 * (digit >> 6);
        value << 4 | u64::from(nibble)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(sequences: &[u32], payload_bytes: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &sequence in sequences {
            bytes.extend_from_slice(b"id: k7q2m9x1-1042\ndata: ");
            write_payload(&mut bytes, sequence, 1_000 + u64::from(sequence), payload_bytes);
            bytes.extend_from_slice(b"\n\n");
        }
        bytes
    }

    #[test]
    fn a_payload_has_the_bytes_asked_for_and_is_json() {
        for bytes in [PAYLOAD_BYTES_MIN, 128, 256] {
            let mut payload = Vec::new();
            write_payload(&mut payload, u32::MAX, u64::MAX, bytes);
            assert_eq!(payload.len(), bytes);
            serde_json::from_slice::<serde_json::Value>(&payload).expect("JSON");
        }
    }

    #[test]
    fn events_are_counted_alike_wherever_a_read_ends() {
        let bytes = stream(&[7, 8, 9], 64);
        for first in 0..=bytes.len() {
            for second in (first..=bytes.len()).step_by(3) {
                let mut heard = Heard {
                    delays_ns: Some(Histogram::new(3).expect("3 digits are possible")),
                    ..Heard::default()
                };
                let mut tracker = Tracker::new(Some(7));
                for part in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    tracker.feed(part, 2_000, &mut heard);
                }
                assert_eq!((heard.in_order, heard.lost, heard.repeated), (3, 0, 0));
                assert_eq!(tracker.next(), Some(10));
                let delays = heard.delays_ns.expect("asked for");
                assert_eq!((delays.min(), delays.max()), (991, 993), "split at {first}, {second}");
            }
        }
    }

    #[test]
    fn one_byte_at_a_time_is_enough() {
        let (mut heard, mut tracker) = (Heard::default(), Tracker::new(None));
        for byte in stream(&[0xabc_def0, 0xabc_def1], 128) {
            tracker.feed(&[byte], 0, &mut heard);
        }
        assert_eq!((heard.in_order, tracker.next()), (2, Some(0xabc_def2)));
    }

    #[test]
    fn skipped_and_repeated_events_are_told_apart() {
        let (mut heard, mut tracker) = (Heard::default(), Tracker::new(Some(1)));
        tracker.feed(&stream(&[1, 2, 2, 5, 4, 6], 64), 0, &mut heard);
        assert_eq!((heard.in_order, heard.lost, heard.repeated), (4, 2, 2));
        assert_eq!(heard.accounted(), 6);
    }
}
