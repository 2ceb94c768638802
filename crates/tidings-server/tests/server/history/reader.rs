//! Readers that record all they are sent: one of the bare stream, that hides nothing, and one by the
//! client library, as an application has it. Each ends when it has read the bell.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tidings_client::{
    BackoffBounds, Block, Connected, Credential, Gap, Item, Parser, RawEvent, Subscribe,
};
use tidings_hub::{Cursor, Pattern};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::account::{Note, Reading, What};
use super::recorder::{BELL, Shared};
use crate::support::API_KEY;

/// A stream that says nothing for so long is given up; heartbeats come every second.
const SILENCE: Duration = Duration::from_secs(5);
/// Events after which a reader breaks off, at most.
const EVENTS_MAX: usize = 60;

/// What is written down.
struct Account {
    shared: Arc<Shared>,
    reading: Reading,
    /// Dropped when the reader has a place.
    connecting: Option<mpsc::Sender<()>>,
    has_heard: bool,
}

impl Account {
    fn new(
        shared: Arc<Shared>,
        reader: String,
        patterns: Vec<Pattern>,
        connecting: mpsc::Sender<()>,
    ) -> Self {
        let reading = Reading { reader, patterns, notes: Vec::new() };
        Self { shared, reading, connecting: Some(connecting), has_heard: false }
    }

    fn note(&mut self, what: What) {
        match &what {
            What::Connected { .. } => self.connecting = None,
            What::Event { value, .. } => self.has_heard |= value.starts_with(BELL),
            What::Moved(_) | What::Gap { .. } => {}
        }
        self.reading.notes.push(Note { at: self.shared.tick(), what });
    }
}

/// Reads streams, breaks off at random, and comes back with its cursor to any node.
pub async fn read_stream(
    shared: Arc<Shared>,
    name: String,
    patterns: Vec<Pattern>,
    absence_ms_max: u64,
    mut rng: fastrand::Rng,
    connecting: mpsc::Sender<()>,
) -> Reading {
    let client = reqwest::Client::builder().connect_timeout(SILENCE).build().unwrap();
    let topics: Vec<_> = patterns.iter().map(|pattern| format!("topic={pattern}")).collect();
    let query = topics.join("&");
    let mut account = Account::new(shared, name, patterns, connecting);
    let mut cursor: Option<Cursor> = None;
    while !account.has_heard {
        let url = format!("{}/api/sse?{query}", account.shared.any_url(&mut rng));
        let mut request = client.get(url).bearer_auth(API_KEY);
        if let Some(cursor) = cursor {
            request = request.header("last-event-id", cursor.to_string());
        }
        let events_max = rng.usize(1..EVENTS_MAX);
        if let Ok(Ok(answer)) = timeout(SILENCE, request.send()).await
            && answer.status() == 200
        {
            read_connection(answer, &mut account, &mut cursor, events_max).await;
        }
        sleep(Duration::from_millis(rng.u64(..=absence_ms_max))).await;
    }
    account.reading
}

/// Reads until so many events have come, the bell, silence, or the end.
async fn read_connection(
    answer: reqwest::Response,
    account: &mut Account,
    cursor: &mut Option<Cursor>,
    events_max: usize,
) {
    let mut body = answer.bytes_stream();
    let mut parser = Parser::default();
    let mut events = 0;
    while let Ok(Some(Ok(bytes))) = timeout(SILENCE, body.next()).await {
        parser.push(&bytes).expect("no block is that large");
        while let Some(block) = parser.next_block() {
            match block {
                Block::Id(id) => {
                    let moved = id.parse().expect("an id is a cursor");
                    *cursor = Some(moved);
                    account.note(What::Moved(moved));
                }
                Block::Retry(_) => {}
                Block::Event(event) => {
                    events += usize::from(!event.r#type.starts_with("tidings."));
                    take(&event, account, cursor);
                }
            }
            // Whatever else has arrived is left unread, as when a connection breaks.
            if account.has_heard || events >= events_max {
                return;
            }
        }
    }
}

fn take(event: &RawEvent, account: &mut Account, cursor: &mut Option<Cursor>) {
    let id = (!event.id.is_empty()).then(|| event.id.parse().expect("an id is a cursor"));
    match event.r#type.as_str() {
        "tidings.connected" => {
            let Connected { cursor: start, resumed, .. } =
                serde_json::from_str(&event.data).expect("it says where the stream starts");
            account.note(What::Connected { offered: *cursor, cursor: start, resumed });
        }
        "tidings.gap" => {
            let gap: Gap = serde_json::from_str(&event.data).expect("it says what is missing");
            account.note(gap_of(&gap));
        }
        own if own.starts_with("tidings.") => {}
        _ => {
            let value: Value = serde_json::from_str(&event.data).expect("data is JSON");
            let value = value.as_str().expect("and a string").to_owned();
            account.note(What::Event { cursor: id.expect("an event has an id"), value });
        }
    }
    *cursor = id.or(*cursor);
}

fn gap_of(gap: &Gap) -> What {
    let patterns = gap.topics.iter().map(|topic| Pattern::new(topic).expect("a pattern"));
    What::Gap { reason: gap.reason, patterns: patterns.collect(), cursor: gap.cursor }
}

/// Reads by the client, which comes back by itself; now and then its place is handed to another client
/// at another node.
pub async fn read_by_client(
    shared: Arc<Shared>,
    name: String,
    patterns: Vec<Pattern>,
    mut rng: fastrand::Rng,
    connecting: mpsc::Sender<()>,
) -> Reading {
    let backoff = BackoffBounds {
        min: Duration::from_millis(20),
        max: Duration::from_millis(500),
        stable_after: Duration::from_secs(1),
    };
    let mut account = Account::new(shared, name, patterns, connecting);
    let mut place: Option<Cursor> = None;
    while !account.has_heard {
        let mut subscribe = Subscribe::new(account.shared.any_url(&mut rng))
            .credential(Credential::api_key(API_KEY))
            .backoff(backoff);
        for pattern in &account.reading.patterns {
            subscribe = subscribe.topic(pattern.as_str());
        }
        if let Some(place) = place {
            subscribe = subscribe.since(place);
        }
        let mut subscription = subscribe.start().expect("the options are right");
        let mut is_new = true;
        for _ in 0..rng.usize(EVENTS_MAX..EVENTS_MAX * 4) {
            // A node that is down for long is left for another.
            let Ok(item) = timeout(SILENCE, subscription.next()).await else { break };
            match item.expect("it goes on").expect("nothing is final") {
                // Only what a client does not know itself: it keeps its place when it comes back.
                Item::Connected(connected) if std::mem::take(&mut is_new) => {
                    let Connected { cursor, resumed, .. } = connected;
                    account.note(What::Connected { offered: place, cursor, resumed });
                }
                Item::Event(event) => {
                    let value = event.json().expect("data is a string");
                    account.note(What::Event { cursor: event.id, value });
                }
                Item::Gap(gap) => account.note(gap_of(&gap)),
                _ => {}
            }
            if account.has_heard {
                break;
            }
        }
        if let Some(cursor) = subscription.cursor().filter(|_| !is_new) {
            place = Some(cursor);
            account.note(What::Moved(cursor));
        }
    }
    account.reading
}
