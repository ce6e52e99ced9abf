//! The cursor: how far the log is known to have this host's chain, and since when.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::SpoolError;
use crate::{
    disk::Disk,
    durable::{self, Secrecy},
};

/// Most marks: 64 cut the time for which records are kept into pieces, and one that is over.
const MARKS: u32 = 64;

/// Most bytes of the file: a note of 1 MiB, which as JSON text is at most twice that, two numbers,
/// and 66 marks of at most 80 bytes.
const MAX_CURSOR: u64 = (2 << 20) + 8_192;

/// The last record that is INCLUDED, and the checkpoint that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Every record up to this sequence is in the log.
    pub sequence: u64,
    /// Its index there.
    pub index: u64,
    /// The signed note under whose root it is.
    pub checkpoint: String,
}

/// Since when the log is known to have everything up to a sequence, by this host's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    sequence: u64,
    unix_ms: u64,
}

/// Marks by rising sequence and time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    /// Takes note that the log has everything up to `sequence` now.
    pub(super) fn note(&mut self, sequence: u64, now: SystemTime, keep: Duration) {
        let now_ms = millis(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        // A clock that was set back makes nothing old: what it had dated ahead begins anew.
        self.0
            .iter_mut()
            .for_each(|mark| mark.unix_ms = mark.unix_ms.min(now_ms));
        let piece = millis(keep / MARKS);
        let due = |last: &Mark| now_ms.saturating_sub(last.unix_ms) > piece;
        if self.0.last().is_none_or(due) {
            let unix_ms = now_ms;
            self.0.push(Mark { sequence, unix_ms });
        }
        // Of those that are over the newest says it all.
        let over = self.0.iter().filter(|mark| mark.over(now_ms, keep)).count();
        self.0.drain(..over.saturating_sub(1));
    }

    /// The last sequence that the log has had for longer than `keep`.
    pub(super) fn over(&self, now: SystemTime, keep: Duration) -> Option<u64> {
        let now_ms = millis(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let over = self.0.iter().rev().find(|mark| mark.over(now_ms, keep));
        over.map(|mark| mark.sequence)
    }
}

impl Mark {
    fn over(&self, now_ms: u64, keep: Duration) -> bool {
        now_ms.saturating_sub(self.unix_ms) > millis(keep)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    sequence: u64,
    index: u64,
    checkpoint: String,
    #[serde(default)]
    marks: Vec<Mark>,
}

pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("cursor")
}

pub(super) fn read(directory: &Path) -> Result<Option<(Cursor, Marks)>, SpoolError> {
    let path = path(directory);
    let Some(bytes) = durable::read(&path, MAX_CURSOR, Secrecy::Public)? else {
        return Ok(None);
    };
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|_| SpoolError::Cursor(path))?;
    let cursor = Cursor {
        sequence: stored.sequence,
        index: stored.index,
        checkpoint: stored.checkpoint,
    };
    Ok(Some((cursor, Marks(stored.marks))))
}

pub(super) fn write(
    disk: &dyn Disk,
    directory: &Path,
    cursor: &Cursor,
    marks: &Marks,
) -> Result<(), SpoolError> {
    let path = path(directory);
    let stored = Stored {
        sequence: cursor.sequence,
        index: cursor.index,
        checkpoint: cursor.checkpoint.clone(),
        marks: marks.0.clone(),
    };
    let bytes = serde_json::to_vec(&stored).map_err(|_| SpoolError::Cursor(path.clone()))?;
    Ok(durable::replace_on(disk, &path, &bytes)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(72 * 3_600);

    fn at(hours: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs((1_000_000 + hours) * 3_600)
    }

    #[test]
    fn records_are_over_when_the_log_has_had_them_for_as_long_as_they_are_kept() {
        let mut marks = Marks::default();
        for hour in 0..500 {
            marks.note(hour, at(hour), KEEP);
            let over = marks.over(at(hour), KEEP);
            assert!(
                over.is_none_or(|over| over + 72 < hour),
                "{over:?} at {hour}"
            );
            assert!(hour < 75 || over.is_some_and(|over| over + 76 > hour));
            assert!(marks.0.len() <= 66, "{}", marks.0.len());
        }
    }

    #[test]
    fn a_backlog_that_was_included_today_is_not_over_today() {
        let mut marks = Marks::default();
        marks.note(70_000, at(0), KEEP);
        assert_eq!(marks.over(at(72), KEEP), None);
        assert_eq!(marks.over(at(73), KEEP), Some(70_000));
    }

    #[test]
    fn a_clock_that_was_ahead_and_is_set_right_neither_ages_records_nor_keeps_them_for_ever() {
        let mut marks = Marks::default();
        marks.note(1, at(10_000), KEEP);
        marks.note(2, at(0), KEEP);
        assert_eq!(marks.over(at(72), KEEP), None);
        marks.note(3, at(73), KEEP);
        assert_eq!(marks.over(at(73), KEEP), Some(1));
    }
}
