//! What came in at this node and is on its way back to it in the log: when its request had been read,
//! and what follows it. Other nodes' events have nothing here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::traces::Passage;

/// More than are on their way at once, unless this node reads far behind; one more is not measured.
const DEPARTURES_MAX: usize = 65_536;

/// What belongs to an event until this node has read it.
#[derive(Debug)]
pub(super) struct Departure {
    pub(super) received_ns: u64,
    pub(super) passage: Passage,
}

#[derive(Debug, Default)]
pub(super) struct Departures {
    last: AtomicU64,
    by_number: Mutex<HashMap<u64, Departure>>,
}

impl Departures {
    /// The number of an event that is sent now.
    pub(super) fn depart(&self, departure: Departure) -> u64 {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut by_number = self.by_number();
        if by_number.len() < DEPARTURES_MAX {
            by_number.insert(number, departure);
        }
        number
    }

    /// It was read, or is not expected any more.
    pub(super) fn take(&self, number: u64) -> Option<Departure> {
        self.by_number().remove(&number)
    }

    /// None of them will be read.
    pub(super) fn forget(&self) {
        self.by_number().clear();
    }

    fn by_number(&self) -> MutexGuard<'_, HashMap<u64, Departure>> {
        self.by_number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
