//! The one writer: the write order of the log.

use std::{io, ops::Range, path::PathBuf, sync::Arc};

use affiant_proto::{
    Digest, PublicKey, Signer,
    keys::SignError,
    tlog::{CannotSign, Checkpoint, MalformedCheckpoint, NoteSigner, SignedCheckpoint},
};
use affiant_report::{
    edge::Edge,
    head::Head,
    segment::{Builder, Entry, MAX_SEGMENT_BYTES, MAX_SEGMENT_ENTRIES, fields::stored_size},
};

use super::{
    disk::{Access, Disk},
    hold::Hold,
    lock::{Lock, LockError},
    places::Places,
    reader::{Published, Reader},
    wal::Wal,
};

/// Bytes that must stay free for an append to be accepted: 256 MiB.
///
/// Closing what is pending takes at most 64 MiB of segment beside 64 MiB of write-ahead file and
/// 10 MiB of tiles (2^17 entries · (32 + 34) bytes and the levels above); the rest is for the
/// registry beside the log and for an operator to work in.
pub const RESERVE_BYTES: u64 = 256 * 1024 * 1024;

/// The log, open for writing by this process alone.
///
/// Synchronous and for one thread: the caller gathers groups, decides when a segment closes and
/// gives the clock. After a [`Fatal`] it takes nothing more; opening it again recovers.
pub struct Ledger {
    pub(super) places: Places,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) lock: Box<dyn Lock>,
    pub(super) signer: NoteSigner<LogKey>,
    pub(super) wal: Wal,
    /// What the lock holds.
    pub(super) head: Head,
    /// The first clock of the newest closed segment.
    pub(super) clock: u64,
    /// The tree of `head`.
    pub(super) edge: Edge,
    pub(super) reader: Reader,
    pub(super) pending: Option<Builder>,
    /// Digests of the pending entries, in order.
    pub(super) digests: Vec<Digest>,
    pub(super) failed: bool,
    /// Last, so that it is let go of last.
    pub(super) _hold: Hold,
}

/// The log's key: anything that signs.
pub(super) struct LogKey(pub(super) Box<dyn Signer>);

impl Signer for LogKey {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        self.0.sign(message)
    }
}

/// A step of the write order that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Appending to the write-ahead file.
    Append,
    /// Making the append durable.
    Sync,
    /// Compressing and putting the segment.
    Segment,
    /// Publishing tiles.
    Tiles,
    /// Publishing the checkpoint.
    Checkpoint,
    /// Cutting the write-ahead file.
    Reset,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Append => "appending to the write-ahead file",
            Self::Sync => "syncing the write-ahead file",
            Self::Segment => "putting the segment",
            Self::Tiles => "publishing tiles",
            Self::Checkpoint => "publishing the checkpoint",
            Self::Reset => "cutting the write-ahead file",
        })
    }
}

/// A failure after which this writer must not go on: what is on disk is not known.
///
/// It is never retried. Opening the ledger again reads the lock and recovers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fatal {
    /// It failed before.
    #[error("the ledger in {0} has failed and takes nothing more; start again to recover")]
    Failed(PathBuf),
    /// A step of the write order.
    #[error("{step} failed in {path}: {source}; look at the disk, then start again to recover")]
    Disk {
        /// Which step.
        step: Step,
        /// The directory of the ledger.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lock was not swapped, or nobody knows.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The log's key did not sign.
    #[error("the checkpoint was not signed: {0}; start again once the key can sign")]
    Sign(#[from] CannotSign),
    /// The tree has no checkpoint.
    #[error("the tree cannot be put into a checkpoint: {0}")]
    Checkpoint(#[from] MalformedCheckpoint),
}

/// Why entries were not appended. Unless it is [`AppendError::Fatal`], nothing was written and no
/// index given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// No entries.
    #[error("nothing to append")]
    Nothing,
    /// The disk is nearly full.
    #[error(
        "{path} has {free} bytes free where {due} must be: {RESERVE_BYTES} in reserve and the \
         entries; free some space"
    )]
    Full {
        /// The directory of the ledger.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes needed.
        due: u64,
    },
    /// How much is free could not be found out.
    #[error("the free space of {path} cannot be read: {source}")]
    Unmeasured {
        /// The directory of the ledger.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The pending segment has no room for these; close it first.
    #[error("the open segment has no room for {0} more entries; close it first")]
    SegmentFull(usize),
    /// No segment would have room for these.
    #[error(
        "{entries} entries of {bytes} bytes are more than a segment holds ({MAX_SEGMENT_ENTRIES} \
         entries, {MAX_SEGMENT_BYTES} bytes); append fewer at a time"
    )]
    TooMuch {
        /// How many entries.
        entries: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// A new segment would not be later than the one before it.
    #[error(
        "the clock says {now} ms where the last segment began at {last} ms; set the clock right"
    )]
    ClockStoodStill {
        /// The caller's clock.
        now: u64,
        /// The first clock of the segment before.
        last: u64,
    },
    /// The ledger failed.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

impl Ledger {
    /// Appends entries durably and gives their indices: one write, one fdatasync.
    ///
    /// `clock` is the writer's time in milliseconds since 1970 UTC. Where these are the first of a
    /// segment it is the segment's first clock, which must be later than that of the segment
    /// before; the first entry is then the `clock` statement of that very time, by the caller.
    ///
    /// The entries will be in the log whatever happens to this process, but are not yet included:
    /// that is [`Ledger::close_segment`].
    pub fn append(&mut self, entries: &[Entry], clock: u64) -> Result<Range<u64>, AppendError> {
        self.alive()?;
        let bytes = entries.iter().map(stored_size).sum::<usize>();
        if entries.is_empty() {
            return Err(AppendError::Nothing);
        }
        if entries.len() > MAX_SEGMENT_ENTRIES || bytes > MAX_SEGMENT_BYTES {
            let entries = entries.len();
            return Err(AppendError::TooMuch { entries, bytes });
        }
        match &self.pending {
            Some(pending) if !pending.has_room(entries.len(), bytes) => {
                return Err(AppendError::SegmentFull(entries.len()));
            }
            Some(_) => {}
            None if clock <= self.clock => {
                return Err(AppendError::ClockStoodStill {
                    now: clock,
                    last: self.clock,
                });
            }
            None => {}
        }
        self.has_space(bytes)?;
        let start = self.next_index();
        let written = self.wal.append(start, clock, entries);
        self.survive(written, Step::Append)?;
        let synced = self.wal.sync();
        self.survive(synced, Step::Sync)?;
        let gathered = self.gather(entries, clock);
        self.survive(gathered, Step::Segment)?;
        Ok(start..self.next_index())
    }

    /// Puts entries that the write-ahead file holds into the open segment.
    pub(super) fn gather(&mut self, entries: &[Entry], clock: u64) -> io::Result<()> {
        let mut pending = match self.pending.take() {
            Some(pending) => pending,
            None => Builder::new(self.head.size, clock)?,
        };
        for entry in entries {
            pending.push(entry)?;
            self.digests.push(*entry.digest());
        }
        self.pending = Some(pending);
        Ok(())
    }

    fn has_space(&self, bytes: usize) -> Result<(), AppendError> {
        let path = self.places.directory().to_owned();
        let due = RESERVE_BYTES.saturating_add(bytes as u64);
        match self.disk.available(&path) {
            Ok(free) if free < due => Err(AppendError::Full { path, free, due }),
            Ok(_) => Ok(()),
            Err(source) => Err(AppendError::Unmeasured { path, source }),
        }
    }

    /// Closes the open segment: from here on its entries are included, under the checkpoint given.
    ///
    /// Put the segment, swap the lock, sign, publish tiles, then the checkpoint, and only then cut
    /// the write-ahead file. With nothing pending it gives the newest checkpoint again.
    pub fn close_segment(&mut self) -> Result<SignedCheckpoint, Fatal> {
        self.alive()?;
        let Some(pending) = self.pending.take() else {
            return Ok(self.reader.signed_checkpoint());
        };
        let closed = self.close(pending);
        self.failed |= closed.is_err();
        closed
    }

    fn close(&mut self, pending: Builder) -> Result<SignedCheckpoint, Fatal> {
        let clock = pending.clock();
        let finished = pending.finish(0);
        let (name, file) = self.step(Step::Segment, finished)?;
        let path = self.places.segments().join(name.to_string());
        self.step(Step::Segment, self.disk.create(&path, &file))?;
        drop(file);

        let mut tiles = Vec::new();
        for digest in self.digests.drain(..) {
            self.edge.push(&digest, |made| tiles.push(made));
        }
        tiles.extend(self.edge.partial(self.head.size));
        let next = Head {
            size: name.end(),
            root: self.edge.root(),
            segment: name,
            ..self.head.clone()
        };
        self.lock.swap(&self.head, &next)?;
        self.head = next;
        self.clock = clock;

        let signed = sign(&self.head, &self.signer)?;
        let public = self.places.public();
        for made in &tiles {
            self.step(Step::Tiles, public.write(&*self.disk, made))?;
        }
        let published = Published::new(signed, self.edge.clone());
        let written = self
            .disk
            .replace(&public.checkpoint(), &published.note, Access::Public);
        self.step(Step::Checkpoint, written)?;
        let signed = published.checkpoint.clone();
        self.reader.show(published, name);
        self.step(Step::Reset, self.wal.reset())?;
        Ok(signed)
    }

    /// A handle for reading, for any thread.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// What the lock holds.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The index that the next entry will get.
    pub fn next_index(&self) -> u64 {
        self.head.size + self.pending() as u64
    }

    /// How many entries are appended and not yet included.
    ///
    /// At 0 the next append begins a segment, whose first entry is a `clock` statement.
    pub fn pending(&self) -> usize {
        self.pending.as_ref().map_or(0, Builder::entries)
    }

    /// The first clock of the newest segment, open or closed; the next segment's must be later.
    pub fn clock(&self) -> u64 {
        self.pending.as_ref().map_or(self.clock, Builder::clock)
    }

    fn alive(&self) -> Result<(), Fatal> {
        match self.failed {
            true => Err(Fatal::Failed(self.places.directory().to_owned())),
            false => Ok(()),
        }
    }

    fn survive<T>(&mut self, result: io::Result<T>, step: Step) -> Result<T, Fatal> {
        let result = self.step(step, result);
        self.failed |= result.is_err();
        result
    }

    fn step<T>(&self, step: Step, result: io::Result<T>) -> Result<T, Fatal> {
        result.map_err(|source| Fatal::Disk {
            step,
            path: self.places.directory().to_owned(),
            source,
        })
    }
}

/// Signs what the lock holds; nothing else is ever signed.
pub(super) fn sign(head: &Head, signer: &NoteSigner<LogKey>) -> Result<SignedCheckpoint, Fatal> {
    let checkpoint = Checkpoint::new(head.origin.clone(), head.size, head.root)?;
    Ok(checkpoint.sign(signer)?)
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("directory", &self.places.directory())
            .field("head", &self.head)
            .field("pending", &self.pending())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
