//! One connection to one server of NATS: where it may be, how it is signed in to, and how its end is
//! noticed. What is said over it is not known here.
//!
//! The library would reconnect by itself and send what has waited meanwhile. To whom it would then
//! talk, and whether that still has the log, nobody would have looked at; so a connection is made
//! once, and whoever needs another asks for another.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use async_nats::{Auth, AuthError, Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use percent_encoding::percent_decode_str;
use tokio::sync::watch;

use super::trouble::Trouble;
use crate::config::{self, BrokerUrl};

/// Messages that wait for whoever reads a subscription. A server sends no more ahead than 32 MiB, and
/// none of ours has fewer than 128 bytes with its subject and headers.
const MESSAGES_WAITING_MAX: usize = 262_144;
/// Beside an event's data: its topics, the rest of its JSON, and headers.
const MESSAGE_BYTES_MORE: usize = 32_768;
/// What a server is told that it talks to.
const CLIENT_NAME: &str = "tidings";

/// Where the servers are, and who we are to them.
#[derive(Debug)]
pub(super) struct Servers {
    addresses: Vec<ServerAddr>,
    credentials_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    timeout: Duration,
    message_bytes_max: usize,
}

/// Whether a connection, or what was built on it, has ended.
pub(super) type Ended = Arc<watch::Sender<bool>>;

impl Servers {
    pub(super) fn new(url: &BrokerUrl, config: &config::Config) -> anyhow::Result<Self> {
        let nats = &config.nats;
        let servers = Self {
            addresses: addresses(url.expose())?,
            credentials_file: nats.credentials_file.as_ref().map(PathBuf::from),
            ca_file: nats.ca_file.as_ref().map(PathBuf::from),
            timeout: Duration::from_millis(nats.timeout_ms),
            message_bytes_max: config.event_bytes_max + MESSAGE_BYTES_MORE,
        };
        // What cannot be read now is better said now.
        if let Some(file) = &servers.ca_file {
            std::fs::File::open(file)
                .with_context(|| format!("nats.ca_file: cannot open {}", file.display()))?;
        }
        if servers.credentials_file.is_some() {
            servers.credentials()?;
        }
        Ok(servers)
    }

    /// Connects to one of them, tried in an order of chance. The end of the connection is said in
    /// `ended`.
    pub(super) async fn connect(&self, ended: &Ended) -> Result<Client, Trouble> {
        let mut order: Vec<usize> = (0..self.addresses.len()).collect();
        fastrand::shuffle(&mut order);
        let mut trouble = Trouble::Silent;
        for index in order {
            match self.connect_to(&self.addresses[index], ended).await {
                Ok(client) => return Ok(client),
                Err(failed) => trouble = failed,
            }
        }
        Err(trouble)
    }

    async fn connect_to(&self, address: &ServerAddr, ended: &Ended) -> Result<Client, Trouble> {
        let auth = self.auth(address)?;
        let is_used = AtomicBool::new(false);
        let sign_in = move |nonce: Vec<u8>| {
            let auth = if is_used.swap(true, Ordering::Relaxed) {
                Err(AuthError::new("the connection is not made again"))
            } else {
                auth.answer(&nonce)
            };
            async move { auth }
        };
        let told = Arc::downgrade(ended);
        let on_event = move |event: Event| {
            if let (Event::Disconnected | Event::Closed, Some(ended)) = (event, told.upgrade()) {
                ended.send_replace(true);
            }
            async {}
        };
        let mut options = ConnectOptions::with_auth_callback(sign_in)
            .name(CLIENT_NAME)
            .connection_timeout(self.timeout)
            .request_timeout(Some(self.timeout))
            .subscription_capacity(MESSAGES_WAITING_MAX)
            .ignore_discovered_servers()
            .max_reconnects(1)
            .event_callback(on_event);
        if let Some(file) = &self.ca_file {
            options = options.add_root_certificates(file.clone()).require_tls(true);
        }
        let client =
            options.connect(address.clone()).await.map_err(|error| match error.kind() {
                ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                    Trouble::Refused
                }
                _ => Trouble::Unreachable(error.to_string()),
            })?;
        let server_bytes_max = client.server_info().max_payload;
        if server_bytes_max < self.message_bytes_max {
            return Err(Trouble::TooSmall {
                server_bytes_max,
                message_bytes_max: self.message_bytes_max,
            });
        }
        Ok(client)
    }

    fn auth(&self, address: &ServerAddr) -> Result<SignIn, Trouble> {
        if self.credentials_file.is_some() {
            return self.credentials().map_err(|error| Trouble::Credentials(format!("{error:#}")));
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Ok(match (address.username(), address.password()) {
            (Some(user), Some(password)) => SignIn::Password(decoded(user), decoded(password)),
            (Some(token), None) => SignIn::Token(decoded(token)),
            (None, _) => SignIn::Nobody,
        })
    }

    /// What the credentials file says: a token that names us, and a key to prove it by.
    fn credentials(&self) -> anyhow::Result<SignIn> {
        let file = self.credentials_file.as_deref().context("there is no credentials file")?;
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("nats.credentials_file: cannot read {}", file.display()))?;
        let blocks: Vec<&str> = blocks(&text).collect();
        let [jwt, seed, ..] = blocks[..] else {
            anyhow::bail!("nats.credentials_file: {} has no token and seed", file.display());
        };
        let key = nkeys::KeyPair::from_seed(seed)
            .map_err(|_| anyhow::anyhow!("nats.credentials_file: {}: no seed", file.display()))?;
        Ok(SignIn::Credentials(jwt.to_owned(), Arc::new(key)))
    }
}

/// What stands between the lines of dashes.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines
        .scan(false, |is_inside, line| {
            let is_border = line.starts_with("---");
            *is_inside = if is_border { line.contains("BEGIN") } else { *is_inside };
            Some((*is_inside && !is_border && !line.is_empty()).then_some(line))
        })
        .flatten()
}

/// How we sign in.
enum SignIn {
    Nobody,
    Password(String, String),
    Token(String),
    Credentials(String, Arc<nkeys::KeyPair>),
}

impl SignIn {
    fn answer(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let mut auth = Auth::new();
        match self {
            Self::Nobody => {}
            Self::Password(user, password) => {
                auth.username = Some(user.clone());
                auth.password = Some(password.clone());
            }
            Self::Token(token) => auth.token = Some(token.clone()),
            Self::Credentials(jwt, key) => {
                auth.jwt = Some(jwt.clone());
                auth.signature = Some(key.sign(nonce).map_err(AuthError::new)?);
            }
        }
        Ok(auth)
    }
}

/// The servers of `nats://a,b:4222`: what has no scheme has the first's.
fn addresses(url: &str) -> anyhow::Result<Vec<ServerAddr>> {
    let scheme = url.split("://").next().unwrap_or("nats");
    let addresses = url.split(',').map(|place| {
        let place =
            if place.contains("://") { place.to_owned() } else { format!("{scheme}://{place}") };
        // The error is not repeated: what it quotes may be a password.
        let address: ServerAddr =
            place.parse().map_err(|_| anyhow::anyhow!("broker: not an address of NATS"))?;
        anyhow::ensure!(
            matches!(address.scheme(), "nats" | "tls") && !address.host().is_empty(),
            "broker: a server of NATS is named as in nats://HOST:4222 or tls://HOST:4222"
        );
        Ok(address)
    });
    addresses.collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("nats://a", &["nats://a"])]
    #[case("nats://u:p@a:4222,b,tls://c:1", &["nats://u:p@a:4222", "nats://b", "tls://c:1"])]
    fn several_servers_are_named_in_one_url(#[case] url: &str, #[case] expected: &[&str]) {
        let found = addresses(url).unwrap();
        let expected: Vec<ServerAddr> = expected.iter().map(|url| url.parse().unwrap()).collect();
        assert_eq!(found, expected);
    }

    #[rstest]
    #[case("nats://")]
    #[case("nats://u:canary@a:x")]
    #[case("nats://a,ws://b")]
    fn what_is_no_server_is_refused_and_not_repeated(#[case] url: &str) {
        let error = addresses(url).unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
    }

    #[test]
    fn a_credentials_file_has_a_token_and_a_seed() {
        let text = "-----BEGIN NATS USER JWT-----\neyJ0\n------END NATS USER JWT------\n\n\
                    ************************* IMPORTANT *************************\n\
                    -----BEGIN USER NKEY SEED-----\nSUAB\n------END USER NKEY SEED------\n";
        assert_eq!(blocks(text).collect::<Vec<_>>(), ["eyJ0", "SUAB"]);
    }
}
