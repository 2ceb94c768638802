//! Tokens: JWTs (RFC 7519, RFC 8725) of the type `tidings+jwt`, signed with HS256.
//!
//! The library checks the signature; it would check claims by its own clock, so they are ours. The
//! algorithm is the key's and never the header's choice; a token is genuine before anything it
//! says is looked at. What it says is checked in `claims`.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde_json::{Map, Value, json};
use tidings_hub::{Pattern, TopicError};

use super::{Claims, User, UserError};
use crate::config::Tokens;

/// Bytes in a token.
pub const TOKEN_BYTES_MAX: usize = 8192;
/// The `typ` of a token's header: no JWT that was made for something else is taken for one.
pub const TOKEN_TYPE: &str = "tidings+jwt";

/// The key that tokens are signed with, and what they must say of where they come from and are for.
#[derive(Clone)]
pub struct TokenKey {
    signing: EncodingKey,
    verifying: DecodingKey,
    audience: String,
    issuer: Option<String>,
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
    /// The key of this configuration; `None` when it has no secret.
    pub fn new(tokens: &Tokens) -> Option<Self> {
        let secret = tokens.secret.as_ref()?.expose().as_bytes();
        Some(Self {
            signing: EncodingKey::from_secret(secret),
            verifying: DecodingKey::from_secret(secret),
            audience: tokens.audience.clone(),
            issuer: tokens.issuer.clone(),
        })
    }

    /// What a token says, if it is genuine and right at this time.
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        if token.split('.').count() != 3 {
            return Err(TokenError::Shape);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Header)?;
        if header.alg != Algorithm::HS256 {
            return Err(TokenError::Algorithm(header.alg));
        }
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        if !header.typ.as_deref().is_some_and(is_token_type) {
            return Err(TokenError::WrongType);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Shape)?;
        let genuine = jsonwebtoken::crypto::verify(
            signature,
            message.as_bytes(),
            &self.verifying,
            Algorithm::HS256,
        );
        match genuine {
            Ok(true) => {}
            Ok(false) => return Err(TokenError::Signature),
            Err(_) => return Err(TokenError::Shape),
        }
        // Read only now that it is genuine. Of a claim that is there twice the last one counts
        // (RFC 7519, 4).
        let claims = unverified_claims(token).ok_or(TokenError::Shape)?;
        Claims::read(&claims, &self.audience, self.issuer.as_deref(), now_ms)
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
            ("iss", self.issuer.as_deref().map(Value::from)),
            ("until", request.until_secs.map(|secs| json!(now_secs.saturating_add(secs)))),
            ("sid", request.sid.as_deref().map(Value::from)),
            ("subscribe", (!request.subscribe.is_empty()).then(|| texts(&request.subscribe))),
            ("publish", (!request.publish.is_empty()).then(|| texts(&request.publish))),
            ("role", request.role.as_deref().map(Value::from)),
            ("meta", request.meta.clone().map(Value::Object)),
        ];
        let mut claims = Map::new();
        claims.insert("sub".into(), request.user.id().into());
        claims.insert("aud".into(), self.audience.as_str().into());
        claims.insert("iat".into(), now_secs.into());
        claims.insert("exp".into(), now_secs.saturating_add(request.ttl_secs).into());
        claims.insert("jti".into(), format!("{random:032x}").into());
        for (claim, value) in optional {
            if let Some(value) = value {
                claims.insert(claim.into(), value);
            }
        }
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TOKEN_TYPE.to_owned());
        let token = jsonwebtoken::encode(&header, &claims, &self.signing)
            .map_err(|_| TokenError::Signature)?;
        self.verify(&token, now_ms)?;
        Ok(token)
    }
}

/// What a token claims, whether or not it is true: to show, never to act on.
pub fn unverified_claims(token: &str) -> Option<Map<String, Value>> {
    let short = token.len() <= TOKEN_BYTES_MAX;
    short.then(|| jsonwebtoken::dangerous::insecure_decode_claims(token).ok()).flatten()
}

/// RFC 7515, 4.1.9: the `application/` of a type may be left out, and case does not matter.
fn is_token_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ) == TOKEN_TYPE
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
    #[error("the token's header is not one of a signed JWT; sign with HS256")]
    Header,
    /// An algorithm other than the key's.
    #[error("the token is signed with {0:?}; this version takes HS256")]
    Algorithm(Algorithm),
    /// A `crit` header: it asks for what we do not know.
    #[error("the token's header has 'crit', and this server knows no extensions")]
    Critical,
    /// A JWT that was made for something else.
    #[error("the token's header must have the 'typ' {TOKEN_TYPE}")]
    WrongType,
    /// Signed with another secret, or changed since.
    #[error("the token's signature does not match: was it signed with this server's secret?")]
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
