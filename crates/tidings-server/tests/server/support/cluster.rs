//! Nodes that stand on one log, each at an address it keeps: they can be killed, told to stop, and
//! started again one by one. With `memory` and `disk`, which are not shared, there is one node.

use std::sync::Arc;

use super::broker::{Ground, Kind};
use super::broker_server::{BrokerServer, Keeps};
use super::{API_KEY, Server, TOKEN_SECRET, tidings};

/// The nodes. Dropping them ends them, and their broker after them.
pub struct Cluster {
    nodes: Vec<Node>,
    settings: Vec<(String, String)>,
    ground: Ground,
}

struct Node {
    /// None while it is down.
    server: Option<Server>,
    address: String,
}

impl Cluster {
    /// So many nodes over a broker of their own that keeps what it has acknowledged, with these
    /// settings as environment variables without their `TIDINGS_`.
    pub fn start(kind: Kind, count: usize, settings: &[(&str, &str)]) -> Self {
        let ground = if kind.is_shared() {
            Ground::on(Arc::new(BrokerServer::start(kind, Keeps::Everything)))
        } else {
            Ground::new(kind)
        };
        Self::start_on(ground, count, settings)
    }

    /// The same over a broker that is there.
    pub fn start_on(ground: Ground, count: usize, settings: &[(&str, &str)]) -> Self {
        let is_shared = matches!(ground, Ground::Server(..));
        assert!(count == 1 || is_shared, "only one node can have this log");
        let settings = settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let mut cluster = Self { nodes: Vec::new(), settings: settings.collect(), ground };
        for _ in 0..count {
            let server = cluster.serve("127.0.0.1:0");
            let address = server.address.clone();
            cluster.nodes.push(Node { server: Some(server), address });
        }
        cluster
    }

    /// The server that the nodes share.
    pub fn broker(&self) -> &BrokerServer {
        match &self.ground {
            Ground::Server(server, _) => server,
            Ground::Memory | Ground::Disk(_) => panic!("it has no server"),
        }
    }

    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// A node that runs.
    pub fn node(&self, index: usize) -> &Server {
        self.nodes[index].server.as_ref().expect("the node is down")
    }

    /// Where a node is, or was and will be again.
    pub fn address(&self, index: usize) -> &str {
        &self.nodes[index].address
    }

    pub fn url(&self, index: usize) -> String {
        format!("http://{}", self.address(index))
    }

    pub fn urls(&self) -> Vec<String> {
        (0..self.count()).map(|index| self.url(index)).collect()
    }

    /// Ends a node without a word, as a crash would.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].server.take().expect("the node is down").kill();
    }

    /// Tells a node to stop, and waits until it has let its streams and requests end.
    pub fn stop(&mut self, index: usize) {
        let mut server = self.nodes[index].server.take().expect("the node is down");
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0), "{}", server.whole_log());
    }

    /// Starts a node that is down where it was.
    pub fn start_again(&mut self, index: usize) {
        assert!(self.nodes[index].server.is_none(), "the node runs");
        let server = self.serve(&self.nodes[index].address);
        self.nodes[index].server = Some(server);
    }

    fn serve(&self, listen: &str) -> Server {
        let mut command = tidings();
        command.args(["serve", "--listen", listen]);
        command.env("TIDINGS_API_KEY", API_KEY).env("TIDINGS_TOKEN_SECRET", TOKEN_SECRET);
        for (name, value) in &self.settings {
            command.env(format!("TIDINGS_{name}"), value);
        }
        Server::spawn_on(self.ground.clone(), command)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nodes first: whoever has lost its broker has much to say.
        self.nodes.clear();
    }
}
