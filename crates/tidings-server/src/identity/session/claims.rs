//! What the claims of a session's cookie say, once it is genuine.

use serde_json::{Map, Value};

use super::{Session, SessionError};
use crate::identity::User;
use crate::identity::claims::{Reader, is_name};

/// Reads the user and the session from the claims of these names, at this time. `exp` must be there.
pub(super) fn read(
    claims: &Map<String, Value>,
    user_claim: &str,
    session_claim: &str,
    now_ms: u64,
) -> Result<Session, SessionError> {
    let reader = Reader(claims);
    let until_ms = reader.required_time("exp")?;
    if until_ms <= now_ms {
        return Err(SessionError::Expired);
    }
    reader.has_begun(now_ms)?;
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
    let user = text(user_claim).ok_or_else(|| SessionError::NoUser(user_claim.to_owned()))?;
    Ok(Session {
        user: User::new(user)?,
        // An id that will not do as one is left out: the session is right all the same.
        sid: text(session_claim).filter(|sid| is_name(sid)).map(str::to_owned),
        subscribe: Vec::new(),
        publish: Vec::new(),
        role: None,
        meta: None,
        issued_at_ms: reader.time("iat")?,
        until_ms: Some(until_ms),
    })
}
