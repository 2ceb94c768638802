//! `GET /api/sse`: a live stream.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, Method, Version, header};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidings_hub::Pattern;

use super::limited::Taken;
use super::problem::Problem;
use super::query::SubscriberQuery;
use super::{Shared, who};
use crate::delivery::{
    AdmissionBounds, Arrival, ConnectionId, Introduction, OpenStream, Owner, Protocol,
    StreamBounds, Subscriber, stream_body,
};
use crate::identity::{Principal, User};
use crate::limits::Endpoint;

/// Put into every request: the address at the other end of its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Put into a request whose connection hyper carries: set when its socket has been full for too long.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stalled(pub(crate) Arc<AtomicBool>);

/// Put into a request whose connection can become a stream on a socket of our own: takes the stream
/// out of the answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnSocket {
    stream: Arc<Mutex<Option<OpenStream>>>,
}

impl OwnSocket {
    fn accept(&self, stream: OpenStream) {
        *self.stream.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
    }

    /// The stream, if the request was answered with one.
    pub(crate) fn take(&self) -> Option<OpenStream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// When to try a full node again.
const FULL_RETRY_AFTER_SECS: u32 = 5;

/// A live stream of events, resumed after any break.
#[utoipa::path(get, path = "/api/sse", tag = "subscribe",
    params(
        ("topic" = Option<Vec<String>>, Query, description = "Topics or patterns; repeat the parameter. Without one: `user/{id}` and `broadcast`."),
        ("types" = Option<String>, Query, description = "Only these event types, separated by commas."),
        ("token" = Option<String>, Query, description = "A token, for clients that cannot send a header."),
        ("userId" = Option<String>, Query, description = "The user, where the server believes a bare claim (`auth.legacy_user_id`)."),
        ("lastEventId" = Option<String>, Query, description = "The cursor to resume after. The header goes before it."),
        ("Last-Event-ID" = Option<String>, Header, description = "The cursor to resume after."),
        ("rewind" = Option<String>, Query, description = "Without a cursor, where to start: a count, a duration such as `5m`, or `all`."),
    ),
    responses(
        (status = 200, description = "`tidings.connected`, then events as they are published.", content_type = "text/event-stream", body = String),
        (status = 400, description = "`invalid-topic`, `invalid-cursor`, `invalid-query`, `too-many-topics`, `ambiguous-credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthenticated`, `token-expired`, `revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden-topic`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`rate-limited`; `too-many-connections`: of the user or from the address", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`, `too-many-connections`: on the node", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = []), ("queryToken" = []), ("cookieToken" = []), ("session" = []), ("apiKey" = [])))]
pub(super) async fn stream(
    State(hub): State<Shared>,
    Parts { method, version, uri, headers, .. }: Parts,
    Extension(Peer(peer)): Extension<Peer>,
    own_socket: Option<Extension<OwnSocket>>,
    stalled: Option<Extension<Stalled>>,
) -> Result<Response, Problem> {
    let settings = hub.settings.load_full();
    let query = uri.query().unwrap_or_default();
    let (token, user_id) = (who::query_token(query)?, who::query_user_id(query)?);
    let asked = who::Asked::of_subscriber(&headers, peer, token.as_deref(), user_id.as_deref());
    let principal = who::authenticate(&hub, &settings, asked).await?;
    let address = asked.address(&settings.config);
    let query = SubscriberQuery::parse(query)?;
    let streams = &settings.config.streams;
    let selection =
        query.selection(&principal.grant.default_topics, streams.topics_per_subscriber_max)?;
    who::allow_selection(&principal, &selection)?;
    let start = query.start(&headers)?;
    if method == Method::HEAD {
        return Ok(answer(&principal, Body::empty(), None));
    }
    if hub.delivery.is_leaving() {
        return Err(Problem::unavailable("This node is shutting down.", FULL_RETRY_AFTER_SECS));
    }
    let user = principal.user.as_ref().map(User::id);
    let limits = &settings.config.limits;
    let admission = AdmissionBounds {
        per_node: limits.connections_per_node,
        per_user: limits.connections_per_user,
        per_address: limits.connections_per_address,
    };
    let mut reservation = hub
        .delivery
        .admission()
        .admit(user, address, admission)
        .map_err(|full| Problem::too_many_connections(full, FULL_RETRY_AFTER_SECS))?;
    let seat = hub.broker.admit(user, address, admission).await;
    if let Some(seat) =
        seat.map_err(|full| Problem::too_many_connections(full, FULL_RETRY_AFTER_SECS))?
    {
        reservation.hold(seat);
    }
    // Once there is a place: whoever waits for one must not use up what it may.
    let counted = Taken::one(&hub, &settings, Endpoint::Sse, &principal, address).await?;
    if let tidings_hub::Start::After(cursor) = start {
        hub.broker.catch_up(cursor).await;
    }
    let now_ms = hub.clock.now().unix_ms;
    let bounds = StreamBounds {
        heartbeat: Duration::from_secs(streams.heartbeat_secs),
        age_max: Duration::from_secs(streams.age_max_secs),
        authority_until_ms: principal.until_ms,
        write_stall: Duration::from_secs(streams.write_stall_secs),
        page: tidings_hub::PageBounds {
            events_max: streams.replay_events_max,
            bytes_max: streams.replay_bytes_max,
        },
    };
    let connection = ConnectionId::random();
    if let (Some(session), Some(user)) = (&principal.session, &principal.user) {
        let patterns = selection.patterns();
        let watch = hub.live_sessions.watch(session, user, connection.number(), patterns, now_ms);
        reservation.hold(watch);
    }
    if selection.patterns().iter().any(Pattern::is_own) {
        reservation.hold(hub.stats.hear());
    }
    let introduction = Introduction {
        user,
        arrival: Arrival { method: principal.method.as_str(), protocol: protocol_of(version) },
        owner: Owner { connection, holder: who::holder(&principal) },
    };
    let log = hub.delivery.log();
    let stream = OpenStream::new(log, reservation, selection, start, bounds, introduction);
    if let Some(Extension(own_socket)) = own_socket {
        own_socket.accept(stream);
        return Ok(answer(&principal, Body::empty(), counted));
    }
    let Stalled(is_stalled) = stalled.map(|Extension(stalled)| stalled).unwrap_or_default();
    let body = Body::new(stream_body(Subscriber::new(&hub.delivery, stream, is_stalled)));
    Ok(answer(&principal, body, counted))
}

fn protocol_of(version: Version) -> Protocol {
    match version {
        Version::HTTP_2 | Version::HTTP_3 => Protocol::Http2,
        Version::HTTP_11 => Protocol::Http11,
        // There is nothing older that the library would let through.
        _ => Protocol::Http10,
    }
}

fn answer(principal: &Principal, body: Body, counted: Option<Taken>) -> Response {
    let mut response = body.into_response();
    who::warn_in(&mut response, principal);
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx: hand every event on at once.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if let Some(counted) = counted {
        counted.tell(headers);
    }
    response
}
