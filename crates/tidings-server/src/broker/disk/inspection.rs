//! What an operator can find out about a folder, also while a node writes to it: nothing is locked and
//! nothing is changed.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::Serialize;
use tidings_hub::Cursor;

use super::folder::Folder;
use super::meta::Left;
use super::survey::{Survey, Verdict};
use crate::clock::rfc_3339;

/// How often a folder is read that changes meanwhile.
const READS_MAX: usize = 5;

/// What was found in a folder.
#[derive(Debug)]
pub(crate) struct Inspection {
    survey: Survey,
    /// Whether a node has the folder.
    pub(crate) is_in_use: bool,
}

/// How much there is of what.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogStats {
    pub(crate) in_use: bool,
    pub(crate) segments: usize,
    pub(crate) bytes: u64,
    pub(crate) events: u64,
    /// Of these, published with a key.
    pub(crate) keys: u64,
    pub(crate) revocations: u64,
    /// How often something was written; a write has what waited when it began.
    pub(crate) writes: u64,
    /// The cursors of the oldest and the newest event.
    pub(crate) first: Option<String>,
    pub(crate) last: Option<String>,
    /// When those were published.
    pub(crate) oldest: Option<String>,
    pub(crate) newest: Option<String>,
}

impl Inspection {
    pub(crate) fn of(path: &Path) -> anyhow::Result<Self> {
        let folder = Folder::new(path);
        let doing = || format!("cannot read the log in {}", path.display());
        ensure!(path.is_dir(), "{} is no folder", path.display());
        let mut reads = 0;
        let survey = loop {
            reads += 1;
            let before = folder.segments().with_context(doing)?;
            let survey = Survey::take(&folder);
            // A node deletes and begins segments; then what was read does not belong together.
            let is_still = folder.segments().with_context(doing)? == before;
            if is_still || reads == READS_MAX {
                break survey.with_context(doing)?;
            }
        };
        ensure!(survey.verdict() != Verdict::New, "there is no log in {}", path.display());
        Ok(Self { survey, is_in_use: folder.is_locked() })
    }

    /// What is wrong, each with its place.
    pub(crate) fn faults(&self) -> Vec<String> {
        match self.survey.verdict() {
            Verdict::New | Verdict::Whole { .. } => Vec::new(),
            Verdict::Lost(findings) => {
                findings.into_iter().map(|it| format!("{}: {}", it.place, it.what)).collect()
            }
        }
    }

    /// Where what comes last is not whole and was never acknowledged.
    pub(crate) fn unfinished(&self) -> Option<String> {
        match self.survey.verdict() {
            Verdict::Whole { end, is_cut: true } => {
                Some(format!("{} from byte {}", super::segment::name(end.segment), end.bytes))
            }
            Verdict::New | Verdict::Whole { .. } | Verdict::Lost(_) => None,
        }
    }

    pub(crate) fn stats(&self) -> LogStats {
        let segments = &self.survey.segments;
        let sum = |of: fn(&super::survey::Segment) -> u64| segments.iter().map(of).sum();
        let cursor = |position| match &self.survey.left {
            Left::Meta(meta) => Some(Cursor { epoch: meta.epoch(), position }.to_string()),
            Left::Nothing | Left::Unreadable => None,
        };
        let first = segments.iter().find_map(|segment| segment.positions);
        let last = segments.iter().rev().find_map(|segment| segment.positions);
        let oldest_ms = segments.iter().find_map(|segment| segment.times_ms);
        let newest_ms = segments.iter().rev().find_map(|segment| segment.times_ms);
        LogStats {
            in_use: self.is_in_use,
            segments: segments.len(),
            bytes: sum(|segment| segment.file_bytes),
            events: sum(|segment| segment.events),
            keys: sum(|segment| segment.keys),
            revocations: sum(|segment| segment.revocations),
            writes: sum(|segment| segment.writes),
            first: first.and_then(|(first, _)| cursor(first)),
            last: last.and_then(|(_, last)| cursor(last)),
            oldest: oldest_ms.map(|(oldest_ms, _)| rfc_3339(oldest_ms)),
            newest: newest_ms.map(|(_, newest_ms)| rfc_3339(newest_ms)),
        }
    }
}
