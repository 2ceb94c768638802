//! `POST /api/sse/token`: make a short-lived token, for any user with an API key or for oneself with
//! a session.
//!
//! What a session gets is never more than the session is: its user, its grants, and no longer than
//! it lasts.

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidings_hub::Pattern;
use utoipa::ToSchema;

use super::body::{self, MediaType};
use super::problem::Problem;
use super::query::quoted;
use super::{Peer, Settings, Shared, json, who};
use crate::config::Scope;
use crate::identity::{Method, Principal, TokenRequest, User};

/// Seconds a token may be used to connect, when nobody says.
const TTL_SECS: u64 = 300;

/// What a token is to say.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = TokenRequest)]
pub(super) struct Wanted {
    /// The user. With a session it is the session's, and may be left out.
    user_id: Option<String>,
    /// What else is to be known of the user: at most 1 KiB of JSON.
    metadata: Option<Map<String, Value>>,
    /// What may be subscribed to beside the default topics.
    subscribe: Vec<String>,
    /// What may be published to.
    publish: Vec<String>,
    /// The user's role.
    role: Option<String>,
    /// The session it belongs to, to revoke it by.
    session_id: Option<String>,
    /// Seconds for which it may be used to connect; 300 unless given.
    #[schema(minimum = 1)]
    ttl_secs: Option<u64>,
    /// Seconds after which the streams it opened end.
    #[schema(minimum = 1)]
    until_secs: Option<u64>,
}

/// A new token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Minted<'a> {
    token: String,
    /// Until when it may be used to connect, in milliseconds since the Unix epoch.
    expires_at: u64,
    /// Whom it is for.
    user_id: &'a str,
}

/// Make a short-lived token.
#[utoipa::path(post, path = "/api/sse/token", tag = "tokens",
    request_body(content = Wanted, description = "With a session, nothing or `ttlSecs` alone."),
    responses(
        (status = 200, description = "The token.", body = Minted<'_>),
        (status = 400, description = "`invalid-body`, `invalid-topic`, `ambiguous-credentials`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "`unauthenticated`, `token-expired`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "`body-timeout`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`body-too-large`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported-media-type`", body = Problem, content_type = "application/problem+json"),
        (status = 501, description = "`no-token-secret`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`unavailable`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = []), ("session" = [])))]
pub(super) async fn mint(
    State(hub): State<Shared>,
    headers: HeaderMap,
    Extension(Peer(peer)): Extension<Peer>,
    mut body: Body,
) -> Result<Response, Problem> {
    let settings = hub.settings.load_full();
    let answer = async {
        let offered = who::Offered { sessions: true, ..who::Offered::default() };
        let principal = who::authenticate(&hub, &settings, &headers, peer, offered).await?;
        may_mint(&principal)?;
        let wanted = read(&settings, &headers, &mut body).await?;
        let now_ms = hub.clock.now().unix_ms;
        answer(&settings, &request(&settings, &principal, wanted, now_ms)?, now_ms)
    };
    let answer = answer.await;
    if answer.is_err() {
        body::discard(&mut body, &headers).await;
    }
    answer
}

fn may_mint(principal: &Principal) -> Result<(), Problem> {
    match principal.method {
        Method::Session => Ok(()),
        Method::ApiKey if principal.has_scope(Scope::Token) => Ok(()),
        Method::ApiKey => Err(Problem::forbidden("This API key has not the scope token.")),
        // Or a token would never have to end.
        Method::Token | Method::UserId => Err(Problem::forbidden(
            "A token makes no tokens; use an API key with the scope token, or a session.",
        )),
    }
}

async fn read(
    settings: &Settings,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<Wanted, Problem> {
    let config = &settings.config;
    let timeout = Duration::from_secs(config.body_timeout_secs);
    let body = body::read(body, config.request_bytes_max, timeout).await?;
    if body.is_empty() {
        return Ok(Wanted::default());
    }
    if body::media_type(headers)? != MediaType::Json {
        return Err(Problem::unsupported_media_type("Send application/json."));
    }
    if body.trim_ascii_start().first() != Some(&b'{') {
        // A list would be taken for the members in their order.
        return Err(Problem::invalid_body("The body is no JSON object."));
    }
    serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid_body(format!("The body is no token request: {error}.")))
}

/// What the token is to say, for this principal.
fn request(
    settings: &Settings,
    principal: &Principal,
    wanted: Wanted,
    now_ms: u64,
) -> Result<TokenRequest, Problem> {
    let ttl_max_secs = settings.config.tokens.ttl_max_secs;
    let ttl_secs = wanted.ttl_secs.unwrap_or(TTL_SECS.min(ttl_max_secs));
    if !(1..=ttl_max_secs).contains(&ttl_secs) {
        return Err(Problem::invalid_body(format!(
            "'ttlSecs' is a number from 1 to {ttl_max_secs}, which is tokens.ttl_max_secs."
        )));
    }
    match &principal.user {
        Some(user) => for_session(principal, user, &wanted, ttl_secs, now_ms),
        None => for_anyone(wanted, ttl_secs),
    }
}

fn for_anyone(wanted: Wanted, ttl_secs: u64) -> Result<TokenRequest, Problem> {
    let Some(user_id) = wanted.user_id else {
        return Err(Problem::invalid_body("There must be a 'userId'."));
    };
    if wanted.until_secs == Some(0) {
        return Err(Problem::invalid_body("'untilSecs' is a number from 1."));
    }
    let user = User::new(&user_id)
        .map_err(|error| Problem::invalid_body(format!("'userId' will not do: {error}.")))?;
    Ok(TokenRequest {
        user,
        subscribe: patterns(&wanted.subscribe)?,
        publish: patterns(&wanted.publish)?,
        role: wanted.role,
        sid: wanted.session_id,
        meta: wanted.metadata,
        ttl_secs,
        until_secs: wanted.until_secs,
    })
}

fn for_session(
    principal: &Principal,
    user: &User,
    wanted: &Wanted,
    ttl_secs: u64,
    now_ms: u64,
) -> Result<TokenRequest, Problem> {
    if wanted.user_id.as_deref().is_some_and(|user_id| user_id != user.id()) {
        return Err(Problem::forbidden("A session makes tokens for its own user only."));
    }
    let asks_for_more = wanted.metadata.is_some()
        || !wanted.subscribe.is_empty()
        || !wanted.publish.is_empty()
        || wanted.role.is_some()
        || wanted.session_id.is_some()
        || wanted.until_secs.is_some();
    if asks_for_more {
        return Err(Problem::forbidden(
            "With a session only 'ttlSecs' can be chosen; the rest is what the session is.",
        ));
    }
    let left_secs = principal.until_ms.map(|until_ms| until_ms.saturating_sub(now_ms) / 1000);
    if left_secs == Some(0) {
        return Err(Problem::unauthenticated(
            "unauthenticated",
            "The session has ended; sign in again.",
            true,
        ));
    }
    Ok(TokenRequest {
        user: user.clone(),
        subscribe: principal.grant.subscribe.clone(),
        publish: principal.grant.publish.clone(),
        role: principal.role.clone(),
        sid: principal.sid.clone(),
        meta: principal.meta.clone(),
        ttl_secs: ttl_secs.min(left_secs.unwrap_or(u64::MAX)),
        until_secs: left_secs,
    })
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, Problem> {
    let pattern = |text: &String| {
        Pattern::new(text).map_err(|error| {
            Problem::invalid_topic(format!("{} is no topic or pattern: {error}.", quoted(text)))
        })
    };
    texts.iter().map(pattern).collect()
}

fn answer(settings: &Settings, request: &TokenRequest, now_ms: u64) -> Result<Response, Problem> {
    let Some(key) = settings.authenticator.token_key() else {
        return Err(Problem::no_token_secret(
            "This server has no tokens.secret to sign with; the issuer of its key set makes tokens.",
        ));
    };
    let token = key
        .mint(request, now_ms, fastrand::u128(..))
        .map_err(|error| Problem::invalid_body(format!("The token cannot be made: {error}.")))?;
    let minted = Minted {
        token,
        expires_at: (now_ms / 1000 + request.ttl_secs) * 1000,
        user_id: request.user.id(),
    };
    Ok(json(serde_json::to_vec(&minted).expect("a struct of texts and a number"), "no-store"))
}
