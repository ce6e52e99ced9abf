//! How the spool stands, for those who look at it while another process appends to it.

use std::{collections::VecDeque, path::Path};

use super::{
    Cursor, SpoolError, cursor,
    segment::{self, Frames, Next, Segment},
};

/// How the spool stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// First and last sequence; `None` while it is empty.
    pub range: Option<(u64, u64)>,
    /// Bytes of all segments.
    pub bytes: u64,
    /// How many segments.
    pub segments: usize,
    /// Last INCLUDED record, as far as it is known.
    pub cursor: Option<Cursor>,
}

impl Status {
    /// How many records wait to be INCLUDED.
    pub fn waiting(&self) -> u64 {
        let Some((first, last)) = self.range else {
            return 0;
        };
        match &self.cursor {
            Some(cursor) => last.saturating_sub(cursor.sequence),
            None => last - first + 1,
        }
    }

    /// The oldest record that waits to be INCLUDED.
    pub fn oldest_waiting(&self) -> Option<u64> {
        let (first, last) = self.range?;
        let next = self
            .cursor
            .as_ref()
            .map_or(first, |cursor| cursor.sequence.saturating_add(1));
        (next <= last).then_some(next.max(first))
    }
}

/// Looks at a spool that another process may be appending to; changes nothing, and takes a tail
/// that is just being written for one that is not there. Where there is no spool yet it is empty.
pub fn look(directory: &Path) -> Result<Status, SpoolError> {
    if !directory.exists() {
        return Ok(status(&VecDeque::new(), None));
    }
    // First the cursor: read after the segments it could be ahead of them.
    let cursor = cursor::read(directory)?;
    let (segments, _) = scan(directory)?;
    Ok(status(&segments, cursor))
}

/// When the log was last known to have more, by the wall clock in milliseconds since 1970.
pub fn cursor_changed(directory: &Path) -> Option<u64> {
    let changed = std::fs::metadata(cursor::path(directory))
        .ok()?
        .modified()
        .ok()?;
    let since = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// Reads one record of a spool that another process may be appending to.
pub fn look_at(directory: &Path, sequence: u64) -> Result<Option<Vec<u8>>, SpoolError> {
    for (first, path) in segment::list(directory)?.into_iter().rev() {
        if first > sequence {
            continue;
        }
        let Some(mut frames) = Frames::open(&path, first)? else {
            return Ok(None);
        };
        while let Next::Frame(frame) = frames.next(&path)? {
            let mut entries = (frame.first..).zip(frame.entries);
            if let Some((_, entry)) = entries.find(|(at, _)| *at == sequence) {
                return Ok(Some(entry));
            }
        }
        return Ok(None);
    }
    Ok(None)
}

pub(super) fn scan(directory: &Path) -> Result<(VecDeque<Segment>, segment::Tail), SpoolError> {
    let mut segments: VecDeque<Segment> = VecDeque::new();
    let mut tail = segment::Tail::Whole;
    let mut list = segment::list(directory)?.into_iter().peekable();
    while let Some((first, path)) = list.next() {
        if let Some(before) = segments.back().filter(|before| before.next != first) {
            return Err(SpoolError::Missing {
                path,
                due: before.next,
                got: first,
            });
        }
        let (segment, end) = segment::scan(path, first, list.peek().is_none())?;
        segments.push_back(segment);
        tail = end;
    }
    Ok((segments, tail))
}

pub(super) fn status(segments: &VecDeque<Segment>, cursor: Option<Cursor>) -> Status {
    let first = segments.front().map(|segment| segment.first);
    let next = segments.back().map(|segment| segment.next);
    let range = first.zip(next).filter(|(first, next)| first < next);
    Status {
        range: range.map(|(first, next)| (first, next - 1)),
        bytes: segments.iter().map(|segment| segment.bytes).sum(),
        segments: segments.len(),
        cursor,
    }
}
