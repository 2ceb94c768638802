//! Tokens as an application makes them, and as an attacker would like to.

use jsonwebtoken::{EncodingKey, Header};
use serde_json::Value;
use tidings_hub::Pattern;
use tidings_server::config::{Secret, Tokens};
use tidings_server::identity::{TokenKey, TokenRequest, User};

use super::{TOKEN_SECRET, unix_ms};

/// A token of this user, with these patterns to subscribe and publish to.
pub fn token(user: &str, subscribe: &[&str], publish: &[&str]) -> String {
    let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::new(text).unwrap()).collect();
    mint(user, |request| {
        request.subscribe = patterns(subscribe);
        request.publish = patterns(publish);
    })
}

/// A token of this user, with whatever else is asked for.
pub fn mint(user: &str, ask: impl FnOnce(&mut TokenRequest)) -> String {
    let mut request = TokenRequest {
        user: User::new(user).unwrap(),
        subscribe: Vec::new(),
        publish: Vec::new(),
        role: None,
        sid: None,
        meta: None,
        ttl_secs: 300,
        until_secs: None,
    };
    ask(&mut request);
    let tokens = Tokens { secret: Some(Secret::new(TOKEN_SECRET)), ..Tokens::default() };
    TokenKey::new(&tokens).unwrap().mint(&request, unix_ms(), fastrand::u128(..)).unwrap()
}

/// Any claims under any header, signed with any secret.
pub fn sign(header: &Header, claims: &Value, secret: &str) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}
