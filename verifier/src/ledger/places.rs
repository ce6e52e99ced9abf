//! Where the parts of a ledger lie in its directory.
//!
//! ```text
//! DIR/             0700
//!   writer.pid     held (flock) by the one process that writes; not trusted
//!   lock           the head; trusted, see lock.rs
//!   wal            what is not yet in a segment; not trusted, see wal.rs
//!   segments/      the entries; not trusted, see report/src/segment/mod.rs
//!   exhibits/      files that statements name by their SHA-256; not trusted, see exhibits.rs
//!   swept/         what recovery took away: segments that the lock does not name, torn ends of
//!                  the write-ahead file; never read, for people to look at and delete
//!   public/        checkpoint and tiles; 0755 and 0644; not trusted, see tiles.rs
//! ```

use std::path::{Path, PathBuf};

use super::tiles::Public;

/// The paths of one ledger.
#[derive(Clone, Debug)]
pub(super) struct Places(PathBuf);

impl Places {
    pub(super) fn new(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    pub(super) fn holder(&self) -> PathBuf {
        self.0.join("writer.pid")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub(super) fn wal(&self) -> PathBuf {
        self.0.join("wal")
    }

    pub(super) fn segments(&self) -> PathBuf {
        self.0.join("segments")
    }

    pub(super) fn exhibits(&self) -> PathBuf {
        self.0.join("exhibits")
    }

    pub(super) fn swept(&self) -> PathBuf {
        self.0.join("swept")
    }

    pub(super) fn public(&self) -> Public {
        Public(self.0.join("public"))
    }
}
