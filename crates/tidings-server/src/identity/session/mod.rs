//! The application's own sessions: a cookie in, and who is signed in out.
//!
//! One file per method. What a session is worth beside other credentials is decided by the
//! authenticator.

mod authjs;
mod claims;
mod credential;
mod introspect;
mod jwt;
mod live;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use tidings_hub::Pattern;

use self::authjs::EncryptedCookies;
pub use self::credential::SessionCredential;
use self::introspect::Introspector;
use self::jwt::SignedCookie;
pub use self::live::{LiveSessions, Watch};
use super::{CookieError, Cookies, LoadError, OutboundError, TokenError, User, UserError};
use crate::config::{self, SessionMethod};

/// Who is signed in.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The user.
    pub user: User,
    /// The session's own id, to revoke it by.
    pub sid: Option<String>,
    /// What may be subscribed to beside the default topics.
    pub subscribe: Vec<Pattern>,
    /// What may be published to.
    pub publish: Vec<Pattern>,
    /// The user's role.
    pub role: Option<String>,
    /// What else the application says of the user.
    pub meta: Option<Map<String, Value>>,
    /// When it was signed, in Unix milliseconds, where that is known.
    pub issued_at_ms: Option<u64>,
    /// Until when it lasts, in Unix milliseconds, where that is known.
    pub until_ms: Option<u64>,
}

/// The method that is on.
#[derive(Clone)]
pub(super) enum Sessions {
    Introspect(Arc<Introspector>),
    Jwt(Arc<SignedCookie>),
    AuthJs(Arc<EncryptedCookies>),
}

/// What a request has of sessions: a session, and what to ask for it again with where that is
/// possible.
pub(super) type Found = (Arc<Session>, Option<SessionCredential>);

impl Sessions {
    /// The method of these settings, if one is on.
    pub(super) fn load(settings: &config::Session) -> Result<Option<Self>, LoadError> {
        Ok(match settings.methods().next() {
            None => None,
            Some(SessionMethod::Introspect) => {
                let introspector = Introspector::load(&settings.introspect)?;
                introspector.map(|introspector| Self::Introspect(Arc::new(introspector)))
            }
            Some(SessionMethod::Jwt) => {
                SignedCookie::load(&settings.jwt)?.map(|cookie| Self::Jwt(Arc::new(cookie)))
            }
            Some(SessionMethod::AuthJs) => {
                Some(Self::AuthJs(Arc::new(EncryptedCookies::new(&settings.authjs))))
            }
        })
    }

    /// The session of a request, if it has one; one that is there and wrong is an error.
    pub(super) async fn find(
        &self,
        cookies: &Cookies<'_>,
        headers: &[(&str, &[u8])],
        now_ms: u64,
    ) -> Result<Option<Found>, SessionError> {
        let session = match self {
            Self::Introspect(introspector) => {
                let Some(credential) = introspector.credential(cookies, headers) else {
                    return Ok(None);
                };
                let session = introspector.session(&credential, now_ms).await?;
                return Ok(Some((session, Some(credential))));
            }
            Self::Jwt(cookie) => cookie.find(cookies, now_ms)?,
            Self::AuthJs(encrypted) => encrypted.find(cookies, now_ms)?,
        };
        Ok(session.map(|session| (Arc::new(session), None)))
    }

    /// The names of the headers that sessions are looked for in, in lower case.
    pub(super) fn header_names(&self) -> Vec<&str> {
        match self {
            Self::Introspect(introspector) => introspector.header_names(),
            Self::Jwt(_) | Self::AuthJs(_) => Vec::new(),
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Introspect(_) => "Introspect",
            Self::Jwt(_) => "Jwt",
            Self::AuthJs(_) => "AuthJs",
        })
    }
}

/// Why a session is refused. Its text is for the client and repeats nothing of a cookie.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The cookie itself is wrong.
    #[error("{0}")]
    Cookie(#[from] CookieError),
    /// Not what the application's cookies are.
    #[error("the session's cookie is not one that this server can read")]
    Shape,
    /// Encrypted with another secret, or changed since.
    #[error("the session's cookie was not made with a secret this server knows")]
    Encryption,
    /// A signed or encrypted cookie whose signature or claims are wrong.
    #[error("the session's cookie is refused: {0}")]
    Token(#[from] TokenError),
    /// A cookie without the claim that names the user.
    #[error("the session's cookie has no text '{0}' that could be the user's id")]
    NoUser(String),
    /// A user id that cannot be a topic's segment.
    #[error("the session's user will not do: {0}")]
    User(#[from] UserError),
    /// The application does not know it, or no longer.
    #[error("the application says that nobody is signed in here")]
    Unknown,
    /// A cookie that lasts longer than a revocation is remembered.
    #[error("the session's cookie lasts longer than auth.session.age_max_secs, {0}")]
    TooLongLived(u64),
    /// It was one.
    #[error("the session has ended; sign in again")]
    Expired,
    /// The application does not say. The cause is for the log.
    #[error("the application does not answer who is signed in")]
    Unavailable(OutboundError),
}
