//! Where a Redis may be: behind TLS, behind Sentinels that fail over to another, in a Cluster.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::load::{Gaps, Load};
use crate::support::api::Api;
use crate::support::broker::{Ground, Kind};
use crate::support::broker_server::{BrokerServer, Keeps};
use crate::support::cluster::Cluster;
use crate::support::{API_KEY, Server, TOKEN_SECRET, tidings, until};

/// A server's certificate, and that of whoever vouches for it, in this folder.
fn make_certificates(folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A node at this broker, with these settings without their `TIDINGS_`.
fn serve(broker: &str, settings: &[(&str, &str)]) -> Command {
    let mut command = tidings();
    command.args(["serve", "--listen", "127.0.0.1:0"]).env("TIDINGS_BROKER", broker);
    command.env("TIDINGS_API_KEY", API_KEY).env("TIDINGS_TOKEN_SECRET", TOKEN_SECRET);
    for (name, value) in settings {
        command.env(format!("TIDINGS_{name}"), value);
    }
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_spoken_to_by_tls_and_must_be_vouched_for() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let port = free_port().to_string();
    let (cert, key, ca) = (file("cert.pem"), file("key.pem"), file("ca.pem"));
    let arguments = ["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key];
    let more = ["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"];
    let arguments = [&arguments[..], &more].concat();
    let _redis = BrokerServer::start_with(Kind::Redis, Keeps::Nothing, &arguments);
    let url = format!("rediss://127.0.0.1:{port}");
    let node = Server::spawn(serve(&url, &[("REDIS__CA_FILE", &ca)]));
    let api = Api::new(&node.url());
    api.publish(r#"{"topic":"a","data":1}"#).await;
    assert_eq!(api.poll("topic=a&rewind=all").await["events"][0]["data"], 1);
    // A certificate that nobody vouches for is none.
    let mut stranger = serve(&url, &[]);
    let child = stranger.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let said = wait_for_line(child, "waiting for Redis");
    assert!(said.contains("certificate"), "{said}");
}

/// The first line of what it says that has this in it; it is then ended.
fn wait_for_line(mut child: std::process::Child, text: &str) -> String {
    use std::io::{BufRead, BufReader};
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.into_iter().find(|line| line.contains(text)).expect("it never says so");
    child.kill().unwrap();
    child.wait().unwrap();
    line
}

/// A Sentinel that knows one master, in a folder of its own; ended when dropped.
struct Sentinel {
    server: Option<std::process::Child>,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    fn start(master: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let file = folder.path().join("sentinel.conf");
        let settings = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n"
        );
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null());
        let server = Some(command.stderr(Stdio::null()).spawn().unwrap());
        let sentinel = Self { server, port, _folder: folder };
        until("the Sentinel knows the replica", || {
            ask(sentinel.port, &["SENTINEL", "replicas", "main"]).contains("slave")
        });
        sentinel
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn ask(port: u16, arguments: &[&str]) -> String {
    let mut command = Command::new("redis-cli");
    let output = command.args(["-p", &port.to_string()]).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_lead_to_the_master_and_to_the_next_one() {
    let master = Arc::new(BrokerServer::start(Kind::Redis, Keeps::Nothing));
    let of_master = ["--replicaof", "127.0.0.1", &master.port().to_string()].map(str::to_owned);
    let arguments: Vec<_> = of_master.iter().map(String::as_str).collect();
    let replica = BrokerServer::start_with(Kind::Redis, Keeps::Nothing, &arguments);
    until("the replica has connected", || {
        ask(replica.port(), &["INFO", "replication"]).contains("master_link_status:up")
    });
    let sentinel = Sentinel::start(master.port());
    let broker = format!("redis-sentinel://127.0.0.1:1,127.0.0.1:{}/main", sentinel.port);
    // The variable of the settings goes before the ground's own.
    let cluster =
        Cluster::start_on(Ground::on(Arc::clone(&master)), 2, &[("BROKER", broker.as_str())]);
    let load = Load::start(&cluster).await;
    load.more(50).await;
    master.kill();
    let took = load.more(50).await;
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(ask(replica.port(), &["INFO", "replication"]).contains("role:master"));
    // The replica may lack what was acknowledged last: either it has all of it, or there is a gap.
    load.finish(Gaps::Any).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_asked_who_has_the_log() {
    let start = || {
        let bus = free_port().to_string();
        let arguments = ["--cluster-enabled", "yes", "--cluster-port", &bus];
        let more = ["--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000"];
        BrokerServer::start_with(Kind::Redis, Keeps::Nothing, &[&arguments[..], &more].concat())
    };
    let (first, second) = (start(), start());
    ask(first.port(), &["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
    ask(second.port(), &["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
    let bus = ask(second.port(), &["CONFIG", "GET", "cluster-port"]);
    let bus = bus.lines().last().unwrap().to_owned();
    ask(first.port(), &["CLUSTER", "MEET", "127.0.0.1", &second.port().to_string(), &bus]);
    until("the Cluster is one", || {
        [&first, &second]
            .into_iter()
            .all(|redis| ask(redis.port(), &["CLUSTER", "INFO"]).contains("cluster_state:ok"))
    });
    // One prefix for each of the two, whichever is asked.
    for prefix in ["a", "b", "c", "d"] {
        for redis in [&first, &second] {
            let broker = format!("redis-cluster://127.0.0.1:{}", redis.port());
            let node = Server::spawn(serve(&broker, &[("REDIS__PREFIX", prefix)]));
            let api = Api::new(&node.url());
            let body = format!(r#"{{"topic":"a","data":1,"key":"{}"}}"#, redis.port());
            api.publish(body).await;
        }
        let slot = ask(first.port(), &["CLUSTER", "KEYSLOT", &format!("{{{prefix}}}:log")]);
        let holder = if slot.parse::<u16>().unwrap() < 8192 { &first } else { &second };
        let length = ask(holder.port(), &["XLEN", &format!("{{{prefix}}}:log")]);
        assert_eq!(length, "3", "two events and the beginning");
    }
}
