//! Tokens as a Tidings server takes them (HS256), one per user, so that verifying them is part of
//! what is measured. Knows the claims that subscribing needs and no others.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

/// Seconds within which a run connects.
const TTL_SECS: u64 = 24 * 60 * 60;

/// Signs tokens with one secret.
#[derive(Debug)]
pub(crate) struct Minter {
    key: hmac::Key,
}

impl Minter {
    pub(crate) fn new(secret: &str) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()) }
    }

    /// A token for a user who may subscribe to one topic.
    pub(crate) fn mint(&self, user: &str, topic: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let header = json!({ "alg": "HS256", "typ": "tidings+jwt" });
        let claims = json!({
            "aud": "tidings", "sub": user, "iat": now, "exp": now + TTL_SECS,
            "jti": format!("{:032x}", fastrand::u128(..)), "subscribe": [topic],
        });
        let text = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", text(&header), text(&claims));
        let signature = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
