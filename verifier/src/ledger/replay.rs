//! What opening a ledger gives back: every entry, to be admitted again.

use affiant_report::segment::Entry;
use std::{path::PathBuf, vec};

use super::reader::{Entries, ReadError};

/// What opening a ledger found and put right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Where segments that the lock does not name, and torn ends, were taken.
    pub swept: Vec<PathBuf>,
    /// Bytes of a last group that was never wholly written, cut from the write-ahead file.
    pub torn_bytes: usize,
    /// Tiles and bundles that were missing or changed and were made again.
    pub tiles_made: u64,
    /// Whether the newest checkpoint had to be signed or published again.
    pub published: bool,
}

/// One entry of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Its index.
    pub index: u64,
    /// The entry.
    pub entry: Entry,
    /// Whether a published segment holds it. The others are pending: the next
    /// [`Ledger::close_segment`] includes them.
    pub included: bool,
}

/// Gives every entry of an opened ledger in the order of its index; see [`Ledger::open`].
#[derive(Debug)]
pub struct Replay {
    included: Entries,
    pending: vec::IntoIter<Entry>,
    next: u64,
    failed: bool,
    recovery: Recovery,
}

impl Replay {
    pub(super) fn new(included: Entries, pending: Vec<Entry>, recovery: Recovery) -> Self {
        Self {
            included,
            pending: pending.into_iter(),
            next: 0,
            failed: false,
            recovery,
        }
    }

    /// What opening found and put right.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }
}

impl Iterator for Replay {
    type Item = Result<Replayed, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let (entry, included) = match self.included.next() {
            Some(Ok((_, entry))) => (entry, true),
            Some(Err(error)) => {
                // What comes after a hole is not the log.
                self.failed = true;
                return Some(Err(error));
            }
            None => (self.pending.next()?, false),
        };
        let index = self.next;
        self.next += 1;
        Some(Ok(Replayed {
            index,
            entry,
            included,
        }))
    }
}
