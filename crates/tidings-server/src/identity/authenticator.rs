//! From a request's credentials to its principal.
//!
//! Credentials have an order of strength. The strongest one that is there decides alone: if it is
//! wrong the request is refused, and never judged by a weaker one.

use std::fmt;

use super::api_key::ApiKeys;
use super::{Grant, Method, Principal, TokenError, TokenKey};
use crate::config::{Config, TopicTemplate};

/// What an API key begins with; no token does, its first character encodes a `{`.
const API_KEY_PREFIX: &[u8] = crate::config::API_KEY_PREFIX.as_bytes();

/// The credentials a request came with, unchecked. Where a credential is not accepted (a token in
/// the query of anything but the two subscriber endpoints), leave it out.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// The `Authorization` header.
    pub authorization: Option<&'a [u8]>,
    /// The `token` parameter of the query, decoded.
    pub query_token: Option<&'a str>,
    /// The `tidings_token` cookie.
    pub cookie_token: Option<&'a str>,
    /// Whether one of them came more than once: then none is picked.
    pub repeated: bool,
}

impl fmt::Debug for Credentials<'_> {
    /// Which there are, never what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("authorization", &self.authorization.is_some())
            .field("query_token", &self.query_token.is_some())
            .field("cookie_token", &self.cookie_token.is_some())
            .field("repeated", &self.repeated)
            .finish()
    }
}

/// Knows every key, and says who a request acts as.
#[derive(Clone)]
pub struct Authenticator {
    api_keys: ApiKeys,
    token_key: Option<TokenKey>,
    default_topics: Vec<TopicTemplate>,
}

impl Authenticator {
    /// The authenticator of this configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            api_keys: ApiKeys::new(config),
            token_key: TokenKey::new(&config.tokens),
            default_topics: config.auth.default_topics.clone(),
        }
    }

    /// The key tokens are signed with, to mint them by.
    pub fn token_key(&self) -> Option<&TokenKey> {
        self.token_key.as_ref()
    }

    /// Who a request with these credentials acts as, at this time.
    pub fn authenticate(
        &self,
        credentials: &Credentials<'_>,
        now_unix_ms: u64,
    ) -> Result<Principal, AuthError> {
        if credentials.repeated {
            return Err(AuthError::Ambiguous);
        }
        if let Some(authorization) = credentials.authorization {
            let bearer = bearer(authorization).ok_or(AuthError::NotBearer)?;
            if bearer.starts_with(API_KEY_PREFIX) {
                return self.api_keys.find(bearer).ok_or(AuthError::UnknownApiKey);
            }
            if credentials.query_token.is_some() {
                return Err(AuthError::Ambiguous);
            }
            let token = std::str::from_utf8(bearer).map_err(|_| AuthError::NotBearer)?;
            return self.by_token(token, now_unix_ms);
        }
        // A cookie goes with every request by itself, so the page's own choice, the query, is
        // taken before it rather than held against it.
        match credentials.query_token.or(credentials.cookie_token) {
            None => Err(AuthError::Missing),
            Some(token) if token.as_bytes().starts_with(API_KEY_PREFIX) => {
                Err(AuthError::MisplacedApiKey)
            }
            Some(token) => self.by_token(token, now_unix_ms),
        }
    }

    fn by_token(&self, token: &str, now_unix_ms: u64) -> Result<Principal, AuthError> {
        let key = self.token_key.as_ref().ok_or(AuthError::NoTokens)?;
        let claims = key.verify(token, now_unix_ms)?;
        let segment = Some(claims.user.segment());
        let default_topics =
            self.default_topics.iter().filter_map(|template| template.fill(segment)).collect();
        Ok(Principal {
            method: Method::Token,
            name: None,
            grant: Grant { default_topics, subscribe: claims.subscribe, publish: claims.publish },
            scopes: Vec::new(),
            jti: Some(claims.jti),
            sid: claims.sid,
            role: claims.role,
            meta: claims.meta,
            issued_at_ms: Some(claims.issued_at_ms),
            connect_until_ms: Some(claims.connect_until_ms),
            until_ms: claims.until_ms,
            user: Some(claims.user),
        })
    }
}

/// What follows `Bearer`, whose case does not matter (RFC 9110, 11.1).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let space = authorization.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = authorization.split_at(space);
    let credential = rest.trim_ascii();
    let one_word = !credential.is_empty() && credential.iter().all(u8::is_ascii_graphic);
    (scheme.eq_ignore_ascii_case(b"bearer") && one_word).then_some(credential)
}

/// Why a request has no principal. Its text is for the client and never repeats a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No credential at all.
    #[error("this needs a credential: send an API key or a token as 'Authorization: Bearer …'")]
    Missing,
    /// Two of a kind, or a token in header and query. The request is wrong, whoever sends it.
    #[error("this came with more than one credential; send one")]
    Ambiguous,
    /// An `Authorization` header of another form.
    #[error("the Authorization header must be 'Bearer', a space, and an API key or a token")]
    NotBearer,
    /// An API key that is none of ours.
    #[error("this API key is not known here")]
    UnknownApiKey,
    /// An API key where only tokens may be.
    #[error("an API key goes into the Authorization header, never into a URL or a cookie")]
    MisplacedApiKey,
    /// A token, and no secret to check it with.
    #[error("this server takes no tokens: it has no secret to check them with")]
    NoTokens,
    /// A token that is refused.
    #[error("{0}")]
    Token(#[from] TokenError),
}

impl AuthError {
    /// Whether this may be somebody who tries. A genuine token that has merely expired is everyday, and
    /// so is a request without a credential or one that is wrong in itself.
    pub fn is_suspicious(&self) -> bool {
        match self {
            Self::Missing | Self::Ambiguous | Self::NoTokens | Self::Token(TokenError::Expired) => {
                false
            }
            Self::NotBearer | Self::UnknownApiKey | Self::MisplacedApiKey | Self::Token(_) => true,
        }
    }

    /// The stable code for clients: `ambiguous-credentials` (a bad request), `token-expired` or
    /// `unauthenticated`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous-credentials",
            Self::Token(TokenError::Expired) => "token-expired",
            Self::Missing
            | Self::NotBearer
            | Self::UnknownApiKey
            | Self::MisplacedApiKey
            | Self::NoTokens
            | Self::Token(_) => "unauthenticated",
        }
    }
}
