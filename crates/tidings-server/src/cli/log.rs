//! `tidings log`: look into the folder of a broker `disk`, also while a node uses it.

use std::path::PathBuf;

use super::output::print_line;
use super::source::ConfigArgs;
use super::{AlreadyTold, UsageError};
use crate::broker::{Inspection, LogStats};
use crate::config::{Broker, Flags};

/// Look into the log of a broker `disk`
///
/// Nothing is locked and nothing is changed, so that a node may go on using the folder.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Say whether all is there that was acknowledged; exit 1 if not, with what is wrong and where
    Verify(FolderArgs),
    /// Say how much there is of what
    Stats(StatsArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct FolderArgs {
    /// The folder; without it, the one that the configuration names
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Verify(args) => verify(args),
        Command::Stats(args) => stats(args),
    }
}

impl FolderArgs {
    fn folder(self) -> anyhow::Result<PathBuf> {
        if let Some(folder) = self.folder {
            return Ok(folder);
        }
        let flags = Flags { listen: Vec::new(), token_secret: None };
        match self.config.source(flags, false)?.load()?.broker {
            Broker::Disk(folder) => Ok(folder),
            Broker::Memory | Broker::Redis(_) | Broker::Nats(_) => {
                let what = "the configuration names no folder; give one with --folder";
                Err(UsageError(what.to_owned()).into())
            }
        }
    }
}

fn verify(args: FolderArgs) -> anyhow::Result<()> {
    let folder = args.folder()?;
    let inspection = Inspection::of(&folder)?;
    let LogStats { segments, events, .. } = inspection.stats();
    let used = if inspection.is_in_use {
        "a node is using it; read as it is now"
    } else {
        "no node is using it"
    };
    let mut lines = vec![format!("{}: {used}", folder.display())];
    let faults = inspection.faults();
    lines.extend(faults.iter().map(|fault| format!("damaged: {fault}")));
    if let Some(place) = inspection.unfinished() {
        lines.push(format!("unfinished: {place}; it was not acknowledged"));
    }
    lines.push(match faults.len() {
        0 => format!("whole: {segments} segments, {events} events"),
        _ => {
            "not whole: a node that starts with it begins a new epoch, keeps what can be read and \
              puts the damaged files aside"
                .to_owned()
        }
    });
    for line in lines {
        let _ = print_line(&line)?;
    }
    if faults.is_empty() { Ok(()) } else { Err(AlreadyTold.into()) }
}

fn stats(args: StatsArgs) -> anyhow::Result<()> {
    let stats = Inspection::of(&args.folder.folder()?)?.stats();
    if args.json {
        let _ = print_line(&serde_json::to_string(&stats)?)?;
        return Ok(());
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let in_use = if stats.in_use { "by a node, now" } else { "no" };
    let rows = [
        ("in use", in_use.to_owned()),
        ("segments", stats.segments.to_string()),
        ("bytes", stats.bytes.to_string()),
        ("events", stats.events.to_string()),
        ("keys", stats.keys.to_string()),
        ("revocations", stats.revocations.to_string()),
        ("writes", stats.writes.to_string()),
        ("first", text(&stats.first)),
        ("last", text(&stats.last)),
        ("oldest", text(&stats.oldest)),
        ("newest", text(&stats.newest)),
    ];
    for (name, value) in rows {
        let _ = print_line(&format!("{name:<12} {value}"))?;
    }
    Ok(())
}
