//! The folder of a log: which files are in it, and that one process has it.
//!
//! ```text
//! lock              held by the process that writes, which has put its number in it
//! meta              the epoch, and how the log was left
//! commit            up to where the log has been acknowledged
//! 0000….log         the segments
//! damaged-<time>/   what could not be read, for whoever wants to look into it
//! ```
//!
//! What is in the files is not known here.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::segment;

const LOCK: &str = "lock";
/// What a file is called until it is whole.
const UNFINISHED: &str = ".new";

/// The folder of a log.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

/// As long as this lives, no other process writes to the folder.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Makes it where it is not there, for its owner alone.
    pub(super) fn make(&self) -> anyhow::Result<()> {
        if self.path.is_dir() {
            return Ok(());
        }
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&self.path)
            .with_context(|| format!("cannot make the folder {}", self.path.display()))?;
        if let Some(parent) = self.path.parent() {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            sync_folder(parent).with_context(|| format!("cannot sync {}", parent.display()))?;
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Takes the folder for this process, as long as it lives.
    pub(super) fn lock(&self) -> anyhow::Result<Lock> {
        let path = self.file(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file =
            options.open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Whoever has it may just be about to write down who that is.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let holder = if holder.is_empty() { "another process" } else { holder };
                bail!(
                    "the log in {} is in use by process {holder}: one process has a folder. Stop \
                     that one, or give this one a folder of its own",
                    self.path.display()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Lock { _file: file })
    }

    /// Whether some process has it now.
    pub(super) fn is_locked(&self) -> bool {
        let Ok(file) = File::open(self.file(LOCK)) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// The numbers of the segments, in order.
    pub(super) fn segments(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            numbers.extend(entry?.file_name().to_str().and_then(segment::number_of));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    pub(super) fn segment(&self, number: u64) -> PathBuf {
        self.file(&segment::name(number))
    }

    /// All of a file, or nothing where there is none.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.file(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a file in the place of another, or leaves that as it is: it is on the disk afterwards.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.file(&format!("{name}{UNFINISHED}"));
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        drop(file);
        fs::rename(&unfinished, self.file(name))?;
        self.sync()
    }

    /// Removes what a crash has left of files that were never finished.
    pub(super) fn remove_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.ends_with(UNFINISHED)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Has the system write down which files there are.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// What tells one run of this machine from the next; nothing where the system does not say.
pub(super) fn boot() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(boot.trim().to_owned())
}
