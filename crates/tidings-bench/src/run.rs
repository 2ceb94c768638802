//! A run from start to end: the targets are started, every scenario goes its rounds on each in turn,
//! and what they brought is printed. Knows what is done when; how is in the files it calls.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::args::{BenchArgs, Options, What};
use crate::process::{Processes, Program};
use crate::report::{self, Outcome};
use crate::scenario::{OwnLog, Scenario, Setup, Topics};
use crate::target::{Profile, Speech, Target, Template, address_of};
use crate::token::Minter;
use crate::{floor, machine};

/// What the program that `tidings bench` is part of knows about itself.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The arguments that make this program be the floor: `["bench", "floor-server"]`.
    pub floor_arguments: Vec<String>,
    /// The server to start where no URL is given, and the credentials it is started with.
    pub server: Option<OwnServer>,
}

/// A server that this program can start for a run.
#[derive(Debug, Clone)]
pub struct OwnServer {
    /// How to start it. `{listen}` in an argument is replaced by the address to listen on.
    pub program: Program,
    /// Its API key.
    pub api_key: String,
    /// What it verifies tokens with.
    pub token_secret: Option<String>,
    /// How it keeps a log, if it can.
    pub(crate) log: Option<LogSpeech>,
}

/// A log that a server can be told to keep, and looked into.
#[derive(Debug, Clone)]
pub(crate) struct LogSpeech {
    /// What tells it where; `{folder}` in a value is replaced by the place.
    pub(crate) environment: Vec<(String, String)>,
    /// What prints its counts as JSON; `{folder}` in an argument likewise.
    pub(crate) stats: Vec<String>,
}

/// Measures what the arguments say, and prints it. The exit code is 1 where an event was lost or
/// came twice.
pub fn run(args: BenchArgs, host: &Host) -> Result<ExitCode> {
    if let What::FloorServer { listen } = args.what {
        floor::serve(listen, |address| {
            let mut out = std::io::stdout();
            writeln!(out, "{address}")?;
            out.flush()
        })?;
    }
    let scenarios = args.what.scenarios();
    let options = args.options;
    let mut host = host.clone();
    let log = match &args.what {
        What::Log { folder, .. } if options.url.is_none() => Some(keep_log(&mut host, folder)?),
        _ => None,
    };
    let host = &host;
    let most = scenarios.iter().map(|scenario| scenario.connections()).max().unwrap_or(0);
    machine::allow_descriptors(most)?;
    if let Some(pin) = options.pin {
        ensure!(pin.server != pin.client, "the server and the load generator need a core each");
        machine::pin_self(pin.client)?;
    }
    let mut server = if options.floor_only { None } else { Some(start_server(&options, host)?) };
    let mut floor =
        if options.floor || options.floor_only { Some(start_floor(&options, host)?) } else { None };
    let setup = Setup {
        payload_bytes: options.payload,
        round: Duration::from_secs_f64(options.seconds),
        at_once: options.at_once,
        sources: options.sources,
        topics: Topics::new(),
        log,
    };

    let mut outcomes = Vec::new();
    for scenario in scenarios {
        if options.floor_only && !scenario.has_floor() {
            continue;
        }
        let outcome = measure(scenario, &setup, options.rounds, server.as_mut(), floor.as_mut())
            .with_context(|| scenario.title())?;
        say(&options, &report::table(&outcome))?;
        outcomes.push(outcome);
    }
    say(
        &options,
        "CPU time is the server's, user and kernel; loopback's receive work is part of it.",
    )?;

    let faults: u64 = outcomes.iter().map(Outcome::faults).map(|(l, r)| l + r).sum();
    if options.json {
        let method = json!({
            "rounds": options.rounds,
            "round_secs": options.seconds,
            "pinned": options.pin.map(|pin| json!({ "server_core": pin.server, "client_core": pin.client })),
            "tokens": server.as_ref().is_some_and(Target::mints).then_some("one per subscriber"),
            "cpu": "all threads of the server's processes, user and kernel; loopback's receive work included",
            "memory": "anonymous and shared memory of the server's processes (Pss_Anon + Pss_Shmem); the kernel's sockets not included",
        });
        let runs: Vec<_> = outcomes.iter().map(report::json).collect();
        let document = json!({
            "generator": concat!("tidings-bench ", env!("CARGO_PKG_VERSION")),
            "machine": machine::describe(),
            "method": method,
            "runs": runs,
        });
        writeln!(std::io::stdout(), "{document:#}")?;
    }
    // Before the folder of its log goes.
    drop(server);
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(options: &Options, text: &str) -> Result<()> {
    if options.json {
        writeln!(std::io::stderr(), "{text}")?;
    } else {
        writeln!(std::io::stdout(), "{text}")?;
    }
    Ok(())
}

/// The rounds of one scenario, the server's and the floor's in turn.
fn measure(
    scenario: Scenario,
    setup: &Setup,
    rounds: u32,
    mut server: Option<&mut Target>,
    mut floor: Option<&mut Target>,
) -> Result<Outcome> {
    let payload_bytes = scenario.payload_bytes(setup);
    let mut template = None;
    let mut outcome = Outcome {
        scenario,
        payload_bytes,
        frame_bytes: None,
        server: Vec::new(),
        floor: Vec::new(),
    };
    for _ in 0..rounds {
        if let Some(server) = server.as_deref_mut() {
            let (figures, probe) = scenario.round(setup, server)?;
            outcome.server.push(figures);
            template = Template::learn(&probe).or(template);
        }
        let Some(floor) = floor.as_deref_mut().filter(|_| scenario.has_floor()) else { continue };
        let frame = template.clone().unwrap_or_else(|| Template::usual(payload_bytes));
        floor.speech = Speech::Floor(frame);
        let (figures, _) = scenario.round(setup, floor).context("on the floor")?;
        outcome.floor.push(figures);
    }
    outcome.frame_bytes = template.as_ref().map(Template::bytes);
    Ok(outcome)
}

fn start_server(options: &Options, host: &Host) -> Result<Target> {
    let mut profile = Profile {
        subscribe_path: options.subscribe_path.clone(),
        publish_path: options.publish_path.clone(),
        publish_type: options.publish_type.clone(),
        publish_body: options.publish_body.clone(),
        batch: options.batch,
        headers: options.header.clone(),
        api_key: options.api_key.clone(),
        token: options.token.clone(),
        minter: options.token_secret.as_deref().map(Minter::new),
    };
    let Some(url) = &options.url else {
        let Some(own) = &host.server else { bail!("which server? name it with --url") };
        let address = free_address()?;
        let mut program = own.program.clone();
        for argument in &mut program.command {
            *argument = argument.replace("{listen}", &address.to_string());
        }
        profile.api_key = Some(own.api_key.clone());
        profile.minter = own.token_secret.as_deref().map(Minter::new);
        profile.token = None;
        let processes = Processes::start(program, address, options.pin)?;
        return Ok(Target { address, processes, speech: Speech::Server(Box::new(profile)) });
    };
    let address = address_of(url, options.yes_remote)?;
    let processes = if let Some(command) = &options.spawn {
        let command = ["sh", "-c", &format!("exec {command}")].map(str::to_owned).to_vec();
        let program = Program { command, environment: Vec::new() };
        Processes::start(program, address, options.pin)?
    } else {
        ensure!(
            !options.pid.is_empty(),
            "name the server's process with --pid, or have it started with --spawn, so that its CPU \
             time and memory can be read"
        );
        Processes::running(options.pid.clone(), options.pin)?
    };
    Ok(Target { address, processes, speech: Speech::Server(Box::new(profile)) })
}

fn start_floor(options: &Options, host: &Host) -> Result<Target> {
    let address = free_address()?;
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    let mut command = vec![program.to_string_lossy().into_owned()];
    command.extend(host.floor_arguments.iter().cloned());
    command.extend(["--listen".to_owned(), address.to_string()]);
    let program = Program { command, environment: Vec::new() };
    let processes = Processes::start(program, address, options.pin).context("the floor")?;
    Ok(Target { address, processes, speech: Speech::Floor(Template::usual(options.payload)) })
}

/// Has the server that is started keep a log in a folder of its own.
fn keep_log(host: &mut Host, within: &Path) -> Result<OwnLog> {
    let server = host.server.as_mut().context("there is no server to start")?;
    let speech = server.log.clone().context("the server cannot keep a log")?;
    let folder = within.join(format!("tidings-bench-{}", std::process::id()));
    std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let fill = |text: &String| text.replace("{folder}", &folder.to_string_lossy());
    let variables = speech.environment.iter().map(|(name, value)| (name.clone(), fill(value)));
    server.program.environment.extend(variables);
    let stats = speech.stats.iter().map(fill).collect();
    Ok(OwnLog { folder, stats })
}

/// An address that nobody listens on now. Somebody else might take it in between; then the server
/// says so, and the run begins again.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("there is no free port")?;
    listener.local_addr().context("a bound socket has no address")
}
