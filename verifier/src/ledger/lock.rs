//! The lock: which head the log has, decided before anything is signed.
//!
//! Trusted. Beside the keys it is the only state that cannot be derived: whoever can turn it back
//! can make the verifier sign two histories. Backup and restore leave it out; where it is lost, a
//! succession goes on from what was published.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use affiant_report::head::{Head, MAX_HEAD_BYTES};

use super::disk::{self, Access, Disk};

/// Holds the head of the log and changes it by compare-and-swap.
pub trait Lock: fmt::Debug + Send {
    /// Reads the head; `None` where the log was never made.
    fn read(&self) -> Result<Option<Head>, LockError>;

    /// Sets the first head; fails when there is one already.
    fn create(&mut self, head: &Head) -> Result<(), LockError>;

    /// Sets `next` if the head is still `expected`, durably and as one step.
    fn swap(&mut self, expected: &Head, next: &Head) -> Result<(), LockError>;
}

/// Why the lock could not be read or swapped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// It could not be read.
    #[error("lock {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its text is not that of a lock, or its last line does not match the others.
    #[error(
        "lock {path} is damaged: {fault}; never take one from a backup: move it away, and run \
         `affiant-verifier succession propose`"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: &'static str,
    },
    /// Somebody else has moved it.
    #[error(
        "lock holds size {found} at epoch {epoch} where this writer left {expected}; another \
         writer runs, stop one of them"
    )]
    Moved {
        /// The size that this writer expected.
        expected: u64,
        /// The size found; 0 where there is no lock any more.
        found: u64,
        /// The epoch found.
        epoch: u64,
    },
    /// Whether the swap happened is not known.
    #[error("lock {path} may or may not have been written: {source}; start again to read it back")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The lock as a file of its own: temporary file, fsync, rename, directory fsync.
///
/// Comparing and writing are one step only because the ledger holds its directory for itself.
#[derive(Debug)]
pub struct FileLock {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl FileLock {
    /// Takes the file at `path` as the lock.
    pub fn new(path: &Path, disk: Arc<dyn Disk>) -> Self {
        Self {
            path: path.to_owned(),
            disk,
        }
    }

    fn unknown(&self, source: io::Error) -> LockError {
        LockError::Unknown {
            path: self.path.clone(),
            source,
        }
    }
}

impl Lock for FileLock {
    fn read(&self) -> Result<Option<Head>, LockError> {
        let bytes =
            disk::read(&self.path, MAX_HEAD_BYTES).map_err(|source| LockError::Unreadable {
                path: self.path.clone(),
                source,
            })?;
        let Some(bytes) = bytes else { return Ok(None) };
        Head::parse(&bytes)
            .map(Some)
            .map_err(|fault| LockError::Damaged {
                path: self.path.clone(),
                fault,
            })
    }

    fn create(&mut self, head: &Head) -> Result<(), LockError> {
        self.disk
            .create(&self.path, head.to_string().as_bytes())
            .map_err(|source| self.unknown(source))
    }

    fn swap(&mut self, expected: &Head, next: &Head) -> Result<(), LockError> {
        match self.read()? {
            Some(found) if found == *expected => {}
            found => {
                return Err(LockError::Moved {
                    expected: expected.size,
                    found: found.as_ref().map_or(0, |head| head.size),
                    epoch: found.as_ref().map_or(0, |head| head.epoch),
                });
            }
        }
        self.disk
            .replace(&self.path, next.to_string().as_bytes(), Access::Private)
            .map_err(|source| self.unknown(source))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ledger::disk::LocalDisk;
    use affiant_proto::digest;

    fn head(size: u64) -> Head {
        let name = format!("0-{size}-{}.seg", digest(b"segment"));
        Head {
            origin: "example.org/log".parse().unwrap(),
            epoch: 3,
            size,
            root: affiant_proto::tlog::leaf_hash(b"root"),
            segment: name.parse().unwrap(),
        }
    }

    fn lock() -> (tempfile::TempDir, FileLock) {
        let dir = tempfile::tempdir().unwrap();
        let lock = FileLock::new(&dir.path().join("lock"), Arc::new(LocalDisk));
        (dir, lock)
    }

    #[test]
    fn a_head_is_read_back_as_it_was_swapped_in() {
        let (_dir, mut lock) = lock();
        assert_eq!(lock.read().unwrap(), None);
        lock.create(&head(5)).unwrap();
        lock.swap(&head(5), &head(9)).unwrap();
        assert_eq!(lock.read().unwrap(), Some(head(9)));
    }

    #[test]
    fn a_writer_that_was_overtaken_cannot_swap() {
        let (_dir, mut lock) = lock();
        lock.create(&head(5)).unwrap();
        let newer = Head {
            epoch: 4,
            ..head(5)
        };
        lock.swap(&head(5), &newer).unwrap();
        let late = lock.swap(&head(5), &head(9)).unwrap_err();
        assert!(
            matches!(
                late,
                LockError::Moved {
                    expected: 5,
                    found: 5,
                    epoch: 4
                }
            ),
            "{late}"
        );
        assert_eq!(lock.read().unwrap(), Some(newer));
    }

    #[test]
    fn a_log_is_created_once() {
        let (_dir, mut lock) = lock();
        lock.create(&head(5)).unwrap();
        assert!(lock.create(&head(9)).is_err());
        assert_eq!(lock.read().unwrap(), Some(head(5)));
    }
}
