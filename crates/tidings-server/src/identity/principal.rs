//! Who a request acts as.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Grant, SessionCredential, User};
use crate::config::Scope;

/// How a principal proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// An API key: one of the application's own services.
    ApiKey,
    /// A token the application signed for a user.
    Token,
    /// The application's own session.
    Session,
    /// Nothing but a `userId` parameter: a claim, and no proof.
    UserId,
}

impl Method {
    /// Every way there is.
    pub const ALL: [Self; 4] = [Self::ApiKey, Self::Token, Self::Session, Self::UserId];

    /// The name on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api-key",
            Self::Token => "token",
            Self::Session => "session",
            Self::UserId => "user-id",
        }
    }
}

/// Who a request acts as: how it was authenticated, and what it may do.
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    /// The user; an API key has none.
    pub user: Option<User>,
    /// How it was authenticated.
    pub method: Method,
    /// The API key's name in the configuration, for logs.
    pub name: Option<Arc<str>>,
    /// What it may subscribe and publish to.
    pub grant: Grant,
    /// The API key's scopes.
    pub scopes: Vec<Scope>,
    /// The token's own id, to revoke it by.
    pub jti: Option<String>,
    /// The session, or that which the token belongs to, to revoke it by.
    pub sid: Option<String>,
    /// The role the application gave the user.
    pub role: Option<String>,
    /// What else the application said of the user.
    pub meta: Option<Map<String, Value>>,
    /// When the credential was issued, in Unix milliseconds, where that is known.
    pub issued_at_ms: Option<u64>,
    /// Until when the credential may be used to connect, in Unix milliseconds.
    pub connect_until_ms: Option<u64>,
    /// Until when a stream may live, in Unix milliseconds; without it, as long as any stream does.
    pub until_ms: Option<u64>,
    /// What a session that the application was asked for can be asked for again with.
    pub session: Option<SessionCredential>,
}

impl Principal {
    /// Whether this is one of the application's own services, by its API key.
    pub fn is_api_key(&self) -> bool {
        self.method == Method::ApiKey
    }

    /// Whether its API key has this scope.
    pub fn has_scope(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}
