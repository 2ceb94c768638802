//! What is known of a log beside its entries: its epoch, and how it was left.

use std::io;

use serde::{Deserialize, Serialize};
use tidings_hub::Epoch;

use super::folder::{self, Folder};
use crate::config::Durability;

const NAME: &str = "meta";
const VERSION: u32 = 1;

/// The file `meta`: a line of JSON, so that an operator can read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    version: u32,
    epoch: String,
    /// What the log was written with.
    pub(super) durability: Durability,
    /// Whether the process that wrote it has ended it. It says `false` while one writes.
    clean: bool,
    /// The run of the machine in which it was written.
    boot: Option<String>,
    /// Of all the above.
    #[serde(default)]
    checksum: u32,
}

/// What there is of `meta`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing, as in a new folder.
    Nothing,
    /// Something that is not it.
    Unreadable,
    Meta(Meta),
}

impl Meta {
    pub(super) fn new(epoch: Epoch, durability: Durability, clean: bool) -> Self {
        let epoch = epoch.to_string();
        Self { version: VERSION, epoch, durability, clean, boot: folder::boot(), checksum: 0 }
    }

    pub(super) fn read(folder: &Folder) -> io::Result<Left> {
        let Some(bytes) = folder.read(NAME)? else { return Ok(Left::Nothing) };
        let meta: Option<Self> = serde_json::from_slice(&bytes).ok();
        let meta = meta.filter(|meta| {
            meta.version == VERSION
                && meta.checksum == meta.right_checksum()
                && meta.epoch.parse::<Epoch>().is_ok()
        });
        Ok(meta.map_or(Left::Unreadable, Left::Meta))
    }

    pub(super) fn write(mut self, folder: &Folder) -> io::Result<()> {
        self.checksum = self.right_checksum();
        let mut line = serde_json::to_vec(&self).expect("texts and numbers");
        line.push(b'\n');
        folder.replace(NAME, &line)
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch.parse().expect("checked when it was read or made")
    }

    /// Whether the machine has run on since it was written, or the log was ended: then all that was
    /// written is there, also what the disk was not asked to keep.
    pub(super) fn has_all_that_was_written(&self) -> bool {
        self.clean || (self.boot.is_some() && self.boot == folder::boot())
    }

    fn right_checksum(&self) -> u32 {
        let bare = Self { checksum: 0, ..self.clone() };
        crc32c::crc32c(&serde_json::to_vec(&bare).expect("texts and numbers"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As it is when the machine has begun anew since.
    pub(in super::super) fn leave_in_another_boot(folder: &Folder) {
        let Ok(Left::Meta(mut meta)) = Meta::read(folder) else { panic!("there is none") };
        meta.boot = Some("another".to_owned());
        meta.clean = false;
        meta.write(folder).unwrap();
    }
}
