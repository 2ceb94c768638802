//! The dashboard at `/admin`: files that were built from `dashboard/` and are embedded in the binary.
//!
//! The files are the same for everyone and hold no secret, so anyone may have them; what the page shows
//! it asks for with the operator's key. A debug build reads them from their folder each time.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use rust_embed::RustEmbed;

use super::problem::Problem;

#[derive(RustEmbed)]
#[folder = "../../dashboard/dist"]
#[allow_missing = true]
struct Files;

/// Nothing inline, nothing from elsewhere, nowhere to send to but here, in nobody's frame; and no
/// text becomes markup, whichever way a script would try.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'",
);

/// The files' names change with what is in them; but for one that people read.
const FOREVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

const NOT_BUILT: &str = "The dashboard is not part of this build of Tidings.\n\n\
    To have it, with Node.js 20 and npm 11, in the folder of the sources:\n\n\
    \x20   npm ci\n    npx vite build dashboard\n    cargo build\n\n\
    or let `cargo xtask serve` do all of it. The API under /api/admin works without.\n";

/// The page's addresses are relative to the folder it is in.
pub(super) async fn folder() -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "admin/")]).into_response()
}

pub(super) async fn page() -> Response {
    let Some(file) = Files::get("index.html") else {
        let headers = [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        return (StatusCode::NOT_FOUND, headers, NOT_BUILT).into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ];
    let mut response = (headers, file.data).into_response();
    let name = http::HeaderName::from_static("cross-origin-opener-policy");
    response.headers_mut().insert(name, HeaderValue::from_static("same-origin"));
    response
}

pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, Problem> {
    // One name in one folder. An encoded `/` would lead to the page, without its policy.
    let is_plain = !name.contains(['/', '\\']);
    let file = is_plain.then(|| Files::get(&format!("assets/{name}"))).flatten();
    let file =
        file.ok_or_else(|| Problem::not_found("The dashboard has no such file; load it again."))?;
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    let (content_type, cache_control) = match extension {
        Some("js") => ("text/javascript; charset=utf-8", FOREVER),
        Some("css") => ("text/css; charset=utf-8", FOREVER),
        Some("svg") => ("image/svg+xml", FOREVER),
        Some("txt") => ("text/plain; charset=utf-8", ASK_AGAIN),
        _ => ("application/octet-stream", ASK_AGAIN),
    };
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, cache_control)];
    Ok((headers, file.data).into_response())
}
