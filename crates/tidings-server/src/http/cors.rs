//! Cross-origin requests: the exact origins of the settings and no others.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{Hub, limited, who};

/// How long a browser may remember a preflight.
const PREFLIGHT_AGE: Duration = Duration::from_mins(10);

/// Answers preflights and marks answers, by the settings of the moment.
pub(super) fn layer(hub: Arc<Hub>) -> CorsLayer {
    let allowed = AllowOrigin::predicate(move |origin, _| {
        let settings = hub.settings();
        origin.to_str().is_ok_and(|origin| {
            settings.config.cors.origins.iter().any(|allowed| allowed.as_str() == origin)
        })
    });
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CACHE_CONTROL,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([
            header::ETAG,
            header::RETRY_AFTER,
            limited::POLICY,
            limited::REST,
            who::WARNING,
        ])
        .max_age(PREFLIGHT_AGE)
}
