//! Whether the process is alive, and whether it can take and deliver events.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Shared, json};
use crate::readiness::Report;

/// How long a load balancer should leave a hub alone that is not ready.
const NOT_READY_RETRY_AFTER_SECS: u32 = 5;

/// Whether the node is ready.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readyz {
    status: &'static str,
    /// Why nothing was found out: the node is shutting down.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    /// What was found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Report>)]
    checks: Option<Arc<Report>>,
}

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, description = "The process answers.")))]
pub(super) async fn alive() -> Response {
    json(br#"{"status":"ok"}"#.to_vec(), "no-store")
}

/// The hub takes events and delivers them.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "An event of its own was stored, read, and came to all who deliver.", body = Readyz),
    (status = 503, description = "It did not within 5 seconds, or the node is shutting down: send no new requests here.",
     body = Readyz)))]
pub(super) async fn ready(State(hub): State<Shared>) -> Response {
    if hub.delivery.is_leaving() {
        let detail = Some("This node is shutting down.");
        return not_ready(&Readyz { status: "not-ready", detail, checks: None });
    }
    let report = hub.readiness.report().await;
    let is_ready = report.is_ready();
    let status = if is_ready { "ready" } else { "not-ready" };
    let readyz = Readyz { status, detail: None, checks: Some(report) };
    if is_ready { answer(&readyz) } else { not_ready(&readyz) }
}

fn not_ready(readyz: &Readyz) -> Response {
    let mut response = answer(readyz);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let retry_after = HeaderValue::from(NOT_READY_RETRY_AFTER_SECS);
    response.headers_mut().insert(header::RETRY_AFTER, retry_after);
    response
}

fn answer(readyz: &Readyz) -> Response {
    json(serde_json::to_vec(readyz).expect("structs of texts"), "no-store")
}
