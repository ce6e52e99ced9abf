//! What a witness remembers: the newest checkpoint that it cosigned.
//!
//! Trusted: whoever can roll the file back can make the witness cosign two histories. It holds
//! the checkpoint's text (origin, size, root) and is replaced whole.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use affiant_proto::tlog::{Checkpoint, MalformedCheckpoint, Origin, empty_root};

/// Most bytes of the state file: an origin of 100, 20 digits, 44 of base64 and three newlines,
/// rounded up.
const MAX_STATE_BYTES: u64 = 256;

/// Ending of the file beside a key that was never used.
pub(super) const UNUSED: &str = "unused";

/// Holds the newest checkpoint across restarts.
pub trait Memory: Send {
    /// The newest checkpoint that was remembered.
    fn newest(&self) -> &Checkpoint;

    /// Makes `checkpoint` the newest; it is durable once this returns.
    fn remember(&mut self, checkpoint: &Checkpoint) -> Result<(), Forgetful>;
}

/// Why the state of a witness cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Forgetful {
    /// A file operation failed.
    #[error("state file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is none: a witness that forgot everything must not go on as if it were new.
    #[error(
        "state file {0} is missing; restore it, or begin anew with a new key, made with --init"
    )]
    Missing(PathBuf),
    /// It holds something else.
    #[error("state file {0} does not hold a checkpoint; restore it from a copy")]
    NotACheckpoint(PathBuf),
    /// It is of another log.
    #[error(
        "state file {path} is of log {found}, not {due}; give each log a state file of its own"
    )]
    OtherLog {
        /// The file.
        path: PathBuf,
        /// Log of the file.
        found: String,
        /// Log that is witnessed.
        due: String,
    },
    /// Another witness works on it.
    #[error("state file {0} is in use by another witness; stop that one first")]
    InUse(PathBuf),
}

/// The checkpoint of a log that nobody has witnessed yet: no leaves.
pub fn fresh(origin: &Origin) -> Result<Checkpoint, MalformedCheckpoint> {
    Checkpoint::new(origin.clone(), 0, empty_root())
}

/// A state file, held by one process at a time.
#[derive(Debug)]
pub struct FileMemory {
    path: PathBuf,
    newest: Checkpoint,
    // Held for its lock.
    _lock: File,
}

impl FileMemory {
    /// Makes the file for a log that this witness has never seen; refuses to overwrite one.
    pub fn create(path: &Path, origin: &Origin) -> Result<(), Forgetful> {
        let io = |source| Forgetful::Io {
            path: path.to_owned(),
            source,
        };
        let none = fresh(origin).map_err(|_| Forgetful::NotACheckpoint(path.to_owned()))?;
        let mut file = private(path, true).map_err(io)?;
        file.write_all(none.to_string().as_bytes()).map_err(io)?;
        file.sync_all().map_err(io)?;
        sync_folder(path).map_err(io)
    }

    /// Opens the state of a witness, or makes it the first time that its key is used.
    ///
    /// A file beside the key (`KEY.unused`) tells that it never cosigned; it goes before the first
    /// cosignature can. Without it a missing state is an error: the witness would forget what it
    /// promised.
    pub fn first_or_again(key: &Path, path: &Path, origin: &Origin) -> Result<Self, Forgetful> {
        let unused = beside(key, UNUSED);
        let missing = !path.try_exists().map_err(|source| Forgetful::Io {
            path: path.to_owned(),
            source,
        })?;
        if missing && unused.exists() {
            Self::create(path, origin)?;
        }
        let memory = Self::open(path, origin)?;
        match fs::remove_file(&unused) {
            Ok(()) => sync_folder(&unused).map_err(|source| Forgetful::Io {
                path: unused,
                source,
            })?,
            Err(none) if none.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(Forgetful::Io {
                    path: unused,
                    source,
                });
            }
        }
        Ok(memory)
    }

    /// Opens the file of the log `origin` and holds it until dropped.
    pub fn open(path: &Path, origin: &Origin) -> Result<Self, Forgetful> {
        let io = |source| Forgetful::Io {
            path: path.to_owned(),
            source,
        };
        let lock = beside(path, "lock");
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(lock)
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Forgetful::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let mut text = String::new();
        match File::open(path) {
            Ok(file) => file
                .take(MAX_STATE_BYTES)
                .read_to_string(&mut text)
                .map_err(io)?,
            Err(none) if none.kind() == io::ErrorKind::NotFound => {
                return Err(Forgetful::Missing(path.to_owned()));
            }
            Err(source) => return Err(io(source)),
        };
        let newest: Checkpoint = text
            .parse()
            .map_err(|_| Forgetful::NotACheckpoint(path.to_owned()))?;
        if newest.origin() != origin {
            return Err(Forgetful::OtherLog {
                path: path.to_owned(),
                found: newest.origin().to_string(),
                due: origin.to_string(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            newest,
            _lock: lock,
        })
    }
}

impl Memory for FileMemory {
    fn newest(&self) -> &Checkpoint {
        &self.newest
    }

    fn remember(&mut self, checkpoint: &Checkpoint) -> Result<(), Forgetful> {
        let io = |source| Forgetful::Io {
            path: self.path.clone(),
            source,
        };
        let temporary = beside(&self.path, "new");
        let mut file = private(&temporary, false).map_err(io)?;
        file.write_all(checkpoint.to_string().as_bytes())
            .map_err(io)?;
        file.sync_all().map_err(io)?;
        fs::rename(&temporary, &self.path).map_err(io)?;
        sync_folder(&self.path).map_err(io)?;
        self.newest = checkpoint.clone();
        Ok(())
    }
}

fn private(path: &Path, new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if new {
        options.create_new(true)
    } else {
        options.create(true).truncate(true)
    };
    options.open(path)
}

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_proto::tlog::leaf_hash;

    use super::*;

    fn origin() -> Origin {
        "log.example/1".parse().unwrap()
    }

    #[test]
    fn what_was_remembered_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        FileMemory::create(&path, &origin()).unwrap();
        let grown = Checkpoint::new(origin(), 5, leaf_hash(b"x")).unwrap();
        let mut memory = FileMemory::open(&path, &origin()).unwrap();
        assert_eq!(memory.newest().size(), 0);
        memory.remember(&grown).unwrap();
        drop(memory);
        assert_eq!(FileMemory::open(&path, &origin()).unwrap().newest(), &grown);
    }

    #[test]
    fn a_lost_state_is_not_made_again_once_the_key_was_used() {
        let folder = tempfile::tempdir().unwrap();
        let (key, path) = (folder.path().join("key"), folder.path().join("state"));
        fs::write(beside(&key, UNUSED), "").unwrap();
        drop(FileMemory::first_or_again(&key, &path, &origin()).unwrap());
        drop(FileMemory::first_or_again(&key, &path, &origin()).unwrap());
        fs::remove_file(&path).unwrap();
        let again = FileMemory::first_or_again(&key, &path, &origin());
        assert!(matches!(again, Err(Forgetful::Missing(_))));
    }

    #[test]
    fn a_state_that_is_missing_foreign_damaged_or_in_use_stops_the_witness() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert!(matches!(
            FileMemory::open(&path, &origin()),
            Err(Forgetful::Missing(_))
        ));
        FileMemory::create(&path, &origin()).unwrap();
        assert!(
            FileMemory::create(&path, &origin()).is_err(),
            "never overwritten"
        );
        let other = FileMemory::open(&path, &"other.example".parse().unwrap());
        assert!(matches!(other, Err(Forgetful::OtherLog { .. })));
        let held = FileMemory::open(&path, &origin()).unwrap();
        assert!(matches!(
            FileMemory::open(&path, &origin()),
            Err(Forgetful::InUse(_))
        ));
        drop(held);
        fs::write(&path, "log.example/1\n").unwrap();
        assert!(matches!(
            FileMemory::open(&path, &origin()),
            Err(Forgetful::NotACheckpoint(_))
        ));
    }
}
