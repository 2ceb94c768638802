//! What a token says, checked claim by claim.
//!
//! Pure over the time it is told. Whether the token is genuine was decided before; nothing here
//! trusts a type, a size or a number all the same.

use serde_json::{Map, Value};
use tidings_hub::Pattern;

use super::{TokenError, User};
use crate::config::Tokens;

/// Patterns in one of a token's lists.
pub const PATTERNS_MAX: usize = 100;
/// Bytes of JSON in a token's `meta`.
pub const META_BYTES_MAX: usize = 1024;
/// Bytes in a token's `jti`, `sid` and `role`.
const NAME_BYTES_MAX: usize = 128;
/// Seconds by which the clock of who signed a token may be ahead of ours.
const LEEWAY_SECS: u64 = 60;
/// The latest second a claim may name, in the year 5138: a time in milliseconds is later.
const SECOND_MAX: f64 = 1e11;

/// What a token must say of where it comes from and is for, and how long it may live.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) audience: String,
    pub(super) issuer: Option<String>,
    pub(super) ttl_max_secs: u64,
}

impl Expected {
    pub(super) fn new(tokens: &Tokens) -> Self {
        Self {
            audience: tokens.audience.clone(),
            issuer: tokens.issuer.clone(),
            ttl_max_secs: tokens.ttl_max_secs,
        }
    }
}

/// The claims of a token, each of them right.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// `sub`: the user.
    pub user: User,
    /// `iat` in Unix milliseconds: when the token was signed.
    pub issued_at_ms: u64,
    /// `exp` in Unix milliseconds: until when the token may be used to connect.
    pub connect_until_ms: u64,
    /// `until` in Unix milliseconds: until when a stream may live.
    pub until_ms: Option<u64>,
    /// The token's own id.
    pub jti: String,
    /// The session it belongs to.
    pub sid: Option<String>,
    /// What may be subscribed to beside the default topics.
    pub subscribe: Vec<Pattern>,
    /// What may be published to.
    pub publish: Vec<Pattern>,
    /// The user's role.
    pub role: Option<String>,
    /// What else is said of the user.
    pub meta: Option<Map<String, Value>>,
}

impl Claims {
    /// Checks the claims of a genuine token at this time.
    pub(super) fn read(
        claims: &Map<String, Value>,
        expected: &Expected,
        now_ms: u64,
    ) -> Result<Self, TokenError> {
        let reader = Reader(claims);
        reader.audience(&expected.audience)?;
        reader.issuer(expected.issuer.as_deref())?;
        let connect_until_ms = reader.required_time("exp")?;
        if connect_until_ms <= now_ms {
            return Err(TokenError::Expired);
        }
        let issued_at_ms = reader.required_time("iat")?;
        reader.has_begun(now_ms)?;
        // The time in which a revoked token must be refused.
        let ttl_ms = connect_until_ms.saturating_sub(issued_at_ms);
        if ttl_ms > expected.ttl_max_secs.saturating_mul(1000) {
            return Err(TokenError::TooLongLived(expected.ttl_max_secs));
        }
        let until_ms = reader.time("until")?;
        if until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            return Err(TokenError::Expired);
        }
        let sub = reader.text("sub")?.ok_or(TokenError::Missing("sub"))?;
        Ok(Self {
            user: User::new(sub)?,
            issued_at_ms,
            connect_until_ms,
            until_ms,
            jti: reader.name("jti")?.ok_or(TokenError::Missing("jti"))?,
            sid: reader.name("sid")?,
            subscribe: reader.patterns("subscribe")?,
            publish: reader.patterns("publish")?,
            role: reader.name("role")?,
            meta: reader.meta()?,
        })
    }
}

/// Whether a text will do as the name of a token, a session or a role.
pub(super) fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Reads claims by type. A claim that is there must be right, also one that may be missing; `null`
/// is not the same as missing.
pub(super) struct Reader<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Reader<'a> {
    pub(super) fn text(&self, claim: &'static str) -> Result<Option<&'a str>, TokenError> {
        let text = |value: &'a Value| value.as_str().ok_or(TokenError::Type(claim, "a string"));
        self.0.get(claim).map(text).transpose()
    }

    pub(super) fn name(&self, claim: &'static str) -> Result<Option<String>, TokenError> {
        let Some(text) = self.text(claim)? else { return Ok(None) };
        if is_name(text) {
            Ok(Some(text.to_owned()))
        } else {
            Err(TokenError::Type(claim, "1 to 128 bytes without control characters"))
        }
    }

    /// A `NumericDate` (RFC 7519, 2): seconds, perhaps with a fraction. In milliseconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked"
    )]
    pub(super) fn time(&self, claim: &'static str) -> Result<Option<u64>, TokenError> {
        let Some(value) = self.0.get(claim) else { return Ok(None) };
        match value.as_f64() {
            Some(seconds) if (0.0..=SECOND_MAX).contains(&seconds) => {
                Ok(Some((seconds * 1000.0) as u64))
            }
            _ => Err(TokenError::Type(claim, "a number of seconds since 1970")),
        }
    }

    pub(super) fn required_time(&self, claim: &'static str) -> Result<u64, TokenError> {
        self.time(claim)?.ok_or(TokenError::Missing(claim))
    }

    pub(super) fn audience(&self, audience: &str) -> Result<(), TokenError> {
        let named = match self.0.get("aud") {
            None => return Err(TokenError::Missing("aud")),
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(all)) if all.iter().all(Value::is_string) => {
                all.iter().any(|one| one == audience)
            }
            Some(_) => return Err(TokenError::Type("aud", "a string or a list of strings")),
        };
        if named { Ok(()) } else { Err(TokenError::Audience) }
    }

    pub(super) fn issuer(&self, issuer: Option<&str>) -> Result<(), TokenError> {
        let right = issuer.is_none_or(|issuer| {
            self.0.get("iss").and_then(Value::as_str).is_some_and(|named| named == issuer)
        });
        if right { Ok(()) } else { Err(TokenError::Issuer) }
    }

    /// Whether the times in it that must lie behind us do.
    pub(super) fn has_begun(&self, now_ms: u64) -> Result<(), TokenError> {
        let latest_ms = now_ms.saturating_add(LEEWAY_SECS * 1000);
        if self.time("iat")?.is_some_and(|issued_at_ms| issued_at_ms > latest_ms) {
            return Err(TokenError::IssuedInFuture);
        }
        if self.time("nbf")?.is_some_and(|not_before_ms| not_before_ms > latest_ms) {
            return Err(TokenError::NotYet);
        }
        Ok(())
    }

    fn patterns(&self, claim: &'static str) -> Result<Vec<Pattern>, TokenError> {
        let wrong = TokenError::Type(claim, "a list of at most 100 topics or patterns");
        let values = match self.0.get(claim) {
            None => return Ok(Vec::new()),
            Some(Value::Array(values)) if values.len() <= PATTERNS_MAX => values,
            Some(_) => return Err(wrong),
        };
        let pattern = |(index, value): (usize, &Value)| {
            let text = value.as_str().ok_or_else(|| wrong.clone())?;
            Pattern::new(text).map_err(|cause| TokenError::Pattern { claim, index, cause })
        };
        values.iter().enumerate().map(pattern).collect()
    }

    fn meta(&self) -> Result<Option<Map<String, Value>>, TokenError> {
        match self.0.get("meta") {
            None => Ok(None),
            Some(value @ Value::Object(meta)) if value.to_string().len() <= META_BYTES_MAX => {
                Ok(Some(meta.clone()))
            }
            Some(_) => Err(TokenError::Type("meta", "an object of at most 1 KiB")),
        }
    }
}
