//! Exhibits on disk: files that statements name by their digest, each under that name.
//!
//! Nothing here is trusted: what does not have the digest that it is named by is not given.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use affiant_judge::exhibits::MAX_EXHIBIT_BYTES;
use affiant_proto::{Digest, digest};

use super::{
    disk::{Access, Disk as _, LocalDisk},
    places::Places,
};

/// The exhibits of one log.
#[derive(Clone, Debug)]
pub struct Exhibits(PathBuf);

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
    /// Longer than any may be.
    #[error(
        "the file has more than {MAX_EXHIBIT_BYTES} bytes, the most that one may have: split it"
    )]
    TooLong,
}

impl Exhibits {
    /// Those of the ledger in `directory`; there need not be any yet.
    pub fn of(directory: &Path) -> Self {
        Self(Places::new(directory).exhibits())
    }

    /// Those of an export in `directory`.
    pub(super) fn within(directory: &Path) -> Self {
        Self(directory.join("exhibits"))
    }

    /// Keeps a file, on the disk when this returns; gives its name.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, NotPut> {
        if bytes.len() > MAX_EXHIBIT_BYTES {
            return Err(NotPut::TooLong);
        }
        let named = digest(bytes);
        let path = self.path(&named);
        if self.get(&named).is_ok_and(|held| held.is_some()) {
            return Ok(named);
        }
        let io = |source| NotPut::Io {
            path: path.clone(),
            source,
        };
        LocalDisk
            .make_directories(&self.0, Access::Private)
            .map_err(io)?;
        LocalDisk
            .replace(&path, bytes, Access::Private)
            .map_err(io)?;
        LocalDisk.sync_directory(&self.0).map_err(io)?;
        Ok(named)
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
        let found = match std::fs::read_dir(&self.0) {
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
        self.0.join(named.to_string())
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
}
