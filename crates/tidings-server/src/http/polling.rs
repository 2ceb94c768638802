//! `GET /api/polling`: what came after a cursor, now or within `wait` seconds.
//!
//! The same read as a stream's, on the same cursor; only the waiting differs.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde::Serialize;
use serde_json::value::RawValue;
use tidings_hub::{
    Cursor, Gap, PageBounds, Pattern, Position, Reader, Selection, Start, StoredEvent,
};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::limited::Taken;
use super::problem::Problem;
use super::query::SubscriberQuery;
use super::{Hub, Peer, Shared, json, who};
use crate::delivery::gap_json;
use crate::identity::User;
use crate::limits::Endpoint;
use crate::metrics::{Delivered, Transport};
use crate::revocations::Holder;

/// Events in an answer when the query does not say.
const LIMIT_DEFAULT: usize = 100;
/// Event bytes in one answer, past its first event.
pub(super) const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// For each answer, also for `304` (RFC 9110, 15.4.5).
const CACHE_CONTROL: &str = "private, no-store";
/// What an interval poller is asked to wait.
const POLL_AFTER_MS: u64 = 10_000;
/// What everyone is asked to wait, at the most, while the hub goes away.
const DRAIN_POLL_AFTER_MS_MAX: u64 = 5000;

/// What a poll returns.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Polled<'a> {
    events: Vec<PolledEvent<'a>>,
    /// The cursor to come back with. It moves on even when nothing matched.
    cursor: String,
    /// Whether more can be had at once.
    has_more: bool,
    /// Whether every matching event after the offered cursor is here or follows.
    resumed: bool,
    /// What is missing, as in `tidings.gap`.
    #[schema(value_type = Option<Object>)]
    gap: Option<serde_json::Value>,
    user: Option<&'a str>,
    /// When this was answered, in milliseconds since the Unix epoch.
    timestamp: u64,
    /// How long to wait before the next poll, in milliseconds.
    poll_after_ms: u64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct PolledEvent<'a> {
    id: String,
    r#type: &'a str,
    topics: Vec<&'a str>,
    /// JSON, as published.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    data: Option<&'a RawValue>,
    /// In place of `data`, for an event published as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// When it was published, in milliseconds since the Unix epoch.
    timestamp: u64,
}

impl<'a> PolledEvent<'a> {
    pub(super) fn new(event: &'a StoredEvent) -> Self {
        // Raw JSON is borrowed from the log; it was checked when it was published.
        let data = event.is_json().then(|| {
            serde_json::from_str(event.data()).expect("the gate lets only JSON be stored as JSON")
        });
        Self {
            id: event.cursor().to_string(),
            r#type: event.event_type().as_str(),
            topics: event.topics().iter().map(tidings_hub::Topic::as_str).collect(),
            data,
            text: (!event.is_json()).then(|| event.data()),
            timestamp: event.time_ms(),
        }
    }
}

/// What came after a cursor.
#[utoipa::path(get, path = "/api/polling", tag = "subscribe",
    params(
        ("lastEventId" = Option<String>, Query, description = "The cursor to read after; also `cursor` or `since`. The header goes before it."),
        ("Last-Event-ID" = Option<String>, Header, description = "The cursor to read after."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the last answer: with nothing new the answer is 304."),
        ("wait" = Option<u32>, Query, description = "Seconds to wait for an event, 0 to 30.", minimum = 0, maximum = 30),
        ("limit" = Option<u32>, Query, description = "Events in the answer, 1 to 1,000.", minimum = 1, maximum = 1000),
        ("topic" = Option<Vec<String>>, Query, description = "As on the stream."),
        ("types" = Option<String>, Query, description = "As on the stream."),
        ("token" = Option<String>, Query, description = "As on the stream."),
        ("userId" = Option<String>, Query, description = "As on the stream."),
        ("rewind" = Option<String>, Query, description = "As on the stream."),
    ),
    responses(
        (status = 200, description = "The events, and the cursor to come back with.", body = Polled<'_>),
        (status = 304, description = "Nothing new."),
        (status = 400, description = "`invalid-topic`, `invalid-cursor`, `invalid-query`, `too-many-topics`, `ambiguous-credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthenticated`, `token-expired`, `revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden-topic`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate-limited`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []), ("queryToken" = []), ("cookieToken" = []), ("session" = []), ("apiKey" = [])))]
pub(super) async fn poll(
    State(hub): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    Extension(Peer(peer)): Extension<Peer>,
) -> Result<Response, Problem> {
    let query = uri.query().unwrap_or_default();
    let (token, user_id) = (who::query_token(query)?, who::query_user_id(query)?);
    let settings = hub.settings.load_full();
    let asked = who::Asked::of_subscriber(&headers, peer, token.as_deref(), user_id.as_deref());
    let principal = who::authenticate(&hub, &settings, asked).await?;
    let topics_max = settings.config.streams.topics_per_subscriber_max;
    let query = SubscriberQuery::parse(query)?;
    let selection = query.selection(&principal.grant.default_topics, topics_max)?;
    who::allow_selection(&principal, &selection)?;
    let start = query.start(&headers)?;
    if let Start::After(cursor) = start {
        hub.broker.catch_up(cursor).await;
    }
    if selection.patterns().iter().any(Pattern::is_own) {
        hub.stats.polled();
    }
    let address = asked.address(&settings.config);
    let counted = Taken::one(&hub, &settings, Endpoint::Polling, &principal, address).await?;
    let transport = if query.wait_secs > 0 { Transport::LongPoll } else { Transport::Poll };
    hub.metrics.polled(transport, principal.method.as_str());
    // A poll may wait long, and must not keep what a reload has replaced.
    drop(settings);
    let bounds = PageBounds {
        events_max: query.limit.unwrap_or(LIMIT_DEFAULT),
        bytes_max: ANSWER_BYTES_MAX,
    };
    // HEAD asks what GET would answer, not to wait for it.
    let wait = Duration::from_secs(if method == Method::HEAD { 0 } else { query.wait_secs });

    let holder = who::holder(&principal);
    let found = Found::wait_for(&hub, holder, start, &selection, bounds, wait).await?;
    let mut response = if let Some(etag) = found.unchanged(start, &headers) {
        let no_store = HeaderValue::from_static(CACHE_CONTROL);
        let headers = [(header::ETAG, etag), (header::CACHE_CONTROL, no_store)];
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        let user = principal.user.as_ref().map(User::id);
        if method != Method::HEAD {
            found.count(&hub, transport, user);
        }
        found.answer(&hub, user, !wait.is_zero())
    };
    if let Some(counted) = counted {
        counted.tell(response.headers_mut());
    }
    who::warn_in(&mut response, &principal);
    Ok(response)
}

/// What a poll found in the log.
struct Found {
    cursor: Cursor,
    resumed: bool,
    gap: Option<Gap>,
    events: Vec<std::sync::Arc<StoredEvent>>,
    has_more: bool,
    /// What lies after this was published while it waited.
    waited_from: Option<Position>,
}

impl Found {
    /// Reads after the cursor until there is something to answer with or the time is over.
    async fn wait_for(
        hub: &Hub,
        holder: Holder,
        start: Start,
        selection: &Selection,
        bounds: PageBounds,
        wait: Duration,
    ) -> Result<Self, Problem> {
        let deadline = Instant::now() + wait;
        // Before the log is read, so that nothing published in between goes unnoticed.
        let waiter = (!wait.is_zero()).then(|| hub.delivery.poll_waits_for(selection, holder));
        let mut draining = hub.delivery.draining();
        let (opening, newest) = hub.delivery.log().open(start, selection);
        let (mut reader, mut gap) = (opening.reader, opening.gap);
        loop {
            if let Some(waiter) = &waiter {
                waiter.begins_to_read();
            }
            let mut found =
                Self::read(hub, &mut reader, selection, bounds, &mut gap, opening.resumed);
            let Some(waiter) = &waiter else { return Ok(found) };
            waiter.has_read(reader.position(), found.has_more);
            found.waited_from = Some(newest);
            if waiter.is_revoked() {
                return Err(who::revoked());
            }
            if found.has_news() || *draining.borrow() {
                return Ok(found);
            }
            let news = async {
                tokio::select! {
                    () = waiter.woken() => {}
                    _ = draining.changed() => {}
                }
            };
            if timeout_at(deadline, news).await.is_err() {
                // Whatever else was published meanwhile is behind this poller too.
                let gap = &mut gap;
                return Ok(Self::read(hub, &mut reader, selection, bounds, gap, opening.resumed));
            }
        }
    }

    fn read(
        hub: &Hub,
        reader: &mut Reader,
        selection: &Selection,
        bounds: PageBounds,
        gap: &mut Option<Gap>,
        resumed: bool,
    ) -> Self {
        let advance = hub.delivery.log().advance(reader, selection, bounds);
        let gap = gap.take().or(advance.gap);
        Self {
            cursor: reader.cursor(),
            resumed: resumed && gap.is_none(),
            gap,
            events: advance.page.events,
            has_more: advance.page.more,
            waited_from: None,
        }
    }

    /// Counts what was found, on its way to a user or to an API key.
    fn count(&self, hub: &Hub, transport: Transport, user: Option<&str>) {
        let metrics = &hub.metrics;
        if let Some(gap) = &self.gap {
            metrics.gap(gap);
        }
        let mut delivered = Delivered::default();
        for event in &self.events {
            delivered += Delivered::of(event);
        }
        metrics.delivered(transport, delivered);
        if let Some(user) = user {
            metrics.delivered_to(user, delivered.events);
        }
        if let Some(waited_from) = self.waited_from {
            let answered_ns = metrics.now_ns();
            for event in &self.events {
                if event.position() > waited_from {
                    metrics.flights.heard(event.position(), || 1);
                    metrics.flights.arrived(event.position(), Some(answered_ns));
                }
            }
        }
    }

    fn has_news(&self) -> bool {
        !self.events.is_empty() || self.gap.is_some() || self.has_more
    }

    /// The tag the client has, when there is nothing new after it: that of the cursor it came with
    /// or of the one it would get.
    fn unchanged(&self, start: Start, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.has_news() {
            return None;
        }
        let offered = match start {
            Start::After(cursor) => Some(etag(cursor)),
            _ => None,
        };
        let current = Some(etag(self.cursor));
        let known = headers.get_all(header::IF_NONE_MATCH).iter();
        let mut known = known.filter_map(|value| value.to_str().ok()).flat_map(|value| {
            value.split(',').map(|tag| tag.trim().trim_start_matches("W/").to_owned())
        });
        let tag =
            known.find(|tag| offered.as_ref() == Some(tag) || current.as_ref() == Some(tag))?;
        HeaderValue::from_str(&tag).ok()
    }

    fn answer(&self, hub: &Hub, user: Option<&str>, long: bool) -> Response {
        let poll_after_ms = if hub.delivery.is_leaving() {
            fastrand::u64(..=DRAIN_POLL_AFTER_MS_MAX)
        } else if self.has_more || long {
            0
        } else {
            POLL_AFTER_MS
        };
        let polled = Polled {
            events: self.events.iter().map(|event| PolledEvent::new(event)).collect(),
            cursor: self.cursor.to_string(),
            has_more: self.has_more,
            resumed: self.resumed,
            gap: self.gap.as_ref().map(gap_json),
            user,
            timestamp: hub.clock.now().unix_ms,
            poll_after_ms,
        };
        let body = serde_json::to_vec(&polled).expect("a struct with text keys");
        let mut response = json(body, CACHE_CONTROL);
        let etag = HeaderValue::from_str(&etag(self.cursor)).expect("a cursor is ASCII");
        response.headers_mut().insert(header::ETAG, etag);
        response
    }
}

fn etag(cursor: Cursor) -> String {
    format!("\"{cursor}\"")
}
