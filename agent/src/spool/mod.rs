//! The spool: sealed records on the disk of the host, until the log has had them for long enough.
//!
//! Append-only segments of CRC-framed envelopes and a cursor. One append is one frame and one
//! fdatasync; when it returns, its records exist, and only then are they sent. What a crash tore
//! off is cut at the next start; what changed before the tail is refused, never skipped.

mod cursor;
mod error;
mod frame;
mod pressure;
mod reserve;
mod segment;
mod view;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod power_cuts;

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use cursor::Cursor;
pub use error::{AppendError, SpoolError};
pub use pressure::{Relief, Shorten, Shortened};
pub use view::{Status, cursor_changed, look, look_at, look_how_far};

use crate::{
    disk::{Append, Disk, LocalDisk},
    durable::{self, FileError},
};
use cursor::Marks;
use frame::SegmentHead;
use reserve::Reserve;
use segment::{Frames, Next, Segment};
use view::{scan, status};

/// Most bytes of a segment: a day of an 8-GPU host at 10 s (8,640 × 1.4 KiB = 12 MiB) takes two,
/// so that 72 hours of kept records go in some six steps, and reading one back takes no memory to
/// speak of.
pub const MAX_SEGMENT: u64 = 8 << 20;

/// Segments that the budget holds at the least, so that it is never full of one that is kept.
const LEAST_SEGMENTS: u64 = 8;

/// Records as they were sealed, each with its sequence.
pub type Records = Vec<(u64, Vec<u8>)>;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of all segments together.
    pub max_bytes: u64,
    /// How long an INCLUDED record is kept, from when the log was first known to have it.
    pub keep: Duration,
    /// How long a record that is not INCLUDED keeps its lines, by the last change of its segment;
    /// `None` as long as there is room.
    pub max_age: Option<Duration>,
    /// Bytes that are held back on the disk for when others fill it up; `None` for a segment,
    /// which is written anew before the old one goes, and an eighth for what is said of that.
    pub reserve: Option<u64>,
}

impl Limits {
    fn segment(&self) -> u64 {
        MAX_SEGMENT.min(self.max_bytes / LEAST_SEGMENTS)
    }

    fn reserve(&self) -> u64 {
        let segment = self.segment();
        self.reserve.unwrap_or(segment + segment / 8)
    }
}

/// The spool of one chain, held by the one who appends to it.
pub struct Spool {
    directory: PathBuf,
    limits: Limits,
    disk: Arc<dyn Disk>,
    segments: VecDeque<Segment>,
    tail: Option<Box<dyn Append>>,
    /// The disk failed: nothing is changed until the spool is opened again.
    failed: bool,
    cursor: Option<Cursor>,
    marks: Marks,
    kept_from: u64,
    held: u64,
    place: Option<Place>,
    reserve: Reserve,
    /// Segments, by their first sequence, that would be no shorter without lines.
    spent: Vec<u64>,
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
        Self::open_on(Arc::new(LocalDisk), directory, limits)
    }

    /// Opens a spool whose changes go through `disk`.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        directory: &Path,
        limits: Limits,
    ) -> Result<Self, SpoolError> {
        durable::private_directory(directory)?;
        let found = scan(directory)?;
        let (cursor, marks) = cursor::read(directory)?.unzip();
        let next = found.segments.back().map_or(0, |segment| segment.next);
        if let Some(cursor) = cursor.as_ref().filter(|cursor| cursor.sequence >= next) {
            return Err(SpoolError::Behind {
                path: directory.to_owned(),
                included: cursor.sequence,
            });
        }
        // What a crash left: files that were never anything, or that are nothing any more.
        for path in found.replaced.iter().chain(&found.headless) {
            disk.remove(path).map_err(FileError::io("remove", path))?;
        }
        for segment in &found.segments {
            durable::remove_leftover(&*disk, &pressure::temporary(&segment.path))?;
        }
        // What was read back may be in memory only; nothing unsynced is ever sent.
        disk.sync_directory(directory)
            .map_err(FileError::io("sync", directory))?;
        let mut tail = None;
        if let Some(last) = found.segments.back() {
            let opened = disk.open(&last.path, last.bytes);
            let mut file = opened.map_err(FileError::io("open", &last.path))?;
            if found.tail == segment::Tail::Torn {
                tracing::warn!(path = %last.path.display(), offset = last.bytes, "cut what a crash left of the last append");
                file.cut(last.bytes)
                    .map_err(FileError::io("cut", &last.path))?;
            }
            file.sync().map_err(FileError::io("sync", &last.path))?;
            tail = Some(file);
        }
        let reserve = Reserve::at(directory, limits.reserve());
        Ok(Self {
            directory: directory.to_owned(),
            limits,
            disk,
            segments: found.segments,
            tail,
            failed: false,
            cursor,
            marks: marks.unwrap_or_default(),
            kept_from: 0,
            held: 0,
            place: None,
            reserve,
            spent: Vec::new(),
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

    /// Never drops record `sequence`, nor any before it, while the log does not have it: a change
    /// of the key, without which the log takes nothing that follows.
    pub fn hold(&mut self, sequence: u64) {
        self.held = sequence;
    }

    /// The disk that it lies on.
    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// The newest kept record before `sequence`.
    pub fn before(&self, sequence: u64) -> Option<u64> {
        let earlier =
            |segment: &&Segment| segment.first() < sequence && segment.first() < segment.next;
        let segment = self.segments.iter().rev().find(earlier)?;
        Some(segment.next.min(sequence) - 1)
    }

    /// Appends records, the first of which has sequence `first`, and syncs them. Afterwards all
    /// of them exist, or on an error none.
    ///
    /// Where the disk is full, segments that the log has make room, and then the reserve.
    ///
    /// # Errors
    /// [`AppendError::Failed`] when nobody knows what is on the disk: open the spool again. All
    /// others leave the spool as it was.
    pub fn append(&mut self, first: u64, entries: &[Vec<u8>]) -> Result<(), AppendError> {
        let bytes: usize = entries.iter().map(Vec::len).sum();
        self.make_room(bytes as u64)?;
        self.append_beyond(first, entries)
    }

    /// Appends records, within the budget or not: what must be said before room is made.
    ///
    /// # Errors
    /// As [`Spool::append`], but for [`AppendError::Full`].
    pub fn append_beyond(&mut self, first: u64, entries: &[Vec<u8>]) -> Result<(), AppendError> {
        let due = self.last().map_or(first, |last| last.saturating_add(1));
        let Some(frame) = frame::spell(first, entries).filter(|_| first == due) else {
            return Err(AppendError::Unfit { due, first });
        };
        let next = first.saturating_add(entries.len() as u64);
        self.usable()?;
        loop {
            match self.try_append(first, next, &frame) {
                Err(AppendError::DiskFull { .. }) if self.free_disk()? => {}
                done => return done,
            }
        }
    }

    fn try_append(&mut self, first: u64, next: u64, frame: &[u8]) -> Result<(), AppendError> {
        self.roll(first, frame.len() as u64)?;
        let (Some(last), Some(tail)) = (self.segments.back_mut(), self.tail.as_mut()) else {
            return Err(AppendError::Unfit { due: first, first });
        };
        if let Err(error) = tail.write(frame) {
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
        last.next = next;
        Ok(())
    }

    fn usable(&self) -> Result<(), FileError> {
        if self.failed {
            let error = io::Error::other("an earlier write failed");
            return Err(FileError::io("change", &self.directory)(error));
        }
        Ok(())
    }

    /// Begins a new segment where the last one has no room.
    fn roll(&mut self, first: u64, bytes: u64) -> Result<(), AppendError> {
        let most = self.limits.segment();
        let run = match self.segments.back() {
            Some(last) if last.next == last.first() => return Ok(()),
            // What is held is in a segment that cannot go; what follows it shall be able to.
            Some(last)
                if last.bytes + bytes <= most && !(self.holds(last) && self.budget_used()) =>
            {
                return Ok(());
            }
            Some(last) => last.head.run,
            None => 0,
        };
        let path = segment::path(&self.directory, first);
        let head = SegmentHead {
            first,
            from: first,
            run,
            short: false,
        };
        let made = self.disk.create(&path).and_then(|mut file| {
            file.write(&head.spell())?;
            file.sync()?;
            Ok(file)
        });
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                // An empty file under this name would be in the way of the next attempt.
                if let Err(error) = durable::remove_leftover(&*self.disk, &path) {
                    self.failed = true;
                    return Err(error.into());
                }
                return Err(AppendError::of_write(&path, error));
            }
        };
        self.sync_names()?;
        self.tail = Some(file);
        self.segments.push_back(Segment {
            path,
            head,
            next: first,
            bytes: head.spell().len() as u64,
        });
        Ok(())
    }

    /// Makes the names in the directory durable. After a failure nobody knows which are.
    fn sync_names(&mut self) -> Result<(), FileError> {
        let synced = self.disk.sync_directory(&self.directory);
        self.failed |= synced.is_err();
        synced.map_err(FileError::io("sync", &self.directory))
    }

    /// Reads records from `sequence` on: at least one, and on until they have `most` bytes. Where
    /// it was dropped, those that follow the drop. Empty when there is none, or when it is no
    /// longer kept.
    ///
    /// One call opens one segment and goes on where the last one ended, so that a backlog is read
    /// but once, and holds no more than `most` bytes and the longest frame.
    pub fn read(&mut self, sequence: u64, most: usize) -> Result<Records, SpoolError> {
        let mut out = Vec::new();
        let mut bytes = 0;
        let holds = |segment: &&Segment| (segment.head.from..segment.next).contains(&sequence);
        let Some(segment) = self.segments.iter().find(holds) else {
            return Ok(out);
        };
        let sequence = sequence.max(segment.first());
        let corrupt = |offset| SpoolError::Corrupt {
            path: segment.path.clone(),
            offset,
        };
        let frames = Frames::open(&segment.path, segment.first())?;
        let mut frames = frames.ok_or_else(|| corrupt(0))?;
        if let Some(place) = self.place
            && place.segment == segment.first()
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
                segment: segment.first(),
                offset,
                sequence: frame.first,
            });
            for (at, entry) in (frame.first..).zip(frame.entries) {
                let wanted = (sequence..segment.next).contains(&at);
                if wanted && (bytes < most || out.is_empty()) {
                    bytes += entry.len();
                    out.push((at, entry));
                }
            }
        }
        Ok(out)
    }

    /// Takes note that the log has everything up to the cursor's sequence, and lets go of segments
    /// that it has had for long enough.
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
        self.usable()?;
        self.marks.note(cursor.sequence, now, self.limits.keep);
        let written = cursor::write(&*self.disk, &self.directory, &cursor, &self.marks);
        self.cursor = Some(cursor);
        if let Some(over) = self.marks.over(now, self.limits.keep) {
            while self.removable(over) {
                self.remove_oldest()?;
            }
        }
        written
    }

    /// How the spool stands.
    pub fn status(&self) -> Status {
        status(&self.segments, self.cursor.clone())
    }
}
