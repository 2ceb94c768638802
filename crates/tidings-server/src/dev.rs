//! What `--dev` adds: a token that may do everything, and a note that says how to begin.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::Context;

use tidings_hub::Pattern;

use crate::http::Settings;
use crate::identity::{TokenRequest, User};

/// Seconds a development token may be used to connect.
const TOKEN_TTL_SECS: u64 = 24 * 60 * 60;
/// Whom a development token stands for.
const USER: &str = "dev";

/// A token for user `dev` that may subscribe and publish to everything.
pub(crate) fn token(settings: &Settings, now_ms: u64) -> anyhow::Result<String> {
    let key = settings.authenticator.token_key().context("--dev makes up a token secret")?;
    let request = TokenRequest {
        user: User::new(USER).context("a short plain id")?,
        subscribe: vec![Pattern::everything()],
        publish: vec![Pattern::everything()],
        role: None,
        sid: None,
        meta: None,
        ttl_secs: TOKEN_TTL_SECS.min(settings.config.tokens.ttl_max_secs),
        until_secs: None,
    };
    key.mint(&request, now_ms, fastrand::u128(..)).context("minting a token")
}

/// The keys, the URLs and a `curl` to try.
pub(crate) fn banner(
    settings: &Settings,
    address: SocketAddr,
    now_ms: u64,
) -> anyhow::Result<String> {
    let config = &settings.config;
    let key = config.api_key.as_ref().context("--dev has made up an API key")?.expose();
    let token = token(settings, now_ms)?;
    let scheme = if config.tls.cert.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}{}", config.base_path.as_str());
    let mut text = String::new();
    write!(
        text,
        "\n  Tidings is running for development. Open {url}/ in a browser, the dashboard\n  at {url}/admin with the key below, or:\n\n\
         \x20   export TIDINGS_URL={url} TIDINGS_API_KEY={key}\n\
         \x20   curl -N '{url}/api/sse?topic=**&token={token}'\n\
         \x20   curl {url}/api/events -H \"Authorization: Bearer $TIDINGS_API_KEY\" \\\n\
         \x20     -H 'Content-Type: application/json' -d '{{\"topic\":\"orders/42\",\"data\":\"hello\"}}'\n\n"
    )?;
    Ok(text)
}
