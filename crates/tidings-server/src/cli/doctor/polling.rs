//! Whether polling can stand in for a stream: nothing is kept by a cache, the cursor is the same,
//! and a long poll is let wait.

use std::time::{Duration, Instant};

use super::Doctor;
use super::advice::Fault;
use super::answer::{Answer, Broken, Head, Page};
use super::delivery::Ids;
use super::reach;
use super::report::Finding;
use super::target::{Show, Target};

const CACHE: &str = "cache";
const POLLING: &str = "polling";
const LONG_POLL: &str = "long poll";
/// What clients ask for.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(25);
/// Apart enough for two answers to have two times.
const APART: Duration = Duration::from_millis(20);
/// Headers by which caches say that it was them.
const HITS: [&str; 4] = ["x-cache", "cf-cache-status", "x-cache-status", "x-proxy-cache"];

/// Asks the same twice: answers of a cache are of the same moment.
pub(super) async fn cache(doctor: &Doctor, stream: Option<&Head>) -> Finding {
    // A URL that nobody has asked for yet, since a cache may be right to keep it for a while.
    let once = format!("{:016x}", fastrand::u64(..));
    let query = [("doctor", once.as_str())];
    let mut answers: Vec<(Answer, Page)> = Vec::new();
    for _ in 0..2 {
        match doctor.target.poll(&query, doctor.show, Duration::ZERO).await {
            Ok(answer) => match answer.page() {
                Some(page) => answers.push((answer, page)),
                None => return Finding::unchecked(CACHE, reach::refused(&answer).1),
            },
            Err(broken) => return Finding::unchecked(CACHE, broken.to_string()),
        }
        tokio::time::sleep(APART).await;
    }
    let [(_, first), (answer, second)] = &answers[..] else {
        return Finding::unchecked(CACHE, "two answers were not had");
    };
    let hit = HITS.iter().any(|name| answer.head.joined(name).contains("hit"));
    if first.timestamp == second.timestamp || hit {
        let text = "two requests got one and the same answer: a cache keeps what must not be kept";
        return Finding::fault(CACHE, Fault::Cached, text);
    }
    for (what, head) in [("a poll's answer", Some(&answer.head)), ("the stream", stream)] {
        let Some(head) = head else { continue };
        let found = head.joined("cache-control");
        if !found.contains("no-store") {
            let text =
                format!("{what} left with Cache-Control: no-store and arrives with {found:?}");
            return Finding::fault(CACHE, Fault::CacheControlChanged, text);
        }
    }
    Finding::good(CACHE, "two requests got two answers, and no-store arrives")
}

/// Reads on from a cursor of the stream's: what was published meanwhile must be there.
pub(super) async fn fallback(
    doctor: &Doctor,
    topic: Option<&str>,
    page: &Page,
    ids: &Ids,
) -> Finding {
    // From the first of the events, if there were any: the others come after it.
    let cursor = ids.first().unwrap_or(&page.cursor);
    let mut query: Vec<_> = topic.iter().map(|topic| ("topic", *topic)).collect();
    query.push(("lastEventId", cursor));
    let answer = match doctor.target.poll(&query, doctor.show, Duration::ZERO).await {
        Ok(answer) => answer,
        Err(broken) => return Finding::fault(POLLING, Fault::PollingCut, broken.to_string()),
    };
    let Some(page) = answer.page() else {
        let (fault, text) = reach::refused(&answer);
        return Finding::fault(POLLING, fault, text);
    };
    let missing = ids.iter().skip(1).filter(|id| !page.events.iter().any(|event| event.id == **id));
    match (missing.count(), page.resumed) {
        (0, true) if ids.is_empty() => Finding::good(POLLING, "goes on after the same cursor"),
        (0, true) => {
            let text =
                format!("goes on after the stream's cursor: the other {} events", ids.len() - 1);
            Finding::good(POLLING, text)
        }
        (missing, _) => {
            let text = match missing {
                0 => "it does not go on after the cursor: it was not resumed".to_owned(),
                missing => format!("{missing} events that were published are not there"),
            };
            Finding::fault(POLLING, Fault::PollingLoses, text)
        }
    }
}

/// A long poll under way: what came of it, and after how long.
pub(super) type LongPoll = tokio::task::JoinHandle<(Result<Answer, Broken>, Duration)>;

/// Begins a long poll for something that does not come.
pub(super) fn long_poll(
    target: &Target,
    topic: Option<&str>,
    show: Show,
    wait: Duration,
) -> LongPoll {
    let (target, topic) = (target.clone(), topic.map(str::to_owned));
    tokio::spawn(async move {
        let begun = Instant::now();
        let query: Vec<_> = topic.iter().map(|topic| ("topic", topic.as_str())).collect();
        let answer = target.poll(&query, show, wait).await;
        (answer, begun.elapsed())
    })
}

/// What came of it.
pub(super) fn waited(answer: &Result<Answer, Broken>, took: Duration, wait: Duration) -> Finding {
    let secs = took.as_secs_f64();
    match answer {
        Ok(answer) if answer.page().is_some() => Finding::good(
            LONG_POLL,
            format!("asked to wait {} s, answered after {secs:.1} s", wait.as_secs()),
        ),
        Ok(answer) if answer.refusal().is_some() => {
            Finding::unchecked(LONG_POLL, reach::refused(answer).1)
        }
        Ok(answer) => {
            let text = format!(
                "asked to wait {} s, cut after {secs:.1} s: {}",
                wait.as_secs(),
                answer.describe()
            );
            Finding::fault(LONG_POLL, Fault::PollingCut, text)
        }
        Err(broken) => {
            let text = format!("asked to wait {} s: {broken}", wait.as_secs());
            Finding::fault(LONG_POLL, Fault::PollingCut, text)
        }
    }
}
