//! Where the files of a log are had. What they say is not trusted.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    path::PathBuf,
};

/// Gives files by their path below the log's directory, segments of it parted by `/`.
pub trait Store: Sync {
    /// Reads a file of at most `limit` bytes; none where there is none.
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Unread>;

    /// Names what is in a folder, in their order; the name of a folder ends in `/`. None where there
    /// is no such folder.
    fn names(&self, folder: &str) -> Result<Option<Vec<String>>, Unread>;
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unread {
    /// The storage failed: says nothing about the log.
    #[error("{path} could not be read: {source}; check the disk and audit again")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A folder, a pipe or a device stands in its place.
    #[error("{0} is not a plain file, which a log has there")]
    NotAFile(String),
    /// Longer than any such file may be.
    #[error("{path} is longer than {limit} bytes, the most that it may have")]
    TooLong {
        /// Which file.
        path: String,
        /// The limit, in bytes.
        limit: u64,
    },
}

impl Unread {
    /// Tells whether it is what stands there that is wrong, and not the storage: then it says something
    /// about the log.
    pub fn is_told_of_the_log(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}

/// A log in a directory of this machine.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Takes a directory; an error when there is none at `path`.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        match fs::metadata(&path)?.is_dir() {
            true => Ok(Self(path)),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }
}

impl Store for Folder {
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Unread> {
        let at = self.0.join(path);
        let io = |source| Unread::Io {
            path: at.display().to_string(),
            source,
        };
        // Looked at first: opening a pipe would wait for whoever writes into it.
        let length = match fs::metadata(&at) {
            Ok(found) if found.is_file() => found.len(),
            Ok(_) => return Err(Unread::NotAFile(at.display().to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let mut bytes = Vec::with_capacity(usize::try_from(length.min(limit)).unwrap_or(0));
        let file = match File::open(&at) {
            Ok(file) => file,
            // Gone since: a partial tile gives way to a full one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let mut file = file.take(limit.saturating_add(1));
        file.read_to_end(&mut bytes).map_err(io)?;
        within(path, bytes, limit).map(Some)
    }

    fn names(&self, folder: &str) -> Result<Option<Vec<String>>, Unread> {
        let at = self.0.join(folder);
        let io = |source| Unread::Io {
            path: at.display().to_string(),
            source,
        };
        let found = match fs::read_dir(&at) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let mut names = Vec::new();
        for found in found {
            let found = found.map_err(io)?;
            let mut name = found.file_name().to_string_lossy().into_owned();
            if found.file_type().map_err(io)?.is_dir() {
                name.push('/');
            }
            names.push(name);
        }
        names.sort();
        Ok(Some(names))
    }
}

/// A log in memory, by path: for tests, and for whoever has it from elsewhere.
impl Store for BTreeMap<String, Vec<u8>> {
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Unread> {
        let found = self.get(path).cloned();
        found.map(|bytes| within(path, bytes, limit)).transpose()
    }

    fn names(&self, folder: &str) -> Result<Option<Vec<String>>, Unread> {
        let below = |path: &String| {
            let rest = path.strip_prefix(folder)?;
            let end = rest.find('/').map_or(rest.len(), |at| at + 1);
            rest.get(..end).map(str::to_owned)
        };
        let mut names: Vec<String> = self.keys().filter_map(below).collect();
        names.dedup();
        Ok((!names.is_empty()).then_some(names))
    }
}

fn within(path: &str, bytes: Vec<u8>, limit: u64) -> Result<Vec<u8>, Unread> {
    if bytes.len() as u64 > limit {
        let path = path.to_owned();
        return Err(Unread::TooLong { path, limit });
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_and_a_log_in_memory_give_the_same_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("tile/0")).unwrap();
        let mut memory = BTreeMap::new();
        for (path, bytes) in [("tile/0/000", "abc"), ("tile/x", "y"), ("checkpoint", "")] {
            fs::write(dir.path().join(path), bytes).unwrap();
            memory.insert(path.to_owned(), bytes.as_bytes().to_vec());
        }
        let folder = Folder::open(dir.path().to_owned()).unwrap();
        let stores: [&dyn Store; 2] = [&folder, &memory];
        for store in stores {
            assert_eq!(store.names("tile/").unwrap().unwrap(), ["0/", "x"]);
            assert_eq!(store.names("none/").unwrap(), None);
            assert_eq!(store.read("tile/0/000", 3).unwrap().unwrap(), b"abc");
            assert_eq!(store.read("tile/0/001", 3).unwrap(), None);
            let long = store.read("tile/0/000", 2).unwrap_err();
            assert!(matches!(long, Unread::TooLong { limit: 2, .. }), "{long}");
        }
        let strange = folder.read("tile/0", 3).unwrap_err();
        assert!(strange.is_told_of_the_log(), "{strange}");
    }
}
