//! Where the public keys of the tokens' issuer come from, and how they are kept fresh.
//!
//! The address is the one in the settings and nothing a token says leads to another. What was read
//! last is used while it is read again, and stays when that fails: an issuer that cannot be reached
//! must not lock out everyone whose keys are known. A token that names an unknown key has the set
//! read again, all such tokens together once in a while, and waits for that.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::keys::Keys;
use super::{LoadError, TokenError, VerifyingKey};
use crate::config::{HttpUrl, Tokens};
use crate::outbound::{self, OutboundError};

/// How often the keys at a URL are fetched again.
pub const REFRESH_SECS: u64 = 300;
/// Seconds between two readings that unknown keys cause.
const COOLDOWN: Duration = Duration::from_secs(30);
/// Bytes in a key set.
const KEY_SET_BYTES_MAX: usize = 262_144;

/// The keys of one issuer.
pub(super) struct KeySet {
    source: Source,
    keys: ArcSwap<Keys>,
    reading: Mutex<Reading>,
}

enum Source {
    File(PathBuf),
    Url(HttpUrl, reqwest::Client),
}

/// How the last reading went. Whoever holds the lock around it is the one that reads.
#[derive(Default)]
struct Reading {
    /// When an unknown key last caused one.
    last_caused: Option<Instant>,
    failed: bool,
}

impl KeySet {
    /// The key set of these settings, if they name one. A file is read now and must have a key; a
    /// URL is fetched later, and until then has the keys that `previous` had from it.
    pub(super) fn load(
        tokens: &Tokens,
        previous: Option<&Self>,
    ) -> Result<Option<Arc<Self>>, LoadError> {
        let (source, keys) = match (&tokens.jwks_file, &tokens.jwks_url) {
            (None, None) => return Ok(None),
            (Some(file), _) => {
                let path = PathBuf::from(file);
                let keys = read_file(&path);
                let keys = keys.map_err(|what| LoadError::KeySet { file: file.clone(), what })?;
                (Source::File(path), Arc::new(keys))
            }
            (None, Some(url)) => {
                let client = outbound::client(url).map_err(LoadError::Client)?;
                let known = previous.filter(|set| set.is_at(url)).map(|set| set.keys.load_full());
                (Source::Url(url.clone(), client), known.unwrap_or_default())
            }
        };
        let keys = ArcSwap::from(keys);
        Ok(Some(Arc::new(Self { source, keys, reading: Mutex::default() })))
    }

    fn is_at(&self, url: &HttpUrl) -> bool {
        matches!(&self.source, Source::Url(other, _) if other == url)
    }

    /// The key that is to have signed a token. An unknown one has the set read again, unless that
    /// was tried a short while ago.
    pub(super) async fn find(
        self: &Arc<Self>,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Result<VerifyingKey, TokenError> {
        match self.keys.load().find(algorithm, kid) {
            Ok(key) => return Ok(key.clone()),
            Err(TokenError::UnknownKey) => {}
            Err(other) => return Err(other),
        }
        // A task of its own: a client that hangs up must not break off what others wait for.
        let (this, wanted) = (Arc::clone(self), kid.map(str::to_owned));
        let reading = async move { this.read_if_due(algorithm, wanted.as_deref()).await };
        let failed = tokio::spawn(reading).await;
        match self.keys.load().find(algorithm, kid) {
            Ok(key) => Ok(key.clone()),
            // The key may well be there, where it cannot be seen.
            Err(TokenError::UnknownKey) if failed.unwrap_or(true) => Err(TokenError::NoKeySet),
            Err(other) => Err(other),
        }
    }

    /// Reads the set again for a key that is still not there, and whether that failed; or how it went
    /// the last time, if that is a short while ago. Who comes while it is read waits here and finds
    /// it done.
    async fn read_if_due(&self, algorithm: Algorithm, kid: Option<&str>) -> bool {
        let mut reading = self.reading.lock().await;
        let is_known = self.keys.load().find(algorithm, kid).is_ok();
        if !is_known && reading.last_caused.is_none_or(|last| last.elapsed() >= COOLDOWN) {
            reading.last_caused = Some(Instant::now());
            self.read(&mut reading).await;
        }
        reading.failed
    }

    /// Fetches the keys at a URL again. A file stays as it was read.
    pub(super) async fn refresh(&self) {
        if let Source::Url(..) = self.source {
            let mut reading = self.reading.lock().await;
            self.read(&mut reading).await;
        }
    }

    async fn read(&self, reading: &mut Reading) {
        let keys = match &self.source {
            Source::File(path) => read_file(path),
            Source::Url(url, client) => fetch(url, client).await.map_err(|error| error.to_string()),
        };
        reading.failed = keys.is_err();
        match keys {
            Ok(keys) => {
                debug!(keys = keys.len(), "read the key set");
                self.keys.store(Arc::new(keys));
            }
            Err(what) => warn!("the key set of tokens cannot be read, the old keys stay: {what}"),
        }
    }
}

async fn fetch(url: &HttpUrl, client: &reqwest::Client) -> Result<Keys, OutboundError> {
    let request = client.get(url.url().clone()).header("accept", "application/json");
    let (status, body) = outbound::ask(request, KEY_SET_BYTES_MAX).await?;
    if status != reqwest::StatusCode::OK {
        return Err(OutboundError::Answer(format!("the answer is {status}")));
    }
    let no_set = || OutboundError::Answer("the answer is no JSON Web Key Set".to_owned());
    Keys::parse(&body).ok_or_else(no_set)
}

fn read_file(path: &Path) -> Result<Keys, String> {
    let cannot = |error: std::io::Error| format!("it cannot be read: {error}");
    let mut json = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(KEY_SET_BYTES_MAX as u64 + 1).read_to_end(&mut json).map_err(cannot)?;
    if json.len() > KEY_SET_BYTES_MAX {
        return Err(format!("it is longer than {KEY_SET_BYTES_MAX} bytes"));
    }
    let keys = Keys::parse(&json).ok_or("it is no JSON Web Key Set")?;
    if keys.len() == 0 {
        return Err("it has no public key of RSA (2048 bits), P-256 or Ed25519".to_owned());
    }
    Ok(keys)
}
