//! How a stream begins: whether its first bytes come at once, and as what they come.
//!
//! Where they do not come, larger and larger events tell how much it takes. What happens on a
//! stream later is for others.

use std::time::{Duration, Instant};

use super::Doctor;
use super::advice::Fault;
use super::answer::Answer;
use super::reach;
use super::report::Finding;
use super::stream::{Connected, NotOpened, Stream};
use super::target::Show;

const CHECK: &str = "first byte";
const COMPRESSION: &str = "compression";
/// How long the first bytes may take. Whoever collects does so without end, so that more tells no
/// more.
const FIRST_WITHIN: Duration = Duration::from_secs(5);
/// Slower than this is no network.
const FIRST_SOON: Duration = Duration::from_secs(2);
/// Bytes of one padded event, and how many there are.
const PADDING_BYTES: usize = 4096;
const PADDINGS_MAX: usize = 64;
/// How long one more may take to show.
const PADDING_WITHIN: Duration = Duration::from_millis(100);
/// How long the server's own limit of streams is waited for.
const LIMIT_WAIT_MAX: Duration = Duration::from_secs(65);

/// A stream that has begun.
pub(super) struct Opened {
    pub(super) stream: Stream,
    pub(super) connected: Connected,
    pub(super) at: Instant,
}

/// Opens a stream and waits for its first block; waits once for the server's limit of streams.
pub(super) async fn open(
    doctor: &Doctor,
    query: &[(&str, &str)],
    headers: &[(&'static str, &str)],
    show: Show,
) -> Result<Opened, (Stream, NotOpened)> {
    let mut is_first = true;
    loop {
        let mut stream = doctor.target.stream(query, headers, show);
        let why = match stream.connected(FIRST_WITHIN).await {
            Ok((connected, at)) => return Ok(Opened { stream, connected, at }),
            Err(why) => why,
        };
        let wait = match &why {
            NotOpened::Refused(answer) if is_first => limit_wait(answer),
            _ => None,
        };
        let Some(wait) = wait else { return Err((stream, why)) };
        doctor.progress.say(&format!(
            "the server's limit of streams: on with it in {} s (an API key has none)",
            wait.as_secs()
        ));
        tokio::time::sleep(wait).await;
        is_first = false;
    }
}

/// Why a stream did not begin, for people.
pub(super) fn reason(why: &NotOpened) -> (Fault, String) {
    match why {
        NotOpened::Refused(answer) => reach::refused(answer),
        NotOpened::Broken(broken) => {
            (Fault::IdleCut, format!("it broke before it began: {broken}"))
        }
        NotOpened::Mute => (Fault::Buffered, "its head came, and nothing behind it".to_owned()),
        NotOpened::Silent => (Fault::Buffered, "nothing came".to_owned()),
        NotOpened::Unreadable => {
            (Fault::ContentType, "what came is not a stream of events".to_owned())
        }
    }
}

/// Opens the stream that is then watched, offering compression.
pub(super) async fn check(doctor: &Doctor, topic: Option<&str>) -> (Vec<Finding>, Option<Opened>) {
    let query: Vec<_> = topic.iter().map(|topic| ("topic", *topic)).collect();
    let mut findings = Vec::new();
    let offered = open(doctor, &query, &[("accept-encoding", "gzip, br, zstd")], doctor.show).await;
    let head = match &offered {
        Ok(opened) => opened.stream.head.as_ref(),
        Err((stream, _)) => stream.head.as_ref(),
    };
    let encoding = head.map(|head| head.joined("content-encoding"));
    let opened = match encoding.as_deref() {
        Some("" | "identity") => {
            findings
                .push(Finding::good(COMPRESSION, "none, though gzip, br and zstd were offered"));
            offered
        }
        Some(encoding) => {
            let text = format!(
                "the stream is compressed ({encoding}): that holds events back, and mixes secrets \
                 with other people's text"
            );
            findings.push(Finding::fault(COMPRESSION, Fault::Compressed, text));
            // What it is without compression is found out by not offering any.
            drop(offered);
            open(doctor, &query, &[("accept-encoding", "identity")], doctor.show).await
        }
        None => offered,
    };
    match opened {
        Ok(opened) => {
            findings.push(began(&opened));
            findings.extend(media_type(&opened));
            (findings, Some(opened))
        }
        Err((stream, why)) => {
            findings.push(not_begun(doctor, topic, stream, why).await);
            (findings, None)
        }
    }
}

fn began(opened: &Opened) -> Finding {
    let took = opened.at - opened.stream.asked;
    if took > FIRST_SOON {
        let text =
            format!("it came after {:.1} s; something collects for a while", took.as_secs_f64());
        return Finding::warning(CHECK, Fault::Buffered, text);
    }
    Finding::good(CHECK, format!("tidings.connected came after {} ms", took.as_millis()))
}

fn media_type(opened: &Opened) -> Option<Finding> {
    let found = opened.stream.head.as_ref()?.media_type();
    (found != "text/event-stream").then(|| {
        let text =
            format!("it is {found:?} and must be \"text/event-stream\": browsers end at once");
        Finding::fault("content type", Fault::ContentType, text)
    })
}

async fn not_begun(
    doctor: &Doctor,
    topic: Option<&str>,
    stream: Stream,
    why: NotOpened,
) -> Finding {
    let (fault, text) = reason(&why);
    if !matches!(why, NotOpened::Mute | NotOpened::Silent) {
        if let NotOpened::Refused(answer) = &why
            && limit_wait(answer).is_some()
        {
            return Finding::unchecked(CHECK, text);
        }
        return Finding::fault(CHECK, fault, text);
    }
    let waited = format!("{text} in {} s", FIRST_WITHIN.as_secs());
    let text = match topic {
        Some(topic) => match bytes_it_takes(doctor, topic, stream).await {
            Some(kib) => {
                format!("{waited}, until {kib} KiB more had been published: something collects")
            }
            None => format!("{waited}: something collects the answer before it hands it on"),
        },
        None => format!("{waited}: something collects the answer before it hands it on"),
    };
    Finding::fault(CHECK, fault, text)
}

/// Publishes until something shows; how many KiB that took.
async fn bytes_it_takes(doctor: &Doctor, topic: &str, mut stream: Stream) -> Option<usize> {
    doctor.target.publisher.as_ref()?;
    for number in 1..=PADDINGS_MAX {
        let kib = number * PADDING_BYTES / 1024;
        doctor.progress.say(&format!("seeing how much it takes until something comes: {kib} KiB"));
        let answer = doctor.target.publish(topic, number, PADDING_BYTES).await.ok()?;
        if !answer.head.status.is_success() {
            return None;
        }
        if stream.next(Instant::now() + PADDING_WITHIN).await.is_some() {
            return Some(kib);
        }
    }
    None
}

/// How long to wait when it is only the server's own limit.
fn limit_wait(answer: &Answer) -> Option<Duration> {
    let limited = answer.refusal().is_some_and(|refusal| refusal.code == "rate-limited");
    let secs = answer.head.text("retry-after")?.parse().ok()?;
    Some(Duration::from_secs(secs)).filter(|wait| limited && *wait <= LIMIT_WAIT_MAX)
}
