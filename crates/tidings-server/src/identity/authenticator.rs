//! From a request's credentials to its principal.
//!
//! Credentials have an order of strength. The strongest one that is there decides alone: if it is
//! wrong the request is refused, and never judged by a weaker one.

use std::fmt;

use tidings_hub::Pattern;

use super::api_key::ApiKeys;
use super::session::Sessions;
use super::{
    CookieError, Cookies, Grant, Method, OutboundError, Principal, Session, SessionCredential,
    SessionError, TokenError, TokenKey, TokenVerifier, User, UserError,
};
use crate::config::{Auth, Config, LegacyUserId};

/// What an API key begins with; no token does, its first character encodes a `{`.
const API_KEY_PREFIX: &[u8] = crate::config::API_KEY_PREFIX.as_bytes();

/// Seconds by which the application's clock may be ahead of ours.
const LEEWAY_SECS: u64 = 60;

/// The credentials a request came with, unchecked. Where a credential is not accepted (a token in
/// the query of anything but the two subscriber endpoints), leave it out.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// The `Authorization` header.
    pub authorization: Option<&'a [u8]>,
    /// The `token` parameter of the query, decoded.
    pub query_token: Option<&'a str>,
    /// The `tidings_token` cookie.
    pub cookie_token: Option<&'a [u8]>,
    /// The cookies a session may be in.
    pub cookies: Option<&'a Cookies<'a>>,
    /// The headers of [`Authenticator::session_headers`], by their names in lower case.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The `userId` parameter of the query, decoded.
    pub user_id: Option<&'a str>,
    /// Whether the request came from another machine, or was handed on for somebody.
    pub is_remote: bool,
    /// Whether one of the tokens came more than once: then none is picked.
    pub repeated: bool,
}

impl fmt::Debug for Credentials<'_> {
    /// Which there are, never what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("authorization", &self.authorization.is_some())
            .field("query_token", &self.query_token.is_some())
            .field("cookie_token", &self.cookie_token.is_some())
            .field("cookies", &self.cookies)
            .field("headers", &self.headers.len())
            .field("user_id", &self.user_id.is_some())
            .field("is_remote", &self.is_remote)
            .field("repeated", &self.repeated)
            .finish()
    }
}

/// Knows every key, and says who a request acts as.
#[derive(Clone)]
pub struct Authenticator {
    api_keys: ApiKeys,
    tokens: TokenVerifier,
    token_key: Option<TokenKey>,
    sessions: Option<Sessions>,
    auth: Auth,
}

impl Authenticator {
    /// The authenticator of this configuration, with the keys in the files it names. With
    /// `previous`, what was fetched for that one is used further.
    pub fn load(config: &Config, previous: Option<&Self>) -> Result<Self, LoadError> {
        let known = previous.map(|previous| &previous.tokens);
        Ok(Self {
            api_keys: ApiKeys::new(config),
            tokens: TokenVerifier::load(&config.tokens, known)?,
            token_key: TokenKey::new(&config.tokens),
            sessions: Sessions::load(&config.auth.session)?,
            auth: config.auth.clone(),
        })
    }

    /// The key tokens are signed with, to mint them by.
    pub fn token_key(&self) -> Option<&TokenKey> {
        self.token_key.as_ref()
    }

    /// Fetches the public keys of the tokens' issuer again, if they come from a URL. To be called
    /// every [`KEY_SET_REFRESH_SECS`](super::KEY_SET_REFRESH_SECS).
    pub async fn refresh_keys(&self) {
        self.tokens.refresh().await;
    }

    /// The names, in lower case, of the headers that a session may be in.
    pub fn session_headers(&self) -> Vec<&str> {
        self.sessions.as_ref().map(Sessions::header_names).unwrap_or_default()
    }

    /// Who a request with these credentials acts as, at this time.
    pub async fn authenticate(
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
            return self.by_token(bearer, now_unix_ms).await;
        }
        // A cookie goes with every request by itself, so the page's own choice, the query, is
        // taken before it rather than held against it.
        let token = credentials.query_token.map(str::as_bytes).or(credentials.cookie_token);
        if let Some(token) = token {
            if token.starts_with(API_KEY_PREFIX) {
                return Err(AuthError::MisplacedApiKey);
            }
            return self.by_token(token, now_unix_ms).await;
        }
        if let (Some(sessions), Some(cookies)) = (&self.sessions, credentials.cookies)
            && let Some((session, credential)) =
                sessions.find(cookies, credentials.headers, now_unix_ms).await?
        {
            // Of a session that is asked for again, the application knows when it ends.
            let age_max_secs = self.auth.session.age_max_secs;
            let latest_ms = now_unix_ms.saturating_add((age_max_secs + LEEWAY_SECS) * 1000);
            if credential.is_none() && session.until_ms.is_some_and(|until_ms| until_ms > latest_ms)
            {
                return Err(SessionError::TooLongLived(age_max_secs).into());
            }
            return Ok(self.by_session(&session, credential));
        }
        match credentials.user_id {
            None => Err(AuthError::Missing),
            Some(user_id) => self.by_user_id(user_id, credentials.is_remote),
        }
    }

    async fn by_token(&self, token: &[u8], now_unix_ms: u64) -> Result<Principal, AuthError> {
        if !self.tokens.has_keys() {
            return Err(AuthError::NoTokens);
        }
        let token = std::str::from_utf8(token).map_err(|_| TokenError::Shape)?;
        let claims = self.tokens.verify(token, now_unix_ms).await?;
        Ok(Principal {
            method: Method::Token,
            name: None,
            grant: self.grant(&claims.user, claims.subscribe, claims.publish),
            scopes: Vec::new(),
            jti: Some(claims.jti),
            sid: claims.sid,
            role: claims.role,
            meta: claims.meta,
            issued_at_ms: Some(claims.issued_at_ms),
            connect_until_ms: Some(claims.connect_until_ms),
            until_ms: claims.until_ms,
            user: Some(claims.user),
            session: None,
        })
    }

    fn by_session(&self, session: &Session, credential: Option<SessionCredential>) -> Principal {
        Principal {
            method: Method::Session,
            name: None,
            grant: self.session_grant(session),
            scopes: Vec::new(),
            jti: None,
            sid: session.sid.clone(),
            role: session.role.clone(),
            meta: session.meta.clone(),
            issued_at_ms: session.issued_at_ms,
            connect_until_ms: session.until_ms,
            until_ms: session.until_ms,
            user: Some(session.user.clone()),
            session: credential,
        }
    }

    /// Whoever claims to be this user, where that is enough.
    fn by_user_id(&self, user_id: &str, is_remote: bool) -> Result<Principal, AuthError> {
        match self.auth.legacy_user_id {
            LegacyUserId::Off => return Err(AuthError::UserIdOff),
            LegacyUserId::Insecure if is_remote && !self.auth.legacy_user_id_remote => {
                return Err(AuthError::UserIdRemote);
            }
            LegacyUserId::Insecure => {}
        }
        let user = User::new(user_id)?;
        Ok(Principal {
            method: Method::UserId,
            name: None,
            grant: self.grant(&user, Vec::new(), Vec::new()),
            scopes: Vec::new(),
            jti: None,
            sid: None,
            role: None,
            meta: None,
            issued_at_ms: None,
            connect_until_ms: None,
            until_ms: None,
            user: Some(user),
            session: None,
        })
    }

    /// What a session grants.
    pub(super) fn session_grant(&self, session: &Session) -> Grant {
        self.grant(&session.user, session.subscribe.clone(), session.publish.clone())
    }

    pub(super) fn sessions(&self) -> Option<&Sessions> {
        self.sessions.as_ref()
    }

    fn grant(&self, user: &User, subscribe: Vec<Pattern>, publish: Vec<Pattern>) -> Grant {
        let segment = Some(user.segment());
        let templates = self.auth.default_topics.iter();
        let default_topics = templates.filter_map(|template| template.fill(segment)).collect();
        Grant { default_topics, subscribe, publish }
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
    #[error(
        "this needs a credential: an API key or a token as 'Authorization: Bearer …', or the \
         application's session where this server takes it"
    )]
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
    /// A token, and nothing to check it with.
    #[error("this server takes no tokens: it has no key to check them with")]
    NoTokens,
    /// A token that is refused.
    #[error("{0}")]
    Token(#[from] TokenError),
    /// A session that is refused.
    #[error("{0}")]
    Session(#[from] SessionError),
    /// A `userId` parameter, where that proves nothing.
    #[error(
        "a userId parameter proves nothing here: send an API key or a token as \
         'Authorization: Bearer …'"
    )]
    UserIdOff,
    /// A `userId` parameter from elsewhere.
    #[error(
        "a userId parameter is only taken from this machine itself, and this request came from \
         another or through a proxy"
    )]
    UserIdRemote,
    /// A `userId` parameter that is no user's id.
    #[error("the userId parameter will not do: {0}")]
    UserId(#[from] UserError),
}

impl AuthError {
    /// Whether this may be somebody who tries. A genuine token that has merely expired is everyday, and
    /// so is a request without a credential or one that is wrong in itself.
    pub fn is_suspicious(&self) -> bool {
        match self {
            Self::Missing
            | Self::Ambiguous
            | Self::NoTokens
            | Self::Token(TokenError::Expired | TokenError::NoKeySet)
            | Self::Session(
                SessionError::Expired
                | SessionError::Unavailable(_)
                | SessionError::Token(TokenError::Expired)
                | SessionError::Cookie(CookieError::Repeated),
            )
            | Self::UserIdOff => false,
            Self::NotBearer
            | Self::UnknownApiKey
            | Self::MisplacedApiKey
            | Self::Token(_)
            | Self::Session(_)
            | Self::UserIdRemote
            | Self::UserId(_) => true,
        }
    }

    /// The stable code for clients: `ambiguous-credentials` (a bad request), `unavailable` (it
    /// cannot be told at the moment), `token-expired` or `unauthenticated`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ambiguous | Self::Session(SessionError::Cookie(CookieError::Repeated)) => {
                "ambiguous-credentials"
            }
            Self::Token(TokenError::NoKeySet) | Self::Session(SessionError::Unavailable(_)) => {
                "unavailable"
            }
            Self::Token(TokenError::Expired) => "token-expired",
            Self::Missing
            | Self::NotBearer
            | Self::UnknownApiKey
            | Self::MisplacedApiKey
            | Self::NoTokens
            | Self::Token(_)
            | Self::Session(_)
            | Self::UserIdOff
            | Self::UserIdRemote
            | Self::UserId(_) => "unauthenticated",
        }
    }

    /// Whether there was something that could have been a proof.
    pub fn was_offered(&self) -> bool {
        !matches!(self, Self::Missing | Self::UserIdOff)
    }
}

/// Why the keys of a configuration cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file with the tokens' key set.
    #[error("tokens.jwks_file: {file} will not do: {what}")]
    KeySet {
        /// The file, as the settings name it.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// The file with the key of the session's cookie.
    #[error("auth.session.jwt.public_key_file: {file} will not do: {what}")]
    SessionKey {
        /// The file, as the settings name it.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// No client to ask other services with; the system's certificates are the usual cause.
    #[error("no other service can be asked: {0}; check the system's CA certificates")]
    Client(OutboundError),
}
