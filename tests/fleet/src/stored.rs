//! What a verifier has stored, by part.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

/// Deepest folder that is followed: tiles lie six deep, the rest is room. Links are not followed.
const MAX_DEPTH: usize = 16;

/// Bytes in one part of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Length of the files.
    pub length: i64,
    /// What they take on the disk, in whole blocks.
    pub disk: i64,
    /// How many there are.
    pub files: i64,
}

/// Bytes by entry of a directory, at one time or between two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Stored(BTreeMap<String, Bytes>);

/// A directory that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}; --data wants the log directory of a verifier on this machine")]
pub struct Unreadable {
    path: PathBuf,
    source: io::Error,
}

impl Stored {
    /// Adds up `directory`, per entry in it. A file that goes away meanwhile counts as gone.
    pub fn measure(directory: &Path) -> Result<Self, Unreadable> {
        let failed = |source| Unreadable {
            path: directory.to_owned(),
            source,
        };
        let mut parts = BTreeMap::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let mut bytes = Bytes::default();
            add(&entry.path(), MAX_DEPTH, &mut bytes);
            parts.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
        }
        Ok(Self(parts))
    }

    /// What was added since `before`; less than nothing where something went.
    pub fn since(&self, before: &Self) -> Self {
        let names = self.0.keys().chain(before.0.keys());
        let grown = |name: &String| {
            let of = |stored: &Self| stored.0.get(name).copied().unwrap_or_default();
            let (now, then) = (of(self), of(before));
            Bytes {
                length: now.length - then.length,
                disk: now.disk - then.disk,
                files: now.files - then.files,
            }
        };
        Self(names.map(|name| (name.clone(), grown(name))).collect())
    }

    /// All parts together.
    pub fn total(&self) -> Bytes {
        let mut total = Bytes::default();
        for bytes in self.0.values() {
            total.length += bytes.length;
            total.disk += bytes.disk;
            total.files += bytes.files;
        }
        total
    }
}

fn add(path: &Path, depth: usize, bytes: &mut Bytes) {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return;
    };
    if metadata.is_file() {
        bytes.length += i64::try_from(metadata.len()).unwrap_or(i64::MAX);
        bytes.disk += i64::try_from(metadata.blocks().saturating_mul(512)).unwrap_or(i64::MAX);
        bytes.files += 1;
    } else if metadata.is_dir() && depth > 0 {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.for_each(|entry| add(&entry.path(), depth - 1, bytes));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_by_part_and_what_went_away_is_taken_off() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("segments/00");
        fs::create_dir_all(&deep).unwrap();
        fs::write(dir.path().join("wal"), [0; 700]).unwrap();
        let before = Stored::measure(dir.path()).unwrap();
        fs::write(deep.join("a"), [0; 300]).unwrap();
        fs::write(dir.path().join("wal"), []).unwrap();
        let grown = Stored::measure(dir.path()).unwrap().since(&before);
        assert_eq!(grown.0["segments"].length, 300);
        assert_eq!(grown.0["segments"].files, 1);
        assert_eq!(grown.0["wal"].length, -700);
        assert_eq!(grown.total().length, -400);
    }

    #[test]
    fn a_directory_that_is_not_there_is_told_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let error = Stored::measure(&dir.path().join("none")).unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
    }
}
