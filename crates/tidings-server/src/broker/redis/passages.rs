//! What goes along with this node's own publications, put by until they come back in the log.

#![allow(clippy::zero_sized_map_values, reason = "it is empty where there are no traces")]

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::traces::Passage;

/// Publications that are traced and under way at once; of others, the trace ends with the answer.
const PASSAGES_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Passages(Mutex<HashMap<u64, Passage>>);

impl Passages {
    /// Puts it by under the number of its publication, if it is traced.
    pub(super) fn put(&self, number: u64, passage: &Passage) {
        if passage.is_traced() {
            let mut passages = self.passages();
            if passages.len() < PASSAGES_MAX {
                passages.insert(number, passage.clone());
            }
        }
    }

    pub(super) fn take(&self, number: u64) -> Passage {
        self.passages().remove(&number).unwrap_or_default()
    }

    /// What is under way now may never come back.
    pub(super) fn clear(&self) {
        self.passages().clear();
    }

    fn passages(&self) -> MutexGuard<'_, HashMap<u64, Passage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
