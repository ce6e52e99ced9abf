//! Exhibits on disk: files that statements name by their digest, each under that name.
//!
//! Nothing here is trusted: what does not have the digest that it is named by is not given.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use affiant_judge::exhibits::{self, MAX_EXHIBIT_BYTES};
use affiant_proto::{Body, Digest, digest};

use super::{
    disk::{Access, Disk, LocalDisk},
    places::Places,
    writer::RESERVE_BYTES,
};

/// Most exhibits of one log: four versions of lists a day for 40 years.
pub const MAX_EXHIBITS: usize = 64_000;

/// The exhibits of one log.
#[derive(Clone, Debug)]
pub struct Exhibits {
    directory: PathBuf,
    /// One is put at a time: of one file two would write into the same place, and what is free would be
    /// given to several.
    putting: Arc<Mutex<()>>,
}

/// Why an exhibit was not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotPut {
    /// The disk.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk is nearly full.
    #[error("{path} has {free} bytes free where {due} must be to keep the file; free some space")]
    Full {
        /// Where exhibits lie.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes needed.
        due: u64,
    },
    /// There are too many.
    #[error(
        "{0} has {MAX_EXHIBITS} files, the most that there may be: take out those that no statement names"
    )]
    TooMany(PathBuf),
    /// Longer than any may be.
    #[error(
        "the file has more than {MAX_EXHIBIT_BYTES} bytes, the most that one may have: split it"
    )]
    TooLong,
}

impl Exhibits {
    /// Those of the ledger in `directory`; there need not be any yet.
    pub fn of(directory: &Path) -> Self {
        Self::at(Places::new(directory).exhibits())
    }

    /// Those of an export in `directory`.
    pub(super) fn within(directory: &Path) -> Self {
        Self::at(directory.join("exhibits"))
    }

    fn at(directory: PathBuf) -> Self {
        Self {
            directory,
            putting: Arc::default(),
        }
    }

    /// Keeps a file, on the disk when this returns; gives its name. What the log needs to go on is left
    /// free.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, NotPut> {
        self.put_through(&LocalDisk, bytes)
    }

    /// The same through a disk of the caller's.
    pub fn put_through(&self, disk: &dyn Disk, bytes: &[u8]) -> Result<Digest, NotPut> {
        self.keep(disk, bytes, RESERVE_BYTES)
    }

    /// Keeps a file in a copy of a log, which nobody writes on.
    pub(super) fn copy(&self, bytes: &[u8]) -> Result<Digest, NotPut> {
        self.keep(&LocalDisk, bytes, 0)
    }

    fn keep(&self, disk: &dyn Disk, bytes: &[u8], reserve: u64) -> Result<Digest, NotPut> {
        if bytes.len() > MAX_EXHIBIT_BYTES {
            return Err(NotPut::TooLong);
        }
        let named = digest(bytes);
        let path = self.path(&named);
        let _one = self.putting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.get(&named).is_ok_and(|held| held.is_some()) {
            return Ok(named);
        }
        let io = |source| NotPut::Io {
            path: path.clone(),
            source,
        };
        disk.make_directories(&self.directory, Access::Private)
            .map_err(io)?;
        if self.all().map_err(io)?.len() >= MAX_EXHIBITS {
            return Err(NotPut::TooMany(self.directory.clone()));
        }
        let free = disk.available(&self.directory).map_err(io)?;
        let due = reserve.saturating_add(bytes.len() as u64);
        if free < due {
            let path = self.directory.clone();
            return Err(NotPut::Full { path, free, due });
        }
        disk.replace(&path, bytes, Access::Private).map_err(io)?;
        disk.sync_directory(&self.directory).map_err(io)?;
        Ok(named)
    }

    /// Reads the exhibit that the statement of entry `index` names, for whoever judges it next. Where it is
    /// not at hand the journal says so, and what rests on it is counted as not judged.
    pub fn shown(&self, index: u64, body: &Body) -> Option<Vec<u8>> {
        let named = exhibits::named(body)?;
        match self.get(&named) {
            Ok(Some(bytes)) => return Some(bytes),
            Ok(None) => tracing::error!(index, %named, "exhibit is missing: put the file back"),
            Err(error) => tracing::error!(index, %error, "exhibit cannot be read"),
        }
        None
    }

    /// Reads one; none where there is none, an error too where the file was changed.
    pub fn get(&self, named: &Digest) -> io::Result<Option<Vec<u8>>> {
        let path = self.path(named);
        // Looked at first: opening a pipe would wait for whoever writes into it.
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(io::Error::other(format!("{}: not a file", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&path)?;
        file.take(MAX_EXHIBIT_BYTES as u64 + 1)
            .read_to_end(&mut bytes)?;
        if digest(&bytes) != *named {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} is not what it is named by; put the file back that it was",
                    path.display()
                ),
            ));
        }
        Ok(Some(bytes))
    }

    /// Names all that are there.
    pub fn all(&self) -> io::Result<Vec<Digest>> {
        let found = match std::fs::read_dir(&self.directory) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut all = Vec::new();
        for file in found {
            // What a write left unfinished has another name.
            all.extend(file?.file_name().to_string_lossy().parse::<Digest>());
        }
        all.sort();
        Ok(all)
    }

    /// Where one lies.
    pub fn path(&self, named: &Digest) -> PathBuf {
        self.directory.join(named.to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_exhibit_is_kept_under_its_digest_and_a_changed_one_is_not_given() {
        let dir = tempfile::tempdir().unwrap();
        let exhibits = Exhibits::of(dir.path());
        assert_eq!(exhibits.all().unwrap(), []);
        let named = exhibits.put(b"a list").unwrap();
        assert_eq!(exhibits.put(b"a list").unwrap(), named);
        assert_eq!(exhibits.get(&named).unwrap().unwrap(), b"a list");
        assert_eq!(exhibits.all().unwrap(), [named]);
        assert_eq!(exhibits.get(&digest(b"another")).unwrap(), None);
        std::fs::write(exhibits.path(&named), "A list").unwrap();
        let changed = exhibits.get(&named).unwrap_err().to_string();
        assert!(changed.contains(&named.to_string()), "{changed}");
        assert_eq!(exhibits.put(b"a list").unwrap(), named, "and is mended");
        assert_eq!(exhibits.get(&named).unwrap().unwrap(), b"a list");
    }

    #[test]
    fn one_file_that_several_give_at_once_is_kept_once_and_refused_to_none() {
        let dir = tempfile::tempdir().unwrap();
        let exhibits = Exhibits::of(dir.path());
        for round in 0..20_u8 {
            let text = vec![round; 100_000];
            let named = std::thread::scope(|scope| {
                let give = || exhibits.clone().put(&text).unwrap();
                let givers: Vec<_> = (0..8).map(|_| scope.spawn(give)).collect();
                let named = givers.into_iter().map(|giver| giver.join().unwrap());
                named.collect::<Vec<_>>()
            });
            assert!(named.iter().all(|it| *it == digest(&text)));
            assert_eq!(exhibits.get(&digest(&text)).unwrap().unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(&exhibits.directory).unwrap().count(), 20);
    }
}
