//! `/api/admin/connections`: who is connected, and closing one of them.

use std::net::IpAddr;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri};
use ipnet::IpNet;
use serde::Serialize;
use tidings_hub::{EventType, Pattern, Topic};
use utoipa::ToSchema;

use super::problem::Problem;
use super::query::{Parameters, quoted};
use super::sse::Peer;
use super::{Hub, Shared, admin};
use crate::delivery::{Census, ConnectionId, Filter, Listed, Target};
use crate::identity::Method;

/// Some of those who are connected.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConnectionPage {
    connections: Vec<OpenConnection>,
    /// All that match, on whichever page.
    total: usize,
    /// What `after` is on the next page; `null` on the last.
    next: Option<String>,
}

/// One open stream.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OpenConnection {
    /// The name that `tidings.connected` gives it.
    id: String,
    user: Option<String>,
    /// `api-key`, `token`, `session` or `user-id`.
    method: &'static str,
    transport: &'static str,
    /// `http/1.1`, `http/1.0` or `http/2`.
    protocol: &'static str,
    topics: Vec<String>,
    /// The event types that it wants; `null` for all.
    types: Option<Vec<String>>,
    /// Where it comes from, past the proxies that are trusted.
    address: String,
    /// In milliseconds since the Unix epoch.
    connected_at: u64,
    age_secs: u64,
    /// Events of the log after its cursor that are still to be looked at for it.
    lag_events: usize,
    /// Events that it was written.
    sent_events: u64,
    /// Bytes of these events on a stream.
    sent_bytes: u64,
    /// Whether its socket takes nothing at the moment.
    blocked: bool,
    /// When it ends by itself at the latest, to a fifth of a second.
    expires_at: Option<u64>,
}

/// Who is connected.
#[utoipa::path(get, path = "/api/admin/connections", tag = "admin",
    params(
        ("user" = Option<String>, Query, description = "Only this user's."),
        ("method" = Option<String>, Query, description = "Only those who have proved in this way who they are."),
        ("transport" = Option<String>, Query, description = "`sse`. A poll has no connection between its requests, so `poll` and `long-poll` find none."),
        ("topic" = Option<String>, Query, description = "Only those who hear this topic, or have named this pattern."),
        ("address" = Option<String>, Query, description = "Only from this address, or this network (`10.0.0.0/8`)."),
        ("limit" = Option<u32>, Query, description = "How many, 1 to 1,000; 100 unless given.", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "The `next` of the page before."),
    ),
    responses(
        (status = 200, description = "Some of them, in no order that means anything.", body = ConnectionPage),
        (status = 400, description = "`invalid-query`, `invalid-topic`", body = Problem, content_type = "application/problem+json"),
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
    let after = parameters.get("after")?.map(|name| {
        ConnectionId::parse(name)
            .ok_or_else(|| Problem::invalid_query("'after' is the 'next' of another page."))
    });
    let filter = filter(&parameters)?;
    let after = after.transpose()?;
    if !is_of_streams(parameters.get("transport")?)? {
        let nobody = ConnectionPage { connections: Vec::new(), total: 0, next: None };
        return Ok(admin::answer(&nobody));
    }
    // One more than is shown tells whether there is another page.
    let census = Census { filter, after, streams_max: limit + 1 };
    let mut listing = hub.delivery.census(census).await?;
    let has_more = listing.streams.len() > limit;
    listing.streams.truncate(limit);
    let last = listing.streams.last().map(|listed| listed.connection.to_string());
    let connections = told(&hub, &listing.streams);
    let next = last.filter(|_| has_more);
    Ok(admin::answer(&ConnectionPage { connections, total: listing.total, next }))
}

fn filter(parameters: &Parameters<'_>) -> Result<Filter, Problem> {
    let method = parameters.get("method")?;
    if let Some(method) = method
        && !Method::ALL.iter().any(|known| known.as_str() == method)
    {
        return Err(Problem::invalid_query(
            "'method' is one of api-key, token, session and user-id.",
        ));
    }
    let network = parameters.get("address")?.map(|text| {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        address.or_else(|_| text.parse()).map_err(|_| {
            Problem::invalid_query("'address' is an IP address, or a network as in 10.0.0.0/8.")
        })
    });
    Ok(Filter {
        user: parameters.get("user")?.map(str::to_owned),
        method: method.map(str::to_owned),
        listens_to: parameters.get("topic")?.map(any_pattern).transpose()?,
        network: network.transpose()?,
    })
}

/// A topic or pattern, which may be one of the hub's own.
fn any_pattern(text: &str) -> Result<Pattern, Problem> {
    let pattern = if text.starts_with('$') {
        Topic::reserved(text).map(Pattern::from)
    } else {
        Pattern::new(text)
    };
    pattern.map_err(|error| {
        Problem::invalid_topic(format!("{} is no topic or pattern: {error}.", quoted(text)))
    })
}

/// Whether streams are among what is asked for.
fn is_of_streams(transport: Option<&str>) -> Result<bool, Problem> {
    match transport {
        None | Some("sse") => Ok(true),
        Some("poll" | "long-poll") => Ok(false),
        Some(_) => Err(Problem::invalid_query("'transport' is one of sse, long-poll and poll.")),
    }
}

fn told(hub: &Hub, streams: &[Listed]) -> Vec<OpenConnection> {
    let now = hub.clock.now();
    let now_ns = hub.clock.uptime_ns();
    let at = |uptime_ns: u64| {
        let started_ms = now.unix_ms.saturating_sub(now.uptime_ms);
        started_ms + uptime_ns / 1_000_000
    };
    let behind = streams.iter().filter_map(|listed| listed.behind_at);
    let mut lags = hub.delivery.log().events_after(behind).into_iter();
    let one = |listed: &Listed| OpenConnection {
        id: listed.connection.to_string(),
        user: listed.user.as_deref().map(str::to_owned),
        method: listed.arrival.method,
        transport: "sse",
        protocol: listed.arrival.protocol.as_str(),
        topics: listed.selection.patterns().iter().map(ToString::to_string).collect(),
        types: listed
            .selection
            .types()
            .map(|types| types.iter().map(EventType::as_str).map(str::to_owned).collect()),
        address: listed.address.to_string(),
        connected_at: at(listed.opened_ns),
        age_secs: now_ns.saturating_sub(listed.opened_ns) / 1_000_000_000,
        lag_events: listed.behind_at.and_then(|_| lags.next()).unwrap_or(0),
        sent_events: listed.sent.events,
        sent_bytes: listed.sent.bytes,
        blocked: listed.is_blocked,
        expires_at: Some(at(listed.ends_ns)),
    };
    streams.iter().map(one).collect()
}

/// Close one connection.
#[utoipa::path(delete, path = "/api/admin/connections/{connection}", tag = "admin",
    params(("connection" = String, Path, description = "Its name, as `tidings.connected` gives it.")),
    responses(
        (status = 204, description = "It is closed. Its client may come back."),
        (status = 401, description = "`unauthenticated`, `token-expired`, `revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not-found`: there is no such connection", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = []), ("token" = [])))]
pub(super) async fn close(
    State(hub): State<Shared>,
    Path(connection): Path<String>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    admin::enter(&hub, &headers, peer).await?;
    let closed = match ConnectionId::parse(&connection) {
        Some(connection) => hub.delivery.close(Target::Connection(connection)).await,
        None => 0,
    };
    if closed == 0 {
        return Err(Problem::not_found("There is no connection of this name; it may have ended."));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
