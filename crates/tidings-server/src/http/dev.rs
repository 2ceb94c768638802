//! `GET /` of a `--dev` node: a page that watches topics live and publishes to them.

use std::net::IpAddr;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{HeaderMap, header};

use super::Shared;
use super::problem::Problem;

const PAGE: &str = include_str!("dev_page.html");

pub(super) async fn page(
    State(hub): State<Shared>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !names_this_machine(&headers) {
        return Err(Problem::forbidden(
            "This page holds a token for everything, so it shows itself under localhost or an IP \
             address only.",
        ));
    }
    let settings = hub.settings();
    let token = crate::dev::token(&settings, hub.clock.now().unix_ms)
        .map_err(|_| Problem::internal("The page's token cannot be made."))?;
    let nonce = format!("{:032x}", fastrand::u128(..));
    let page = PAGE
        .replace("__TIDINGS_NONCE__", &nonce)
        .replace("__TIDINGS_TOKEN__", &script_string(&token))
        .replace("__TIDINGS_BASE__", &script_string(settings.config.base_path.as_str()));
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    Ok((headers, page).into_response())
}

/// Whether `Host` is a name that nobody else can point here. A site elsewhere can make its own name
/// resolve to this machine (DNS rebinding), and would then be given the page's token.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    host.is_some_and(|host: Authority| {
        let host = host.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
    })
}

/// A JSON string that cannot end the script element it stands in.
fn script_string(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('<', "\\u003c")
}
