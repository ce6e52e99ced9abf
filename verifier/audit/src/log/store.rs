//! Where the files of a log are had. What they say is not trusted.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use affiant_report::plain_file::{NotRead, PlainFile, remedy};

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
    #[error(
        "{path} could not be read: {source}; {} and audit again",
        remedy(source)
    )]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// No answer came.
    #[error(
        "{url} could not be read: {source}; see that the server runs and can be reached, and audit again"
    )]
    NoAnswer {
        /// What was asked for.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// The server wants to know who reads.
    #[error("{0}: the server wants a reader's token; name its file with --token-file")]
    NoToken(String),
    /// The server knows a reason of its own.
    #[error("{url}: the server says {status}; ask who runs it, and audit again")]
    Refused {
        /// What was asked for.
        url: String,
        /// What it said.
        status: String,
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
        matches!(self, Self::NotAFile(_) | Self::TooLong { .. })
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
        let mut bytes = Vec::new();
        let read = PlainFile::open(&at).and_then(|file| file.read_into(&mut bytes, limit));
        match read {
            Ok(()) => Ok(Some(bytes)),
            Err(none) if none.is_missing() => Ok(None),
            Err(NotRead::NotPlain(_)) => Err(Unread::NotAFile(at.display().to_string())),
            Err(NotRead::Long { most, .. }) => Err(Unread::TooLong {
                path: path.to_owned(),
                limit: most,
            }),
            Err(error) => Err(io(error.into_io())),
        }
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
