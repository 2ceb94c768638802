//! Which broker the nodes of the tests have, and what each node needs for it. `TIDINGS_TEST_BROKER`
//! names it, `memory` unless it is set: the same tests then hold the others to the same. What a node
//! gets is its own, a folder or a part of a server that it shares with other tests, and empty.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tempfile::TempDir;

use super::broker_server::{BrokerServer, Keeps};

/// The brokers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Memory,
    Disk,
    Redis,
    Nats,
}

impl Kind {
    /// The one that this run of the tests is for.
    pub fn of_tests() -> Self {
        match std::env::var("TIDINGS_TEST_BROKER").as_deref() {
            Err(_) | Ok("memory") => Self::Memory,
            Ok("disk") => Self::Disk,
            Ok("redis") => Self::Redis,
            Ok("nats") => Self::Nats,
            Ok(other) => panic!("TIDINGS_TEST_BROKER={other} is no broker"),
        }
    }

    /// What its acknowledgements promise.
    pub fn durability(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "fsync",
            Self::Redis => "redis",
            Self::Nats => "nats",
        }
    }

    /// As `/readyz` and the metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Redis => "redis",
            Self::Nats => "nats",
        }
    }

    /// Whether several nodes can have one log.
    pub fn is_shared(self) -> bool {
        match self {
            Self::Memory | Self::Disk => false,
            Self::Redis | Self::Nats => true,
        }
    }
}

/// Where a node's broker keeps its log. Dropped after the last node that stands on it.
#[derive(Clone, Debug)]
pub enum Ground {
    Memory,
    Disk(Arc<TempDir>),
    /// A server, and a name in it that nobody else has.
    Server(Arc<BrokerServer>, String),
}

impl Ground {
    /// A new one, empty. Of Redis and NATS one server is shared by all tests that run at the time.
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Memory => Self::Memory,
            Kind::Disk => Self::Disk(Arc::new(tempfile::tempdir().unwrap())),
            Kind::Redis | Kind::Nats => Self::on(shared_server(kind)),
        }
    }

    /// A part of this server, empty.
    pub fn on(server: Arc<BrokerServer>) -> Self {
        static GIVEN: AtomicUsize = AtomicUsize::new(0);
        let name = format!("t{}", GIVEN.fetch_add(1, Ordering::Relaxed));
        Self::Server(server, name)
    }

    /// Has a `serve` command stand on this one, at the address that it names itself or else at the usual.
    pub fn lay(&self, command: &mut Command) {
        let broker = match self {
            Self::Memory => "memory".to_owned(),
            Self::Disk(folder) => format!("disk:{}", folder.path().display()),
            Self::Server(server, _) => server.url(),
        };
        if !command.get_envs().any(|(name, _)| name == "TIDINGS_BROKER") {
            command.env("TIDINGS_BROKER", broker);
        }
        if let Self::Server(server, name) = self {
            let setting = match server.kind() {
                Kind::Redis => "TIDINGS_REDIS__PREFIX",
                Kind::Nats => "TIDINGS_NATS__STREAM",
                Kind::Memory | Kind::Disk => unreachable!("they have no server"),
            };
            command.env(setting, name);
            if server.kind() == Kind::Nats {
                // It would set as much aside for the stream of each test.
                let bound = "TIDINGS_NATS__BYTES_MAX";
                if !command.get_envs().any(|(given, _)| given == bound) {
                    command.env(bound, "0");
                }
            }
        }
    }
}

/// Runs as long as some test has it.
fn shared_server(kind: Kind) -> Arc<BrokerServer> {
    static REDIS: Mutex<Weak<BrokerServer>> = Mutex::new(Weak::new());
    static NATS: Mutex<Weak<BrokerServer>> = Mutex::new(Weak::new());
    let server = if kind == Kind::Redis { &REDIS } else { &NATS };
    let mut server = server.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    server.upgrade().unwrap_or_else(|| {
        let new = Arc::new(BrokerServer::start(kind, Keeps::Nothing));
        *server = Arc::downgrade(&new);
        new
    })
}
