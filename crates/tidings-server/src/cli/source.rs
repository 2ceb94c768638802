//! From arguments and the process's environment to a [`ConfigSource`].

use std::path::PathBuf;

use anyhow::Context;

use crate::config::{ConfigSource, DevSecrets, Flags};

/// The argument all commands share that read a configuration.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    /// The configuration file; without it, defaults and environment alone
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// The source of these arguments, these flags and this process's environment. With `dev`,
    /// secrets are made up at random.
    pub(super) fn source(self, flags: Flags, dev: bool) -> anyhow::Result<ConfigSource> {
        let secrets = dev.then(random::<64>).transpose()?;
        let secrets = secrets.as_ref().map(DevSecrets::from_random);
        Ok(ConfigSource::new(self.config, flags, std::env::vars_os(), secrets))
    }
}

/// Bytes nobody can guess.
pub(super) fn random<const BYTES: usize>() -> anyhow::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).context("the system gives no random numbers")?;
    Ok(bytes)
}
