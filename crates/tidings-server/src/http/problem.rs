//! The one error table: every refusal a client can meet, its status, its stable code and a kind
//! sentence, as RFC 9457 problem details.
//!
//! A detail never repeats a credential. What went wrong inside is for the log, not for here.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::delivery::Full;

/// `application/problem+json`, RFC 9457.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `urn:tidings:problem:` and the code.
    #[serde(rename = "type")]
    problem_type: String,
    /// What the code means, the same for every occurrence.
    title: &'static str,
    /// The status, also when the problem stands inside a batch's answer.
    status: u16,
    /// Stable, in kebab-case: the part to branch on.
    code: &'static str,
    /// This occurrence, and what to do about it.
    detail: String,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

macro_rules! problems {
    ($($name:ident = $status:ident, $code:literal, $title:literal;)+) => {
        $(
            pub(crate) fn $name(detail: impl Into<String>) -> Self {
                Self::new(StatusCode::$status, $code, $title, detail.into())
            }
        )+

        /// Every code there is.
        pub(crate) const CODES: &[&str] = &[
            $($code,)+
            "unauthenticated",
            "token-expired",
            "revoked",
            "invalid-request",
            "method-not-allowed",
            "unavailable",
            "too-many-connections",
        ];
    };
}

/// Put into an answer that is a problem: its code, to be counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused(pub(super) &'static str);

impl Problem {
    problems! {
        invalid_topic = BAD_REQUEST, "invalid-topic", "Not a topic";
        invalid_cursor = BAD_REQUEST, "invalid-cursor", "Not a cursor";
        invalid_query = BAD_REQUEST, "invalid-query", "A query parameter cannot be used";
        invalid_body = BAD_REQUEST, "invalid-body", "The body cannot be used";
        invalid_event = BAD_REQUEST, "invalid-event", "Not an event";
        invalid_key = BAD_REQUEST, "invalid-idempotency-key", "Not an idempotency key";
        too_many_topics = BAD_REQUEST, "too-many-topics", "More topics than one subscriber may name";
        ambiguous_credentials = BAD_REQUEST, "ambiguous-credentials", "More than one credential";
        forbidden = FORBIDDEN, "forbidden", "Not allowed";
        forbidden_topic = FORBIDDEN, "forbidden-topic", "Not allowed on this topic";
        revocations_full = SERVICE_UNAVAILABLE, "revocations-full", "As many revocations as can be remembered";
        forbidden_origin = FORBIDDEN, "forbidden-origin", "Not from this site";
        rate_limited = TOO_MANY_REQUESTS, "rate-limited", "More often than allowed";
        misdirected_request = MISDIRECTED_REQUEST, "misdirected-request", "Not a host of this server";
        not_found = NOT_FOUND, "not-found", "Nothing is here";
        body_timeout = REQUEST_TIMEOUT, "body-timeout", "The body did not arrive in time";
        idempotency_conflict = CONFLICT, "idempotency-conflict", "The key was used for something else";
        event_too_large = PAYLOAD_TOO_LARGE, "event-too-large", "The event is too large";
        body_too_large = PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large";
        batch_too_large = PAYLOAD_TOO_LARGE, "batch-too-large", "More events than one request may carry";
        unsupported_media_type = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Not a body that can be read here";
        no_room = INSUFFICIENT_STORAGE, "no-room", "The log has no room";
        no_token_secret = NOT_IMPLEMENTED, "no-token-secret", "This server makes no tokens";
        internal = INTERNAL_SERVER_ERROR, "internal", "A fault of the hub's own";
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).expect("a status is one")
    }

    /// 401, with what to send instead; `invalid_token` when something was sent (RFC 6750, 3.1).
    pub(crate) fn unauthenticated(
        code: &'static str,
        detail: impl Into<String>,
        was_offered: bool,
    ) -> Self {
        let problem =
            Self::new(StatusCode::UNAUTHORIZED, code, "Who you are is not proved", detail.into());
        let challenge = if was_offered {
            "Bearer realm=\"tidings\", error=\"invalid_token\""
        } else {
            "Bearer realm=\"tidings\""
        };
        problem.with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// 400, after which the connection is closed: what else comes on it cannot be trusted.
    pub(crate) fn invalid_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", "Not a clear request", detail.into())
            .with(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// 405, with what is allowed.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("This resource answers to {allow}.");
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "Not a method of this resource",
            detail,
        )
        .with(header::ALLOW, HeaderValue::from_static(allow))
    }

    /// 503, with when to come back.
    pub(crate) fn unavailable(detail: impl Into<String>, retry_after_secs: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not now", detail.into())
            .with(header::RETRY_AFTER, HeaderValue::from(retry_after_secs))
    }

    /// 503 when the node is full, 429 when whoever asks has enough streams already.
    pub(crate) fn too_many_connections(full: Full, retry_after_secs: u32) -> Self {
        let (status, setting, advice) = match full {
            Full::Node => (
                StatusCode::SERVICE_UNAVAILABLE,
                "limits.connections_per_node",
                "come back later or poll",
            ),
            Full::User => (
                StatusCode::TOO_MANY_REQUESTS,
                "limits.connections_per_user",
                "close a stream of this user first, or poll",
            ),
            Full::Address => (
                StatusCode::TOO_MANY_REQUESTS,
                "limits.connections_per_address",
                "close a stream from this address first, or poll",
            ),
        };
        Self::new(
            status,
            "too-many-connections",
            "As many streams as there may be",
            format!("{setting} is reached; {advice}."),
        )
        .with(header::RETRY_AFTER, HeaderValue::from(retry_after_secs))
    }

    /// The same, with when to come back.
    pub(crate) fn retry_after(self, secs: u32) -> Self {
        self.with(header::RETRY_AFTER, HeaderValue::from(secs))
    }

    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: String) -> Self {
        Self {
            problem_type: format!("urn:tidings:problem:{code}"),
            title,
            status: status.as_u16(),
            code,
            detail,
            headers: Vec::new(),
        }
    }

    /// The same, with a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("made from a status");
        let body = serde_json::to_vec(&self).expect("a struct of texts and numbers");
        let mut response = (status, body).into_response();
        response.extensions_mut().insert(Refused(self.code));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }
}
