//! The command line: one file per command, and which exit code what went wrong becomes.
//!
//! Data goes to stdout, everything else to stderr. What the commands do is theirs.

#[cfg(target_os = "linux")]
mod bench;
mod completions;
mod config;
mod doctor;
mod hub_args;
mod listen;
mod log;
mod output;
mod publish;
mod serve;
mod source;
mod stdin_lines;
mod style;
mod token;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::ConfigErrors;

/// The command did what it was asked to.
const EXIT_DONE: u8 = 0;
/// It did not, for a reason that it told.
const EXIT_FAILED: u8 = 1;
/// It could not make sense of its arguments; clap exits with it too.
const EXIT_USAGE: u8 = 2;
/// The configuration is wrong: `EX_CONFIG` of sysexits.h.
const EXIT_CONFIG: u8 = 78;

/// Live updates for the users of an application: its servers publish events, its users see them
/// at once.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Publish(publish::PublishArgs),
    Listen(listen::ListenArgs),
    Doctor(doctor::DoctorArgs),
    #[command(subcommand)]
    Token(Box<token::Command>),
    #[command(subcommand)]
    Config(config::Command),
    #[command(subcommand)]
    Log(log::Command),
    #[cfg(target_os = "linux")]
    Bench(Box<bench::Args>),
    Completions(completions::Args),
}

/// A command line that parses but makes no sense: exit code 2, as for one that does not parse.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// A command that did not do what it was asked to, and has said so itself.
#[derive(Debug, thiserror::Error)]
#[error("it was told")]
pub(crate) struct AlreadyTold;

/// Parses the process's arguments, runs the command and tells what went wrong.
pub fn main() -> ExitCode {
    // Exits by itself with 2 on wrong usage, and with 0 after `--help`.
    let cli = Cli::parse();
    let Err(error) = run(cli.command) else { return EXIT_DONE.into() };
    if is_broken_pipe(&error) {
        // Whoever read our output has read enough, as in `tidings listen | head`.
        return EXIT_DONE.into();
    }
    if error.is::<AlreadyTold>() {
        return EXIT_FAILED.into();
    }
    // Nothing is left to do about a stderr that cannot be written to.
    let _ = writeln!(io::stderr(), "tidings: {error:#}");
    exit_code(&error).into()
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => block_on(serve::run(args)),
        Command::Publish(args) => block_on(publish::run(args)),
        Command::Listen(args) => block_on(listen::run(args)),
        Command::Doctor(args) => block_on(doctor::run(args)),
        Command::Token(command) => token::run(*command),
        Command::Config(command) => config::run(command),
        Command::Log(command) => log::run(command),
        #[cfg(target_os = "linux")]
        Command::Bench(args) => bench::run(*args),
        Command::Completions(args) => completions::run(&args),
    }
}

fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigErrors>() {
        EXIT_CONFIG
    } else if error.is::<UsageError>() {
        EXIT_USAGE
    } else {
        EXIT_FAILED
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
