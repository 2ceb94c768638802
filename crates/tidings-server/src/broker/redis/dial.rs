//! Finding the server that holds the log and connecting to it: twice, since whoever waits for news on a
//! connection lets nothing else through.
//!
//! What is then said on the connections is not known here.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, TlsCertificates, cmd,
};

use super::address::{Address, Place, Search};
use super::failure::{Cause, SetupError};
use crate::config::{self, BrokerUrl};

/// Knows how to connect.
pub(super) struct Dialer {
    address: Address,
    root_certificates: Option<Vec<u8>>,
    sentinel_password: Option<String>,
    timeout: Duration,
    /// A key by which a Cluster is asked who has it.
    key: String,
}

/// Two connections to one server, which takes writes.
pub(super) struct Dialed {
    pub(super) commands: MultiplexedConnection,
    /// It waits for its answers for as long as it likes.
    pub(super) tail: MultiplexedConnection,
    /// Where it is.
    pub(super) place: Place,
    /// Another process, another run id.
    pub(super) run_id: String,
    /// How it makes room, where it would throw the log away for that.
    pub(super) evicts: Option<String>,
}

impl Dialer {
    pub(super) fn new(
        url: &BrokerUrl,
        settings: &config::Redis,
        key: String,
    ) -> Result<Self, SetupError> {
        let address = Address::parse(url.expose())?;
        let root_certificates = match &settings.ca_file {
            None => None,
            Some(_) if !address.is_encrypted => return Err(SetupError::CaWithoutTls),
            Some(path) => Some(
                std::fs::read(path)
                    .map_err(|error| SetupError::CaFile { path: path.clone(), error })?,
            ),
        };
        let sentinel_password = settings.sentinel_password.as_ref();
        let dialer = Self {
            address,
            root_certificates,
            sentinel_password: sentinel_password.map(|password| password.expose().to_owned()),
            timeout: Duration::from_millis(settings.timeout_ms),
            key,
        };
        // Certificates that cannot be read should be found now.
        dialer.client(&dialer.address.places[0], &Login::Redis).map_err(SetupError::Tls)?;
        Ok(dialer)
    }

    /// Connects to the server that holds the log.
    pub(super) async fn dial(&self) -> Result<Dialed, Cause> {
        let mut cause = Cause::Silent;
        for place in &self.address.places {
            let dialed = match &self.address.search {
                Search::Here => self.open(place.clone()).await,
                Search::Sentinel { master } => match self.ask_sentinel(place, master).await {
                    Ok(place) => self.open(place).await,
                    Err(cause) => Err(cause),
                },
                Search::Cluster => match self.ask_cluster(place).await {
                    Ok(place) => self.open(place).await,
                    Err(cause) => Err(cause),
                },
            };
            match dialed {
                Ok(dialed) => return Ok(dialed),
                Err(why) => cause = why,
            }
        }
        Err(cause)
    }

    async fn open(&self, place: Place) -> Result<Dialed, Cause> {
        let mut commands = self.connect(&place, &Login::Redis, Some(self.timeout)).await?;
        let info: String = cmd("INFO").query_async(&mut commands).await?;
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().trim().to_owned()
        };
        if field("role") == "slave" {
            return Err(Cause::Replica);
        }
        let run_id = field("run_id");
        let policy = field("maxmemory_policy");
        let mut tail = self.connect(&place, &Login::Redis, None).await?;
        let mut ask = cmd("INFO");
        let asked = ask.arg("server").query_async::<String>(&mut tail);
        let info = tokio::time::timeout(self.timeout, asked).await.map_err(|_| Cause::Silent)??;
        if !info.contains(&run_id) {
            return Err(Cause::TwoServers);
        }
        let evicts = policy.starts_with("allkeys").then_some(policy);
        Ok(Dialed { commands, tail, place, run_id, evicts })
    }

    async fn ask_sentinel(&self, place: &Place, master: &str) -> Result<Place, Cause> {
        let mut sentinel = self.connect(place, &Login::Sentinel, Some(self.timeout)).await?;
        let mut ask = cmd("SENTINEL");
        let answer: Option<(String, u16)> =
            ask.arg("get-master-addr-by-name").arg(master).query_async(&mut sentinel).await?;
        let (host, port) = answer.ok_or(Cause::UnknownMaster)?;
        Ok(Place { host, port })
    }

    /// Whoever does not have a key says who has.
    async fn ask_cluster(&self, place: &Place) -> Result<Place, Cause> {
        let mut node = self.connect(place, &Login::Redis, Some(self.timeout)).await?;
        let asked = cmd("EXISTS").arg(&self.key).query_async::<i64>(&mut node).await;
        match asked {
            Ok(_) => Ok(place.clone()),
            Err(error) if error.code() == Some("MOVED") => {
                // As in `3999 127.0.0.1:6381`; without a host, it is the one that was asked.
                let detail = error.detail().unwrap_or_default();
                let there = detail.split(' ').nth(1).unwrap_or_default();
                let (host, port) =
                    there.rsplit_once(':').ok_or(Cause::Answer("where a key has moved to"))?;
                let port = port.parse().map_err(|_| Cause::Answer("where a key has moved to"))?;
                let host = if host.is_empty() { &place.host } else { host };
                Ok(Place { host: host.to_owned(), port })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn connect(
        &self,
        place: &Place,
        login: &Login,
        response_timeout: Option<Duration>,
    ) -> Result<MultiplexedConnection, Cause> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(response_timeout);
        let client = self.client(place, login)?;
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        // The greetings on a new connection have no time limit of their own.
        tokio::time::timeout(self.timeout, connecting)
            .await
            .map_err(|_| Cause::Silent)?
            .map_err(Cause::from)
    }

    fn client(&self, place: &Place, login: &Login) -> redis::RedisResult<Client> {
        let Place { host, port } = place.clone();
        let address = if self.address.is_encrypted {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let mut settings = RedisConnectionInfo::default();
        match login {
            Login::Redis => {
                if let Some(username) = &self.address.username {
                    settings = settings.set_username(username);
                }
                if let Some(password) = &self.address.password {
                    settings = settings.set_password(password);
                }
                settings = settings.set_db(self.address.database);
            }
            Login::Sentinel => {
                if let Some(password) = &self.sentinel_password {
                    settings = settings.set_password(password);
                }
            }
        }
        // A call must not wait for the answer to the one before it.
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = address.into_connection_info()?.set_redis_settings(settings);
        let info = info.set_tcp_settings(tcp);
        match &self.root_certificates {
            Some(certificates) => {
                let root_cert = Some(certificates.clone());
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
            }
            None => Client::open(info),
        }
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Whom one signs in to.
enum Login {
    Redis,
    Sentinel,
}

/// Reads an answer as what it should be.
pub(super) fn read<T: FromRedisValue>(value: redis::Value, what: &'static str) -> Result<T, Cause> {
    T::from_redis_value(value).map_err(|_| Cause::Answer(what))
}
