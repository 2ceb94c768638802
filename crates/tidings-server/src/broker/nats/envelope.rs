//! What goes with an event as headers of its message: its publisher's key with what it was used for,
//! and which node it came in at.
//!
//! The key, with the epoch that it is used in, is the message's id, so NATS itself stores it once. Only a
//! digest of it is written: it says who publishes what.

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use tidings_hub::Epoch;

use super::super::{Fingerprint, IdempotencyKey};

/// What was published with the key.
const PRINT: &str = "Tidings-Print";
/// The node, and which of its events it is.
const FROM: &str = "Tidings-From";
/// Bytes of a digest that are kept: that two are alike happens once in 2^128.
const NAME_BYTES: usize = 16;

/// What was with a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Envelope {
    /// The key as nodes know it of each other: without its publisher, by its digest.
    pub(super) key: Option<IdempotencyKey>,
    pub(super) from: Option<(String, u64)>,
}

/// The headers of an event that came in at a node.
pub(super) fn write(
    key: Option<&IdempotencyKey>,
    epoch: Epoch,
    node: &str,
    number: u64,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(FROM, format!("{node}.{number}"));
    if let Some(key) = key {
        headers.insert(NATS_MESSAGE_ID, format!("{epoch}.{}.{}", key.text, key.index));
        headers.insert(PRINT, BASE64.encode(key.fingerprint));
    }
    headers
}

pub(super) fn read(headers: &HeaderMap) -> Envelope {
    let header = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
    let key = header(NATS_MESSAGE_ID.as_ref()).and_then(|id| {
        let (text, index) = id.split_once('.')?.1.split_once('.')?;
        let index = index.parse().ok()?;
        let fingerprint = print(headers)?;
        Some(IdempotencyKey { publisher: "".into(), text: text.into(), index, fingerprint })
    });
    let from = header(FROM).and_then(|from| {
        let (node, number) = from.split_once('.')?;
        Some((node.to_owned(), number.parse().ok()?))
    });
    Envelope { key, from }
}

/// What a message was published with.
pub(super) fn print(headers: &HeaderMap) -> Option<Fingerprint> {
    BASE64.decode(headers.get(PRINT)?.as_str()).ok()?.try_into().ok()
}

/// A key as nodes know it of each other.
pub(super) fn shared(key: &IdempotencyKey) -> IdempotencyKey {
    let text = name(&[key.publisher.as_bytes(), key.text.as_bytes()]);
    IdempotencyKey { publisher: "".into(), text: text.into(), ..key.clone() }
}

/// A name for these parts together that can stand in a subject and that nobody can read them from.
pub(super) fn name(parts: &[&[u8]]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    BASE64.encode(&context.finish().as_ref()[..NAME_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_a_node_come_back() {
        let key = IdempotencyKey {
            publisher: "key:a".into(),
            text: "order 7.1".into(),
            index: 3,
            fingerprint: [7; 32],
        };
        let key = shared(&key);
        let read = read(&write(Some(&key), Epoch::from_random(7), "n1", 5));
        assert_eq!(read, Envelope { key: Some(key), from: Some(("n1".to_owned(), 5)) });
        assert_eq!(super::read(&HeaderMap::new()), Envelope::default());
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(name(&[b"ab", b"c"]), name(&[b"a", b"bc"]));
    }
}
