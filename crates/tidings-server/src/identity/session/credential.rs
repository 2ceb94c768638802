//! What of a request is handed on to the application to say who is signed in: the named cookies and
//! headers, and nothing else of it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

use crate::identity::Cookies;

/// A name that no one could read a credential from, the same for the same credential.
pub(super) type Digest = [u8; SHA256_OUTPUT_LEN];

/// Cookies and headers to ask the application with. Cloning shares them; it shows itself to nobody.
#[derive(Clone)]
pub struct SessionCredential(Arc<Parts>);

struct Parts {
    digest: Digest,
    /// The value of a `Cookie` header.
    cookie: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
}

impl SessionCredential {
    /// Picks the named ones out of a request's; nothing when it has none of them.
    pub(super) fn gather(
        cookie_names: &[&str],
        header_names: &[&str],
        cookies: &Cookies<'_>,
        headers: &[(&str, &[u8])],
    ) -> Option<Self> {
        let mut cookie = Vec::new();
        for (name, value) in cookies.named(cookie_names) {
            if !cookie.is_empty() {
                cookie.extend_from_slice(b"; ");
            }
            cookie.extend([name, b"=", value].concat());
        }
        let is_named = |name: &str| header_names.contains(&name);
        let headers: Vec<_> = headers
            .iter()
            .filter(|(name, value)| is_named(name) && !value.is_empty())
            .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
            .collect();
        if cookie.is_empty() && headers.is_empty() {
            return None;
        }
        let mut context = Context::new(&SHA256);
        // Each with its length before it, so that no two requests run together into the same.
        let pairs = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
        for (name, value) in [(b"cookie".as_slice(), cookie.as_slice())].into_iter().chain(pairs) {
            for part in [name, value] {
                context.update(&part.len().to_be_bytes());
                context.update(part);
            }
        }
        let digest = context.finish();
        let digest = digest.as_ref().try_into().expect("a SHA-256 digest has its length");
        Some(Self(Arc::new(Parts { digest, cookie, headers })))
    }

    pub(super) fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The headers of a request that asks with it.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let cookie = (!self.0.cookie.is_empty()).then_some(("cookie", self.0.cookie.as_slice()));
        let others = self.0.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        cookie.into_iter().chain(others)
    }
}

impl fmt::Debug for SessionCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionCredential([redacted])")
    }
}

impl PartialEq for SessionCredential {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for SessionCredential {}

impl Hash for SessionCredential {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest().hash(state);
    }
}
