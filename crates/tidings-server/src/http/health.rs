//! Whether the process is alive, and whether it can take and deliver events.

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::{Shared, json};

/// How long a load balancer should leave a hub alone that is going away.
const DRAINING_RETRY_AFTER_SECS: u32 = 5;

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, description = "The process answers.")))]
pub(super) async fn alive() -> Response {
    json(br#"{"status":"ok"}"#.to_vec(), "no-store")
}

/// The hub takes events and delivers them.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "Ready."),
    (status = 503, description = "Shutting down: send no new requests here.",
     body = super::problem::Problem, content_type = "application/problem+json")))]
pub(super) async fn ready(State(hub): State<Shared>) -> Response {
    if hub.delivery.is_leaving() {
        return Problem::unavailable("This node is shutting down.", DRAINING_RETRY_AFTER_SECS)
            .into_response();
    }
    json(br#"{"status":"ready"}"#.to_vec(), "no-store")
}
