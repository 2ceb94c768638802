//! The machine a run happens on: what it is, which core does what, how many files may be open.
//! Knows nothing of servers.

use std::fs;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Value, json};

/// Descriptors that a run needs besides its listeners.
const DESCRIPTORS_SPARE: u64 = 64;

/// The core of the server under test and the core of the load generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pin {
    /// Where the server runs.
    pub(crate) server: usize,
    /// Where the load generator runs.
    pub(crate) client: usize,
}

impl std::str::FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let cores = text.split_once(',').and_then(|(server, client)| {
            Some(Self { server: server.trim().parse().ok()?, client: client.trim().parse().ok()? })
        });
        cores.ok_or_else(|| "two cores are needed, the server's first, as in 0,1".to_owned())
    }
}

/// Keeps this thread, and every process it starts from here on, to one core.
pub(crate) fn pin_self(core: usize) -> Result<()> {
    pin(None, core)
}

/// Keeps every thread that a process has now to one core.
pub(crate) fn pin_process(process: i32, core: usize) -> Result<()> {
    let tasks = fs::read_dir(format!("/proc/{process}/task"))
        .with_context(|| format!("there is no process {process}"))?;
    for task in tasks.flatten() {
        let id = task.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(thread) = id.and_then(Pid::from_raw) {
            pin(Some(thread), core)?;
        }
    }
    Ok(())
}

fn pin(thread: Option<Pid>, core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    if core >= CpuSet::MAX_CPU {
        bail!("there is no core {core}");
    }
    cores.set(core);
    sched_setaffinity(thread, &cores).with_context(|| {
        let may = sched_getaffinity(None).map_or(0, |cores| cores.count());
        format!("cannot pin to core {core}; this process may use {may} cores")
    })
}

/// Makes room for this many listeners among the files this process, and whatever it starts, may
/// have open.
pub(crate) fn allow_descriptors(listeners: usize) -> Result<()> {
    let wanted = listeners as u64 + DESCRIPTORS_SPARE;
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    // Root may raise the hard limit too; whoever may not, gets all there is.
    let raised = Rlimit { current: Some(wanted), maximum: now.maximum.map(|max| max.max(wanted)) };
    if setrlimit(Resource::Nofile, raised).is_err() {
        let most = now.maximum.unwrap_or(u64::MAX);
        if most < wanted {
            bail!(
                "{listeners} listeners need {wanted} open files and at most {most} are allowed; \
                 ask for fewer, or raise the limit (ulimit -Hn)"
            );
        }
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: now.maximum })
            .context("cannot raise the number of open files")?;
    }
    Ok(())
}

/// Nanoseconds that this thread has run.
pub(crate) fn own_cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// What a reader of the figures must know of the machine.
pub(crate) fn describe() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor = read("/proc/cpuinfo");
    json!({
        "processor": field(&processor, "model name"),
        "cores": processor.lines().filter(|line| line.starts_with("processor")).count(),
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
    })
}
