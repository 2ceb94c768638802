//! Makes a log whole again: what was never acknowledged is cut off, and what cannot be read is put
//! aside, with all that can be read kept in its place.
//!
//! It may be interrupted anywhere. Then the log is found to be damaged once more, and repaired from
//! where this was.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use super::commit::Commit;
use super::entry::Kind;
use super::folder::Folder;
use super::segment::{self, Header, readable};
use super::survey::Survey;
use tidings_hub::Position;

/// Cuts off whatever comes after this place.
pub(super) fn cut(folder: &Folder, survey: &Survey, end: Commit) -> io::Result<()> {
    // From the newest on, so that no hole is left in between.
    for segment in survey.segments.iter().rev() {
        if segment.number > end.segment {
            fs::remove_file(folder.segment(segment.number))?;
        } else if segment.number == end.segment {
            let file = File::options().write(true).open(folder.segment(end.segment))?;
            file.set_len(end.bytes)?;
            file.sync_all()?;
        }
    }
    folder.sync()
}

/// Puts damaged segments aside, and what can be read of them back; returns where they are now, if
/// there were any, and the end of what is left.
pub(super) fn salvage(
    folder: &Folder,
    survey: &Survey,
    now_ms: u64,
) -> io::Result<(Option<PathBuf>, Commit)> {
    let aside = folder.file(&format!("damaged-{now_ms}"));
    let mut is_any_aside = false;
    let first = survey.segments.first().map_or(1, |segment| segment.number);
    let mut previous_bytes = None;
    let mut newest = Position::START;
    let mut kept = HashSet::new();
    let mut end = Commit { segment: 0, bytes: 0 };
    for (number, found) in (first..).zip(&survey.segments) {
        let path = folder.segment(found.number);
        let bytes = fs::read(&path)?;
        let (mended, is_all) = mend(number, previous_bytes, &bytes, &mut newest);
        if !is_all {
            fs::create_dir_all(&aside)?;
            is_any_aside = true;
            let kept_at = aside.join(segment::name(found.number));
            if !kept_at.exists() {
                fs::hard_link(&path, kept_at)?;
            }
        }
        if mended != bytes || number != found.number {
            folder.replace(&segment::name(number), &mended)?;
        }
        kept.insert(number);
        end = Commit { segment: number, bytes: mended.len() as u64 };
        previous_bytes = Some(end.bytes);
    }
    for found in &survey.segments {
        if !kept.contains(&found.number) {
            fs::remove_file(folder.segment(found.number))?;
        }
    }
    if is_any_aside {
        File::open(&aside)?.sync_all()?;
    }
    folder.sync()?;
    Ok((is_any_aside.then_some(aside), end))
}

/// A segment of all that can be read of this one and is newer than what came before, and whether that
/// is all of it.
fn mend(
    number: u64,
    previous_bytes: Option<u64>,
    bytes: &[u8],
    newest: &mut Position,
) -> (Vec<u8>, bool) {
    let header = Header::read(bytes);
    let said = header.map_or(0, |header| header.previous_bytes);
    // Of the first, nothing is known but what it says.
    let previous_bytes = previous_bytes.unwrap_or(said);
    let mut mended = Header { number, previous_bytes }.to_bytes().to_vec();
    let mut next = 0;
    let mut is_all = header.is_ok();
    let mut read_bytes = mended.len();
    for entry in readable(bytes) {
        read_bytes += entry.len();
        is_all &= entry.number == next;
        if entry.kind.is_event() {
            if entry.position <= *newest {
                is_all = false;
                continue;
            }
            *newest = entry.position;
        }
        match entry.kind {
            Kind::Event | Kind::KeyedEvent | Kind::Revocation | Kind::Mark => {
                entry.write(next, &mut mended);
            }
        }
        next += 1;
    }
    (mended, is_all && read_bytes == bytes.len())
}
