//! Session cookies as applications make them.

use std::sync::OnceLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::unix_ms;

/// What an application encrypts its sessions with.
pub const AUTHJS_SECRET: &str = "kX4vN8zKxT5rJpL1mYh7cDbG2sFa9UeR0iOtWq3vN8z";
/// What an application signs its sessions with.
pub const SESSION_SECRET: &str = "Hb6Zq2wE9rT4yU7iO1pA3sD5fG8hJ0kLxCvBnM";

/// The claims of a session that is right, with these put in; `null` takes one out.
pub fn session_claims(changes: &Value) -> Value {
    let now_secs = unix_ms() / 1000;
    let mut claims = json!({ "sub": "42", "sid": "s1", "iat": now_secs, "exp": now_secs + 300 });
    for (claim, value) in changes.as_object().unwrap() {
        claims[claim] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

/// A JWT that an application has signed for itself.
pub fn signed_session(changes: &Value) -> String {
    let key = EncodingKey::from_secret(SESSION_SECRET.as_bytes());
    jsonwebtoken::encode(&Header::default(), &session_claims(changes), &key).unwrap()
}

/// A session as NextAuth 4 encrypts it.
pub fn nextauth_session(changes: &Value) -> String {
    static KEY: OnceLock<[u8; 32]> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut key = [0; 32];
        let info: &[&[u8]] = &[b"NextAuth.js Generated Encryption Key"];
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"").extract(AUTHJS_SECRET.as_bytes());
        secret.expand(info, hkdf::HKDF_SHA256).unwrap().fill(&mut key).unwrap();
        key
    });
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"dir","enc":"A256GCM"}"#);
    let iv: [u8; 12] = std::array::from_fn(|_| fastrand::u8(..));
    let mut text = session_claims(changes).to_string().into_bytes();
    let aad = Aad::from(header.as_bytes());
    let nonce = Nonce::assume_unique_for_key(iv);
    let tag = key.seal_in_place_separate_tag(nonce, aad, &mut text).unwrap();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("{header}..{}.{}.{}", encode(&iv), encode(&text), encode(tag.as_ref()))
}
