//! Who a request acts as: takes the credentials out of it, and turns a refusal into a problem.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue, header};
use tidings_hub::Selection;

use super::problem::Problem;
use super::{Hub, Settings, limited};
use crate::config::Config;
use crate::identity::{AuthError, Credentials, Principal, User};
use crate::limits::client_address;
use crate::revocations::Holder;

/// What a request says of who sends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) headers: &'a HeaderMap,
    /// The other end of its connection.
    pub(super) peer: SocketAddr,
    /// A token in the query, which is only looked at where it is promised.
    pub(super) query_token: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// Where a credential may only be in the headers.
    pub(super) fn plainly(headers: &'a HeaderMap, peer: SocketAddr) -> Self {
        Self { headers, peer, query_token: None }
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
#[expect(clippy::unused_async, reason = "who is signed in is asked for elsewhere")]
pub(super) async fn authenticate(
    hub: &Hub,
    settings: &Settings,
    asked: Asked<'_>,
) -> Result<Principal, Problem> {
    let mut authorizations = asked.headers.get_all(header::AUTHORIZATION).iter();
    let credentials = Credentials {
        authorization: authorizations.next().map(HeaderValue::as_bytes),
        query_token: asked.query_token,
        cookie_token: None,
        repeated: authorizations.next().is_some(),
    };
    let now_ms = hub.clock.now().unix_ms;
    let principal = match settings.authenticator.authenticate(&credentials, now_ms) {
        Ok(principal) => principal,
        Err(error) if error.is_suspicious() => {
            let address = asked.address(&settings.config);
            return Err(limited::failed(hub, settings, address, refusal(&error)));
        }
        Err(error) => return Err(refusal(&error)),
    };
    if hub.revocations.is_revoked(&holder(hub, &principal)) {
        return Err(revoked());
    }
    Ok(principal)
}

/// What a revocation may find this principal by.
pub(super) fn holder(hub: &Hub, principal: &Principal) -> Holder {
    hub.revocations.holder(
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

fn refusal(error: &AuthError) -> Problem {
    let mut detail = error.to_string();
    // Errors are written as the end of a log line; a detail is a sentence.
    if let Some(first) = detail.get(..1) {
        detail = format!("{}{}.", first.to_uppercase(), &detail[1..]);
    }
    match error {
        AuthError::Ambiguous => Problem::ambiguous_credentials(detail),
        other => Problem::unauthenticated(other.code(), detail, *other != AuthError::Missing),
    }
}

/// The token in a query, before anything else of the query is looked at: whoever cannot prove who
/// it is learns nothing about the rest.
pub(super) fn query_token(query: &str) -> Result<Option<Cow<'_, str>>, Problem> {
    let mut tokens = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "token");
    let token = tokens.next().map(|(_, token)| token);
    if tokens.next().is_some() {
        return Err(Problem::ambiguous_credentials("Send one 'token'."));
    }
    Ok(token)
}

/// Lets a principal subscribe to what it selects, or names the first topic it may not have.
pub(super) fn allow_selection(principal: &Principal, selection: &Selection) -> Result<(), Problem> {
    if selection.patterns().is_empty() {
        return Err(Problem::forbidden(
            "There is nothing you may subscribe to without naming a topic.",
        ));
    }
    for pattern in selection.patterns() {
        if !principal.grant.may_subscribe(pattern) {
            return Err(Problem::forbidden_topic(format!(
                "You may not subscribe to {}.",
                super::query::quoted(pattern.as_str())
            )));
        }
    }
    Ok(())
}
