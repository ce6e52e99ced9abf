//! The spool: sealed records on the disk of the host, until the log has had them for long enough.
//!
//! Append-only segments of CRC-framed envelopes and a cursor. One append is one frame and one
//! fdatasync; when it returns, its records exist, and only then are they sent. What a crash tore
//! off is cut at the next start; what changed before the tail is refused, never skipped.

mod cursor;
mod frame;
mod segment;
mod tail;

#[cfg(test)]
mod faults;

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

pub use cursor::Cursor;

use crate::durable::{self, FileError};
use frame::SEGMENT_HEAD;
use segment::{Frames, Next, Segment};
use tail::{Append, Opener};

/// Most bytes of a segment: a day of an 8-GPU host at 10 s (8,640 × 1.4 KiB = 12 MiB) takes two,
/// so that 72 hours of kept records go in some six steps, and reading one back takes no memory to
/// speak of.
pub const MAX_SEGMENT: u64 = 8 << 20;

/// Records as they were sealed, each with its sequence.
pub type Records = Vec<(u64, Vec<u8>)>;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of all segments together.
    pub max_bytes: u64,
    /// How long an INCLUDED record is kept, by the last change of its segment.
    pub keep: Duration,
}

/// Why the spool cannot be used. Nothing of it is skipped or mended: it is evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A frame that was whole when it was synced and is not now.
    #[error(
        "{path} is damaged at byte {offset}, before its end: records from there on are not what \
         was written. restore the file from a backup, or set the whole data directory aside and \
         enrol anew"
    )]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where the bad frame begins.
        offset: u64,
    },
    /// Segments that do not continue each other.
    #[error(
        "{path} begins with record {got} where {due} is due: a segment is missing. restore it, or \
         set the whole data directory aside and enrol anew"
    )]
    Missing {
        /// The segment after the hole.
        path: PathBuf,
        /// Next sequence.
        due: u64,
        /// Its first sequence.
        got: u64,
    },
    /// The log has more than the spool.
    #[error(
        "{path} ends before record {included}, which the log has: its end was lost. restore it, or \
         set the whole data directory aside and enrol anew"
    )]
    Behind {
        /// The spool.
        path: PathBuf,
        /// Last INCLUDED record.
        included: u64,
    },
    /// A name that no segment has.
    #[error("{0} is not a segment of the spool; move it elsewhere")]
    Foreign(PathBuf),
    /// A cursor that does not read.
    #[error("{0} does not read; remove it, the verifier says again how far the log is")]
    Cursor(PathBuf),
}

/// Why records were not appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// No room, and nothing that may go. The spool is as it was.
    #[error(
        "spool {path} is full: {max_bytes} bytes may be used and none of its records may go, for \
         the verifier has not taken them. reconnect it, or raise [spool] max_bytes"
    )]
    Full {
        /// The spool.
        path: PathBuf,
        /// The budget.
        max_bytes: u64,
    },
    /// The disk itself is full. The spool is as it was.
    #[error("the disk under {path} is full: {error}; make room there")]
    DiskFull {
        /// The segment.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The disk failed, and what is on it now is not known: the agent must start again.
    #[error(transparent)]
    Failed(#[from] FileError),
    /// Not the sequences that come next, none, or more bytes than a frame may have.
    #[error("records from {first} on do not fit the spool, where {due} is due")]
    Unfit {
        /// Next sequence.
        due: u64,
        /// What was to be appended.
        first: u64,
    },
}

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

/// The spool of one chain, held by the one who appends to it.
pub struct Spool {
    directory: PathBuf,
    limits: Limits,
    segments: VecDeque<Segment>,
    opener: Opener,
    tail: Option<Box<dyn Append>>,
    /// The disk failed: nothing is appended until the spool is opened again.
    failed: bool,
    cursor: Option<Cursor>,
    kept_from: u64,
    place: Option<Place>,
}

/// Where the reader was last.
#[derive(Clone, Copy, Debug)]
struct Place {
    segment: u64,
    offset: u64,
    sequence: u64,
}

impl Spool {
    /// Opens the spool in `directory`, making it where there is none, and cuts a torn tail.
    ///
    /// # Errors
    /// When anything before the tail is not as it was written, or the log has more.
    pub fn open(directory: &Path, limits: Limits) -> Result<Self, SpoolError> {
        Self::open_with(directory, limits, tail::open)
    }

    fn open_with(directory: &Path, limits: Limits, opener: Opener) -> Result<Self, SpoolError> {
        durable::private_directory(directory)?;
        let (mut segments, torn) = scan(directory)?;
        let cursor = cursor::read(directory)?;
        let next = segments.back().map_or(0, |segment| segment.next);
        if let Some(cursor) = cursor.as_ref().filter(|cursor| cursor.sequence >= next) {
            return Err(SpoolError::Behind {
                path: directory.to_owned(),
                included: cursor.sequence,
            });
        }
        let mut tail = None;
        if let Some(last) = segments.pop_back() {
            if last.bytes < SEGMENT_HEAD as u64 {
                // Made, and not even its head was synced: it never held anything.
                fs::remove_file(&last.path).map_err(FileError::io("remove", &last.path))?;
                durable::sync_directory_of(&last.path)?;
            } else {
                let mut file =
                    opener(&last.path, last.bytes).map_err(FileError::io("open", &last.path))?;
                if torn == segment::Tail::Torn {
                    tracing::warn!(path = %last.path.display(), offset = last.bytes, "cut what a crash left of the last append");
                    file.cut(last.bytes)
                        .map_err(FileError::io("cut", &last.path))?;
                }
                // What was read back may be in memory only; nothing unsynced is ever sent.
                file.sync().map_err(FileError::io("sync", &last.path))?;
                segments.push_back(last);
                tail = Some(file);
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            limits,
            segments,
            opener,
            tail,
            failed: false,
            cursor,
            kept_from: 0,
            place: None,
        })
    }

    /// The last record; `None` while there is none.
    pub fn last(&self) -> Option<u64> {
        self.status().range.map(|(_, last)| last)
    }

    /// How far the log is known to be.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// Keeps every record from `sequence` on, INCLUDED or not: the next start needs them.
    pub fn keep_from(&mut self, sequence: u64) {
        self.kept_from = sequence;
    }

    /// Appends records, the first of which has sequence `first`, and syncs them. Afterwards all
    /// of them exist, or on an error none.
    ///
    /// # Errors
    /// [`AppendError::Failed`] when nobody knows what is on the disk: open the spool again. All
    /// others leave the spool as it was.
    pub fn append(
        &mut self,
        first: u64,
        entries: &[Vec<u8>],
        now: SystemTime,
    ) -> Result<(), AppendError> {
        let due = self.last().map_or(first, |last| last.saturating_add(1));
        let unfit = AppendError::Unfit { due, first };
        let Some(frame) = frame::spell(first, entries).filter(|_| first == due) else {
            return Err(unfit);
        };
        if self.failed {
            let error = io::Error::other("an earlier write failed");
            return Err(FileError::io("append to", &self.directory)(error).into());
        }
        self.make_room(frame.len() as u64, now)?;
        self.roll(first, frame.len() as u64)?;
        let (Some(last), Some(tail)) = (self.segments.back_mut(), self.tail.as_mut()) else {
            return Err(unfit);
        };
        if let Err(error) = tail.write(&frame) {
            if let Err(error) = tail.cut(last.bytes) {
                self.failed = true;
                return Err(FileError::io("cut", &last.path)(error).into());
            }
            return Err(write_failed(&last.path, error));
        }
        // A failed sync is never tried again: the kernel may have thrown the pages away.
        if let Err(error) = tail.sync() {
            self.failed = true;
            return Err(FileError::io("sync", &last.path)(error).into());
        }
        last.bytes += frame.len() as u64;
        last.next = first.saturating_add(entries.len() as u64);
        Ok(())
    }

    /// Begins a new segment where the last one has no room.
    fn roll(&mut self, first: u64, bytes: u64) -> Result<(), AppendError> {
        if self
            .segments
            .back()
            .is_some_and(|last| last.bytes + bytes <= MAX_SEGMENT)
        {
            return Ok(());
        }
        let path = segment::path(&self.directory, first);
        let head = frame::segment_head(first);
        let made = (self.opener)(&path, 0).and_then(|mut file| {
            file.write(&head)?;
            file.sync()?;
            Ok(file)
        });
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                // An empty file under this name would be in the way of the next attempt.
                if let Err(error) = fs::remove_file(&path)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    self.failed = true;
                    return Err(FileError::io("remove", &path)(error).into());
                }
                return Err(write_failed(&path, error));
            }
        };
        if let Err(error) = durable::sync_directory_of(&path) {
            self.failed = true;
            return Err(error.into());
        }
        self.tail = Some(file);
        self.segments.push_back(Segment {
            path,
            first,
            next: first,
            bytes: head.len() as u64,
        });
        Ok(())
    }

    /// Reads records from `sequence` on: at least one, and on until they have `most` bytes. Empty
    /// when there is none, or when it is no longer kept.
    pub fn read(&mut self, sequence: u64, most: usize) -> Result<Records, SpoolError> {
        let mut out = Vec::new();
        let mut bytes = 0;
        let holds = |segment: &&Segment| (segment.first..segment.next).contains(&sequence);
        let Some(segment) = self.segments.iter().find(holds) else {
            return Ok(out);
        };
        let corrupt = |offset| SpoolError::Corrupt {
            path: segment.path.clone(),
            offset,
        };
        let frames = Frames::open(&segment.path, segment.first)?;
        let mut frames = frames.ok_or_else(|| corrupt(0))?;
        if let Some(place) = self.place
            && place.segment == segment.first
            && place.sequence <= sequence
        {
            frames.seek(&segment.path, place.offset)?;
        }
        while frames.offset < segment.bytes && bytes < most {
            let offset = frames.offset;
            let Next::Frame(frame) = frames.next(&segment.path)? else {
                return Err(corrupt(offset));
            };
            self.place = Some(Place {
                segment: segment.first,
                offset,
                sequence: frame.first,
            });
            for (at, entry) in (frame.first..).zip(frame.entries) {
                if at >= sequence && (bytes < most || out.is_empty()) {
                    bytes += entry.len();
                    out.push((at, entry));
                }
            }
        }
        Ok(out)
    }

    /// Takes note that the log has everything up to the cursor's sequence, durably, and lets go of
    /// segments that are INCLUDED and were kept for long enough.
    ///
    /// A cursor that does not advance changes the checkpoint only.
    pub fn included(&mut self, cursor: Cursor, now: SystemTime) -> Result<(), SpoolError> {
        let known = self.cursor.as_ref();
        if known.is_some_and(|known| cursor.sequence < known.sequence) || known == Some(&cursor) {
            return Ok(());
        }
        cursor::write(&self.directory, &cursor)?;
        self.cursor = Some(cursor);
        let keep = self.limits.keep;
        while let Some(oldest) = self.removable() {
            let changed = fs::metadata(&oldest.path).and_then(|metadata| metadata.modified());
            let changed = changed.map_err(FileError::io("look at", &oldest.path))?;
            // A clock that was set back makes nothing old.
            if now.duration_since(changed).is_ok_and(|age| age > keep) {
                self.remove_oldest()?;
            } else {
                break;
            }
        }
        Ok(())
    }

    fn make_room(&mut self, bytes: u64, now: SystemTime) -> Result<(), AppendError> {
        let max_bytes = self.limits.max_bytes;
        while self.bytes().saturating_add(bytes) > max_bytes {
            let Some(oldest) = self.removable() else {
                let path = self.directory.clone();
                return Err(AppendError::Full { path, max_bytes });
            };
            tracing::info!(path = %oldest.path.display(), ?now, "the spool's budget is used up: removed its oldest segment, which the log has");
            self.remove_oldest().map_err(|error| match error {
                SpoolError::File(error) => AppendError::Failed(error),
                other => {
                    let error = io::Error::other(other.to_string());
                    FileError::io("remove from", &self.directory)(error).into()
                }
            })?;
        }
        Ok(())
    }

    /// The oldest segment, if nobody needs it any more.
    fn removable(&self) -> Option<&Segment> {
        let included = self.cursor.as_ref()?.sequence;
        let oldest = self.segments.front().filter(|_| self.segments.len() > 1)?;
        (oldest.next <= included.saturating_add(1) && oldest.next <= self.kept_from)
            .then_some(oldest)
    }

    fn remove_oldest(&mut self) -> Result<(), SpoolError> {
        if let Some(oldest) = self.segments.front() {
            fs::remove_file(&oldest.path).map_err(FileError::io("remove", &oldest.path))?;
            self.segments.pop_front();
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// How the spool stands.
    pub fn status(&self) -> Status {
        status(&self.segments, self.cursor.clone())
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

fn scan(directory: &Path) -> Result<(VecDeque<Segment>, segment::Tail), SpoolError> {
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

fn status(segments: &VecDeque<Segment>, cursor: Option<Cursor>) -> Status {
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

fn write_failed(path: &Path, error: io::Error) -> AppendError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AppendError::DiskFull {
            path: path.to_owned(),
            error,
        },
        _ => FileError::io("write", path)(error).into(),
    }
}
