//! `tidings config`: what a node would run with, without running it, and whether its alerts arrive.

use std::io::{self, Write};

use anyhow::ensure;

use super::source::ConfigArgs;
use crate::alerts;
use crate::config::{self, Flags, default_document, schema};

/// Check and explain the configuration
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Say whether a node could start with this configuration, and everything that is wrong
    Check {
        #[command(flatten)]
        config: ConfigArgs,
        /// Check it as for `serve --dev`
        #[arg(long)]
        dev: bool,
        /// Send a test alert to every target, and say for each whether it arrived
        #[arg(long)]
        send_test_alert: bool,
    },
    /// Print a configuration file with every setting at its default, explained
    Default,
    /// Print the JSON Schema of the configuration file
    Schema,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match command {
        Command::Check { config, dev, send_test_alert } => {
            let source = config.source(Flags::default(), dev)?;
            let loaded = source.load()?;
            match source.file() {
                Some(file) => writeln!(stdout, "{} is fine", file.display())?,
                None => writeln!(stdout, "the configuration is fine")?,
            }
            if send_test_alert {
                test_alerts(&loaded.alerts, &mut stdout)?;
            }
        }
        Command::Default => stdout.write_all(default_document().as_bytes())?,
        Command::Schema => {
            serde_json::to_writer_pretty(&mut stdout, &schema())?;
            writeln!(stdout)?;
        }
    }
    Ok(stdout.flush()?)
}

/// Sends one to every target, and tells what came of each.
fn test_alerts(settings: &config::Alerts, out: &mut impl Write) -> anyhow::Result<()> {
    crate::logging::start();
    let outcomes = super::block_on(async { Ok(alerts::send_test(settings).await?) })?;
    ensure!(!outcomes.is_empty(), "there is nobody to send an alert to");
    for (target, outcome) in &outcomes {
        match outcome {
            Ok(()) => writeln!(out, "{target}: the test alert arrived")?,
            Err(error) => writeln!(out, "{target}: the test alert did not arrive: {error}")?,
        }
    }
    let failed = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).count();
    ensure!(failed == 0, "the test alert did not arrive at {failed} of {}", outcomes.len());
    Ok(())
}
