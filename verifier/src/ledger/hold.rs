//! Holding a directory for one process.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Most bytes read of a file that should hold a process id of at most ten digits.
const MAX_PID_BYTES: u64 = 32;

/// A file locked (flock) for as long as this value lives; the kernel lets go when the process ends,
/// however it ends. The process id in it is for people and decides nothing.
#[derive(Debug)]
pub(super) struct Hold(#[allow(dead_code, reason = "kept open, which is all it is for")] File);

/// Why a directory could not be held.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotHeld {
    /// Another process, or another ledger in this one, holds it.
    #[error("{} is in use by {}; stop that one first", .path.display(), holder(.pid))]
    Busy {
        /// The locked file.
        path: PathBuf,
        /// The process that holds it, if it said.
        pid: Option<u32>,
    },
    /// The file could not be opened, locked or written.
    #[error("{path} cannot be locked: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or_else(
        || "another verifier".to_owned(),
        |pid| format!("process {pid}"),
    )
}

impl Hold {
    /// Takes the lock at `path`, at once or not at all.
    pub(super) fn take(path: &Path) -> Result<Self, NotHeld> {
        let io = |source| NotHeld::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(NotHeld::Busy {
                    path: path.to_owned(),
                    pid: pid_in(file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self(file))
    }
}

fn pid_in(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(MAX_PID_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("writer.pid");
        let first = Hold::take(&path).unwrap();
        let refused = Hold::take(&path).unwrap_err();
        let pid = std::process::id();
        assert!(matches!(refused, NotHeld::Busy { pid: Some(found), .. } if found == pid));
        assert!(
            refused.to_string().contains(&format!("process {pid}")),
            "{refused}"
        );
        drop(first);
        Hold::take(&path).unwrap();
    }
}
