//! The command line of `tidings bench`: names, defaults and what each means. Turns it into scenarios
//! and reads nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::machine::Pin;
use crate::scenario::Scenario;
use crate::stamp::PAYLOAD_BYTES_MIN;
use crate::target::Batch;

/// Measure a server of event streams, beside the least that any server could do.
///
/// Without --url a server is started for the run, where the caller knows how. Works against any
/// server that publishes by POST and streams by GET: say how with the templates, in which {topic},
/// {user}, {token} and {payload} are filled in.
///
/// CPU time is all that the server's processes take, in user and kernel mode. Over loopback the
/// kernel does the receiver's share of TCP within the sender's `send()`, so it is counted too.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub(crate) what: What,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// One topic, many listeners: CPU time per delivery.
    Fanout {
        /// Listeners; several numbers are several runs.
        #[arg(long, value_delimiter = ',', value_parser = at_least_one, default_value = "1000")]
        listeners: Vec<usize>,
        /// Events published at once; the next follow when all listeners have these.
        #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1000), default_value = "1,16")]
        waiting: Vec<u32>,
    },
    /// A fixed rate: how long events take.
    Latency {
        /// Listeners; several numbers are several runs.
        #[arg(long, value_delimiter = ',', value_parser = at_least_one, default_value = "1000")]
        listeners: Vec<usize>,
        /// Events per second.
        #[arg(long, value_name = "PER_SEC", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
    },
    /// Silent connections: user memory of each.
    Idle {
        /// Connections; several numbers are several runs.
        #[arg(long, value_delimiter = ',', value_parser = at_least_one, default_value = "10000")]
        connections: Vec<usize>,
        /// Each its own user and topic, rather than one topic for all.
        #[arg(long)]
        own_topics: bool,
    },
    /// How fast streams open.
    Connect {
        /// Connections; several numbers are several runs.
        #[arg(long, value_delimiter = ',', value_parser = at_least_one, default_value = "10000")]
        connections: Vec<usize>,
    },
    /// All drop, events pass, all resume at once.
    Storm {
        /// Listeners; several numbers are several runs.
        #[arg(long, value_delimiter = ',', value_parser = at_least_one, default_value = "10000")]
        listeners: Vec<usize>,
        /// Events each has missed.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        missed: u32,
    },
    /// Batches with nobody listening: events taken per second.
    Publish {
        /// Events in a batch.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
        batch_events: u32,
        /// Connections that publish.
        #[arg(long, default_value_t = 4, value_parser = at_least_one)]
        publishers: usize,
    },
    /// Many missed events to one reader.
    Replay {
        /// Events missed.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
        events: u32,
        /// Bytes of each payload.
        #[arg(long, default_value_t = 256, value_parser = payload_bytes)]
        bytes: usize,
    },
    /// Everything above.
    All {
        /// Listeners of fanout.
        #[arg(long, value_delimiter = ',', value_parser = at_least_one, default_value = "1000,10000")]
        listeners: Vec<usize>,
        /// Connections of idle.
        #[arg(long, default_value_t = 17_000, value_parser = at_least_one)]
        idle: usize,
        /// Connections of connect and storm.
        #[arg(long, default_value_t = 10_000, value_parser = at_least_one)]
        connections: usize,
        /// Events of replay.
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
        events: u32,
    },
    /// One event a request, each on the disk before it is answered: the broker `disk`, beside a bare
    /// loop that appends as much as often. Starts a server of its own.
    Log {
        /// Connections that publish; several numbers are several runs.
        #[arg(long, value_delimiter = ',', value_parser = at_least_one, default_value = "64")]
        publishers: Vec<usize>,
        /// Where to make a folder for the log, which is removed afterwards.
        #[arg(long, value_name = "DIR", default_value = ".")]
        folder: PathBuf,
    },
    /// Be the floor: accept, and write what is posted to everyone.
    #[command(hide = true)]
    FloorServer {
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Options {
    /// The server, as in `http://127.0.0.1:4000`. Not taken from the environment: a load is sent only
    /// where it is told to go.
    #[arg(long, global = true)]
    pub(crate) url: Option<String>,
    /// A process of the server; its children are counted with it. Repeatable.
    #[arg(long, global = true, requires = "url")]
    pub(crate) pid: Vec<i32>,
    /// Start the server with this shell command, and end it afterwards.
    #[arg(long, global = true, value_name = "COMMAND", requires = "url", conflicts_with = "pid")]
    pub(crate) spawn: Option<String>,
    /// Let it be another machine. Its CPU time and memory cannot be seen from here: those figures are
    /// then of whatever --pid names.
    #[arg(long, global = true)]
    pub(crate) yes_remote: bool,

    /// What publishing is authorised by, and subscribing where nothing below is given.
    #[arg(long, global = true, env = "TIDINGS_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// What every subscriber is authorised by.
    #[arg(long, global = true, env = "TIDINGS_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Sign a token (HS256, Tidings' claims) for each subscriber.
    #[arg(long, global = true, hide_env_values = true, env = "TIDINGS_TOKEN_SECRET")]
    pub(crate) token_secret: Option<String>,
    /// A header for every request, as in `Name: value`. Repeatable.
    #[arg(long, global = true)]
    pub(crate) header: Vec<String>,
    /// Path and query of a stream.
    #[arg(long, global = true, default_value = "/api/sse?topic={topic}")]
    pub(crate) subscribe_path: String,
    /// Path and query to publish to.
    #[arg(long, global = true, default_value = "/api/events")]
    pub(crate) publish_path: String,
    /// The type of the body to publish.
    #[arg(long, global = true, default_value = "application/json")]
    pub(crate) publish_type: String,
    /// The body that publishes one event. The payload is a JSON object.
    #[arg(long, global = true, default_value = r#"{"topic":"{topic}","data":{payload}}"#)]
    pub(crate) publish_body: String,
    /// How many events are published at once.
    #[arg(long, global = true, value_enum, default_value = "ndjson")]
    pub(crate) batch: Batch,

    /// Measure the floor too, in turn with the server.
    #[arg(long, global = true)]
    pub(crate) floor: bool,
    /// Measure the floor alone.
    #[arg(long, global = true, conflicts_with_all = ["floor", "spawn", "pid"])]
    pub(crate) floor_only: bool,
    /// Rounds of each; medians are shown.
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Seconds of a round of fanout, latency, publish and replay.
    #[arg(long, global = true, default_value_t = 3.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Bytes of a payload.
    #[arg(long, global = true, default_value_t = 128, value_parser = payload_bytes)]
    pub(crate) payload: usize,
    /// Keep the server to one core and the load generator to another.
    #[arg(long, global = true, value_name = "SERVER,CLIENT", num_args = 0..=1, default_missing_value = "0,1", require_equals = true)]
    pub(crate) pin: Option<Pin>,
    /// Streams that may be opening at a time.
    #[arg(long, global = true, default_value_t = 128, value_parser = at_least_one)]
    pub(crate) at_once: usize,
    /// Loopback addresses to connect from: 127.0.0.1 and the ones after it. As many as are needed
    /// when not given.
    #[arg(long, global = true, value_parser = at_least_one)]
    pub(crate) sources: Option<usize>,
    /// JSON on standard output; the table goes to standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl What {
    /// What to measure, in order.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        let fanouts = |listeners: &[usize], waiting: &[u32]| -> Vec<Scenario> {
            let of = |&listeners| {
                waiting.iter().map(move |&waiting| Scenario::Fanout { listeners, waiting })
            };
            listeners.iter().flat_map(of).collect()
        };
        match self {
            Self::Fanout { listeners, waiting } => fanouts(listeners, waiting),
            Self::Latency { listeners, rate } => listeners
                .iter()
                .map(|&listeners| Scenario::Latency { listeners, per_sec: *rate })
                .collect(),
            Self::Idle { connections, own_topics } => connections
                .iter()
                .map(|&connections| Scenario::Idle { connections, own_topics: *own_topics })
                .collect(),
            Self::Connect { connections } => {
                connections.iter().map(|&connections| Scenario::Connect { connections }).collect()
            }
            Self::Storm { listeners, missed } => listeners
                .iter()
                .map(|&listeners| Scenario::Storm { listeners, missed: *missed })
                .collect(),
            &Self::Publish { batch_events: batch, publishers } => {
                vec![Scenario::Publish { batch, publishers }]
            }
            &Self::Replay { events, bytes: payload_bytes } => {
                vec![Scenario::Replay { events, payload_bytes }]
            }
            Self::All { listeners, idle, connections, events } => {
                let mut all = fanouts(listeners, &[1, 16]);
                let first = listeners.first().copied().unwrap_or(1000);
                all.extend([
                    Scenario::Latency { listeners: first, per_sec: 20 },
                    Scenario::Idle { connections: *idle, own_topics: false },
                    Scenario::Idle { connections: *idle, own_topics: true },
                    Scenario::Connect { connections: *connections },
                    Scenario::Storm { listeners: *connections, missed: 20 },
                    Scenario::Publish { batch: 500, publishers: 4 },
                    Scenario::Replay { events: *events, payload_bytes: 256 },
                ]);
                all
            }
            Self::Log { publishers, .. } => {
                publishers.iter().map(|&publishers| Scenario::Log { publishers }).collect()
            }
            Self::FloorServer { .. } => Vec::new(),
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("between 0.01 and 3600 seconds".to_owned()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("a number from 1".to_owned()),
    }
}

fn payload_bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes) if (PAYLOAD_BYTES_MIN..=65_536).contains(&bytes) => Ok(bytes),
        _ => Err(format!("between {PAYLOAD_BYTES_MIN} and 65536 bytes")),
    }
}
