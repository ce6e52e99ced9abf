//! The log as far as a checkpoint covers it, read without the lock and without changing anything.
//!
//! Backup, restore and succession rest on it: what they go on from is what was published.

use std::{
    fs, io,
    path::{Path, PathBuf},
    vec,
};

use affiant_proto::tlog::{Checkpoint, MAX_NOTE_BYTES, Note};
use affiant_report::{
    edge::Edge,
    segment::{BadSegment, Entry, Segment, SegmentName},
};

use super::{
    check,
    disk::{self, LocalDisk},
    hold::{Hold, NotHeld},
    lock::{FileLock, Lock as _, LockError},
    places::Places,
    refusal::OpenError,
};

/// A directory in which no ledger is open meanwhile, for as long as this value lives.
#[derive(Debug)]
pub struct Idle(#[allow(dead_code, reason = "held, which is all it is for")] Hold);

impl Idle {
    /// Holds a ledger's directory; refuses where a verifier runs on it.
    pub fn hold(directory: &Path) -> Result<Self, NotHeld> {
        Hold::take(&Places::new(directory).holder()).map(Self)
    }
}

/// A checkpoint as it was published: its note, and what that says. Nobody checked its signature.
#[derive(Clone, Debug)]
pub struct PublishedNote {
    note: Vec<u8>,
    checkpoint: Checkpoint,
}

/// Why the log under a checkpoint could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotKept {
    /// A file.
    #[error("{path} cannot be read: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No checkpoint was published.
    #[error("{0} is missing: this is no directory of a log, or one that was never published")]
    NoCheckpoint(PathBuf),
    /// It is no checkpoint.
    #[error("{0} is not a checkpoint; restore it from a backup")]
    NotACheckpoint(PathBuf),
    /// There is no lock to tell which segments are the log's.
    #[error("{0} is missing; a directory without its lock is not a log that is being written")]
    NoLock(PathBuf),
    /// The lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Lock and checkpoint contradict each other.
    #[error("the lock of {path} does not lead to the published checkpoint of size {size}")]
    Apart {
        /// The directory.
        path: PathBuf,
        /// Size of the checkpoint.
        size: u64,
    },
    /// A segment.
    #[error(transparent)]
    Segment(#[from] BadSegment),
    /// Segments whose clocks do not advance, or that could not be read whole.
    #[error(transparent)]
    Broken(Box<OpenError>),
    /// No segments give the tree of the checkpoint.
    #[error(
        "no segments under {path} give the tree of size {size} that was published; restore them, or \
         name a backup that is whole"
    )]
    NoTree {
        /// The directory.
        path: PathBuf,
        /// Size of the checkpoint.
        size: u64,
    },
}

impl From<OpenError> for NotKept {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Segment(bad) => Self::Segment(bad),
            other => Self::Broken(Box::new(other)),
        }
    }
}

impl PublishedNote {
    /// Reads the note that a directory published last.
    pub fn of(directory: &Path) -> Result<Self, NotKept> {
        Self::read(&Places::new(directory).public().checkpoint())
    }

    /// Reads a note from a file.
    pub fn read(path: &Path) -> Result<Self, NotKept> {
        let bytes = disk::read(path, MAX_NOTE_BYTES).map_err(|source| NotKept::Io {
            path: path.to_owned(),
            source,
        })?;
        let note = bytes.ok_or_else(|| NotKept::NoCheckpoint(path.to_owned()))?;
        Self::parse(note).ok_or_else(|| NotKept::NotACheckpoint(path.to_owned()))
    }

    /// Reads a note; none when it is no checkpoint.
    pub fn parse(note: Vec<u8>) -> Option<Self> {
        let checkpoint = Note::parse(&note).ok()?.text().parse().ok()?;
        Some(Self { note, checkpoint })
    }

    /// The note.
    pub fn note(&self) -> &[u8] {
        &self.note
    }

    /// What it says.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

/// How often the segments are listed where one is missing.
const LISTINGS: usize = 5;

/// Names the segments under the published checkpoint of a directory that may be written to
/// meanwhile: the lock leads to them, and what stands in them never changes, nor their order.
pub fn published_segments(directory: &Path) -> Result<(PublishedNote, Vec<SegmentName>), NotKept> {
    // The checkpoint first: the lock, read later, is never behind it.
    let published = PublishedNote::of(directory)?;
    let places = Places::new(directory);
    let lock = FileLock::new(&places.lock(), std::sync::Arc::new(LocalDisk));
    let head = lock.read()?.ok_or_else(|| NotKept::NoLock(places.lock()))?;
    let mut listed = check::segments(&places, head.segment);
    for _ in 1..LISTINGS {
        // A list is not made at one instant, and repacking an hour removes hundreds of segments.
        let torn = |error: &OpenError| {
            let missing = matches!(error, OpenError::Segment(BadSegment::Missing(_)));
            missing || matches!(error, OpenError::Hole { .. })
        };
        if !listed.as_ref().is_err_and(torn) {
            break;
        }
        listed = check::segments(&places, head.segment);
    }
    let mut names = listed?;
    let size = published.checkpoint.size();
    names.retain(|name| name.end() <= size);
    let ends = names.last().is_some_and(|name| name.end() == size);
    if !ends || head.origin != *published.checkpoint.origin() {
        let path = directory.to_owned();
        return Err(NotKept::Apart { path, size });
    }
    Ok((published, names))
}

/// The segments that give the tree of one checkpoint, all of them read and checked.
#[derive(Debug)]
pub struct Kept {
    pub(super) places: Places,
    pub(super) names: Vec<SegmentName>,
    pub(super) edge: Edge,
    pub(super) clock: u64,
}

impl Kept {
    /// Finds them in the directory `segments` under `directory`.
    pub fn find(directory: &Path, checkpoint: &Checkpoint) -> Result<Self, NotKept> {
        let places = Places::new(directory);
        let at = places.segments();
        let io = |source| NotKept::Io {
            path: at.clone(),
            source,
        };
        for found in fs::read_dir(&at).map_err(io)? {
            let name = found.map_err(io)?.file_name();
            let name = name.to_string_lossy().parse::<SegmentName>();
            // A crash may have left a second one that ends there; the root tells them apart.
            let Some(newest) = name.ok().filter(|name| name.end() == checkpoint.size()) else {
                continue;
            };
            let names = check::segments(&places, newest)?;
            let scan = check::scan(&places, &names, None)?;
            if scan.edge.root() == *checkpoint.root() {
                let (edge, clock) = (scan.edge, scan.clock);
                return Ok(Self {
                    places,
                    names,
                    edge,
                    clock,
                });
            }
        }
        Err(NotKept::NoTree {
            path: directory.to_owned(),
            size: checkpoint.size(),
        })
    }

    /// The segments in order.
    pub fn segments(&self) -> &[SegmentName] {
        &self.names
    }

    /// The first clock of the newest segment, in milliseconds since 1970 UTC.
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// The entries in order, one frame in memory at a time.
    pub fn entries(&self) -> KeptEntries<'_> {
        KeptEntries {
            kept: self,
            next: 0,
            segment: None,
            frame: Vec::new().into_iter(),
        }
    }
}

/// Iterates over the entries of [`Kept`]; ends after the first error.
#[derive(Debug)]
pub struct KeptEntries<'a> {
    kept: &'a Kept,
    /// Place of the next segment.
    next: usize,
    /// The segment being read and the number of its next frame.
    segment: Option<(Segment, usize)>,
    frame: vec::IntoIter<Entry>,
}

impl KeptEntries<'_> {
    fn read(&mut self) -> Result<Option<Entry>, BadSegment> {
        loop {
            if let Some(entry) = self.frame.next() {
                return Ok(Some(entry));
            }
            match &mut self.segment {
                Some((segment, number)) if *number < segment.frames() => {
                    self.frame = segment.frame(*number)?.1.into_iter();
                    *number += 1;
                }
                _ => {
                    let Some(name) = self.kept.names.get(self.next) else {
                        return Ok(None);
                    };
                    let segment = Segment::open(&self.kept.places.segments(), name)?;
                    self.segment = Some((segment, 0));
                    self.next += 1;
                }
            }
        }
    }
}

impl Iterator for KeptEntries<'_> {
    type Item = Result<Entry, BadSegment>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read().transpose();
        if matches!(read, Some(Err(_))) {
            self.next = self.kept.names.len();
            self.segment = None;
        }
        read
    }
}
