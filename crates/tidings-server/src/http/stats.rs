//! `GET /api/admin/stats`: what the node did in the last minutes and hours.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::query::Parameters;
use super::sse::Peer;
use super::{Shared, admin};
use crate::metrics::{COARSE_MAX, COARSE_SECS, Sample};

/// Seconds that are told of when the query does not say.
const SECS_DEFAULT: u64 = 3600;

/// What the node did, span by span.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stats {
    /// Which node.
    #[schema(value_type = String)]
    node: Arc<str>,
    /// Seconds that each sample is of: 1 for ten minutes or less, else 10.
    every_secs: usize,
    /// Oldest first. There are fewer while the node is young.
    samples: Vec<Sample>,
}

/// What the node did in the last minutes and hours.
#[utoipa::path(get, path = "/api/admin/stats", tag = "admin",
    params(("secs" = Option<u32>, Query, description = "How far back, 1 to 21,600; 3,600 unless given.", minimum = 1, maximum = 21600)),
    responses(
        (status = 200, description = "A sample for each second of up to ten minutes, or for each ten seconds of up to six hours.", body = Stats),
        (status = 400, description = "`invalid-query`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthenticated`, `token-expired`, `revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = []), ("token" = [])))]
pub(super) async fn history(
    State(hub): State<Shared>,
    Extension(Peer(peer)): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    admin::enter(&hub, &headers, peer).await?;
    let parameters = Parameters::parse(uri.query().unwrap_or_default())?;
    let secs_max = (COARSE_MAX * COARSE_SECS) as u64;
    let secs = parameters.number("secs", SECS_DEFAULT, 1, secs_max)?;
    let (every_secs, samples) = hub.stats.last(usize::try_from(secs).expect("six hours at most"));
    Ok(admin::answer(&Stats { node: hub.metrics.node(), every_secs, samples }))
}
