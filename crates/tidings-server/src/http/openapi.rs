//! `GET /openapi.json`: the description of this API, made from the handlers themselves.

use std::sync::LazyLock;

use axum::response::Response;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::json;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidings",
        description = "Publish events; subscribers see them at once, over Server-Sent Events or by polling.",
        license(name = "MIT OR Apache-2.0"),
    ),
    paths(
        super::sse::stream,
        super::polling::poll,
        super::publish::publish,
        super::tokens::mint,
        super::rate_limit::take,
        super::revocations::revoke,
        super::stats::history,
        super::topics::list,
        super::topic_events::list,
        super::connections::list,
        super::connections::close,
        super::metrics::sse_metrics,
        super::metrics::exposition,
        super::health::alive,
        super::health::ready,
        document,
    ),
    modifiers(&Security),
    tags(
        (name = "subscribe", description = "Streams and polls, on one cursor."),
        (name = "publish", description = "Events in."),
        (name = "tokens", description = "Who may subscribe."),
        (name = "limits", description = "The hub's limiter, lent."),
        (name = "admin", description = "Who is let in, and who is connected."),
        (name = "health", description = "For load balancers and supervisors."),
    ),
)]
struct Api;

struct Security;

impl Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = |format: &str, about: &str| {
            let http = HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format(format)
                .description(Some(about))
                .build();
            SecurityScheme::Http(http)
        };
        components.add_security_scheme(
            "apiKey",
            bearer("tk_…", "An API key with the scope the route needs."),
        );
        components.add_security_scheme("token", bearer("JWT", "A token, `typ: tidings+jwt`."));
        components.add_security_scheme(
            "queryToken",
            SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::new("token"))),
        );
        components.add_security_scheme(
            "cookieToken",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("tidings_token"))),
        );
        let session = "The application's own session cookie; its name depends on the settings.";
        components.add_security_scheme(
            "session",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                "session", session,
            ))),
        );
    }
}

static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| Api::openapi().to_json().expect("a description made of plain values"));

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "health",
    responses((status = 200, description = "OpenAPI 3.")))]
pub(super) async fn document() -> Response {
    json(DOCUMENT.as_bytes().to_vec(), "no-cache")
}
