//! `GET /api/admin/topics`: what the log holds, by topic.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Uri};
use serde::Serialize;
use tidings_hub::{RECENT_SECS, SEGMENTS_MAX, TOPIC_BYTES_MAX, Topic, TopicState};
use utoipa::ToSchema;

use super::problem::Problem;
use super::query::Parameters;
use super::sse::Peer;
use super::{Hub, Shared, admin};

/// Topics that are ranked by anything but their name: those published to most recently. A look at
/// so many holds up the log for a few milliseconds.
const RANKED_MAX: usize = 10_000;

/// Some of the topics.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TopicPage {
    topics: Vec<ListedTopic>,
    /// All whose name begins with `prefix`, on whichever page; counted up to 100,000 below one
    /// segment.
    total: usize,
    /// What `after` is on the next page; `null` on the last.
    next: Option<String>,
}

/// What one topic holds.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ListedTopic {
    topic: String,
    /// Events that it holds.
    events: usize,
    /// Bytes of these on a stream.
    bytes: u64,
    /// Streams that hear it.
    listeners: usize,
    /// Of the events that it holds, those of the last minute, by the second.
    events_per_sec: f64,
    /// When its newest event was published, in milliseconds since the Unix epoch.
    newest_at: u64,
    /// When its oldest event was published.
    oldest_at: u64,
}

/// What topics are sorted by: their name, or something of which they have most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Name,
    Events,
    Bytes,
    Rate,
    Listeners,
}

/// A place among topics that are sorted by how much they have of something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    amount: Reverse<u64>,
    topic: String,
}

/// What the log holds, by topic.
#[utoipa::path(get, path = "/api/admin/topics", tag = "admin",
    params(
        ("prefix" = Option<String>, Query, description = "Only topics whose name begins with this. One that begins with `$` finds the hub's own."),
        ("sort" = Option<String>, Query, description = "`name`, unless given; or, most first, `events`, `bytes`, `rate` or `listeners`: of the 10,000 that were published to most recently."),
        ("limit" = Option<u32>, Query, description = "How many, 1 to 1,000; 100 unless given.", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "The `next` of the page before."),
    ),
    responses(
        (status = 200, description = "Some of them.", body = TopicPage),
        (status = 400, description = "`invalid-query`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthenticated`, `token-expired`, `revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = []), ("token" = [])))]
pub(super) async fn list(
    State(hub): State<Shared>,
    Extension(Peer(peer)): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    admin::enter(&hub, &headers, peer).await?;
    let parameters = Parameters::parse(uri.query().unwrap_or_default())?;
    let limit = parameters.limit()?;
    let prefix = parameters.get("prefix")?.unwrap_or_default();
    if prefix.len() > TOPIC_BYTES_MAX || prefix.split('/').count() > SEGMENTS_MAX {
        return Err(Problem::invalid_query("'prefix' is longer than a topic can be."));
    }
    let sort = Sort::parse(parameters.get("sort")?)?;
    let after = parameters.get("after")?.map(unsealed).transpose()?;
    let total = hub.delivery.log().look(|log, _| log.count_topics(prefix));
    let (topics, next) = match sort {
        Sort::Name => by_name(&hub, prefix, after.as_deref(), limit).await?,
        Sort::Events | Sort::Bytes | Sort::Rate | Sort::Listeners => {
            let after = after.as_deref().map(Rank::parse).transpose()?;
            ranked(&hub, prefix, sort, after.as_ref(), limit).await?
        }
    };
    let next = next.map(|next| URL_SAFE_NO_PAD.encode(next));
    Ok(admin::answer(&TopicPage { topics, total, next }))
}

type Found = (Vec<ListedTopic>, Option<String>);

async fn by_name(
    hub: &Hub,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Found, Problem> {
    let log = hub.delivery.log();
    let page = log.look(|log, now| log.topics(prefix, after, limit, now));
    let listeners = listeners(hub, &page.topics).await?;
    let listed = page.topics.iter().zip(listeners);
    let listed = listed.map(|(state, listeners)| ListedTopic::new(state, listeners)).collect();
    Ok((listed, page.next))
}

async fn ranked(
    hub: &Hub,
    prefix: &str,
    sort: Sort,
    after: Option<&Rank>,
    limit: usize,
) -> Result<Found, Problem> {
    let log = hub.delivery.log();
    let states = log.look(|log, now| log.recent_topics(prefix, RANKED_MAX, now));
    let mut counts = vec![0; states.len()];
    if sort == Sort::Listeners {
        counts = listeners(hub, &states).await?;
    }
    let mut found: Vec<(Rank, TopicState, usize)> = states
        .into_iter()
        .zip(counts)
        .map(|(state, listeners)| (Rank::of(&state, sort, listeners), state, listeners))
        .filter(|(rank, ..)| after.is_none_or(|after| rank > after))
        .collect();
    found.sort_unstable_by(|(one, ..), (other, ..)| one.cmp(other));
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|(rank, ..)| rank.to_string());
    let (states, mut counts): (Vec<_>, Vec<_>) =
        found.into_iter().map(|(_, state, listeners)| (state, listeners)).unzip();
    if sort != Sort::Listeners {
        counts = listeners(hub, &states).await?;
    }
    let listed = states.iter().zip(counts);
    Ok((listed.map(|(state, listeners)| ListedTopic::new(state, listeners)).collect(), next))
}

async fn listeners(hub: &Hub, states: &[TopicState]) -> Result<Vec<usize>, Problem> {
    let topics: Arc<[Topic]> = states.iter().map(|state| state.topic.clone()).collect();
    Ok(hub.delivery.listeners(topics).await?)
}

fn unsealed(text: &str) -> Result<String, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(of_another_page)
}

fn of_another_page() -> Problem {
    Problem::invalid_query("'after' is the 'next' of another page, with the same 'sort'.")
}

impl Sort {
    fn parse(text: Option<&str>) -> Result<Self, Problem> {
        match text {
            None | Some("name") => Ok(Self::Name),
            Some("events") => Ok(Self::Events),
            Some("bytes") => Ok(Self::Bytes),
            Some("rate") => Ok(Self::Rate),
            Some("listeners") => Ok(Self::Listeners),
            Some(_) => Err(Problem::invalid_query(
                "'sort' is one of name, events, bytes, rate and listeners.",
            )),
        }
    }
}

impl Rank {
    fn of(state: &TopicState, sort: Sort, listeners: usize) -> Self {
        let amount = match sort {
            Sort::Name => 0,
            Sort::Events => state.events as u64,
            Sort::Bytes => state.bytes,
            Sort::Rate => state.recent_events as u64,
            Sort::Listeners => listeners as u64,
        };
        Self { amount: Reverse(amount), topic: state.topic.as_str().to_owned() }
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let (amount, topic) = text.split_once(' ').ok_or_else(of_another_page)?;
        let amount = Reverse(amount.parse().map_err(|_| of_another_page())?);
        Ok(Self { amount, topic: topic.to_owned() })
    }
}

impl std::fmt::Display for Rank {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.amount.0, self.topic)
    }
}

impl ListedTopic {
    fn new(state: &TopicState, listeners: usize) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a log does not hold 2^53 events")]
        let per_sec = state.recent_events as f64 / RECENT_SECS as f64;
        Self {
            topic: state.topic.as_str().to_owned(),
            events: state.events,
            bytes: state.bytes,
            listeners,
            events_per_sec: (per_sec * 1000.0).round() / 1000.0,
            newest_at: state.newest_ms,
            oldest_at: state.oldest_ms,
        }
    }
}
