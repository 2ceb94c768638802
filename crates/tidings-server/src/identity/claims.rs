//! What a token says, checked claim by claim.
//!
//! Pure over the time it is told. Whether the token is genuine was decided before; nothing here
//! trusts a type, a size or a number all the same.

use serde_json::{Map, Value};
use tidings_hub::Pattern;

use super::{TokenError, User};

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

/// The claims of a token, each of them right.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// `sub`: the user.
    pub user: User,
    /// `exp` in Unix milliseconds: until when the token may be used to connect.
    pub connect_until_ms: u64,
    /// `iat` in Unix milliseconds: when it was signed.
    pub issued_at_ms: u64,
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
        audience: &str,
        issuer: Option<&str>,
        now_ms: u64,
    ) -> Result<Self, TokenError> {
        let reader = Reader(claims);
        reader.audience(audience)?;
        if let Some(issuer) = issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(TokenError::Issuer);
        }
        let connect_until_ms = reader.required_time("exp")?;
        if connect_until_ms <= now_ms {
            return Err(TokenError::Expired);
        }
        let latest_ms = now_ms.saturating_add(LEEWAY_SECS * 1000);
        let issued_at_ms = reader.required_time("iat")?;
        if issued_at_ms > latest_ms {
            return Err(TokenError::IssuedInFuture);
        }
        if reader.time("nbf")?.is_some_and(|not_before_ms| not_before_ms > latest_ms) {
            return Err(TokenError::NotYet);
        }
        let until_ms = reader.time("until")?;
        if until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            return Err(TokenError::Expired);
        }
        let sub = reader.text("sub")?.ok_or(TokenError::Missing("sub"))?;
        Ok(Self {
            user: User::new(sub)?,
            connect_until_ms,
            issued_at_ms,
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

/// Reads claims by type. A claim that is there must be right, also one that may be missing; `null`
/// is not the same as missing.
struct Reader<'a>(&'a Map<String, Value>);

impl<'a> Reader<'a> {
    fn text(&self, claim: &'static str) -> Result<Option<&'a str>, TokenError> {
        let text = |value: &'a Value| value.as_str().ok_or(TokenError::Type(claim, "a string"));
        self.0.get(claim).map(text).transpose()
    }

    fn name(&self, claim: &'static str) -> Result<Option<String>, TokenError> {
        let Some(text) = self.text(claim)? else { return Ok(None) };
        if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(TokenError::Type(claim, "1 to 128 bytes without control characters"));
        }
        Ok(Some(text.to_owned()))
    }

    /// A `NumericDate` (RFC 7519, 2): seconds, perhaps with a fraction. In milliseconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked"
    )]
    fn time(&self, claim: &'static str) -> Result<Option<u64>, TokenError> {
        let Some(value) = self.0.get(claim) else { return Ok(None) };
        match value.as_f64() {
            Some(seconds) if (0.0..=SECOND_MAX).contains(&seconds) => {
                Ok(Some((seconds * 1000.0) as u64))
            }
            _ => Err(TokenError::Type(claim, "a number of seconds since 1970")),
        }
    }

    fn required_time(&self, claim: &'static str) -> Result<u64, TokenError> {
        self.time(claim)?.ok_or(TokenError::Missing(claim))
    }

    fn audience(&self, audience: &str) -> Result<(), TokenError> {
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
