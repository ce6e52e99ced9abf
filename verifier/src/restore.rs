//! `restore`: a data directory from a backup, which does not pretend to be the one that was lost.
//!
//! It has no lock, so no verifier serves it: the log may have published more than the backup holds.
//! A `succession` goes on from there and says what was lost.

use std::path::{Component, Path, PathBuf};

use crate::{
    backup::{self, BackupError, Manifest},
    data::DataDir,
    keyfile::{self, KeyFileError},
    ledger::{Access, Disk as _, Exhibits, Kept, LocalDisk, NotKept, NotPut, put_checkpoint},
};

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The log in it.
    #[error("backup: {0}")]
    Log(#[from] NotKept),
    /// The target.
    #[error(transparent)]
    Target(#[from] KeyFileError),
    /// An exhibit.
    #[error(transparent)]
    Exhibit(#[from] NotPut),
    /// The manifest names a file outside of the data directory.
    #[error("the manifest names a file {0:?}, which is no place in a data directory")]
    Place(String),
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// How many entries of the log.
    pub size: u64,
    /// Whether the private keys were in the backup.
    pub with_keys: bool,
}

/// Restores a backup into a new directory: everything in it is checked first.
///
/// `progress` is told how many of how many segments are done. Where it is cut off the directory has
/// no checkpoint; delete it and run it again.
pub fn restore(
    from: &Path,
    data: &Path,
    mut progress: impl FnMut(usize, usize),
) -> Result<Done, RestoreError> {
    let none = || BackupError::Manifest(from.join("manifest.json"));
    let manifest = Manifest::read(from)?.ok_or_else(none)?;
    let note = manifest.checkpoint().ok_or_else(none)?;
    let kept = Kept::find(from, note.checkpoint())?;
    // Each is read and held against its digest before anything is written.
    let mut files = Vec::new();
    for file in manifest.files() {
        let place = place(&file.name)?;
        let bytes = file.read(from)?;
        let is_exhibit = place.starts_with(backup::EXHIBITS);
        files.push((place, file, (!is_exhibit).then_some(bytes)));
    }

    let target = DataDir::create(data)?;
    let ledger = target.ledger();
    let into = backup::segments(&ledger);
    LocalDisk
        .make_directories(&into, Access::Private)
        .map_err(BackupError::io(&into))?;
    let names = kept.segments();
    for (number, name) in (1..).zip(names) {
        let file = name.to_string();
        backup::put_segment(
            &backup::segments(from).join(&file),
            &into.join(&file),
            name,
            false,
        )?;
        progress(number, names.len());
    }
    let mut with_keys = false;
    let exhibits = Exhibits::of(&ledger);
    for (place, file, bytes) in files {
        let path = data.join(&place);
        let Some(bytes) = bytes else {
            // Large, and so not kept in memory meanwhile.
            exhibits.put(&file.read(from)?)?;
            continue;
        };
        if target.is_public(&path) {
            keyfile::create_public(&path, &bytes)?;
        } else {
            keyfile::create_private(&path, &bytes)?;
        }
        with_keys |= path == target.log_key();
    }
    for directory in [&into, &ledger, data] {
        LocalDisk
            .sync_directory(directory)
            .map_err(BackupError::io(directory))?;
    }
    put_checkpoint(&ledger, &note)?;
    Ok(Done {
        size: manifest.size(),
        with_keys,
    })
}

/// A file of the data directory, or of one directory in it.
fn place(name: &str) -> Result<PathBuf, RestoreError> {
    let path = PathBuf::from(name);
    let parts: Vec<_> = path.components().collect();
    let inside = parts
        .iter()
        .all(|part| matches!(part, Component::Normal(_)));
    let known = match parts.as_slice() {
        [Component::Normal(_)] => true,
        [Component::Normal(directory), _] => *directory == "keys" || *directory == backup::EXHIBITS,
        _ => false,
    };
    (inside && known)
        .then_some(path)
        .ok_or_else(|| RestoreError::Place(name.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_puts_nothing_outside_of_the_data_directory() {
        for good in ["ca.pem", "keys/log.key"] {
            assert_eq!(place(good).unwrap(), Path::new(good));
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "keys/../../x",
            "log/lock",
            "a/b/c",
        ] {
            assert!(matches!(place(bad), Err(RestoreError::Place(_))), "{bad}");
        }
    }
}
