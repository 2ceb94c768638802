//! Tokens: JWTs (RFC 7519, RFC 8725) of the type `tidings+jwt`, and how they are made.
//!
//! A key makes nothing that it would refuse. How a token is checked is in `verifier`, what it says in
//! `claims`.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};
use tidings_hub::{Pattern, TopicError};

use super::verifier::typed;
use super::{Claims, Expected, KeyError, User, UserError, VerifyingKey};
use crate::config::Tokens;

/// Bytes in a token.
pub const TOKEN_BYTES_MAX: usize = 8192;
/// The `typ` of a token's header: no JWT that was made for something else is taken for one.
pub const TOKEN_TYPE: &str = "tidings+jwt";

/// The key that tokens are signed with, and what they must say of where they come from and are for.
#[derive(Clone)]
pub struct TokenKey {
    signing: EncodingKey,
    verifying: VerifyingKey,
    kid: Option<String>,
    expected: Expected,
}

/// What a new token is to say.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// The user.
    pub user: User,
    /// What may be subscribed to beside the default topics.
    pub subscribe: Vec<Pattern>,
    /// What may be published to.
    pub publish: Vec<Pattern>,
    /// The user's role.
    pub role: Option<String>,
    /// The session it belongs to.
    pub sid: Option<String>,
    /// What else is to be known of the user.
    pub meta: Option<Map<String, Value>>,
    /// Seconds from now for which it may be used to connect.
    pub ttl_secs: u64,
    /// Seconds from now for which a stream may live.
    pub until_secs: Option<u64>,
}

impl TokenKey {
    /// The shared secret of these settings; `None` when there is none.
    pub fn new(tokens: &Tokens) -> Option<Self> {
        let secret = tokens.secret.as_ref()?.expose().as_bytes();
        Some(Self {
            signing: EncodingKey::from_secret(secret),
            verifying: VerifyingKey::from_secret(secret),
            kid: None,
            expected: Expected::new(tokens),
        })
    }

    /// A private key in PEM form (PKCS #8), which its key set calls `kid`. The kind of key decides
    /// the algorithm.
    pub fn from_private_pem(
        pem: &[u8],
        kid: Option<String>,
        tokens: &Tokens,
    ) -> Result<Self, KeyError> {
        let kinds = [
            (Algorithm::RS256, EncodingKey::from_rsa_pem(pem)),
            (Algorithm::ES256, EncodingKey::from_ec_pem(pem)),
            (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem)),
        ];
        let (algorithm, signing) = kinds
            .into_iter()
            .find_map(|(algorithm, key)| Some((algorithm, key.ok()?)))
            .ok_or(KeyError::NotAPrivateKey)?;
        let public = public_jwk(&signing, algorithm).ok_or(match algorithm {
            Algorithm::ES256 => KeyError::OtherCurve,
            _ => KeyError::NotAPrivateKey,
        })?;
        let verifying = VerifyingKey::from_jwk(&public).ok_or(match algorithm {
            Algorithm::ES256 => KeyError::OtherCurve,
            _ => KeyError::ShortRsa,
        })?;
        Ok(Self { signing, verifying, kid, expected: Expected::new(tokens) })
    }

    /// What a token says, if it was signed with this key and is right at this time.
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Claims, TokenError> {
        Claims::read(&typed(token)?.claims_by(&self.verifying)?, &self.expected, now_ms)
    }

    /// A new token, and nothing that [`TokenKey::verify`] would refuse. `random` becomes its id.
    pub fn mint(
        &self,
        request: &TokenRequest,
        now_ms: u64,
        random: u128,
    ) -> Result<String, TokenError> {
        let now_secs = now_ms / 1000;
        let texts = |patterns: &[Pattern]| patterns.iter().map(Pattern::as_str).collect::<Value>();
        let optional = [
            ("iss", self.expected.issuer.as_deref().map(Value::from)),
            ("until", request.until_secs.map(|secs| json!(now_secs.saturating_add(secs)))),
            ("sid", request.sid.as_deref().map(Value::from)),
            ("subscribe", (!request.subscribe.is_empty()).then(|| texts(&request.subscribe))),
            ("publish", (!request.publish.is_empty()).then(|| texts(&request.publish))),
            ("role", request.role.as_deref().map(Value::from)),
            ("meta", request.meta.clone().map(Value::Object)),
        ];
        let mut claims = Map::new();
        claims.insert("sub".into(), request.user.id().into());
        claims.insert("aud".into(), self.expected.audience.as_str().into());
        claims.insert("iat".into(), now_secs.into());
        claims.insert("exp".into(), now_secs.saturating_add(request.ttl_secs).into());
        claims.insert("jti".into(), format!("{random:032x}").into());
        for (claim, value) in optional {
            if let Some(value) = value {
                claims.insert(claim.into(), value);
            }
        }
        let mut header = Header::new(self.verifying.algorithm());
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid.clone_from(&self.kid);
        let token = jsonwebtoken::encode(&header, &claims, &self.signing)
            .map_err(|_| TokenError::Signature)?;
        self.verify(&token, now_ms)?;
        Ok(token)
    }
}

/// The public half of a private key.
fn public_jwk(private: &EncodingKey, algorithm: Algorithm) -> Option<Map<String, Value>> {
    let jwk = if algorithm == Algorithm::EdDSA {
        // The library knows only one of the two forms such a key has (RFC 5208 and RFC 5958).
        let pair = Ed25519KeyPair::from_pkcs8(private.as_bytes()).ok()?;
        let public = URL_SAFE_NO_PAD.encode(pair.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": public })
    } else {
        serde_json::to_value(Jwk::from_encoding_key(private, algorithm).ok()?).ok()?
    };
    jwk.as_object().cloned()
}

/// Why a token is refused. Repeats nothing of the token but names that its claims have anyway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// More than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not a compact JWS of a JSON object.
    #[error("the token is not a JWT: three base64url parts joined by '.', JSON in the first two")]
    Shape,
    /// A header that is no JSON object, or names an algorithm nobody should use.
    #[error("the token's header is not one of a signed JWT")]
    Header,
    /// An algorithm that there is no key for, or other than that of the key it names.
    #[error("the token is signed with {0:?}, and this server has no such key for that")]
    Algorithm(Algorithm),
    /// A key that the issuer does not have.
    #[error("the token names no key of the issuer's")]
    UnknownKey,
    /// One of several keys, without saying which.
    #[error("the issuer has several keys for this; the token's header must name one by its 'kid'")]
    SeveralKeys,
    /// A key that may be there, if only the issuer's keys could be read.
    #[error("the keys of the tokens' issuer cannot be had at the moment")]
    NoKeySet,
    /// A `crit` header: it asks for what we do not know.
    #[error("the token's header has 'crit', and this server knows no extensions")]
    Critical,
    /// A JWT that was made for something else.
    #[error("the token's header must have the 'typ' {TOKEN_TYPE}")]
    WrongType,
    /// Signed with another secret, or changed since.
    #[error("the token's signature does not match: was it signed with the key this server knows?")]
    Signature,
    /// A claim that must be there.
    #[error("the token has no '{0}'")]
    Missing(&'static str),
    /// A claim of another type or size.
    #[error("the token's '{0}' must be {1}")]
    Type(&'static str, &'static str),
    /// Not for this server.
    #[error("the token's 'aud' does not name this server")]
    Audience,
    /// Not from whom this server trusts.
    #[error("the token's 'iss' is not the one this server trusts")]
    Issuer,
    /// A life longer than the settings allow.
    #[error("the token lives longer from 'iat' to 'exp' than tokens.ttl_max_secs, {0} seconds")]
    TooLongLived(u64),
    /// No longer.
    #[error("the token has expired; get a new one")]
    Expired,
    /// Not yet.
    #[error("the token is not valid yet; compare the clocks")]
    NotYet,
    /// `iat` ahead of us.
    #[error("the token was issued in the future; compare the clocks")]
    IssuedInFuture,
    /// A user id that cannot be a topic's segment.
    #[error("the token's 'sub' will not do: {0}")]
    User(#[from] UserError),
    /// A pattern that is none.
    #[error("entry {index} of the token's '{claim}' will not do: {cause}")]
    Pattern {
        /// The list.
        claim: &'static str,
        /// The place in it, from 0.
        index: usize,
        /// What is wrong.
        cause: TopicError,
    },
}
