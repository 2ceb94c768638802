//! The routes of an operator, under `/api/admin`: who may use them, and closing one connection.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use super::problem::Problem;
use super::sse::Peer;
use super::{Shared, who};
use crate::config::Scope;
use crate::delivery::{ConnectionId, Target};
use crate::identity::Principal;

/// The role of a user who may do what an operator may.
const ADMIN_ROLE: &str = "admin";

/// Lets a principal use what is an operator's.
pub(super) fn allow(principal: &Principal) -> Result<(), Problem> {
    if principal.has_scope(Scope::Admin) || principal.role.as_deref() == Some(ADMIN_ROLE) {
        return Ok(());
    }
    Err(Problem::forbidden(
        "This needs an API key with the scope admin, or a user with the role admin.",
    ))
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
pub(super) async fn close_connection(
    State(hub): State<Shared>,
    Path(connection): Path<String>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let settings = hub.settings.load_full();
    allow(&who::authenticate(&hub, &settings, who::Asked::plainly(&headers, peer)).await?)?;
    let closed = match ConnectionId::parse(&connection) {
        Some(connection) => hub.delivery.close(Target::Connection(connection)).await,
        None => 0,
    };
    if closed == 0 {
        return Err(Problem::not_found("There is no connection of this name; it may have ended."));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
