//! The project's own tasks, run as `cargo xtask <task>`. This file reads the command line and
//! nothing else; what a task does is in the file of its name. Needs Rust alone: whatever else a
//! task wants, it installs or asks for by name.
#![allow(clippy::print_stdout, reason = "a task talks to the person who started it")]

#[cfg(not(unix))]
compile_error!("the tasks run on Linux and macOS; on Windows, use them inside WSL");

mod bench_peers;
mod count;
mod needs;
mod processes;
mod serve;
mod steps;
mod test;
mod workspace;

use std::process::ExitCode;

use steps::Group;

const USAGE: &str = "\
Usage: cargo xtask <task>

  serve [--release] [arguments…]     build and run `tidings serve --dev` with these arguments
  test [--only rust|web|lint]        install what the tests need, then run all of them
  test --only traces                 the feature `otlp`, which takes minutes to build and is not in the
                                     others
  bench-peers [arguments…]           measure Tidings beside nchan and better-sse; the arguments go to
                                     the load generator, as in --pin --rounds=5";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["serve", rest @ ..] => serve::run(rest),
        ["bench-peers", rest @ ..] => bench_peers::run(rest),
        ["test"] => test::run(None),
        ["test", "--only", group] => match Group::parse(group) {
            Some(group) => test::run(Some(group)),
            None => return misused(&format!("there is no group of tests named `{group}`")),
        },
        ["help" | "-h" | "--help"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [] => return misused("which task?"),
        other => return misused(&format!("`{}` is not a task", other.join(" "))),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn misused(why: &str) -> ExitCode {
    eprintln!("xtask: {why}\n\n{USAGE}");
    ExitCode::from(2)
}
