//! `cargo xtask serve`: builds the dashboard and the server, then becomes it. Becoming (exec) rather than starting
//! means that Ctrl-C, SIGTERM and SIGHUP reach the server itself and no wrapper is left between.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::needs::Need;
use crate::workspace;

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let release = arguments.contains(&"--release");
    let passed_on = arguments.iter().filter(|argument| **argument != "--release");

    if !build_dashboard()? {
        return Ok(ExitCode::FAILURE);
    }
    let mut build = workspace::cargo();
    // Of the whole workspace, as the tests build it: chosen alone, the package would get other
    // features of shared dependencies, and each task would rebuild what the other had built.
    build.args(["build", "--workspace", "--bin", "tidings"]);
    if release {
        build.args(["--release", "--features", "tidings-server/jemalloc"]);
    }
    if !build.status().context("cannot start cargo")?.success() {
        return Ok(ExitCode::FAILURE);
    }

    // The server starts in the folder the person is in, so that `--config` means what they typed.
    let binary = workspace::tidings(if release { "release" } else { "debug" })?;
    let error = Command::new(&binary).args(["serve", "--dev"]).args(passed_on).exec();
    Err(error).with_context(|| format!("cannot run {}", binary.display()))
}

/// Whether one may go on. Whoever has no Node.js gets a server all the same; it says at `/admin` what
/// it lacks.
fn build_dashboard() -> Result<bool> {
    if let Err(error) = Need::NodeModules.meet() {
        eprintln!("xtask: going on without the dashboard: {error:#}");
        return Ok(true);
    }
    let vite = workspace::root().join("node_modules/.bin/vite");
    let mut build = workspace::command(vite);
    build.args(["build", "dashboard", "--logLevel", "warn"]);
    Ok(build.status().context("cannot start vite")?.success())
}
