//! From the segments back into the node: the events that its log can hold, the keys that are still
//! remembered, and who is still revoked.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use tidings_hub::{Cursor, Epoch, Position};

use super::super::idempotency::{Idempotency, IdempotencyBounds, IdempotencyKey};
use super::super::replica::{Arrival, Replica};
use super::entry::{Entry, NoContent};
use super::folder::Folder;
use super::segment::Walk;
use super::survey::{Finding, Segment, Survey, in_order};
use crate::config::Config;
use crate::revocations::Revocation;
use crate::traces::Passage;

/// Who is revoked, each subject once.
pub(super) type Revoked = HashMap<u64, Revocation>;

/// What the writer goes on with.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) keys: Idempotency,
    pub(super) revoked: Revoked,
    pub(super) events: usize,
    /// Events that are whole and yet not understood, as of a newer version. They are left out.
    pub(super) unreadable: Vec<Finding>,
}

/// What one segment has for the node.
#[derive(Debug, Default)]
struct Contents {
    arrivals: Vec<Arrival>,
    /// Keys, where their events stand, and when they were published.
    keys: Vec<(IdempotencyKey, Position, u64)>,
    revocations: Vec<Revocation>,
    unreadable: Vec<Finding>,
}

/// Feeds the node with a log that is whole.
pub(super) fn restore(
    folder: &Folder,
    survey: &Survey,
    epoch: Epoch,
    config: &Config,
    replica: &Replica,
) -> anyhow::Result<Restored> {
    let bounds: IdempotencyBounds = config.idempotency.into();
    let mut restored = Restored {
        keys: Idempotency::new(bounds),
        revoked: Revoked::new(),
        events: 0,
        unreadable: Vec::new(),
    };
    let now = replica.clock.now();
    let kept = oldest_held(&survey.segments, config, now.unix_ms);
    let reserved = survey.reserved();
    let first = survey.segments[kept..].iter().find_map(|segment| segment.positions);
    let before = first.map_or(reserved, |(first, _)| first.previous());
    replica.begin_again(Cursor { epoch, position: before });

    let keys_since_ms = now.unix_ms.saturating_sub(bounds.window_secs * 1000);
    let held = survey.segments.get(kept).map_or(u64::MAX, |segment| segment.number);
    let numbers: Vec<u64> = survey.segments.iter().map(|segment| segment.number).collect();
    let read = |number| Contents::read(&folder.segment(number), number >= held, keys_since_ms);
    let mut failure = None;
    let mut newest_ms = 0;
    in_order(&numbers, read, |contents| {
        let contents = match contents {
            Ok(contents) if failure.is_none() => contents,
            Ok(_) => return,
            Err(error) => {
                failure.get_or_insert(error);
                return;
            }
        };
        restored.events += contents.arrivals.len();
        restored.unreadable.extend(contents.unreadable);
        replica.restore(contents.arrivals);
        for (key, position, time_ms) in contents.keys {
            let age_ms = now.unix_ms.saturating_sub(time_ms);
            newest_ms = now.uptime_ms.saturating_sub(age_ms).max(newest_ms);
            restored.keys.remember(&key, Cursor { epoch, position }, newest_ms);
        }
        for revocation in contents.revocations {
            if revocation.until_ms > now.unix_ms {
                revoke(&mut restored.revoked, revocation);
            }
        }
    });
    if let Some(error) = failure {
        return Err(error);
    }
    replica.skip_to(reserved);
    replica.expire();
    for revocation in restored.revoked.values() {
        replica.revoke(*revocation);
    }
    Ok(restored)
}

/// Of two of the same subject, the later counts.
pub(super) fn revoke(revoked: &mut Revoked, revocation: Revocation) {
    let known = revoked.entry(revocation.mark()).or_insert(revocation);
    if known.until_ms < revocation.until_ms {
        *known = revocation;
    }
}

/// The first segment with events that the node's log can hold: those in the segments before it are too
/// old, or too many bytes come after them.
fn oldest_held(segments: &[Segment], config: &Config, now_ms: u64) -> usize {
    let since_ms = now_ms.saturating_sub(config.log.age_max_secs * 1000);
    let mut bytes = 0;
    let mut kept = segments.len();
    for (index, segment) in segments.iter().enumerate().rev() {
        let is_too_old = segment.times_ms.is_some_and(|(_, newest_ms)| newest_ms < since_ms);
        if is_too_old || bytes > config.log.bytes_max as u64 {
            break;
        }
        bytes += segment.events_bytes;
        kept = index;
    }
    kept
}

impl Contents {
    fn read(path: &Path, with_events: bool, keys_since_ms: u64) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| cannot_read(path))?;
        let mut contents = Self::default();
        let mut walk = Walk::new(&bytes);
        loop {
            let at = walk.at();
            let entry = walk.next().with_context(|| cannot_read(path))?;
            let Some(entry) = entry else { return Ok(contents) };
            let with_key = entry.time_ms > keys_since_ms;
            if let Err(error) = contents.take(&entry, with_events, with_key) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let place = format!("{name} at byte {at}");
                contents.unreadable.push(Finding { place, what: error.to_string() });
            }
        }
    }

    fn take(
        &mut self,
        entry: &Entry<'_>,
        with_events: bool,
        with_key: bool,
    ) -> Result<(), NoContent> {
        if entry.kind.is_event() {
            if with_key && let Some(key) = entry.key()? {
                self.keys.push((key, entry.position, entry.time_ms));
            }
            if with_events {
                let (event, time_ms) = entry.event()?;
                let position = entry.position;
                let passage = Passage::default();
                let arrival = Arrival { position, event, time_ms, received_ns: None, passage };
                self.arrivals.push(arrival);
            }
        }
        self.revocations.extend(entry.revocation()?);
        Ok(())
    }
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}
