//! `POST /api/rate-limit`: the hub's own limiter, lent to the application.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::sse::Peer;
use super::{Shared, body, json, who};
use crate::config::Scope;
use crate::limits::{LIMIT_MAX, Quota, Subject};

/// Bytes in the body.
const BODY_BYTES_MAX: usize = 4096;
/// Bytes in the limit's name, and in whom it counts.
const NAME_BYTES_MAX: usize = 128;
/// Seconds that a window may have.
const WINDOW_SECS_MAX: u64 = 86_400;

/// One use of a limit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Use {
    /// The limit's name, as in `login`.
    identifier: String,
    /// Whom it counts: a user's id, an address.
    subject: String,
    /// Uses in any span of `windowSecs`, 1 to 10,000.
    #[schema(minimum = 1, maximum = 10_000)]
    limit: usize,
    /// 1 to 86,400.
    #[schema(minimum = 1, maximum = 86_400)]
    window_secs: u64,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    /// Whether there was one left. One that is refused is not counted.
    allowed: bool,
    limit: usize,
    /// Uses that are left.
    remaining: usize,
    /// Seconds until there is one more than now.
    reset_secs: u64,
}

/// Count one use of an application's own limit.
#[utoipa::path(post, path = "/api/rate-limit", tag = "limits",
    request_body(content = Use, content_type = "application/json"),
    responses(
        (status = 200, description = "Whether there was one left.", body = Outcome),
        (status = 400, description = "`invalid-body`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthenticated`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`body-too-large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported-media-type`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = [])))]
pub(super) async fn take(
    State(hub): State<Shared>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    mut body: Body,
) -> Result<Response, Problem> {
    let (name, keys_max, body_timeout) = allow(&hub, &headers, peer).await?;
    let asked: Use = body::read_json(&mut body, &headers, BODY_BYTES_MAX, body_timeout).await?;
    asked.check()?;
    let quota = Quota::new(asked.limit, asked.window_secs);
    let subject = Subject::Lent(&name, &asked.identifier, &asked.subject);
    let verdict = hub.take(subject, quota, keys_max).await;
    let outcome = Outcome {
        allowed: verdict.is_allowed,
        limit: verdict.limit,
        remaining: verdict.remaining,
        reset_secs: verdict.reset_secs(),
    };
    Ok(json(serde_json::to_vec(&outcome).expect("a struct of numbers"), "no-store"))
}

/// The name of the key whose limits these are.
async fn allow(
    hub: &Shared,
    headers: &HeaderMap,
    peer: SocketAddr,
) -> Result<(String, usize, Duration), Problem> {
    let settings = hub.settings.load_full();
    let principal = who::authenticate(hub, &settings, who::Asked::plainly(headers, peer)).await?;
    match principal.name {
        Some(name) if principal.scopes.contains(&Scope::Publish) => {
            let config = &settings.config;
            let body_timeout = Duration::from_secs(config.body_timeout_secs);
            Ok((name.to_string(), config.limits.keys_max, body_timeout))
        }
        _ => Err(Problem::forbidden("This needs an API key with the scope publish.")),
    }
}

impl Use {
    fn check(&self) -> Result<(), Problem> {
        for (name, value) in [("identifier", &self.identifier), ("subject", &self.subject)] {
            if value.is_empty() || value.len() > NAME_BYTES_MAX {
                return Err(Problem::invalid_body(format!(
                    "'{name}' is 1 to {NAME_BYTES_MAX} bytes long."
                )));
            }
        }
        if !(1..=LIMIT_MAX).contains(&self.limit) {
            return Err(Problem::invalid_body(format!("'limit' is 1 to {LIMIT_MAX}.")));
        }
        if !(1..=WINDOW_SECS_MAX).contains(&self.window_secs) {
            return Err(Problem::invalid_body(format!("'windowSecs' is 1 to {WINDOW_SECS_MAX}.")));
        }
        Ok(())
    }
}
