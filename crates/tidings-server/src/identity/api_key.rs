//! The API keys of a node, kept as digests.
//!
//! An offered key is digested and compared in constant time with every key there is, so that the
//! time an answer takes tells nothing of where or how far it matched.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use tidings_hub::Pattern;

use super::{Grant, Method, Principal};
use crate::config::{Config, Scope, Secret};

/// Every API key, by its digest.
#[derive(Clone)]
pub(super) struct ApiKeys(Vec<ApiKey>);

#[derive(Clone)]
struct ApiKey {
    digest: [u8; SHA256_OUTPUT_LEN],
    principal: Arc<Principal>,
}

impl ApiKeys {
    pub(super) fn new(config: &Config) -> Self {
        let everywhere = config.api_key.iter().map(|key| ("api_key", key, &Scope::ALL[..]));
        let named =
            config.keys.iter().map(|key| (key.name.as_str(), &key.secret, key.scopes.as_slice()));
        let nobodys_topics: Vec<_> =
            config.auth.default_topics.iter().filter_map(|template| template.fill(None)).collect();
        let entry = |(name, secret, scopes): (&str, &Secret, &[Scope])| ApiKey {
            digest: sha256(secret.expose().as_bytes()),
            principal: Arc::new(principal(name, scopes, &nobodys_topics)),
        };
        Self(everywhere.chain(named).map(entry).collect())
    }

    /// Who an offered key is, if it is one of these.
    pub(super) fn find(&self, offered: &[u8]) -> Option<Principal> {
        let offered = sha256(offered);
        let mut found = None;
        for key in &self.0 {
            if verify_slices_are_equal(&key.digest, &offered).is_ok() {
                found = Some(key);
            }
        }
        found.map(|key| Principal::clone(&key.principal))
    }
}

fn sha256(bytes: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    digest(&SHA256, bytes).as_ref().try_into().expect("a SHA-256 digest has its length")
}

/// A key with `publish` publishes to everything but the hub's own topics, one with `admin`
/// subscribes to it.
fn principal(name: &str, scopes: &[Scope], nobodys_topics: &[Pattern]) -> Principal {
    let mut grant = Grant::default();
    if scopes.contains(&Scope::Publish) {
        grant.publish = vec![Pattern::everything()];
    }
    if scopes.contains(&Scope::Admin) {
        grant.subscribe = vec![Pattern::everything()];
        grant.default_topics = nobodys_topics.to_vec();
    }
    Principal {
        user: None,
        method: Method::ApiKey,
        name: Some(name.into()),
        grant,
        scopes: scopes.to_vec(),
        jti: None,
        sid: None,
        role: None,
        meta: None,
        issued_at_ms: None,
        connect_until_ms: None,
        until_ms: None,
        session: None,
    }
}
