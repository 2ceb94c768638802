//! The section `[disk]`: how the broker `disk` keeps its log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[disk]`: the log in a folder, with `broker = "disk:FOLDER"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// When a publisher is answered: `fsync`, when its event is on the disk and survives a power cut;
    /// `os`, when the system has it: it survives this process, and after a power cut every reader is
    /// told of a gap.
    #[schemars(extend("enum" = ["fsync", "os"]))]
    pub durability: Durability,
    /// Bytes of all the files of the log. What this node need not keep any more is deleted long before;
    /// past this the oldest go all the same, and are gone after a restart.
    #[schemars(range(min = 1_048_576, max = 1_099_511_627_776_u64))]
    pub bytes_max: u64,
    /// Bytes after which a new file is begun. Files are deleted whole.
    #[schemars(range(min = 4096, max = 1_073_741_824))]
    pub segment_bytes: u64,
}

impl Default for Disk {
    fn default() -> Self {
        Self { durability: Durability::Fsync, bytes_max: 1_073_741_824, segment_bytes: 16_777_216 }
    }
}

/// What has happened to an event when its publisher is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", rename_all = "lowercase")]
#[schemars(inline)]
pub enum Durability {
    /// It is on the disk.
    Fsync,
    /// The operating system has it.
    Os,
}

impl TryFrom<String> for Durability {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "fsync" => Ok(Self::Fsync),
            "os" => Ok(Self::Os),
            _ => Err("it is \"fsync\" or \"os\"".into()),
        }
    }
}
