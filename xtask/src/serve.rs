//! `cargo xtask serve`: builds the server, then becomes it. Becoming (exec) rather than starting
//! means that Ctrl-C, SIGTERM and SIGHUP reach the server itself and no wrapper is left between.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::workspace;

pub(crate) fn run(arguments: &[&str]) -> Result<ExitCode> {
    let release = arguments.contains(&"--release");
    let passed_on = arguments.iter().filter(|argument| **argument != "--release");

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
