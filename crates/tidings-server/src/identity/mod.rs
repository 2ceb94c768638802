//! Credentials in, a [`Principal`] out: who a request acts as and what it may do.
//!
//! Knows API keys and HS256 tokens. Knows nothing of HTTP beyond the text of a header: which
//! status an [`AuthError`] becomes is decided where requests are answered.

mod api_key;
mod authenticator;
mod claims;
mod grant;
mod principal;
#[cfg(test)]
mod tests;
mod token;
mod user;

pub use authenticator::{AuthError, Authenticator, Credentials};
pub use claims::{Claims, META_BYTES_MAX, PATTERNS_MAX};
pub use grant::Grant;
pub use principal::{Method, Principal};
pub use token::{
    TOKEN_BYTES_MAX, TOKEN_TYPE, TokenError, TokenKey, TokenRequest, unverified_claims,
};
pub use user::{User, UserError, user_topic};
