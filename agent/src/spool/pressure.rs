//! Making room, when the budget is used up or the disk is full.
//!
//! First goes what the log has. Then, oldest first, the lines of what it does not have: statements
//! and totals stay, so the chain stays whole. Only when nothing is left to shorten do records go,
//! and then the newest: a chain goes on from its head alone, so a `gap` can stand in place of
//! records only up to the last one that was sealed. To drop the oldest would be to drop all.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    AppendError, Spool, SpoolError,
    frame::{self, SegmentHead},
    segment::{self, Frames, Next, Segment},
};
use crate::durable::{self, FileError};

/// Lets the lines of one envelope go; `None` where that changes nothing.
pub type Shorten = fn(&[u8]) -> Option<Vec<u8>>;

/// What would make room, once the chain says so.
#[derive(Debug)]
pub enum Relief {
    /// Lines of usage records go: [`Spool::append_beyond`] that, then [`Spool::put`] it.
    Lines(Shortened),
    /// Every record from `first` to the head goes: seal that, and [`Spool::replace_from`] it.
    Records {
        /// The first of them.
        first: u64,
        /// First and last of the records before it whose lines went: what the chain said of
        /// that may be among the records that go.
        short: Option<(u64, u64)>,
    },
}

/// A segment without lines that is written and synced, and not yet in place of the whole one.
#[derive(Debug)]
pub struct Shortened {
    temporary: PathBuf,
    head: SegmentHead,
    bytes: u64,
    /// First and last record whose lines go.
    pub range: (u64, u64),
}

/// Where the new content of a segment is written.
pub(super) fn temporary(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}

impl Spool {
    /// Looks whether room must be made, removes what the log has if so, and says what else would
    /// help. `None` when there is room, or nothing helps.
    ///
    /// # Errors
    /// When the disk fails, or a segment is not what was written.
    pub fn relief(
        &mut self,
        now: SystemTime,
        shorten: Shorten,
    ) -> Result<Option<Relief>, SpoolError> {
        self.usable()?;
        if let Some(aged) = self.aged(now)?
            && let Some(shortened) = self.shorten(aged, shorten, false)?
        {
            return Ok(Some(Relief::Lines(shortened)));
        }
        let included = self.cursor().map(|cursor| cursor.sequence);
        while self.pressed() && included.is_some_and(|included| self.removable(included)) {
            tracing::info!("the spool has no room: removed its oldest segment, which the log has");
            self.remove_oldest()?;
        }
        if !self.pressed() {
            return Ok(None);
        }
        while let Some(oldest) = self.whole() {
            if let Some(shortened) = self.shorten(oldest, shorten, true)? {
                return Ok(Some(Relief::Lines(shortened)));
            }
            if !self.spent.contains(&oldest) {
                // There is not even room to write the shorter one.
                return Ok(None);
            }
        }
        // Others who fill up the disk shall not thereby destroy what was sealed.
        if !self.budget_used() {
            return Ok(None);
        }
        Ok(self.droppable().map(|first| Relief::Records {
            first,
            short: self.short_before(first),
        }))
    }

    /// Puts a shortened segment in the place of the whole one.
    ///
    /// # Errors
    /// When the disk fails: the one or the other is there, whole. Open the spool again.
    pub fn put(&mut self, shortened: Shortened) -> Result<(), FileError> {
        self.usable()?;
        let path = segment::path(&self.directory, shortened.head.first);
        if let Err(error) = self.disk.rename(&shortened.temporary, &path) {
            self.failed = true;
            return Err(FileError::io("rename to", &path)(error));
        }
        self.sync_names()?;
        let first = shortened.head.first;
        if let Some(whole) = self.segments.iter_mut().find(|it| it.first() == first) {
            whole.head = shortened.head;
            whole.bytes = shortened.bytes;
        }
        self.place = None;
        Ok(())
    }

    /// Leaves a segment as it is, after all.
    ///
    /// # Errors
    /// When its temporary file cannot be removed.
    pub fn leave(&self, shortened: &Shortened) -> Result<(), FileError> {
        durable::remove_leftover(&*self.disk, &shortened.temporary)
    }

    /// Drops every record from `from` on and goes on with `entries`, whose first has sequence
    /// `first`, after the head. On an error before anything was dropped the spool is as it was.
    ///
    /// # Errors
    /// As [`Spool::append`].
    pub fn replace_from(
        &mut self,
        from: u64,
        first: u64,
        entries: &[Vec<u8>],
    ) -> Result<(), AppendError> {
        let due = self.last().map_or(first, |last| last.saturating_add(1));
        let begins = |segment: &Segment| segment.head.from == from;
        let fits = first == due && self.segments.iter().any(begins);
        let Some(frame) = frame::spell(first, entries).filter(|_| fits) else {
            return Err(AppendError::Unfit { due, first });
        };
        self.usable()?;
        let run = self.segments.back().map_or(0, |last| last.head.run);
        let head = SegmentHead {
            first,
            from,
            run: run.saturating_add(1),
            short: false,
        };
        let path = segment::path(&self.directory, first);
        let temporary = temporary(&path);
        let bytes = [head.spell().as_slice(), &frame].concat();
        loop {
            match self.write_beside(&temporary, &bytes) {
                Err(AppendError::DiskFull { .. }) if self.free_disk()? => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        // From here on the spool is what the new segment makes of it, now or at the next start.
        self.failed = true;
        self.disk
            .rename(&temporary, &path)
            .map_err(FileError::io("rename to", &path))?;
        self.sync_names()?;
        let length = bytes.len() as u64;
        let opened = self.disk.open(&path, length);
        self.tail = Some(opened.map_err(FileError::io("open", &path))?);
        while let Some(dropped) = self.segments.pop_back_if(|last| last.first() >= from) {
            if dropped.path != path {
                let removed = self.disk.remove(&dropped.path);
                removed.map_err(FileError::io("remove", &dropped.path))?;
            }
        }
        // A name that came back could not be told from one that is missing its successor.
        self.sync_names()?;
        self.segments.push_back(Segment {
            path,
            head,
            next: first.saturating_add(entries.len() as u64),
            bytes: length,
        });
        self.place = None;
        self.failed = false;
        Ok(())
    }

    /// Makes room within the budget by what the log has.
    pub(super) fn make_room(&mut self, bytes: u64) -> Result<(), AppendError> {
        self.usable()?;
        let max_bytes = self.limits.max_bytes;
        let included = self.cursor().map(|cursor| cursor.sequence);
        while self.bytes().saturating_add(bytes) > max_bytes {
            if !included.is_some_and(|included| self.removable(included)) {
                let path = self.directory.clone();
                return Err(AppendError::Full { path, max_bytes });
            }
            self.remove_oldest()?;
        }
        Ok(())
    }

    /// Frees room on a full disk, by what the log has or by the reserve; false when there is none.
    pub(crate) fn free_disk(&mut self) -> Result<bool, FileError> {
        let included = self.cursor().map(|cursor| cursor.sequence);
        if included.is_some_and(|included| self.removable(included)) {
            self.remove_oldest()?;
            return Ok(true);
        }
        self.reserve.give(&*self.disk)
    }

    /// Tells whether nobody needs the oldest segment, given that the log has all up to `included`.
    pub(super) fn removable(&self, included: u64) -> bool {
        let oldest = self.segments.front().filter(|_| self.segments.len() > 1);
        oldest.is_some_and(|oldest| {
            oldest.next <= included.saturating_add(1) && oldest.next <= self.kept_from
        })
    }

    pub(super) fn remove_oldest(&mut self) -> Result<(), FileError> {
        if let Some(oldest) = self.segments.front() {
            let removed = self.disk.remove(&oldest.path);
            removed.map_err(FileError::io("remove", &oldest.path))?;
            self.segments.pop_front();
            let first = self.segments.front().map_or(0, Segment::first);
            self.spent.retain(|spent| *spent >= first);
            // Else an older one could be back after a power cut where a newer one is not.
            self.sync_names()?;
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// A segment's room must stay, so that there is some for what is said of making more.
    pub(crate) fn budget_used(&self) -> bool {
        self.bytes().saturating_add(self.limits.segment()) > self.limits.max_bytes
    }

    /// Tells whether room must be made. Tries to have the reserve again first.
    fn pressed(&mut self) -> bool {
        let taken = self.reserve.take(&*self.disk);
        if let Err(error) = &taken {
            tracing::debug!(%error, "no reserve");
        }
        !self.reserve.is_held() || self.budget_used()
    }

    /// The oldest segment whose lines are older than they may get.
    fn aged(&self, now: SystemTime) -> Result<Option<u64>, SpoolError> {
        let Some(max_age) = self.limits.max_age else {
            return Ok(None);
        };
        let Some(oldest) = self.whole() else {
            return Ok(None);
        };
        let Some(oldest) = self.segments.iter().find(|it| it.first() == oldest) else {
            return Ok(None);
        };
        let changed = fs::metadata(&oldest.path).and_then(|metadata| metadata.modified());
        let changed = changed.map_err(FileError::io("look at", &oldest.path))?;
        // A clock that was set back makes nothing old.
        let aged = now.duration_since(changed).is_ok_and(|age| age > max_age);
        Ok(aged.then_some(oldest.first()))
    }

    /// The oldest segment that may have lines to let go of.
    fn whole(&self) -> Option<u64> {
        let mut whole = self.closed().filter(|segment| self.is_whole(segment));
        let fresh = whole.find(|segment| !self.spent.contains(&segment.first()));
        fresh.map(Segment::first)
    }

    /// Tells whether a segment has a record that is held and that the log does not have.
    pub(super) fn holds(&self, segment: &Segment) -> bool {
        let included = self.cursor().map(|cursor| cursor.sequence);
        segment.first() <= self.held && included.is_none_or(|included| included < self.held)
    }

    /// Segments that nothing is appended to.
    fn closed(&self) -> impl Iterator<Item = &Segment> {
        let closed = self.segments.len().saturating_sub(1);
        self.segments.iter().take(closed)
    }

    /// Tells whether a segment has all its lines and waits for the log: what the log has goes
    /// whole or stays whole.
    fn is_whole(&self, segment: &Segment) -> bool {
        let included = self.cursor().map(|cursor| cursor.sequence);
        !segment.head.short && included.is_none_or(|included| segment.next > included + 1)
    }

    /// Writes a segment beside the whole one, without the lines of those of its records that wait
    /// for the log. `None` when there are none, or `less` is due and it would not be an eighth
    /// shorter: then it is spent; or when the disk has no room for it.
    fn shorten(
        &mut self,
        first: u64,
        shorten: Shorten,
        less: bool,
    ) -> Result<Option<Shortened>, SpoolError> {
        let Some(whole) = self.segments.iter().find(|it| it.first() == first).cloned() else {
            return Ok(None);
        };
        let waits = self.cursor().map_or(0, |cursor| cursor.sequence + 1);
        let head = SegmentHead {
            short: true,
            ..whole.head
        };
        let mut bytes = head.spell().to_vec();
        let mut range: Option<(u64, u64)> = None;
        let corrupt = |offset| SpoolError::Corrupt {
            path: whole.path.clone(),
            offset,
        };
        let mut frames = Frames::open(&whole.path, first)?.ok_or_else(|| corrupt(0))?;
        while frames.offset < whole.bytes {
            let offset = frames.offset;
            let Next::Frame(mut frame) = frames.next(&whole.path)? else {
                return Err(corrupt(offset));
            };
            for (at, entry) in (frame.first..).zip(&mut frame.entries) {
                let shorter = (at >= waits).then(|| shorten(entry)).flatten();
                if let Some(shorter) = shorter.filter(|it| !less || it.len() < entry.len()) {
                    *entry = shorter;
                    range = Some((range.map_or(at, |(first, _)| first), at));
                }
            }
            let Some(frame) = frame::spell(frame.first, &frame.entries) else {
                // Longer without its lines than a frame may be.
                self.spent.push(first);
                return Ok(None);
            };
            bytes.extend(frame);
        }
        let length = bytes.len() as u64;
        let Some(range) = range.filter(|_| !less || length <= whole.bytes - whole.bytes / 8) else {
            self.spent.push(first);
            return Ok(None);
        };
        let temporary = temporary(&whole.path);
        loop {
            match self.write_beside(&temporary, &bytes) {
                Err(AppendError::DiskFull { .. }) if self.reserve.give(&*self.disk)? => {}
                Err(AppendError::DiskFull { .. }) => return Ok(None),
                Err(AppendError::Failed(error)) => return Err(error.into()),
                Err(other) => {
                    let error = io::Error::other(other.to_string());
                    return Err(FileError::io("write", &temporary)(error).into());
                }
                Ok(()) => break,
            }
        }
        Ok(Some(Shortened {
            temporary,
            head,
            bytes: length,
            range,
        }))
    }

    /// Writes and syncs a temporary file; where that fails none is left.
    fn write_beside(&self, temporary: &Path, bytes: &[u8]) -> Result<(), AppendError> {
        durable::remove_leftover(&*self.disk, temporary)?;
        let written = self.disk.create(temporary).and_then(|mut file| {
            file.write(bytes)?;
            file.sync()
        });
        written.map_err(|error| {
            let full = AppendError::of_write(temporary, error);
            match durable::remove_leftover(&*self.disk, temporary) {
                Ok(()) => full,
                Err(error) => error.into(),
            }
        })
    }

    /// First and last record before `from` that are in segments without lines and wait for the log.
    fn short_before(&self, from: u64) -> Option<(u64, u64)> {
        let waits = self.cursor().map_or(0, |cursor| cursor.sequence + 1);
        let short = |it: &&Segment| it.head.short && it.next > waits && it.first() < from;
        let mut short = self.segments.iter().filter(short);
        let first = short.next()?;
        let last = short.next_back().unwrap_or(first);
        Some((first.first().max(waits), last.next - 1))
    }

    /// From which record on to drop, so that a segment's room is made: whole segments that wait
    /// for the log, and never the oldest records of it, nor what is held.
    fn droppable(&self) -> Option<u64> {
        let waits = self.cursor().map_or(0, |cursor| cursor.sequence + 1);
        let newest = self.segments.iter().skip(1).rev();
        let mut freed = 0;
        for segment in
            newest.take_while(|it| it.first() >= waits.max(1) && it.head.from > self.held)
        {
            freed += segment.bytes;
            if freed >= self.limits.segment() / 2 {
                // What a run stands in place of was dropped before, and stays so.
                return Some(segment.head.from);
            }
        }
        None
    }
}
