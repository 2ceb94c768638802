//! Whether events come one by one: some are published at intervals, and their arrival is looked at.
//!
//! An event counts as held back when it came together with the next, although the server took that
//! one much later. By the server's own times it does not matter how long publishing takes on its
//! way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tidings_client::{Block, Cursor};
use tokio::task::JoinSet;

use super::Doctor;
use super::advice::Fault;
use super::answer::{Answer, Broken};
use super::opening::{Opened, open, reason};
use super::reach;
use super::report::Finding;
use super::target::{Show, TEST_TYPE};

const CHECK: &str = "events";
const EVENTS: usize = 8;
const INTERVAL: Duration = Duration::from_millis(150);
/// What comes within this is one lump.
const TOGETHER: Duration = Duration::from_millis(25);
/// How long the last may take.
const LAST_WITHIN: Duration = Duration::from_secs(3);
/// A machine that stands still for a second makes lumps too, but not twice.
const ROUNDS: usize = 2;

/// The ids of what was published, in the log's order, for whoever looks for it elsewhere.
pub(super) type Ids = Vec<String>;

#[derive(Deserialize)]
struct Sent {
    number: usize,
}

/// One event of a round.
struct Arrived {
    /// When the server took it, by its clock.
    taken_ms: u64,
    /// How long it was on its way, with the publisher's request.
    latency: Duration,
    at: Instant,
    read: usize,
}

/// What became of the events of one round, by their number.
type Round = BTreeMap<usize, Arrived>;

/// Publishes to the topic and listens.
pub(super) async fn check(doctor: &Doctor, topic: &str) -> (Finding, Ids) {
    if doctor.target.publisher.is_none() {
        let why = "give --api-key with the scope publish, or a token with a publish grant and its \
                   --topic";
        return (Finding::unchecked(CHECK, why), Ids::new());
    }
    if doctor.show == Show::Query {
        let why = "publishing needs the Authorization header, which is taken away";
        return (Finding::unchecked(CHECK, why), Ids::new());
    }
    let mut opened = match open(doctor, &[("topic", topic)], &[], doctor.show).await {
        Ok(opened) => opened,
        Err((_, why)) => return (Finding::unchecked(CHECK, reason(&why).1), Ids::new()),
    };
    let mut ids = Vec::new();
    let mut finding = Finding::unchecked(CHECK, "nothing was published");
    for round in 0..ROUNDS {
        finding = match exchange(doctor, topic, &mut opened, round, &mut ids).await {
            Ok(arrived) => match judge(&arrived) {
                Ok(good) => Finding::good(CHECK, good),
                Err(text) => {
                    finding = Finding::fault(CHECK, Fault::Lumps, text);
                    continue;
                }
            },
            Err(finding) => *finding,
        };
        break;
    }
    ids.sort_by_key(|id| id.position);
    (finding, ids.iter().map(ToString::to_string).collect())
}

/// Publishes one round while listening.
async fn exchange(
    doctor: &Doctor,
    topic: &str,
    opened: &mut Opened,
    round: usize,
    ids: &mut Vec<Cursor>,
) -> Result<Round, Box<Finding>> {
    let (mut sent, mut publishing, mut arrived) = (Vec::new(), JoinSet::new(), Round::new());
    for number in 0..EVENTS {
        doctor.progress.say(&format!("publishing test events: {} of {EVENTS}", number + 1));
        let now = Instant::now();
        sent.push(now);
        let (target, topic) = (doctor.target.clone(), topic.to_owned());
        publishing.spawn(async move { target.publish(&topic, round * EVENTS + number, 0).await });
        listen(opened, now + INTERVAL, round, &sent, &mut arrived).await;
        tokio::time::sleep_until((now + INTERVAL).into()).await;
    }
    while let Some(answer) = publishing.join_next().await {
        ids.push(taken(answer, topic)?);
    }
    listen(opened, Instant::now() + LAST_WITHIN, round, &sent, &mut arrived).await;
    Ok(arrived)
}

/// Notes what arrives until then, or until all has.
async fn listen(
    opened: &mut Opened,
    until: Instant,
    round: usize,
    sent: &[Instant],
    arrived: &mut Round,
) {
    while arrived.len() < EVENTS {
        let Some(told) = opened.stream.next(until).await else { break };
        let Block::Event(event) = &told.block else { continue };
        if event.r#type == TEST_TYPE
            && let Ok(Sent { number }) = serde_json::from_str(&event.data)
            && let Some(number) = number.checked_sub(round * EVENTS)
            && let Some(sent) = sent.get(number)
        {
            let (at, read) = (told.at, told.read);
            let latency = at.saturating_duration_since(*sent);
            let taken_ms = event.time.unwrap_or_default();
            arrived.insert(number, Arrived { taken_ms, latency, at, read });
        }
    }
}

/// Good, with how; or not, with why.
fn judge(arrived: &Round) -> Result<String, String> {
    let interval_ms = INTERVAL.as_millis();
    let missing = EVENTS - arrived.len();
    if missing > 0 {
        return Err(format!(
            "{missing} of {EVENTS} had not come {} s after the last was published: something \
             collects them",
            LAST_WITHIN.as_secs()
        ));
    }
    let arrivals: Vec<_> = arrived.values().collect();
    let held = arrivals.windows(2).filter(|pair| {
        let (before, this) = (pair[0], pair[1]);
        let apart = Duration::from_millis(this.taken_ms.saturating_sub(before.taken_ms));
        let together = before.read == this.read || this.at < before.at + TOGETHER;
        together && apart > INTERVAL / 2
    });
    let slowest = arrivals.iter().map(|arrived| arrived.latency).max();
    let slowest_ms = slowest.unwrap_or_default().as_millis();
    if held.count() * 2 >= EVENTS {
        return Err(format!(
            "{EVENTS} were published {interval_ms} ms apart and came in lumps, up to {slowest_ms} \
             ms late"
        ));
    }
    Ok(format!(
        "{EVENTS} published {interval_ms} ms apart came one by one, each within {slowest_ms} ms"
    ))
}

/// The id of an event that was taken.
fn taken(
    answer: Result<Result<Answer, Broken>, tokio::task::JoinError>,
    topic: &str,
) -> Result<Cursor, Box<Finding>> {
    #[derive(Deserialize)]
    struct Taken {
        id: String,
    }
    let unchecked = |why: String| Box::new(Finding::unchecked(CHECK, why));
    let answer = answer.map_err(|error| unchecked(error.to_string()))?;
    let answer = answer.map_err(|broken| unchecked(format!("publishing: {broken}")))?;
    let taken: Option<Taken> = answer.json().filter(|_| answer.head.status.is_success());
    let id = taken.and_then(|taken| taken.id.parse().ok());
    id.ok_or_else(|| Box::new(not_published(&answer, topic)))
}

fn not_published(answer: &Answer, topic: &str) -> Finding {
    match answer.refusal() {
        Some(refusal) if answer.head.status.as_u16() == 403 => {
            let why = format!(
                "this credential may not publish to {topic} ({}); give --api-key with the scope \
                 publish, or the --topic that the token may publish to",
                refusal.code
            );
            Finding::unchecked(CHECK, why)
        }
        _ => {
            let (fault, text) = reach::refused(answer);
            Finding::fault(CHECK, fault, format!("publishing: {text}"))
        }
    }
}
