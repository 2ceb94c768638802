//! `tidings config`: what a node would run with, without running it.

use std::io::{self, Write};

use super::source::ConfigArgs;
use crate::config::{Flags, default_document, schema};

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
    },
    /// Print a configuration file with every setting at its default, explained
    Default,
    /// Print the JSON Schema of the configuration file
    Schema,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match command {
        Command::Check { config, dev } => {
            let source = config.source(Flags::default(), dev)?;
            source.load()?;
            match source.file() {
                Some(file) => writeln!(stdout, "{} is fine", file.display())?,
                None => writeln!(stdout, "the configuration is fine")?,
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
