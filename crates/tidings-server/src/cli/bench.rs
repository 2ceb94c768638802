//! `tidings bench`: a load for this server, or for another, and the floor to measure it against.

use std::process::ExitCode;

use anyhow::Context;
use tidings_bench::{Host, OwnServer};

pub(crate) use tidings_bench::BenchArgs as Args;

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let binary = std::env::current_exe().context("where this binary is cannot be found out")?;
    let host = Host {
        floor_arguments: vec!["bench".into(), "floor-server".into()],
        server: Some(OwnServer::tidings(&binary)),
    };
    let verdict = tidings_bench::run(args, &host)?;
    anyhow::ensure!(verdict == ExitCode::SUCCESS, "events were lost or repeated; see above");
    Ok(())
}
