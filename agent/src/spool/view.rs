//! How the spool stands, for those who look at it while another process appends to it.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use super::{
    Cursor, SpoolError, cursor,
    frame::SegmentHead,
    segment::{self, Frames, Next, Segment},
};

/// How the spool stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// First and last sequence; `None` while it is empty.
    pub range: Option<(u64, u64)>,
    /// Spans of sequences between them that were dropped, as (first, last).
    pub dropped: Vec<(u64, u64)>,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Bytes of the segments that hold a record which waits to be INCLUDED.
    pub bytes_waiting: u64,
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
        let due = self.due().max(first);
        let dropped = self.dropped.iter();
        let dropped = dropped.map(|(from, to)| (to + 1).saturating_sub(due.max(*from)));
        (last + 1).saturating_sub(due).saturating_sub(dropped.sum())
    }

    /// The oldest record that waits to be INCLUDED.
    pub fn oldest_waiting(&self) -> Option<u64> {
        let (first, last) = self.range?;
        let due = self.due().max(first);
        let hole = self
            .dropped
            .iter()
            .find(|(from, to)| (*from..=*to).contains(&due));
        let oldest = hole.map_or(due, |(_, to)| to + 1);
        (oldest <= last).then_some(oldest)
    }

    /// The sequence after the last INCLUDED one.
    fn due(&self) -> u64 {
        let included = self.cursor.as_ref().map(|cursor| cursor.sequence);
        included.map_or(0, |included| included.saturating_add(1))
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
    let found = scan(directory)?;
    Ok(status(&found.segments, cursor.map(|(cursor, _)| cursor)))
}

/// Reads how far the log is known to be, of a spool that another process may be changing.
pub fn look_how_far(directory: &Path) -> Result<Option<Cursor>, SpoolError> {
    Ok(cursor::read(directory)?.map(|(cursor, _)| cursor))
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
    let listed = live(directory)?.segments;
    let due = |(head, _): &&(SegmentHead, PathBuf)| head.from <= sequence;
    let Some((head, path)) = listed.iter().rfind(due) else {
        return Ok(None);
    };
    // Where it was dropped, a later run only stands in its place.
    let Some(mut frames) = Frames::open(path, head.first)?.filter(|_| head.first <= sequence)
    else {
        return Ok(None);
    };
    while let Next::Frame(frame) = frames.next(path)? {
        let mut entries = (frame.first..).zip(frame.entries);
        if let Some((_, entry)) = entries.find(|(at, _)| *at == sequence) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// What lies in the directory of a spool.
pub(super) struct Found {
    /// The records, in order.
    pub(super) segments: VecDeque<Segment>,
    /// Files that a later run stands in place of.
    pub(super) replaced: Vec<PathBuf>,
    /// The newest file, when not even its head was synced: it never held anything.
    pub(super) headless: Option<PathBuf>,
    /// How the last segment ends.
    pub(super) tail: segment::Tail,
}

/// The files of a spool by what their heads say, none of them read further.
struct Files {
    /// Those that hold records, in order.
    segments: Vec<(SegmentHead, PathBuf)>,
    replaced: Vec<PathBuf>,
    headless: Option<PathBuf>,
}

fn live(directory: &Path) -> Result<Files, SpoolError> {
    let (mut listed, mut headless) = (Vec::new(), None);
    for (first, path) in segment::list(directory)? {
        match segment::head(&path, first)? {
            Some(head) => listed.push((head, path)),
            None if headless.is_none() => headless = Some(path),
            None => return Err(SpoolError::Corrupt { path, offset: 0 }),
        }
    }
    listed.sort_by_key(|(head, _)| (head.run, head.first));
    let heads: Vec<SegmentHead> = listed.iter().map(|(head, _)| *head).collect();
    let is_replaced = |head: &SegmentHead| {
        heads
            .iter()
            .any(|later| later.run > head.run && later.from <= head.first)
    };
    let (replaced, segments): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|(head, _)| is_replaced(head));
    Ok(Files {
        segments,
        replaced: replaced.into_iter().map(|(_, path)| path).collect(),
        headless,
    })
}

pub(super) fn scan(directory: &Path) -> Result<Found, SpoolError> {
    let files = live(directory)?;
    let mut segments: VecDeque<Segment> = VecDeque::new();
    let mut tail = segment::Tail::Whole;
    let mut listed = files.segments.into_iter().peekable();
    while let Some((head, path)) = listed.next() {
        if let Some(before) = segments.back_mut() {
            if head.run > before.head.run {
                before.next = before.next.min(head.from);
            }
            if before.next != head.from {
                return Err(SpoolError::Missing {
                    path,
                    due: before.next,
                    got: head.from,
                });
            }
        }
        let (segment, end) = segment::scan(path, head, listed.peek().is_none())?;
        segments.push_back(segment);
        tail = end;
    }
    Ok(Found {
        segments,
        replaced: files.replaced,
        headless: files.headless,
        tail,
    })
}

pub(super) fn status(segments: &VecDeque<Segment>, cursor: Option<Cursor>) -> Status {
    let first = segments.front().map(Segment::first);
    let next = segments.back().map(|segment| segment.next);
    let range = first.zip(next).filter(|(first, next)| first < next);
    let due = cursor
        .as_ref()
        .map_or(0, |cursor| cursor.sequence.saturating_add(1));
    let unsent = |segment: &&Segment| segment.next > due;
    let pairs = segments.iter().zip(segments.iter().skip(1));
    let holes = pairs.filter(|(before, after)| before.next < after.first());
    Status {
        range: range.map(|(first, next)| (first, next - 1)),
        dropped: holes
            .map(|(before, after)| (before.next, after.first() - 1))
            .collect(),
        bytes: segments.iter().map(|segment| segment.bytes).sum(),
        bytes_waiting: segments
            .iter()
            .filter(unsent)
            .map(|segment| segment.bytes)
            .sum(),
        segments: segments.len(),
        cursor,
    }
}
