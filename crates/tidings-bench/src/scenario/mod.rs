//! What can be measured. Each scenario does one round on one target in a file of its own; this one
//! holds what they share: connecting, publishing and being sure that all listen before it counts.

mod connect;
mod fanout;
mod idle;
mod latency;
mod log;
mod publish;
mod replay;
mod storm;

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::figures::{self, Figures};
use crate::machine;
use crate::swarm::{PER_SOURCE, Swarm};
use crate::target::{Events, Target, Wish};
pub(crate) use log::OwnLog;

/// How often an event is published before the listeners that still miss it are an error.
const WARM_UPS_MAX: u32 = 10;
const WARM_UP_WITHIN: Duration = Duration::from_secs(3);
const TURN: Duration = Duration::from_millis(50);

/// One thing to measure, with its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    Fanout { listeners: usize, waiting: u32 },
    Latency { listeners: usize, per_sec: u32 },
    Idle { connections: usize, own_topics: bool },
    Connect { connections: usize },
    Storm { listeners: usize, missed: u32 },
    Publish { batch: u32, publishers: usize },
    Replay { events: u32, payload_bytes: usize },
    Log { publishers: usize },
}

/// What holds for every round of a run.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) payload_bytes: usize,
    /// How long one round of a scenario that has no end of its own takes.
    pub(crate) round: Duration,
    /// Streams that may wait for their response head at a time.
    pub(crate) at_once: usize,
    /// Loopback addresses to connect from; as many as are needed when not given.
    pub(crate) sources: Option<usize>,
    pub(crate) topics: Topics,
    /// The log of a server of our own, where its server has one.
    pub(crate) log: Option<OwnLog>,
}

/// Topics that no earlier round, and no earlier run, has published to.
#[derive(Debug)]
pub(crate) struct Topics {
    run: u32,
    round: Cell<u32>,
}

impl Topics {
    pub(crate) fn new() -> Self {
        Self { run: fastrand::u32(..), round: Cell::new(0) }
    }

    fn next(&self) -> String {
        self.round.set(self.round.get() + 1);
        format!("bench/{:08x}/{}", self.run, self.round.get())
    }
}

impl Scenario {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fanout { .. } => "fanout",
            Self::Latency { .. } => "latency",
            Self::Idle { .. } => "idle",
            Self::Connect { .. } => "connect",
            Self::Storm { .. } => "storm",
            Self::Publish { .. } => "publish",
            Self::Replay { .. } => "replay",
            Self::Log { .. } => "log",
        }
    }

    pub(crate) fn title(self) -> String {
        match self {
            Self::Fanout { listeners, waiting: 1 } => {
                format!("fanout: {listeners} listeners, one event in flight")
            }
            Self::Fanout { listeners, waiting } => {
                format!("fanout: {listeners} listeners, {waiting} events waiting")
            }
            Self::Latency { listeners, per_sec } => {
                format!("latency: {per_sec} events/s to {listeners} listeners")
            }
            Self::Idle { connections, own_topics: true } => {
                format!("idle: {connections} connections, each its own user and topic")
            }
            Self::Idle { connections, own_topics: false } => {
                format!("idle: {connections} connections, one topic")
            }
            Self::Connect { connections } => format!("connect: {connections} connections"),
            Self::Storm { listeners, missed } => {
                format!("storm: {listeners} resume, {missed} events missed each")
            }
            Self::Publish { batch, publishers } => {
                format!("publish: batches of {batch} on {publishers} connections, no listeners")
            }
            Self::Replay { events, payload_bytes } => {
                format!("replay: {events} events of {payload_bytes} bytes to one reader")
            }
            Self::Log { publishers } => {
                format!("log: one event a request on {publishers} connections, each on the disk")
            }
        }
    }

    pub(crate) fn parameters(self) -> Value {
        match self {
            Self::Fanout { listeners, waiting } => {
                json!({ "listeners": listeners, "waiting": waiting })
            }
            Self::Latency { listeners, per_sec } => {
                json!({ "listeners": listeners, "events_per_sec": per_sec })
            }
            Self::Idle { connections, own_topics } => {
                json!({ "connections": connections, "own_topics": own_topics })
            }
            Self::Connect { connections } => json!({ "connections": connections }),
            Self::Storm { listeners, missed } => {
                json!({ "listeners": listeners, "missed": missed })
            }
            Self::Publish { batch, publishers } => {
                json!({ "batch": batch, "publishers": publishers })
            }
            Self::Replay { events, payload_bytes } => {
                json!({ "events": events, "payload_bytes": payload_bytes })
            }
            Self::Log { publishers } => json!({ "publishers": publishers }),
        }
    }

    /// Streams that are open at a time.
    pub(crate) fn connections(self) -> usize {
        match self {
            Self::Fanout { listeners, .. }
            | Self::Latency { listeners, .. }
            | Self::Storm { listeners, .. } => listeners,
            Self::Idle { connections, .. } | Self::Connect { connections } => connections,
            Self::Publish { publishers, .. } | Self::Log { publishers } => publishers,
            Self::Replay { .. } => 1,
        }
    }

    /// Bytes of each event's payload.
    pub(crate) fn payload_bytes(self, setup: &Setup) -> usize {
        match self {
            Self::Replay { payload_bytes, .. } => payload_bytes,
            _ => setup.payload_bytes,
        }
    }

    /// Whether the floor has an equal of it. It has none of publishing: it does not read events.
    pub(crate) fn has_floor(self) -> bool {
        !matches!(self, Self::Publish { .. } | Self::Log { .. })
    }

    /// One round. `target` is at rest before and after it.
    pub(crate) fn round(self, setup: &Setup, target: &mut Target) -> Result<(Figures, Vec<u8>)> {
        if matches!(self, Self::Idle { .. }) && !target.processes.restart()? {
            eprintln!(
                "the server is not restarted for each round: memory freed before is not counted again"
            );
        }
        target.processes.wait_for_rest()?;
        let mut swarm = Swarm::new(target.address, setup.sources_for(self.connections()))?;
        let run = Run { setup, target, swarm: &mut swarm, topic: setup.topics.next() };
        let figures = match self {
            Self::Fanout { listeners, waiting } => fanout::round(run, listeners, waiting),
            Self::Latency { listeners, per_sec } => latency::round(run, listeners, per_sec),
            Self::Idle { connections, own_topics } => idle::round(run, connections, own_topics),
            Self::Connect { connections } => connect::round(run, connections),
            Self::Storm { listeners, missed } => storm::round(run, listeners, missed),
            Self::Publish { batch, publishers } => publish::round(run, batch, publishers),
            Self::Replay { events, payload_bytes } => replay::round(run, events, payload_bytes),
            Self::Log { publishers } => log::round(run, publishers),
        }?;
        let probe = std::mem::take(&mut swarm.seen.probe);
        drop(swarm);
        target.processes.wait_for_rest()?;
        Ok((figures, probe))
    }
}

impl Setup {
    fn sources_for(&self, connections: usize) -> usize {
        self.sources.unwrap_or(connections.div_ceil(PER_SOURCE)).max(1)
    }
}

/// One round in progress.
struct Run<'a> {
    setup: &'a Setup,
    target: &'a mut Target,
    swarm: &'a mut Swarm,
    topic: String,
}

impl Run<'_> {
    /// Opens streams of the run's topic, each a user of its own.
    fn connect(&mut self, connections: usize) -> Result<()> {
        self.resume(connections, None, None)
    }

    /// Opens streams that go on after an id, and hear `next` first.
    fn resume(
        &mut self,
        connections: usize,
        last_event_id: Option<&str>,
        next: Option<u32>,
    ) -> Result<()> {
        let requests = self.requests(connections, last_event_id);
        self.open(requests, next)
    }

    fn requests(&self, connections: usize, last_event_id: Option<&str>) -> Vec<Vec<u8>> {
        let request = |number: usize| {
            let user = format!("bench-{number}");
            let wish = Wish { topic: &self.topic, user: &user, last_event_id };
            self.target.subscribe_request(wish)
        };
        (0..connections).map(request).collect()
    }

    fn open(&mut self, requests: Vec<Vec<u8>>, next: Option<u32>) -> Result<()> {
        self.swarm.connect(requests, self.setup.at_once, next)
    }

    /// Publishes on one connection; the answers come later.
    fn publish(
        &mut self,
        publisher: usize,
        first_sequence: u32,
        count: u32,
        meant_at_ns: u64,
    ) -> Result<()> {
        let payload_bytes = self.setup.payload_bytes;
        self.publish_sized(
            publisher,
            Events {
                topic: &self.topic.clone(),
                first_sequence,
                count,
                meant_at_ns,
                payload_bytes,
            },
        )
    }

    fn publish_sized(&mut self, publisher: usize, events: Events<'_>) -> Result<()> {
        let mut bytes = Vec::new();
        let answers = self.target.publish_request(events, &mut bytes);
        let publisher = self.swarm.publishers.get_mut(publisher).context("there is a publisher")?;
        publisher.ask(answers, |out| out.extend_from_slice(&bytes))
    }

    /// Publishes until every listener is seen to listen, and to have heard the same; the sequence
    /// number that comes next. Some servers answer a subscriber before it is one.
    fn warm_up(&mut self) -> Result<u32> {
        self.swarm.add_publisher()?;
        for sequence in 1..=WARM_UPS_MAX {
            let now_ns = self.swarm.now_ns();
            self.publish(0, sequence, 1, now_ns)?;
            let begun = Instant::now();
            while begun.elapsed() < WARM_UP_WITHIN {
                self.swarm.turn(TURN)?;
                if self.swarm.publishers[0].is_idle() && self.swarm.all_expect(sequence + 1) {
                    self.target.processes.wait_for_rest()?;
                    return Ok(sequence + 1);
                }
            }
        }
        ensure!(self.swarm.publishers[0].answered > 0, "the server does not answer a publish");
        anyhow::bail!(
            "not every listener hears what is published; do --subscribe-path, --publish-path and \
             --publish-body mean the same topic?"
        )
    }

    /// Reads on for a moment, so that what comes twice is seen.
    fn linger(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < 2 * TURN {
            self.swarm.turn(TURN)?;
        }
        Ok(())
    }

    fn watch(&mut self) -> Result<Watch> {
        Ok(Watch {
            server_ns: self.target.processes.cpu_ns()?,
            client_ns: machine::own_cpu_ns(),
            begun: Instant::now(),
        })
    }

    /// What was taken since the watch began.
    fn taken(&mut self, watch: &Watch) -> Result<Taken> {
        let wall = watch.begun.elapsed();
        let client_ns = machine::own_cpu_ns().saturating_sub(watch.client_ns);
        let server_ns = self.target.processes.cpu_ns()?.saturating_sub(watch.server_ns);
        Ok(Taken {
            secs: wall.as_secs_f64(),
            server_ns: figures::real(server_ns),
            client_busy: figures::real(client_ns) / 1e7 / wall.as_secs_f64(),
        })
    }
}

/// The clocks at the beginning of a measurement.
struct Watch {
    server_ns: u64,
    client_ns: u64,
    begun: Instant,
}

/// What a measurement took.
struct Taken {
    secs: f64,
    server_ns: f64,
    /// Percent of the time that the load generator was running.
    client_busy: f64,
}
