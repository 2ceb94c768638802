//! `[auth.session.jwt]`: a cookie that is a JWT, signed by the application for itself.

use super::{LoadError, Session, SessionError, claims};
use crate::config::SessionJwt;
use crate::identity::claims::Reader;
use crate::identity::jws::Jws;
use crate::identity::{Cookies, VerifyingKey};

/// The cookie, and the one key it may be signed with.
pub(crate) struct SignedCookie {
    cookie: String,
    key: VerifyingKey,
    user_claim: String,
    session_claim: String,
    audience: Option<String>,
    issuer: Option<String>,
}

impl SignedCookie {
    /// The cookie of these settings, if they name one.
    pub(super) fn load(settings: &SessionJwt) -> Result<Option<Self>, LoadError> {
        let Some(cookie) = &settings.cookie else { return Ok(None) };
        let key = match (&settings.secret, &settings.public_key_file) {
            (Some(secret), _) => VerifyingKey::from_secret(secret.expose().as_bytes()),
            (None, Some(file)) => {
                let wrong = |what| LoadError::SessionKey { file: file.clone(), what };
                let pem = std::fs::read(file)
                    .map_err(|error| wrong(format!("it cannot be read: {error}")))?;
                VerifyingKey::from_public_pem(&pem).map_err(|error| wrong(error.to_string()))?
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(Self {
            cookie: cookie.as_str().to_owned(),
            key,
            user_claim: settings.user_claim.clone(),
            session_claim: settings.session_claim.clone(),
            audience: settings.audience.clone(),
            issuer: settings.issuer.clone(),
        }))
    }

    pub(super) fn find(
        &self,
        cookies: &Cookies<'_>,
        now_ms: u64,
    ) -> Result<Option<Session>, SessionError> {
        let Some(value) = cookies.one(&self.cookie)? else { return Ok(None) };
        let text = std::str::from_utf8(value).map_err(|_| SessionError::Shape)?;
        let claims = Jws::parse(text)?.claims_by(&self.key)?;
        let reader = Reader(&claims);
        if let Some(audience) = &self.audience {
            reader.audience(audience)?;
        }
        reader.issuer(self.issuer.as_deref())?;
        claims::read(&claims, &self.user_claim, &self.session_claim, now_ms).map(Some)
    }
}
