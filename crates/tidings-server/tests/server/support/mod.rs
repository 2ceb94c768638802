//! The real server for tests: the built binary on a free loopback port, ended with the test.

pub mod api;
pub mod broker;
pub mod broker_server;
pub mod cluster;
pub mod nginx;
pub mod publisher;
pub mod raw;
pub mod reader;
pub mod session;
#[cfg(target_os = "linux")]
pub mod stuck;
pub mod tokens;

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use broker::{Ground, Kind};

/// An API key with every scope.
pub const API_KEY: &str = "tk_Zr8qJ2vXw5LmT1pYhK7cNdB4sGf0aUe9RiOx";
/// What tokens are signed with.
pub const TOKEN_SECRET: &str = "Wq3vN8zKxT5rJpL1mYh7cDbG2sFa9UeR0iOt";
/// How long any fact may take to come true on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Held by a test that opens thousands of sockets, so that such tests take turns: their sockets are all of
/// this one process, which has only so many descriptors, and what they promise is a time.
pub static CROWDS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A running server. Dropping it ends it.
pub struct Server {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// Lines that were looked at already.
    looked_at: RefCell<String>,
    /// What its broker stands on, where the test does not say.
    _ground: Option<Ground>,
    pub address: String,
}

impl Server {
    /// Starts with the test's secrets and these settings, as environment variables without their
    /// `TIDINGS_`.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_on("127.0.0.1:0", settings)
    }

    pub fn start_on(listen: &str, settings: &[(&str, &str)]) -> Self {
        let mut command = tidings();
        command.args(["serve", "--listen", listen]);
        command.env("TIDINGS_API_KEY", API_KEY).env("TIDINGS_TOKEN_SECRET", TOKEN_SECRET);
        for (name, value) in settings {
            command.env(format!("TIDINGS_{name}"), value);
        }
        Self::spawn(command)
    }

    /// Starts a `serve` command that was prepared elsewhere.
    pub fn spawn(mut command: Command) -> Self {
        lift_rate_limits(&mut command);
        Self::spawn_with_limits(command)
    }

    /// The same, over this log.
    pub fn spawn_on(ground: Ground, mut command: Command) -> Self {
        lift_rate_limits(&mut command);
        ground.lay(&mut command);
        Self::begin(command, Some(ground))
    }

    /// The same, with whatever limits it has by itself.
    pub fn spawn_with_limits(mut command: Command) -> Self {
        let kind = Kind::of_tests();
        let is_named = command.get_envs().any(|(name, _)| name == "TIDINGS_BROKER");
        let ground = (kind != Kind::Memory && !is_named).then(|| Ground::new(kind));
        if let Some(ground) = &ground {
            ground.lay(&mut command);
        }
        Self::begin(command, ground)
    }

    fn begin(mut command: Command, ground: Option<Ground>) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary is built with the tests");
        let stderr = child.stderr.take().expect("stderr is piped");
        let lines = lines_of(stderr);
        let (looked_at, address) = (RefCell::default(), String::new());
        let mut server = Self { child, lines, looked_at, _ground: ground, address };
        let line = server.wait_for_log("listening");
        let line: serde_json::Value = serde_json::from_str(&line).expect("logs are JSON in a pipe");
        line["fields"]["address"].as_str().unwrap().clone_into(&mut server.address);
        server
    }

    /// The next log line with this message.
    pub fn wait_for_log(&self, message: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.looked_at.borrow_mut().push_str(&line);
                    if line.contains(&format!("\"message\":\"{message}")) {
                        return line;
                    }
                    seen.push(line);
                }
                Err(error) => panic!("no log line {message:?} ({error}) among {seen:#?}"),
            }
        }
    }

    /// All that was ever logged, once the process has ended.
    pub fn whole_log(&self) -> String {
        let rest: String = self.lines.iter().collect();
        self.looked_at.take() + &rest
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, as in `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(status.expect("kill is everywhere").success());
    }

    /// Waits for the process to end by itself; its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the server did not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it without a word, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The binary, with none of the caller's settings. `TEST_OWN_SOCKETS=false` has it leave all streams
/// to the HTTP library: what a user can notice is the same.
pub fn tidings() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDINGS_") {
            command.env_remove(name);
        }
    }
    if let Ok(own_sockets) = std::env::var("TEST_OWN_SOCKETS") {
        command.env("TIDINGS_STREAMS__OWN_SOCKETS", own_sockets);
    }
    command
}

/// Tests come from one address and connect as often as they like, where they do not say how often.
fn lift_rate_limits(command: &mut Command) {
    for limit in ["SSE", "POLLING", "AUTH_FAILURES"] {
        let name = format!("TIDINGS_LIMITS__{limit}__LIMIT");
        if !command.get_envs().any(|(given, value)| *given == *name && value.is_some()) {
            command.env(name, "0");
        }
    }
}

/// Reads on in a thread of its own, so that the child never waits for a full pipe.
fn lines_of(stderr: ChildStderr) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Milliseconds since the Unix epoch.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// The number in a cursor.
pub fn position(cursor: &str) -> u64 {
    cursor.parse::<tidings_hub::Cursor>().unwrap().position.get()
}

/// A random seed, printed, or the one in `TIDINGS_SEED`.
pub fn seed() -> u64 {
    let seed = std::env::var("TIDINGS_SEED")
        .ok()
        .map_or_else(|| fastrand::u64(..), |seed| seed.parse().expect("TIDINGS_SEED is a number"));
    println!("seed: TIDINGS_SEED={seed}");
    seed
}

/// Waits for a fact to come true.
pub fn until(fact: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < deadline, "never came true: {fact}");
        thread::sleep(Duration::from_millis(5));
    }
}
