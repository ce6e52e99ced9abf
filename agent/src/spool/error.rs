//! Why the spool cannot be used, or does not take a record.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::durable::FileError;

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

impl AppendError {
    /// Tells a disk that is full from one that failed.
    pub(super) fn of_write(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                path: path.to_owned(),
                error,
            },
            _ => FileError::io("write", path)(error).into(),
        }
    }
}
