//! Nothing that a task started may outlive it. Where the system can tell (Linux), this task adopts
//! what its steps orphan, so that a server or browser left behind by a test is found and ended, and
//! a SIGTERM ends the running step too. Knows nothing of what the processes are for.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static STOPPING: AtomicBool = AtomicBool::new(false);

/// A process below this one that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    pid: Pid,
    pub(crate) name: String,
}

/// From here on orphans become ours, and a request to stop ends every process below first.
pub(crate) fn watch() -> Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(getpid()))
        .context("cannot adopt the processes of tests")?;
    let mut signals =
        Signals::new([SIGHUP, SIGINT, SIGTERM]).context("cannot listen for signals")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            STOPPING.store(true, Ordering::SeqCst);
            end_all_but(&[]);
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Returns at once, unless a signal is ending this task: then it waits for that end, so that nobody
/// takes a step that was killed for one that failed.
pub(crate) fn unless_stopping() {
    while STOPPING.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

/// The processes directly below this one, also the dead ones; none where there is no `/proc`.
pub(crate) fn children() -> Vec<Child> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let own = getpid().as_raw_nonzero().get();
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            // pid (name) state parent …; the name may hold spaces and brackets of its own.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (before, after) = stat.rsplit_once(") ")?;
            let name = before.split_once('(')?.1.to_owned();
            let parent = after.split(' ').nth(1)?.parse::<i32>().ok()?;
            (parent == own).then_some(Child { pid: Pid::from_raw(pid)?, name })
        })
        .collect()
}

/// How long an orphan that is about to end by itself (a browser's crash handler) may take to.
const GRACE: Duration = Duration::from_secs(2);

/// How long to go on killing: far more than any process needs that is not stuck in the kernel.
const KILLING: Duration = Duration::from_secs(10);

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The processes below this one, save those named, that do not end by themselves either.
pub(crate) fn lingering(spared: &[Child]) -> Vec<Child> {
    let begun = Instant::now();
    loop {
        let left = buried_but(spared);
        if left.is_empty() || begun.elapsed() > GRACE {
            return left;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Ends every process below this one, save those named. As parents end their children come up, so
/// it looks until there are no more.
pub(crate) fn end_all_but(spared: &[Child]) {
    let begun = Instant::now();
    while begun.elapsed() < KILLING {
        let left = buried_but(spared);
        if left.is_empty() {
            return;
        }
        for child in left {
            // Fails only for a process that has just ended, which is what is wanted.
            let _ = kill_process(child.pid, Signal::KILL);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Buries the dead, and says who is left. The dead count until they are buried: a process of many
/// threads looks dead while its last thread still keeps its children from coming up to us.
fn buried_but(spared: &[Child]) -> Vec<Child> {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    let mut left = children();
    left.retain(|child| !spared.contains(child));
    left
}
