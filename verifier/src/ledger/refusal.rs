//! Why a ledger is not made or opened.

use std::{
    io,
    path::{Path, PathBuf},
};

use affiant_proto::tlog::{self, MalformedKey, Origin};
use affiant_report::segment::{BadSegment, SegmentName};

use super::{hold::NotHeld, lock::LockError, wal::BadWal, writer::Fatal};

/// Why a ledger could not be made or opened. Whatever it is, no history was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    /// The directory to make it in is not empty.
    #[error("{0} is not empty; make the ledger elsewhere, or open the one that is there")]
    Exists(PathBuf),
    /// There is no ledger.
    #[error(
        "{0} holds no ledger: it has no lock; run `affiant-verifier init`, or look for the right directory"
    )]
    NoLedger(PathBuf),
    /// A log was published from there, and the lock is gone: restored from a backup, or lost.
    #[error(
        "{path} is missing and the log stands at size {size}, and may have published more since: \
         run `affiant-verifier succession propose`, or put the lock back if its own directory \
         survived intact"
    )]
    NoLock {
        /// Where the lock should be.
        path: PathBuf,
        /// Size of the checkpoint that is there.
        size: u64,
    },
    /// A log begins with entries, and none were given.
    #[error("a ledger is made with its first entries, genesis among them, and none were given")]
    NoGenesis,
    /// More first entries than a segment holds.
    #[error("{0} first entries are more than a segment holds; append the others later")]
    TooManyGenesis(usize),
    /// The file system breaks a promise.
    #[error("the file system of {0} puts a file where one is; keep the ledger on a local disk")]
    NotCreateOnly(PathBuf),
    /// Something in the directory could not be read or written.
    #[error("{path} cannot be read or written: {source}; put that right and start again")]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A segment that the lock names, itself or through later ones.
    #[error(transparent)]
    Segment(#[from] BadSegment),
    /// Entries that no segment holds.
    #[error(
        "no segment under {path} holds entry {held}, and the log goes on to {end}; put the missing \
         ones back from a copy of the log"
    )]
    Hole {
        /// The directory.
        path: PathBuf,
        /// The first entry that is missing.
        held: u64,
        /// Where the newest segment begins.
        end: u64,
    },
    /// Segments whose clocks do not advance.
    #[error("segment {0} does not begin later than the one before it; restore the segments")]
    Clock(SegmentName),
    /// The segments do not give the root that the lock holds.
    #[error(
        "the segments under {path} give root {found} where the lock holds {due}; restore lock or \
         segments"
    )]
    Root {
        /// The directory.
        path: PathBuf,
        /// The root of the segments.
        found: tlog::Hash,
        /// The root in the lock.
        due: tlog::Hash,
    },
    /// The write-ahead file.
    #[error(transparent)]
    Wal(#[from] BadWal),
    /// The published checkpoint is not one of this log and key.
    #[error(
        "published checkpoint {path}: {fault}; if only this file is damaged, delete it and it is \
         made again"
    )]
    Published {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: tlog::OpenError,
    },
    /// The published checkpoint is of another log.
    #[error(
        "published checkpoint {path} is of {found} where the lock is of {due}; restore the lock"
    )]
    OtherLog {
        /// The file.
        path: PathBuf,
        /// Its origin.
        found: Origin,
        /// The lock's origin.
        due: Origin,
    },
    /// The published checkpoint is ahead of the lock: the lock was turned back.
    #[error(
        "{path} was published at size {published} and the lock holds {locked}: the lock is an old \
         one; put the newest back, for going on from here would fork the log, or run \
         `affiant-verifier succession propose`"
    )]
    Ahead {
        /// The file.
        path: PathBuf,
        /// Its size.
        published: u64,
        /// The lock's size.
        locked: u64,
    },
    /// Segments go on where the lock ends: the lock was turned back.
    #[error(
        "{path} goes on to {end} and the lock ends at {locked}: the lock is an old one; put the \
         newest back, or run `affiant-verifier succession propose --last NOTE`"
    )]
    SegmentAhead {
        /// The segment.
        path: PathBuf,
        /// Index after its last entry.
        end: u64,
        /// The lock's size.
        locked: u64,
    },
    /// The published checkpoint has another root than the log has at its size.
    #[error(
        "{path} was published with another root at size {size} than the segments give; this is \
         not the log that was published, restore that one"
    )]
    Forked {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
    /// The key cannot sign under the origin.
    #[error("the log's key: {0}")]
    Key(#[from] MalformedKey),
    /// Recovery could not finish what a crash cut off.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// Says where an input or output error happened.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}
