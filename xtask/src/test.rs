//! `cargo xtask test`: runs the table in `steps` from top to bottom, stops at the first step that
//! fails, and ends with one line that counts the tests. Knows no step by name.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::count::{Count, Runner};
use crate::needs::{self, Need};
use crate::processes;
use crate::steps::{Group, Program, STEPS, Step};
use crate::workspace;

pub(crate) fn run(only: Option<Group>) -> Result<ExitCode> {
    processes::watch()?;
    let begun = Instant::now();
    let is_asked_for = |group: &Group| match only {
        Some(only) => *group == only,
        None => group.is_in_every_run(),
    };
    let steps: Vec<&Step> =
        STEPS.iter().filter(|step| step.groups.iter().any(is_asked_for)).collect();

    let mut times: Vec<(&str, Duration)> = Vec::new();
    let mut total = Count::default();
    let mut failure = None;

    announce("needs");
    let meeting = Instant::now();
    if let Err(error) = meet(&steps) {
        failure = Some(("needs", error, only));
    }
    times.push(("needs", meeting.elapsed()));

    for step in steps {
        if failure.is_some() {
            break;
        }
        announce(step.name);
        let started = Instant::now();
        let mut count = Count::default();
        if let Err(error) = take(step, &mut count) {
            failure = Some((step.name, error, step.groups.first().copied()));
        }
        total += count;
        times.push((step.name, started.elapsed()));
    }

    println!("\n{:<12} {:>8}", "step", "seconds");
    for (name, time) in &times {
        println!("{name:<12} {:>8.1}", time.as_secs_f64());
    }
    println!("{:<12} {:>8.1}\n", "all", begun.elapsed().as_secs_f64());
    if total.ignored > 0 {
        println!("{} ignored", total.ignored);
    }
    let Some((name, error, group)) = failure else {
        println!("{} passed, 0 failed", total.passed);
        return Ok(ExitCode::SUCCESS);
    };
    let only = group.map_or(String::new(), |group| format!(" --only {}", group.name()));
    println!("FAILED at {name}: {error:#}");
    println!("again: cargo xtask test{only}");
    println!("{} passed, {} failed", total.passed, total.failed.max(1));
    Ok(ExitCode::FAILURE)
}

fn announce(name: &str) {
    println!("\n── {name}");
}

/// Everything the steps need, each thing once, before the first of them runs.
fn meet(steps: &[&Step]) -> Result<()> {
    let mut met: Vec<Need> = Vec::new();
    for need in steps.iter().flat_map(|step| step.needs) {
        if !met.contains(need) {
            need.meet()?;
            met.push(*need);
        }
    }
    Ok(())
}

/// Runs one step, its output passed on line by line and counted.
fn take(step: &Step, count: &mut Count) -> Result<()> {
    let before = processes::children();
    let mut command = command_of(step)?;
    command.stdin(Stdio::null());
    let Some(runner) = step.counts else {
        let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
        processes::unless_stopping();
        ensure!(status.success(), "{} ended with {status}", shown(step));
        return Ok(());
    };

    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let output = child.stdout.take().expect("the output was asked for");
    // On a thread of its own, because what a test leaves behind may hold the pipe open: the step
    // is over when its own process is.
    let reader = std::thread::spawn(move || pass_on(output, runner));
    let status = child.wait();
    processes::unless_stopping();
    let status = status.context("cannot wait for the step")?;
    let left = processes::lingering(&before);
    processes::end_all_but(&before);
    *count = reader.join().expect("reading does not panic").context("cannot read the output")?;

    ensure!(count.failed == 0, "{} failed", shown(step));
    ensure!(status.success(), "{} ended with {status}", shown(step));
    ensure!(count.passed > 0, "{} ran no test", shown(step));
    let names: Vec<&str> = left.iter().map(|child| child.name.as_str()).collect();
    ensure!(left.is_empty(), "the tests left processes behind: {}", names.join(", "));
    Ok(())
}

fn pass_on(output: impl Read, runner: Runner) -> std::io::Result<Count> {
    let mut count = Count::default();
    let mut screen = std::io::stdout();
    for line in BufReader::new(output).split(b'\n') {
        let mut line = line?;
        count += runner.count(&String::from_utf8_lossy(&line));
        line.push(b'\n');
        // Whoever reads our output may have gone; the step and its verdict go on.
        let _ = screen.write_all(&line);
    }
    Ok(count)
}

fn command_of(step: &Step) -> Result<Command> {
    let mut command = match step.program {
        Program::Cargo => workspace::cargo(),
        Program::Npm(name) => {
            let program = workspace::root().join("node_modules/.bin").join(name);
            let mut command = workspace::command(&program);
            command.env("TIDINGS_BIN", workspace::tidings("debug")?);
            command.envs(needs::chromium().map(|chromium| ("TIDINGS_CHROMIUM", chromium)));
            command
        }
    };
    if !std::io::stdout().is_terminal() {
        command.env("NO_COLOR", "1");
    }
    if std::env::var_os("CI").is_some() {
        // Nothing is built twice there.
        command.env("CARGO_INCREMENTAL", "0");
    }
    command.args(step.arguments).envs(step.environment.iter().copied());
    Ok(command)
}

/// The step as a person would type it.
fn shown(step: &Step) -> String {
    let program = match step.program {
        Program::Cargo => "cargo",
        Program::Npm(name) => name,
    };
    format!("`{program} {}`", step.arguments.join(" "))
}
