//! From the text of a token to what it says, if it is genuine and right: by the shared secret, or by
//! a public key of the issuer's.

use std::sync::Arc;

use jsonwebtoken::Algorithm;

use super::jws::Jws;
use super::key_set::KeySet;
use super::{Claims, Expected, LoadError, TOKEN_TYPE, TokenError, VerifyingKey};
use crate::config::Tokens;

/// Everything that tokens are checked with.
#[derive(Clone)]
pub struct TokenVerifier {
    secret: Option<VerifyingKey>,
    key_set: Option<Arc<KeySet>>,
    expected: Expected,
}

impl TokenVerifier {
    /// The verifier of these settings. With `previous`, what was fetched for those is used further.
    pub fn load(tokens: &Tokens, previous: Option<&Self>) -> Result<Self, LoadError> {
        let known = previous.and_then(|previous| previous.key_set.as_deref());
        let secret = tokens.secret.as_ref().map(|secret| secret.expose().as_bytes());
        Ok(Self {
            secret: secret.map(VerifyingKey::from_secret),
            key_set: KeySet::load(tokens, known)?,
            expected: Expected::new(tokens),
        })
    }

    /// Whether there is anything to check a token with.
    pub fn has_keys(&self) -> bool {
        self.secret.is_some() || self.key_set.is_some()
    }

    /// What a token says, if it is genuine and right at this time. Waits for the key set to be read
    /// again when the token names a key that is not known.
    pub async fn verify(&self, token: &str, now_ms: u64) -> Result<Claims, TokenError> {
        let jws = typed(token)?;
        let no_key = TokenError::Algorithm(jws.algorithm());
        let claims = match jws.algorithm() {
            Algorithm::HS256 => jws.claims_by(self.secret.as_ref().ok_or(no_key)?)?,
            Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA => {
                let key_set = self.key_set.as_ref().ok_or(no_key)?;
                jws.claims_by(&key_set.find(jws.algorithm(), jws.kid()).await?)?
            }
            _ => return Err(no_key),
        };
        Claims::read(&claims, &self.expected, now_ms)
    }

    /// Fetches the issuer's keys again, if they come from a URL.
    pub async fn refresh(&self) {
        if let Some(key_set) = &self.key_set {
            key_set.refresh().await;
        }
    }
}

/// A token, whose type says that it is nothing else.
pub(super) fn typed(token: &str) -> Result<Jws<'_>, TokenError> {
    let jws = Jws::parse(token)?;
    if jws.has_type(TOKEN_TYPE) { Ok(jws) } else { Err(TokenError::WrongType) }
}
