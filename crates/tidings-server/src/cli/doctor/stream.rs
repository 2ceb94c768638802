//! A stream under observation: a task reads it and notes when what arrived; whoever looks at it may
//! be late.
//!
//! Knows when bytes came and how the stream ended. What that says about a proxy is for the checks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use reqwest::RequestBuilder;
use serde::Deserialize;
use tidings_client::{Block, Parser};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::answer::{Answer, Broken, Head, how_it_broke};
use super::target::unix_ms;

/// What was read and not looked at yet; a reader that far ahead waits.
const ARRIVALS_MAX: usize = 4096;
/// Silences are noted from here on.
const MOMENT: Duration = Duration::from_millis(500);
/// Bytes of a refusal that are read.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// How long the rest of a refusal may take.
const REFUSAL_WITHIN: Duration = Duration::from_secs(5);

/// Something that happened to the stream.
enum Arrival {
    Head(Head),
    /// Another status than 200.
    Refused(Answer),
    Bytes(Instant, Bytes),
    Ended(Instant, String),
    Broken(Broken),
}

/// A block, and which read brought it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) at: Instant,
    /// Counts reads from the network, from 1.
    pub(super) read: usize,
    pub(super) block: Block,
}

/// What `tidings.connected` says, as far as it is looked at.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connected {
    pub(super) connection: String,
    pub(super) cursor: String,
    pub(super) resumed: bool,
    pub(super) heartbeat_secs: u64,
}

/// Why a stream did not begin.
#[derive(Debug)]
pub(super) enum NotOpened {
    Refused(Answer),
    Broken(Broken),
    /// The head came, and no block behind it.
    Mute,
    /// Not even the head came.
    Silent,
    /// What came cannot be read as a stream.
    Unreadable,
}

/// A stream that was asked for. Dropping it ends it.
pub(super) struct Stream {
    arrivals: mpsc::Receiver<Arrival>,
    task: JoinHandle<()>,
    parser: Parser,
    told: VecDeque<Told>,
    reads: usize,
    pub(super) asked: Instant,
    pub(super) head: Option<Head>,
    /// When bytes came: the last of them.
    pub(super) last_bytes: Option<Instant>,
    /// The silences between two pieces that were longer than a moment.
    pub(super) silences: Vec<Duration>,
    /// When it ended, and how.
    pub(super) end: Option<(Instant, String)>,
    failure: Option<NotOpened>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stream {
    pub(super) fn open(request: RequestBuilder) -> Self {
        let (sender, arrivals) = mpsc::channel(ARRIVALS_MAX);
        Self {
            arrivals,
            task: tokio::spawn(read(request, sender)),
            parser: Parser::default(),
            told: VecDeque::new(),
            reads: 0,
            asked: Instant::now(),
            head: None,
            last_bytes: None,
            silences: Vec::new(),
            end: None,
            failure: None,
        }
    }

    /// Waits for `tidings.connected`, and returns when it came.
    pub(super) async fn connected(
        &mut self,
        within: Duration,
    ) -> Result<(Connected, Instant), NotOpened> {
        let until = Instant::now() + within;
        while let Some(told) = self.next(until).await {
            if let Block::Event(event) = &told.block
                && event.r#type == "tidings.connected"
                && let Ok(connected) = serde_json::from_str(&event.data)
            {
                return Ok((connected, told.at));
            }
        }
        Err(self.failure.take().unwrap_or_else(|| match (&self.head, self.end.take()) {
            (_, Some((at, how))) => NotOpened::Broken(Broken::Off(how, at - self.asked)),
            (Some(_), None) => NotOpened::Mute,
            (None, None) => NotOpened::Silent,
        }))
    }

    /// The next block, if one arrives until then.
    pub(super) async fn next(&mut self, until: Instant) -> Option<Told> {
        loop {
            if let Some(told) = self.told.pop_front() {
                return Some(told);
            }
            if self.is_over() {
                return None;
            }
            let arrival =
                tokio::time::timeout_at(until.into(), self.arrivals.recv()).await.ok()??;
            self.take(arrival);
        }
    }

    /// Whether nothing more will come.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some() || self.failure.is_some()
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Head(head) => self.head = Some(head),
            Arrival::Refused(answer) => self.failure = Some(NotOpened::Refused(answer)),
            Arrival::Broken(broken) => self.failure = Some(NotOpened::Broken(broken)),
            Arrival::Ended(at, how) => self.end = Some((at, how)),
            Arrival::Bytes(at, bytes) => {
                self.reads += 1;
                let silence = self.last_bytes.replace(at).map(|last| at - last);
                self.silences.extend(silence.filter(|silence| *silence > MOMENT));
                if self.parser.push(&bytes).is_err() {
                    self.failure = Some(NotOpened::Unreadable);
                }
                while let Some(block) = self.parser.next_block() {
                    self.told.push_back(Told { at, read: self.reads, block });
                }
            }
        }
    }
}

async fn read(request: RequestBuilder, arrivals: mpsc::Sender<Arrival>) {
    let (begun, begun_ms) = (Instant::now(), unix_ms());
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) => {
            let _ = arrivals.send(Arrival::Broken(Broken::by(&error, begun))).await;
            return;
        }
    };
    let head = Head::of(&response);
    if head.status != http::StatusCode::OK {
        let mut body = Vec::new();
        let rest = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                body.extend_from_slice(&chunk);
                if body.len() > REFUSAL_BYTES_MAX {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(REFUSAL_WITHIN, rest).await;
        let answer = Answer { head, body: body.into(), took: begun.elapsed(), middle_ms: begun_ms };
        let _ = arrivals.send(Arrival::Refused(answer)).await;
        return;
    }
    let chunked = head.headers.contains_key(TRANSFER_ENCODING);
    let framed = head.version == http::Version::HTTP_2;
    if arrivals.send(Arrival::Head(head)).await.is_err() {
        return;
    }
    let how = loop {
        match response.chunk().await {
            Ok(Some(bytes)) => {
                if arrivals.send(Arrival::Bytes(Instant::now(), bytes)).await.is_err() {
                    return;
                }
            }
            Ok(None) if framed => break "the HTTP/2 stream was ended in order".to_owned(),
            Ok(None) if chunked => {
                break "the answer was ended in order (terminal chunk)".to_owned();
            }
            Ok(None) => break "the connection was closed (FIN)".to_owned(),
            Err(error) => break how_it_broke(&error),
        }
    };
    let _ = arrivals.send(Arrival::Ended(Instant::now(), how)).await;
}
