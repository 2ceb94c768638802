//! Who a request acts as: takes the credentials out of it, and turns a refusal into a problem.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tidings_hub::Selection;
use tracing::warn;

use super::problem::Problem;
use super::{Hub, Settings, admin, limited};
use crate::config::Config;
use crate::identity::{AuthError, Cookies, Credentials, Method, Principal, User};
use crate::limits::client_address;
use crate::revocations::Holder;

/// The cookie that a token may be in, on the two subscriber endpoints.
const TOKEN_COOKIE: &str = "tidings_token";
/// Says in an answer that its reader was let in for nothing.
pub(super) const WARNING: HeaderName = HeaderName::from_static("tidings-warning");
/// When to come back after whoever knows who one is did not answer.
const UNAVAILABLE_RETRY_AFTER_SECS: u32 = 5;

/// What a request says of who sends it, and where credentials may be in it: each route looks only
/// where it is promised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) headers: &'a HeaderMap,
    /// The other end of its connection.
    pub(super) peer: SocketAddr,
    /// The `token` of the query.
    query_token: Option<&'a str>,
    /// The `userId` of the query.
    query_user_id: Option<&'a str>,
    /// Whether the cookie `tidings_token` is looked at.
    cookie_token: bool,
    /// Whether the application's sessions are looked at.
    sessions: bool,
}

impl<'a> Asked<'a> {
    /// By an `Authorization` header and nothing else.
    pub(super) fn plainly(headers: &'a HeaderMap, peer: SocketAddr) -> Self {
        Self {
            headers,
            peer,
            query_token: None,
            query_user_id: None,
            cookie_token: false,
            sessions: false,
        }
    }

    /// By a session, too.
    pub(super) fn with_sessions(self) -> Self {
        Self { sessions: true, ..self }
    }

    /// By what whoever subscribes may come with: all there is.
    pub(super) fn of_subscriber(
        headers: &'a HeaderMap,
        peer: SocketAddr,
        query_token: Option<&'a str>,
        query_user_id: Option<&'a str>,
    ) -> Self {
        let plain = Self::plainly(headers, peer).with_sessions();
        Self { query_token, query_user_id, cookie_token: true, ..plain }
    }

    /// The address that it comes from, past the proxies that are trusted.
    pub(super) fn address(&self, config: &Config) -> IpAddr {
        let is_trusted = |address: IpAddr| {
            config.trusted_proxies.iter().any(|network| network.net().contains(&address))
        };
        client_address(self.peer.ip(), self.headers, is_trusted)
    }
}

/// Proves who a request acts as.
pub(super) async fn authenticate(
    hub: &Hub,
    settings: &Settings,
    asked: Asked<'_>,
) -> Result<Principal, Problem> {
    let headers = asked.headers;
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    let authorization = authorizations.next().map(HeaderValue::as_bytes);
    let mut repeated = authorizations.next().is_some();

    let cookies = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    let cookies = Cookies::parse(cookies);
    let mut cookie_token = None;
    // Not looked at beside what is stronger, so that a stray cookie stands in nobody's way.
    if asked.cookie_token && authorization.is_none() && asked.query_token.is_none() {
        match cookies.one(TOKEN_COOKIE) {
            Ok(token) => cookie_token = token,
            Err(_) => repeated = true,
        }
    }
    let names = settings.authenticator.session_headers();
    let session_headers: Vec<_> = names
        .iter()
        .flat_map(|name| headers.get_all(*name).iter().map(|value| (*name, value.as_bytes())))
        .collect();

    let credentials = Credentials {
        authorization,
        query_token: asked.query_token,
        cookie_token,
        cookies: asked.sessions.then_some(&cookies),
        headers: &session_headers,
        user_id: asked.query_user_id,
        is_remote: !asked.peer.ip().to_canonical().is_loopback() || was_handed_on(headers),
        repeated,
    };
    let now_ms = hub.clock.now().unix_ms;
    let principal = match settings.authenticator.authenticate(&credentials, now_ms).await {
        Ok(principal) => principal,
        Err(error) if error.is_suspicious() => {
            let address = asked.address(&settings.config);
            return Err(limited::failed(hub, settings, address, refusal(&error)).await);
        }
        Err(error) => return Err(refusal(&error)),
    };
    if hub.revocations.is_revoked(&holder(&principal)) {
        return Err(revoked());
    }
    if principal.method == Method::UserId {
        hub.insecure_user_ids.fetch_add(1, Ordering::Relaxed);
        let user = principal.user.as_ref().map(User::id);
        warn!(user, "a userId parameter was believed: anyone can claim to be anyone");
    }
    Ok(principal)
}

/// What a revocation may find this principal by.
pub(super) fn holder(principal: &Principal) -> Holder {
    Holder::new(
        principal.user.as_ref().map(User::id),
        principal.sid.as_deref(),
        principal.jti.as_deref(),
        principal.issued_at_ms,
    )
}

/// The answer to whoever may not be heard any more.
pub(super) fn revoked() -> Problem {
    Problem::unauthenticated("revoked", "This credential was revoked; get a new one.", true)
}

/// Whether somebody in between says that the request is not their own.
fn was_handed_on(headers: &HeaderMap) -> bool {
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"]
        .iter()
        .any(|name| headers.contains_key(*name))
}

/// Says in an answer what is weak about how its reader was let in.
pub(super) fn warn_in(response: &mut Response, principal: &Principal) {
    if principal.method == Method::UserId {
        let warning = HeaderValue::from_static("insecure-user-id");
        response.headers_mut().insert(WARNING, warning);
    }
}

fn refusal(error: &AuthError) -> Problem {
    let mut detail = error.to_string();
    // Errors are written as the end of a log line; a detail is a sentence.
    if let Some(first) = detail.get(..1) {
        let end = if detail.ends_with('?') { "" } else { "." };
        detail = format!("{}{}{end}", first.to_uppercase(), &detail[1..]);
    }
    match error.code() {
        "ambiguous-credentials" => Problem::ambiguous_credentials(detail),
        "unavailable" => Problem::unavailable(detail, UNAVAILABLE_RETRY_AFTER_SECS),
        code => Problem::unauthenticated(code, detail, error.was_offered()),
    }
}

/// The token in a query, before anything else of the query is looked at: whoever cannot prove who
/// it is learns nothing about the rest.
pub(super) fn query_token(query: &str) -> Result<Option<Cow<'_, str>>, Problem> {
    one_of(query, "token")
}

/// The user that a query claims to be from.
pub(super) fn query_user_id(query: &str) -> Result<Option<Cow<'_, str>>, Problem> {
    one_of(query, "userId")
}

fn one_of<'a>(query: &'a str, name: &str) -> Result<Option<Cow<'a, str>>, Problem> {
    let mut values =
        form_urlencoded::parse(query.as_bytes()).filter(|(other, _)| other.as_ref() == name);
    let value = values.next().map(|(_, value)| value);
    if values.next().is_some() {
        return Err(Problem::ambiguous_credentials(format!("Send one '{name}'.")));
    }
    Ok(value)
}

/// Lets a principal subscribe to what it selects, or names the first topic it may not have.
pub(super) fn allow_selection(principal: &Principal, selection: &Selection) -> Result<(), Problem> {
    if selection.patterns().is_empty() {
        return Err(Problem::forbidden(
            "There is nothing you may subscribe to without naming a topic.",
        ));
    }
    for pattern in selection.patterns() {
        let may = if pattern.is_own() {
            admin::may_hear_own(principal)
        } else {
            principal.grant.may_subscribe(pattern)
        };
        if !may {
            return Err(Problem::forbidden_topic(format!(
                "You may not subscribe to {}.",
                super::query::quoted(pattern.as_str())
            )));
        }
    }
    Ok(())
}
