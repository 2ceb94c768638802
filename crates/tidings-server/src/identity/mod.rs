//! Credentials in, a [`Principal`] out: who a request acts as and what it may do.
//!
//! Knows API keys, tokens, the application's sessions and the bare `userId` parameter. Knows nothing
//! of HTTP requests beyond the text of a header: which status an [`AuthError`] becomes is decided
//! where requests are answered.

mod api_key;
mod authenticator;
mod claims;
mod cookies;
mod grant;
mod jws;
mod key_set;
#[cfg(test)]
mod key_tests;
mod keys;
mod principal;
mod session;
#[cfg(test)]
mod tests;
mod token;
mod user;
mod verifier;
mod verifying_key;

pub use crate::outbound::OutboundError;
pub use authenticator::{AuthError, Authenticator, Credentials, LoadError};
use claims::Expected;
pub use claims::{Claims, META_BYTES_MAX, PATTERNS_MAX};
pub use cookies::{CookieError, Cookies};
pub use grant::Grant;
pub use jws::unverified_claims;
pub use key_set::REFRESH_SECS as KEY_SET_REFRESH_SECS;
pub use principal::{Method, Principal};
pub use session::{LiveSessions, Session, SessionCredential, SessionError, Watch};
pub use token::{TOKEN_BYTES_MAX, TOKEN_TYPE, TokenError, TokenKey, TokenRequest};
pub use user::{User, UserError, user_topic};
pub use verifier::TokenVerifier;
pub use verifying_key::KeyError;
use verifying_key::VerifyingKey;
