//! A real Redis or NATS, as Debian has it, on a free loopback port and in a folder of its own; ended
//! with the test. It can be killed, stopped in its tracks, and started again where it was, with what
//! it had stored or without.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::PATIENCE;
use super::broker::Kind;

/// Where Debian has them; elsewhere they are looked for on the path.
const REDIS: [&str; 2] = ["/usr/bin/redis-server", "redis-server"];
const NATS: [&str; 2] = ["/usr/sbin/nats-server", "nats-server"];

/// Whether it has again, after a restart, what it has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    Everything,
    /// As a Redis without persistence, which is faster.
    Nothing,
}

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct BrokerServer {
    kind: Kind,
    keeps: Keeps,
    port: u16,
    folder: TempDir,
    child: Mutex<Option<Child>>,
    arguments: Vec<String>,
    /// Instead of what else it has written.
    reads_snapshot: AtomicBool,
}

impl BrokerServer {
    pub fn start(kind: Kind, keeps: Keeps) -> Self {
        Self::start_with(kind, keeps, &[])
    }

    /// With more arguments for its command line.
    pub fn start_with(kind: Kind, keeps: Keeps, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        // It is told its port; another process could take that one before it does, so it is tried again.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let folder = tempfile::tempdir().unwrap();
            let arguments = arguments.clone();
            let child = Mutex::default();
            let reads_snapshot = AtomicBool::new(false);
            let server = Self { kind, keeps, port, folder, child, arguments, reads_snapshot };
            if server.begin() {
                return server;
            }
        }
        panic!("{kind:?} does not start");
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.kind.name(), self.port)
    }

    /// Ends it without a word, as a crash would.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// It stands still with all its connections open, as a machine that hangs does.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// It goes on where it stood still.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    /// Starts it again after [`BrokerServer::kill`], with what it has kept.
    pub fn start_again(&self) {
        assert!(self.child().is_none(), "it runs");
        assert!(self.begin(), "{:?} does not start again", self.kind);
    }

    /// Starts it again after [`BrokerServer::kill`], with nothing.
    pub fn start_empty(&self) {
        let store = self.folder.path().join("store");
        if store.exists() {
            std::fs::remove_dir_all(store).unwrap();
        }
        self.start_again();
    }

    /// Starts a Redis again after [`BrokerServer::kill`] with its last snapshot alone, as one that was
    /// set up to write nothing else.
    pub fn start_from_snapshot(&self) {
        let store = self.folder.path().join("store");
        // Where there are files of the other kind, it would look at nothing else.
        let _ = std::fs::remove_dir_all(store.join("appendonlydir"));
        assert!(self.child().is_none(), "it runs");
        self.reads_snapshot.store(true, Ordering::Relaxed);
        assert!(self.begin(), "{:?} does not start again", self.kind);
    }

    /// While it is down: remembers what it has kept so far.
    pub fn back_up(&self) {
        self.copy("store", "copy");
    }

    /// While it is down: what it had when it was backed up is all that it has.
    pub fn restore(&self) {
        self.copy("copy", "store");
    }

    fn copy(&self, from: &str, to: &str) {
        assert!(self.child().is_none(), "it runs");
        let [from, to] = [from, to].map(|name| self.folder.path().join(name));
        if to.exists() {
            std::fs::remove_dir_all(&to).unwrap();
        }
        assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
    }

    /// Sends a signal by its name, as in `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.child().as_ref().expect("it runs").id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(status.expect("kill is everywhere").success());
    }

    /// What it said of itself, for a test that has failed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Whether it runs: not if somebody else has taken the port.
    fn begin(&self) -> bool {
        std::fs::create_dir_all(self.folder.path().join("store")).unwrap();
        let mut child = self.command().spawn().unwrap_or_else(|error| {
            panic!("the tests need {:?} ({error}); install it: {}", self.kind, self.package())
        });
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            if child.try_wait().unwrap().is_some() {
                println!("{}", self.log());
                return false;
            }
            assert!(Instant::now() < deadline, "{:?} does not answer: {}", self.kind, self.log());
            thread::sleep(Duration::from_millis(5));
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        *self.child() = Some(child);
        true
    }

    fn command(&self) -> Command {
        let names = if self.kind == Kind::Redis { REDIS } else { NATS };
        let name = if std::path::Path::new(names[0]).is_file() { names[0] } else { names[1] };
        let mut command = Command::new(name);
        let port = self.port.to_string();
        let store = self.folder.path().join("store");
        let log = self.folder.path().join("log");
        match self.kind {
            Kind::Redis => {
                command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir"]);
                command.arg(&store).arg("--logfile").arg(&log);
                // What it acknowledges it has written: with `everysec` it may not have.
                let reads_snapshot = self.reads_snapshot.load(Ordering::Relaxed);
                let (appendonly, fsync) = if self.keeps == Keeps::Everything && !reads_snapshot {
                    ("yes", "always")
                } else {
                    ("no", "no")
                };
                command.args(["--appendonly", appendonly, "--appendfsync", fsync]);
            }
            Kind::Nats => {
                command.args(["--port", &port, "--addr", "127.0.0.1", "--jetstream"]);
                command.arg("--store_dir").arg(&store).arg("--log").arg(&log);
            }
            Kind::Memory | Kind::Disk => unreachable!("they have no server"),
        }
        command.args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Whether it has come so far that it takes commands.
    fn answers(&self) -> bool {
        let Ok(mut socket) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut answer = [0; 5];
        match self.kind {
            // A Redis that still reads what it has stored answers with an error.
            Kind::Redis => {
                let asked = socket.write_all(b"PING\r\n");
                // One that has a password asks for it.
                asked.and_then(|()| socket.read_exact(&mut answer)).is_ok()
                    && [b"+PONG", b"-NOAU"].contains(&&answer)
            }
            Kind::Nats => socket.read_exact(&mut answer).is_ok() && &answer == b"INFO ",
            Kind::Memory | Kind::Disk => unreachable!("they have no server"),
        }
    }

    fn package(&self) -> String {
        format!("sudo apt-get install {}-server", self.kind.name())
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for BrokerServer {
    fn drop(&mut self) {
        self.kill();
    }
}
