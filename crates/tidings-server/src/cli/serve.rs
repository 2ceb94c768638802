//! `tidings serve`: one node, until it is told to stop.

use super::source::ConfigArgs;
use crate::app;
use crate::config::Flags;

/// Run a node
///
/// Flags go over TIDINGS_* environment variables, those over the configuration file. SIGHUP reads
/// all of it again, SIGTERM lets streams and requests end and stops.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where to listen, as in 127.0.0.1:4000; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// For trying out: listen on this machine only and make up any missing secret
    #[arg(long)]
    dev: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let flags = Flags { listen: args.listen, token_secret: None };
    let source = args.config.source(flags, args.dev)?;
    let config = source.load()?;
    crate::logging::start();
    app::serve(config, source).await
}
