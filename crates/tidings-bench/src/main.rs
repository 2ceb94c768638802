//! The load generator by itself, to be built and tested without the server. Where a `tidings` lies
//! beside it, that is what it starts when no server is named.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use clap::Parser as _;

    /// Measure a server of event streams.
    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        bench: tidings_bench::BenchArgs,
    }

    let beside = std::env::current_exe().map(|program| program.with_file_name("tidings"));
    let tidings = beside.ok().filter(|binary| binary.is_file());
    let host = tidings_bench::Host {
        floor_arguments: vec!["floor-server".to_owned()],
        server: tidings.map(|binary| tidings_bench::OwnServer::tidings(&binary)),
    };
    tidings_bench::run(Cli::parse().bench, &host).unwrap_or_else(|error| {
        eprintln!("tidings-bench: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("the load generator needs Linux: epoll, timer descriptors and /proc");
    ExitCode::FAILURE
}
