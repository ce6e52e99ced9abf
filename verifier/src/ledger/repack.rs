//! Repacking: the segments of an hour that is over are joined, and filed by chain.
//!
//! The joined segment has its name before the others lose theirs, so a crash leaves all of them, and
//! the one that was rewritten most often counts; those that are left over go when the log is opened
//! the next time. The newest segment is left: its name stands in the lock.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use affiant_report::segment::{
    BadSegment, Builder, Layout, MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES, Segment, SegmentName,
};

use super::{disk::Disk, reader::Reader, writer::RESERVE_BYTES};

const HOUR_MS: u64 = 3_600_000;

/// Most bytes of content that segments are joined to: seven eighths of what a segment may hold.
///
/// A record whose lines are erased may grow, for the proof that its totals are its own takes the place
/// of the lines: by 34 bytes for each doubling of the leaves and 22 more, less 15 for each line and 18
/// of the seed. That is 25 bytes at the most, at four leaves, of 340 that the smallest record has.
const MAX_JOINED_BYTES: u64 = (MAX_SEGMENT_BYTES - MAX_SEGMENT_BYTES / 8) as u64;

/// Why segments were not repacked. They are what they were; the next round tries again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotRepacked {
    /// A segment.
    #[error(transparent)]
    Segment(#[from] BadSegment),
    /// The disk is nearly full.
    #[error(
        "{path} has {free} bytes free where {due} must be to repack its segments; free some space"
    )]
    Full {
        /// Where the segments lie.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes needed.
        due: u64,
    },
    /// Somebody else rewrote one of them meanwhile.
    #[error("the segments from {0} on were rewritten by another while they were repacked")]
    Meanwhile(SegmentName),
    /// The disk, or a fault in making the new segment.
    #[error("{path}: {source}; look at the disk")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What was repacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repacked {
    /// Segments that are gone.
    pub joined: u64,
    /// Segments that stand in their place.
    pub made: u64,
    /// Bytes of those that are gone.
    pub bytes_before: u64,
    /// Bytes of those in their place.
    pub bytes_after: u64,
}

/// Repacks the segments of a running log. One at a time does, and none while lines are erased.
///
/// In memory are the entries of one segment, its file, and a block that is compared: some 160 MiB for
/// the largest.
#[derive(Debug)]
pub struct Repacker {
    reader: Reader,
    disk: Arc<dyn Disk>,
    /// Entries before this are in segments that were repacked, or that did not get smaller.
    done: AtomicU64,
}

/// Segments that are to be joined: they abut, and are of one hour.
#[derive(Debug, Default)]
struct Run {
    names: Vec<SegmentName>,
    hour: u64,
    content: u64,
    /// Bytes of their files.
    length: u64,
}

impl Run {
    /// Tells whether another segment goes into it.
    fn takes(&self, segment: &Segment) -> bool {
        let Some(first) = self.names.first() else {
            return true;
        };
        let content = self.content.saturating_add(segment.content_bytes());
        let entries = segment.name().end().saturating_sub(first.start());
        self.hour == hour(segment)
            && content <= MAX_JOINED_BYTES
            && entries <= MAX_SEGMENT_ENTRIES as u64
    }

    fn add(&mut self, segment: &Segment) {
        self.names.push(*segment.name());
        self.hour = hour(segment);
        self.content = self.content.saturating_add(segment.content_bytes());
        self.length = self.length.saturating_add(segment.length());
    }
}

fn hour(segment: &Segment) -> u64 {
    segment.clock() / HOUR_MS
}

impl Repacker {
    /// Repacks the log that `reader` reads, through `disk`.
    pub fn new(reader: Reader, disk: Arc<dyn Disk>) -> Self {
        Self {
            reader,
            disk,
            done: AtomicU64::new(0),
        }
    }

    /// Joins and files the segments of every hour that is over by the log's own clock, until `stop` says
    /// so. What does not get smaller by it stays as it is.
    pub fn repack(&self, stop: &dyn Fn() -> bool) -> Result<Repacked, NotRepacked> {
        let mut done = Repacked::default();
        let mut names = self.reader.segments();
        let Some(newest) = names.pop() else {
            return Ok(done);
        };
        let open = hour(&self.open(&newest)?);
        let mut run = Run::default();
        let from = self.done.load(Relaxed);
        for name in names.iter().skip_while(|name| name.start() < from) {
            if stop() {
                return Ok(done);
            }
            let segment = self.open(name)?;
            if hour(&segment) >= open {
                break;
            }
            let filed = segment.layout() == Layout::Filed;
            if filed || !run.takes(&segment) {
                self.join(std::mem::take(&mut run), stop, &mut done)?;
                // What was left of it is begun again the next time.
                if stop() {
                    return Ok(done);
                }
            }
            match filed {
                true => self.done.store(name.end(), Relaxed),
                false => run.add(&segment),
            }
        }
        self.join(run, stop, &mut done)?;
        Ok(done)
    }

    /// Puts one segment in the place of several.
    fn join(
        &self,
        run: Run,
        stop: &dyn Fn() -> bool,
        done: &mut Repacked,
    ) -> Result<(), NotRepacked> {
        let Some((new, bytes)) = self.joined(&run, stop)? else {
            return Ok(());
        };
        let length = bytes.len() as u64;
        if length < run.length {
            self.put(&run, new, &bytes)?;
            done.joined += run.names.len() as u64;
            done.made += 1;
            done.bytes_before += run.length;
            done.bytes_after += length;
        }
        self.done.store(new.end(), Relaxed);
        Ok(())
    }

    /// Makes the segment; none where there is nothing to join, or no time left.
    fn joined(
        &self,
        run: &Run,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<(SegmentName, Vec<u8>)>, NotRepacked> {
        let mut making: Option<Builder> = None;
        let mut revision = 0;
        for name in &run.names {
            if stop() {
                return Ok(None);
            }
            let segment = self.open(name)?;
            segment.verify()?;
            let builder = match &mut making {
                Some(builder) => builder,
                None => {
                    let made = Builder::laid_out(Layout::Filed, name.start(), segment.clock());
                    making.insert(made.map_err(self.io(name))?)
                }
            };
            for number in 0..segment.frames() {
                for entry in segment.frame(number)?.1 {
                    builder.push(&entry).map_err(self.io(name))?;
                }
            }
            builder.closed();
            revision = revision.max(segment.revision().saturating_add(1));
        }
        match (making, run.names.first()) {
            (Some(builder), Some(first)) => {
                builder.finish(revision).map(Some).map_err(self.io(first))
            }
            _ => Ok(None),
        }
    }

    fn put(&self, run: &Run, new: SegmentName, bytes: &[u8]) -> Result<(), NotRepacked> {
        let folder = self.reader.folder();
        let free = self.disk.available(folder).map_err(at(folder))?;
        let due = RESERVE_BYTES.saturating_add(bytes.len() as u64);
        if free < due {
            let path = folder.to_owned();
            return Err(NotRepacked::Full { path, free, due });
        }
        let path = folder.join(new.to_string());
        match self.disk.create(&path, bytes) {
            // Made by a run that was cut off: the name says that it holds these bytes.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(at(&path))?,
        }
        if !self.reader.replace(&run.names, new) {
            // It may have lines that are erased by now, so it must not be found at the next start.
            self.disk.remove(&path).map_err(at(&path))?;
            self.disk.sync_directory(folder).map_err(at(folder))?;
            return Err(NotRepacked::Meanwhile(new));
        }
        // Shown no more before they go.
        for name in &run.names {
            let path = folder.join(name.to_string());
            self.disk.remove(&path).map_err(at(&path))?;
        }
        self.disk.sync_directory(folder).map_err(at(folder))
    }

    fn open(&self, name: &SegmentName) -> Result<Segment, NotRepacked> {
        Ok(Segment::open(self.reader.folder(), name)?)
    }

    fn io(&self, name: &SegmentName) -> impl Fn(io::Error) -> NotRepacked + use<> {
        at(&self.reader.folder().join(name.to_string()))
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> NotRepacked + use<> {
    let path = path.to_owned();
    move |source| NotRepacked::Io {
        path: path.clone(),
        source,
    }
}
