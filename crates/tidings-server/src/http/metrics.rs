//! What the node counts, for operators: as JSON, and for Prometheus.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use std::sync::atomic::Ordering;

use super::problem::Problem;
use super::{Hub, Peer, Shared, admin, json};
use crate::metrics::{Format, Outside, Reading, SseMetrics, UserStreams};

/// What the node has counted since it was started, as JSON.
#[utoipa::path(get, path = "/api/admin/sse-metrics", tag = "admin",
    responses(
        (status = 200, description = "Connections, events, times and errors.", body = SseMetrics),
        (status = 401, description = "`unauthenticated`, `token-expired`, `revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = []), ("token" = [])))]
pub(super) async fn sse_metrics(
    State(hub): State<Shared>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    admin::enter(&hub, &headers, peer).await?;
    let reading = read(&hub, hub.delivery.users().await);
    let body = serde_json::to_vec(&SseMetrics::of(&reading)).expect("structs with text keys");
    Ok(json(body, "no-store"))
}

/// The same and more for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "admin",
    params(("Accept" = Option<String>, Header, description = "`application/openmetrics-text` for OpenMetrics.")),
    responses(
        (status = 200, description = "Prometheus text, or OpenMetrics. On the listener of `admin_listen` it needs no credential.", content_type = "text/plain", body = String),
        (status = 401, description = "`unauthenticated`, `token-expired`, `revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = []), ("token" = [])))]
pub(super) async fn exposition(
    State(hub): State<Shared>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    admin::enter(&hub, &headers, peer).await?;
    Ok(answer(&hub, &headers))
}

/// The same on a listener that is only for operators.
pub(super) async fn exposition_for_anyone(
    State(hub): State<Shared>,
    headers: HeaderMap,
) -> Response {
    answer(&hub, &headers)
}

fn answer(hub: &Hub, headers: &HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::accepted(&accept.collect::<Vec<_>>().join(","));
    // No user is named there, so none is looked at.
    let text = crate::metrics::exposition(read(hub, Vec::new()), format);
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept"),
    ];
    (headers, text).into_response()
}

fn read(hub: &Hub, users: Vec<UserStreams>) -> Reading {
    hub.metrics.read(Outside {
        users,
        log: hub.stats.log(),
        limits: hub.limits.uses(),
        limiter_keys: hub.limits.keys(),
        insecure_user_ids: hub.insecure_user_ids.load(Ordering::Relaxed),
        lag_events: hub.delivery.lag_events(),
    })
}
