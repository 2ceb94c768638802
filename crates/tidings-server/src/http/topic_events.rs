//! `GET /api/admin/topics/{topic}/events`: what one topic holds, newest first.

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, Uri};
use serde::Serialize;
use tidings_hub::{PageBounds, Position, StoredEvent, Topic};
use utoipa::ToSchema;

use super::polling::{ANSWER_BYTES_MAX, PolledEvent};
use super::problem::Problem;
use super::query::{Parameters, cursor, quoted};
use super::sse::Peer;
use super::{Shared, admin};

/// Some of the events of a topic.
#[derive(Serialize, ToSchema)]
pub(super) struct EventPage<'a> {
    /// Newest first.
    events: Vec<HeldEvent<'a>>,
    /// What `before` is on the next page; `null` on the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct HeldEvent<'a> {
    #[serde(flatten)]
    event: PolledEvent<'a>,
    /// Its bytes on a stream.
    bytes: usize,
}

/// The events that one topic holds, newest first.
#[utoipa::path(get, path = "/api/admin/topics/{topic}/events", tag = "admin",
    params(
        ("topic" = String, Path, description = "The topic, percent-encoded into one segment: `orders%2F42`."),
        ("limit" = Option<u32>, Query, description = "How many, 1 to 1,000; 100 unless given. An answer ends at 4 MiB of events, past the first.", minimum = 1, maximum = 1000),
        ("before" = Option<String>, Query, description = "A cursor: only events from before it. The `next` of the page before."),
    ),
    responses(
        (status = 200, description = "Some of them; none when the topic holds nothing.", body = EventPage<'_>),
        (status = 400, description = "`invalid-query`, `invalid-topic`, `invalid-cursor`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthenticated`, `token-expired`, `revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = []), ("token" = [])))]
pub(super) async fn list(
    State(hub): State<Shared>,
    topic: Result<Path<String>, PathRejection>,
    Extension(Peer(peer)): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    admin::enter(&hub, &headers, peer).await?;
    let parameters = Parameters::parse(uri.query().unwrap_or_default())?;
    let Ok(Path(topic)) = topic else {
        return Err(Problem::invalid_topic("The path is not UTF-8, percent-encoded."));
    };
    let topic = Topic::reserved(&topic).map_err(|error| {
        Problem::invalid_topic(format!("{} is no topic: {error}.", quoted(&topic)))
    })?;
    let bounds = PageBounds { events_max: parameters.limit()?, bytes_max: ANSWER_BYTES_MAX };
    let before = parameters.get("before")?.map(cursor).transpose()?;
    let page = hub.delivery.log().look(|log, _| {
        let before = match before {
            None => Position::MAX,
            Some(cursor) if cursor.epoch == log.epoch() => cursor.position,
            // Of a log that is gone: all there is came after it.
            Some(_) => Position::START,
        };
        log.events_before(&topic, before, bounds)
    });
    let last = page.events.last().filter(|_| page.more);
    let next = last.map(|event| event.cursor().to_string());
    let events = page.events.iter().map(|event| HeldEvent::new(event)).collect();
    Ok(admin::answer(&EventPage { events, next }))
}

impl<'a> HeldEvent<'a> {
    fn new(event: &'a StoredEvent) -> Self {
        Self { event: PolledEvent::new(event), bytes: event.frame().len() }
    }
}
