//! Where things are: the repository, cargo, the folder cargo builds into. Knows no task.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The repository's top folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies one folder below the root")
}

/// A command in the repository, with the cargo that runs this task.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A command in the repository.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The `tidings` binary of a profile. It lies where cargo put this very task, so a target folder
/// chosen by environment or configuration is found without asking cargo.
pub(crate) fn tidings(profile_folder: &str) -> Result<PathBuf> {
    let task = std::env::current_exe().context("cannot tell where this task was built")?;
    let profiles = task.ancestors().nth(2).context("this task was not built by cargo")?;
    Ok(profiles.join(profile_folder).join("tidings"))
}
