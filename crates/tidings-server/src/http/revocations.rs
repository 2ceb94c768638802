//! `POST /api/revocations`: closes and refuses a user, a session or one token.

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
use super::{Shared, admin, body, json, who};
use crate::delivery::Target;
use crate::identity::TOKEN_BYTES_MAX;
use crate::revocations::Subject;

/// Bytes in the body.
const BODY_BYTES_MAX: usize = 4096;
/// Bytes in what is named.
const NAME_BYTES_MAX: usize = 256;
/// When to try again after there were too many.
const FULL_RETRY_AFTER_SECS: u32 = 60;

/// Who is not let in any more: one of the three.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevocationRequest {
    /// A user's id: everything of theirs that was issued up to now.
    user: Option<String>,
    /// A session's id (a token's `sid`): the session, and tokens that belong to it.
    session: Option<String>,
    /// A token's own id, its `jti`.
    token: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Revoked {
    /// Streams that were closed and long polls that were answered with 401.
    closed: usize,
    /// Until when it is remembered, in milliseconds since the Unix epoch: longer than any credential
    /// from before can be good.
    until: u64,
}

/// Close and refuse a user, a session or one token.
#[utoipa::path(post, path = "/api/revocations", tag = "admin",
    request_body(content = RevocationRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "Nothing more is delivered to them, and what they had is refused.", body = Revoked),
        (status = 400, description = "`invalid-body`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthenticated`, `token-expired`, `revoked`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`body-too-large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported-media-type`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`revocations-full`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = []), ("token" = [])))]
pub(super) async fn revoke(
    State(hub): State<Shared>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    mut body: Body,
) -> Result<Response, Problem> {
    let (body_timeout, revocations_max, keep) = {
        let settings = hub.settings.load_full();
        let asked = who::Asked::plainly(&headers, peer);
        admin::allow(&who::authenticate(&hub, &settings, asked).await?)?;
        let config = &settings.config;
        let body_timeout = Duration::from_secs(config.body_timeout_secs);
        (body_timeout, config.limits.revocations_max, config.longest_life())
    };
    let request: RevocationRequest =
        body::read_json(&mut body, &headers, BODY_BYTES_MAX, body_timeout).await?;
    let subject = request.subject()?;
    let now_ms = hub.clock.now().unix_ms;
    let revocation =
        hub.revocations.revoke(subject, now_ms, keep, revocations_max).map_err(|_| {
            Problem::revocations_full(format!(
                "limits.revocations_max, {revocations_max}, are remembered; raise it, or wait until \
                 some are forgotten."
            ))
            .retry_after(FULL_RETRY_AFTER_SECS)
        })?;
    let shared = hub.broker.revoke(revocation).await;
    let closed = hub.delivery.close(Target::Revoked(revocation)).await;
    if let Err(failure) = shared {
        tracing::warn!(
            kind = request.kind(),
            reason = failure.as_str(),
            "revoked on this node alone"
        );
        return Err(Problem::unavailable(
            "It is revoked on this node, but the log could not be told: other nodes, and this one once \
             it starts anew, do not know. Say it again.",
            FULL_RETRY_AFTER_SECS,
        ));
    }
    tracing::info!(kind = request.kind(), closed, "revoked");
    let revoked = Revoked { closed, until: revocation.until_ms };
    Ok(json(serde_json::to_vec(&revoked).expect("a struct of numbers"), "no-store"))
}

impl RevocationRequest {
    fn subject(&self) -> Result<Subject<'_>, Problem> {
        let (subject, name) = match (&self.user, &self.session, &self.token) {
            (Some(user), None, None) => (Subject::User(user), user),
            (None, Some(session), None) => (Subject::Session(session), session),
            (None, None, Some(token)) => (Subject::Token(token), token),
            _ => return Err(Problem::invalid_body("Name one of 'user', 'session' and 'token'.")),
        };
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            let hint = if looks_like_a_jwt(name) {
                " 'token' is a token's own id, its 'jti', not the token."
            } else {
                ""
            };
            return Err(Problem::invalid_body(format!(
                "'{}' is 1 to {NAME_BYTES_MAX} bytes long.{hint}",
                self.kind()
            )));
        }
        Ok(subject)
    }

    fn kind(&self) -> &'static str {
        match (&self.user, &self.session) {
            (Some(_), _) => "user",
            (None, Some(_)) => "session",
            (None, None) => "token",
        }
    }
}

fn looks_like_a_jwt(name: &str) -> bool {
    name.len() <= TOKEN_BYTES_MAX && name.split('.').count() == 3
}
