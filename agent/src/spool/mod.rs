//! The spool: sealed records on the disk of the host, until the log has had them for long enough.
//!
//! Append-only segments of CRC-framed envelopes and a cursor. One append is one frame and one
//! fdatasync; when it returns, its records exist, and only then are they sent. What a crash tore
//! off is cut at the next start; what changed before the tail is refused, never skipped.

mod cursor;
mod error;
mod frame;
mod segment;
mod tail;
mod view;

#[cfg(test)]
mod faults;

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

pub use cursor::Cursor;
pub use error::{AppendError, SpoolError};
pub use view::{Status, cursor_changed, look, look_at};

use crate::durable::{self, FileError};
use frame::SEGMENT_HEAD;
use segment::{Frames, Next, Segment};
use tail::{Append, Opener};
use view::{scan, status};

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

    /// How much is kept.
    pub fn limits(&self) -> Limits {
        self.limits
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
            return Err(AppendError::of_write(&last.path, error));
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
                return Err(AppendError::of_write(&path, error));
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

    /// Takes note that the log has everything up to the cursor's sequence, and lets go of segments
    /// that are INCLUDED and were kept for long enough.
    ///
    /// A cursor that does not advance changes the checkpoint only.
    ///
    /// # Errors
    /// When the cursor could not be written, as on a disk that is full, or a segment not removed.
    /// The spool can be used on: a cursor that is behind is mended by the next one.
    pub fn included(&mut self, cursor: Cursor, now: SystemTime) -> Result<(), SpoolError> {
        let known = self.cursor.as_ref();
        if known.is_some_and(|known| cursor.sequence < known.sequence) || known == Some(&cursor) {
            return Ok(());
        }
        let written = cursor::write(&self.directory, &cursor);
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
        written
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
