//! The processes of a server: starting and ending it, its CPU time and its memory as `/proc` tells
//! them. Knows nothing of what the server does.
//!
//! CPU time is that of all threads of the process and its children. Over loopback the kernel does
//! the receiver's share of TCP within the sender's `send()`, so it is in there too.

use std::collections::HashMap;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::machine::{self, Pin};

const LOOK_EVERY: Duration = Duration::from_millis(100);
const START_WITHIN: Duration = Duration::from_secs(20);
const END_WITHIN: Duration = Duration::from_secs(20);
/// A server is at rest when it takes less than this of a `LOOK_EVERY`.
const AT_REST_NS: u64 = 3_000_000;
const REST_WITHIN: Duration = Duration::from_secs(15);

/// How to start a server.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables it is started with beside our own.
    pub environment: Vec<(String, String)>,
}

/// A server's processes.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    /// The given ones; their children are found whenever something is measured.
    roots: Vec<i32>,
    started: Option<Started>,
    /// The CPU time last seen of each thread, so that one that ends is not forgotten.
    seen_ns: HashMap<i32, u64>,
}

#[derive(Debug)]
struct Started {
    child: Child,
    program: Program,
    address: SocketAddr,
    pin: Option<Pin>,
}

impl Processes {
    /// Processes that run already, and stay.
    pub(crate) fn running(roots: Vec<i32>, pin: Option<Pin>) -> Result<Self> {
        let mut processes = Self { roots, ..Self::default() };
        processes.cpu_ns()?;
        if let Some(pin) = pin {
            for process in processes.all() {
                machine::pin_process(process, pin.server)?;
            }
        }
        Ok(processes)
    }

    /// Starts a server and waits until it accepts connections.
    pub(crate) fn start(program: Program, address: SocketAddr, pin: Option<Pin>) -> Result<Self> {
        if TcpStream::connect_timeout(&address, LOOK_EVERY).is_ok() {
            bail!("something listens on {address} already; name its processes with --pid");
        }
        Self::begin(program, address, pin, Stdio::inherit())
    }

    fn begin(
        program: Program,
        address: SocketAddr,
        pin: Option<Pin>,
        errors: Stdio,
    ) -> Result<Self> {
        let mut child = spawn(&program, pin, errors)?;
        let begun = Instant::now();
        while TcpStream::connect_timeout(&address, LOOK_EVERY).is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("the server ended ({status}) before it listened on {address}");
            }
            if begun.elapsed() > START_WITHIN {
                end(&mut child);
                bail!("the server does not listen on {address} after {START_WITHIN:?}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let roots = vec![pid(&child)];
        let started = Some(Started { child, program, address, pin });
        Ok(Self { roots, started, ..Self::default() })
    }

    /// Starts the server anew, so that its memory is that of a fresh process. Says whether it
    /// could: one that we did not start stays as it is.
    pub(crate) fn restart(&mut self) -> Result<bool> {
        let Some(started) = self.started.take() else { return Ok(false) };
        let (program, address, pin) = (started.program.clone(), started.address, started.pin);
        drop(started);
        // What it has to say it has said the first time.
        *self = Self::begin(program, address, pin, Stdio::null())?;
        Ok(true)
    }

    /// Nanoseconds of CPU time taken so far. Only differences mean something.
    pub(crate) fn cpu_ns(&mut self) -> Result<u64> {
        for (thread, ns) in self.of_each(threads)?.into_iter().flatten() {
            self.seen_ns.insert(thread, ns);
        }
        Ok(self.seen_ns.values().sum())
    }

    /// Bytes of memory that is not a file: the processes' own, and their part of what they share.
    pub(crate) fn memory_bytes(&self) -> Result<u64> {
        Ok(self.of_each(memory_of)?.into_iter().sum())
    }

    /// What there is to read of each process. Children may end meanwhile; the given ones may not.
    fn of_each<T>(&self, read: fn(i32) -> Result<T>) -> Result<Vec<T>> {
        let mut all = Vec::new();
        for process in self.all() {
            match read(process) {
                Err(error) if self.roots.contains(&process) => {
                    return Err(error).context("is the server still running?");
                }
                other => all.extend(other),
            }
        }
        Ok(all)
    }

    /// Waits until the server does next to nothing, so that one measurement's work is not in the
    /// next. A server that is never at rest is measured nonetheless.
    pub(crate) fn wait_for_rest(&mut self) -> Result<()> {
        let begun = Instant::now();
        let mut before = self.cpu_ns()?;
        while begun.elapsed() < REST_WITHIN {
            std::thread::sleep(LOOK_EVERY);
            let now = self.cpu_ns()?;
            if now.saturating_sub(before) < AT_REST_NS {
                return Ok(());
            }
            before = now;
        }
        Ok(())
    }

    /// The given processes and all below them.
    fn all(&self) -> Vec<i32> {
        let parents = parents();
        let mut all = self.roots.clone();
        let mut at = 0;
        while let Some(&process) = all.get(at) {
            all.extend(parents.iter().filter(|(_, parent)| *parent == process).map(|(id, _)| id));
            at += 1;
        }
        all
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn spawn(program: &Program, pin: Option<Pin>, errors: Stdio) -> Result<Child> {
    let (name, arguments) =
        program.command.split_first().context("there is no command to start")?;
    // A process inherits its parent's cores; set before it starts, so that it also counts one core
    // when it decides on its threads.
    if let Some(pin) = pin {
        machine::pin_self(pin.server)?;
    }
    let child = Command::new(name)
        .args(arguments)
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .with_context(|| format!("cannot start {name}"));
    if let Some(pin) = pin {
        machine::pin_self(pin.client)?;
    }
    child
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).expect("process ids are below 2^22")
}

/// Asks first; a server that does not listen is killed.
fn end(child: &mut Child) {
    if let Some(process) = Pid::from_raw(pid(child)) {
        // Fails only where it has ended already.
        let _ = kill_process(process, Signal::INT);
    }
    let begun = Instant::now();
    while begun.elapsed() < END_WITHIN {
        if let Ok(Some(_)) = child.try_wait() {
            return;
        }
        std::thread::sleep(LOOK_EVERY / 4);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Every process and its parent.
fn parents() -> Vec<(i32, i32)> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let of = |entry: fs::DirEntry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // pid (name) state parent …; the name may hold spaces and brackets of its own.
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        Some((process, parent))
    };
    processes.flatten().filter_map(of).collect()
}

fn memory_of(process: i32) -> Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kib = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    };
    Ok((kib("Pss_Anon:") + kib("Pss_Shmem:")) * 1024)
}

/// The threads of a process and the nanoseconds each has run.
fn threads(process: i32) -> Result<Vec<(i32, u64)>> {
    let tasks = fs::read_dir(format!("/proc/{process}/task"))
        .with_context(|| format!("the server's process {process} is not there"))?;
    let of = |task: fs::DirEntry| {
        let thread = task.file_name().to_str()?.parse().ok()?;
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        Some((thread, text.split(' ').next()?.parse().ok()?))
    };
    Ok(tasks.flatten().filter_map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_and_memory_of_a_process_are_seen() {
        let own = i32::try_from(std::process::id()).expect("process ids are below 2^22");
        let mut processes = Processes::running(vec![own], None).expect("we are running");
        let before = processes.cpu_ns().expect("our own /proc");
        let begun = Instant::now();
        while processes.cpu_ns().expect("our own /proc") < before + 20_000_000 {
            assert!(begun.elapsed() < Duration::from_secs(30), "busy, and no time passes");
        }
        let memory = processes.memory_bytes().expect("our own /proc");
        let filled = vec![1_u8; 32 << 20];
        let more = processes.memory_bytes().expect("our own /proc");
        assert!(more >= memory + filled.len() as u64 * 9 / 10, "{memory} then {more}");
    }

    #[test]
    fn a_server_that_does_not_start_is_named() {
        let program = Program { command: vec!["false".to_owned()], environment: Vec::new() };
        let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = unused.local_addr().expect("bound");
        drop(unused);
        let error = Processes::start(program, address, None).expect_err("it ends at once");
        assert!(error.to_string().contains("before it listened"), "{error:#}");
    }
}
