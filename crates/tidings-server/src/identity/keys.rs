//! The keys of one issuer, by their names: a JSON Web Key Set (RFC 7517).
//!
//! Where it comes from, and when it is read again, is not known here.

use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::{TokenError, VerifyingKey};

/// Keys of one set that are looked at.
const KEYS_MAX: usize = 100;
/// Bytes in the name of a key.
const KID_BYTES_MAX: usize = 256;

/// The keys of a set that can be used.
#[derive(Clone, Default)]
pub(super) struct Keys(Vec<(Option<String>, VerifyingKey)>);

impl Keys {
    /// Reads a set. A key that cannot be used is passed over, as RFC 7517, 5 has it; a text that is
    /// no set is nothing.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        let set: Value = serde_json::from_slice(json).ok()?;
        let keys = set.get("keys")?.as_array()?;
        let usable = keys.iter().take(KEYS_MAX).filter_map(|jwk| {
            let jwk = jwk.as_object()?;
            let kid = match jwk.get("kid") {
                None => None,
                Some(kid) => Some(kid.as_str().filter(|kid| kid.len() <= KID_BYTES_MAX)?),
            };
            Some((kid.map(str::to_owned), VerifyingKey::from_jwk(jwk)?))
        });
        Some(Self(usable.collect()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The one key of this algorithm and this name. Without a name, the one key of the algorithm.
    pub(super) fn find(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Result<&VerifyingKey, TokenError> {
        let mut found = self.0.iter().filter(|(name, key)| {
            key.algorithm() == algorithm && kid.is_none_or(|kid| name.as_deref() == Some(kid))
        });
        match (found.next(), found.next()) {
            (Some((_, key)), None) => Ok(key),
            (Some(_), Some(_)) => Err(TokenError::SeveralKeys),
            (None, _) if self.0.iter().any(|(name, _)| kid.is_some() && name.as_deref() == kid) => {
                // The key is there and is for something else: asking again would not help.
                Err(TokenError::Algorithm(algorithm))
            }
            (None, _) => Err(TokenError::UnknownKey),
        }
    }
}
