//! The rules of the promise, held against a history. It is told everything and asks nobody, so that a
//! history can be replayed, cut down, and damaged on purpose.

use std::fmt;

use super::account::History;
use super::known::Log;
use super::walk::Walk;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Every acknowledged event is read by every reader that was to get it, or lies in a gap.
    AcknowledgedIsRead,
    /// There is one value at a position.
    OneValue,
    /// A key is stored once.
    KeyOnce,
    /// Only what was published, and not refused, is read.
    OnlyPublished,
    /// Positions grow: on a connection, and from a publish that has ended to one that begins then.
    Order,
    /// An event that others have read is missing only after a gap, and an epoch ends with one.
    NoHole,
    /// Whoever was told that they resumed has everything that follows the cursor they offered.
    Resumed,
}

/// A rule that was broken, and by what.
#[derive(Clone, Debug)]
pub struct Fault {
    pub rule: Rule,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// Every fault there is.
pub fn check(history: &History) -> Vec<Fault> {
    let mut log = Log::of(history);
    let mut faults = std::mem::take(&mut log.faults);
    faults.extend(log.inversions());
    for reading in &history.readings {
        faults.extend(Walk::new(&log, reading).walk());
    }
    faults
}

/// Fails with all faults if there are any.
pub fn assert_holds(history: &History) {
    let faults = check(history);
    let shown: Vec<_> = faults.iter().take(20).map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} faults, the first: {shown:#?}", faults.len());
}
