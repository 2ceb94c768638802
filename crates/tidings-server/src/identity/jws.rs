//! A compact JWS (RFC 7515), taken apart: what its header asks for, and whether a key has signed it.
//!
//! The algorithm is the key's and never the header's choice. Nothing in a header leads to a key: a
//! `kid` picks among those that are there, and `jku`, `x5u`, `jwk` and `x5c` are not looked at. What
//! it claims is handed out only once it is genuine, and is judged elsewhere.

use jsonwebtoken::{Algorithm, Header};
use serde_json::{Map, Value};

use super::{TOKEN_BYTES_MAX, TokenError, VerifyingKey};

/// A signed text whose signature nobody has looked at yet.
pub(super) struct Jws<'a> {
    header: Header,
    text: &'a str,
    message: &'a str,
    signature: &'a str,
}

impl<'a> Jws<'a> {
    /// Takes a text apart. A header with `crit` asks for what we do not know.
    pub(super) fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        if text.split('.').count() != 3 {
            return Err(TokenError::Shape);
        }
        let header = jsonwebtoken::decode_header(text).map_err(|_| TokenError::Header)?;
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(TokenError::Shape)?;
        Ok(Self { header, text, message, signature })
    }

    /// What the header says it is signed with: to choose among keys, each of which has its own.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.header.alg
    }

    /// Which key the header names.
    pub(super) fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Whether it was made to be this. RFC 7515, 4.1.9: the `application/` of a type may be left
    /// out, and case does not matter.
    pub(super) fn has_type(&self, expected: &str) -> bool {
        self.header.typ.as_deref().is_some_and(|typ| {
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/").unwrap_or(&typ) == expected
        })
    }

    /// What it claims, if this key has signed it.
    pub(super) fn claims_by(&self, key: &VerifyingKey) -> Result<Map<String, Value>, TokenError> {
        if self.header.alg != key.algorithm() {
            return Err(TokenError::Algorithm(self.header.alg));
        }
        match key.has_signed(self.message, self.signature) {
            Some(true) => {}
            Some(false) => return Err(TokenError::Signature),
            None => return Err(TokenError::Shape),
        }
        // Read only now that it is genuine. Of a claim that is there twice the last one counts
        // (RFC 7519, 4).
        unverified_claims(self.text).ok_or(TokenError::Shape)
    }
}

/// What a token claims, whether or not it is true: to show, never to act on.
pub fn unverified_claims(token: &str) -> Option<Map<String, Value>> {
    let short = token.len() <= TOKEN_BYTES_MAX;
    short.then(|| jsonwebtoken::dangerous::insecure_decode_claims(token).ok()).flatten()
}
