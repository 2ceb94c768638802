//! How many events a durable log takes, one in a request, from publishers that wait for each answer;
//! and how many a bare loop would, that appends as many bytes to a file as often and has each on the
//! disk. Both in the same folder, one after the other.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Run, publish};
use crate::figures::{self, Figures};

/// Where the server keeps its log, and how it says how much there is.
#[derive(Debug)]
pub(crate) struct OwnLog {
    /// What is in it is removed after the run.
    pub(crate) folder: PathBuf,
    /// The command that prints the counts of the log as JSON.
    pub(crate) stats: Vec<String>,
}

/// What was written so far.
#[derive(Clone, Copy, Debug)]
struct Written {
    writes: u64,
    bytes: u64,
    events: u64,
}

impl OwnLog {
    fn written(&self) -> Result<Written> {
        let (program, arguments) = self.stats.split_first().context("there is no command")?;
        let output = Command::new(program).args(arguments).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the log cannot be counted: {errors}");
        let stats: Value = serde_json::from_slice(&output.stdout)?;
        let count = |name: &str| stats[name].as_u64().with_context(|| format!("no {name}"));
        Ok(Written { writes: count("writes")?, bytes: count("bytes")?, events: count("events")? })
    }

    /// Appends so many bytes so often, each time until they are on the disk; the seconds that takes.
    fn append_barely(&self, bytes: usize, writes: u64) -> Result<f64> {
        let path = self.folder.join("bare");
        let mut file = File::create(&path)?;
        let batch = vec![b'x'; bytes];
        let begun = Instant::now();
        for _ in 0..writes {
            file.write_all(&batch)?;
            file.sync_data()?;
        }
        let secs = begun.elapsed().as_secs_f64();
        std::fs::remove_file(path)?;
        Ok(secs)
    }
}

impl Drop for OwnLog {
    fn drop(&mut self) {
        // What is left is in the way of nothing.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(super) fn round(mut run: Run<'_>, publishers: usize) -> Result<Figures> {
    let log = run.setup.log.as_ref().context("this needs a server of our own; leave --url out")?;
    let before = log.written()?;
    let (events, taken) = publish::load(&mut run, 1, publishers)?;
    let after = log.written()?;
    ensure!(after.events - before.events == events, "the log has not what was published");
    let writes = (after.writes - before.writes).max(1);
    let bytes = usize::try_from((after.bytes - before.bytes) / writes)?;
    let bare_secs = log.append_barely(bytes, writes)?;

    let events = figures::real(events);
    let mut figures = Figures::default();
    figures.add(figures::EVENTS, events / taken.secs);
    figures.add(figures::BARE_EVENTS, events / bare_secs);
    figures.add(figures::TO_BARE, bare_secs / taken.secs);
    figures.add(figures::PER_WRITE, events / figures::real(writes));
    figures.add(figures::CPU_PER_EVENT, taken.server_ns / events);
    figures.add(figures::CLIENT_BUSY, taken.client_busy);
    Ok(figures)
}
