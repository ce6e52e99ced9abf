//! `backup`: what of a data directory can be had again, taken while the verifier runs.
//!
//! A backup holds the log as far as it was published, and never the lock: a lock that is turned
//! back would have two histories signed. The registry, the tiles and the socket are made again.
//!
//! ```text
//! DIR/               0700
//!   manifest.json    what the backup holds; written last, so that it is whole or the one before
//!   segments/        the log's segments, each named by its SHA-256
//!   files/           the other files, each named by its SHA-256
//! ```
//!
//! A later backup into the same directory adds what is new. Where it is cut off, the manifest is
//! the one before and all that it names is still there.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use affiant_proto::{Digest, digest};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    data::DataDir,
    ledger::{
        Access, Disk as _, Idle, LocalDisk, NotHeld, NotKept, PublishedNote, SegmentName,
        published_segments,
    },
};

/// Most bytes of a file beside the log: the token file of 1,000,000 tokens of 250 bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Most bytes of a manifest: a note of 64 KiB and a hundred files of 200 bytes, as JSON.
const MAX_MANIFEST_BYTES: u64 = 256 * 1024;

/// Why there is no backup, or none to be restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A file.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The log of the data directory.
    #[error(transparent)]
    Log(#[from] NotKept),
    /// Another backup is being made there, or it is a data directory in use.
    #[error(transparent)]
    Busy(#[from] NotHeld),
    /// Its manifest is missing or none.
    #[error("{0} is not a manifest of version 1: name the directory that `backup` wrote")]
    Manifest(PathBuf),
    /// The backup there is of another log, or ahead of this one.
    #[error(
        "{path} holds a backup of {held} at size {size}, which this log does not go on from; keep \
         it, and make the backup in another directory"
    )]
    Other {
        /// The backup.
        path: PathBuf,
        /// Origin of its log.
        held: String,
        /// Its size.
        size: u64,
    },
    /// A file whose bytes are not those that it is named by.
    #[error("{0} was changed since it was written; restore it from another copy")]
    Changed(PathBuf),
    /// A file that is larger than it can be.
    #[error("{0} has more than {MAX_FILE_BYTES} bytes, which it never should")]
    TooLarge(PathBuf),
}

impl BackupError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    origin: String,
    size: u64,
    /// The published checkpoint that the backup goes up to.
    checkpoint: String,
    /// The newest segment; each names the one before.
    segment: String,
    files: Vec<Kept>,
}

/// One file beside the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Where it lies in the data directory.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

impl Manifest {
    const NAME: &str = "manifest.json";

    /// Reads the manifest of a backup; `None` where there is none.
    pub fn read(backup: &Path) -> Result<Option<Self>, BackupError> {
        let path = backup.join(Self::NAME);
        let bytes = match read_bounded(&path, MAX_MANIFEST_BYTES) {
            Err(BackupError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            read => read?,
        };
        let read: Option<Self> = serde_json::from_slice(&bytes).ok();
        let read = read.filter(|manifest| manifest.version == 1 && manifest.parts().is_some());
        read.map(Some).ok_or(BackupError::Manifest(path))
    }

    /// The checkpoint and the newest segment, which ends at its size.
    fn parts(&self) -> Option<(PublishedNote, SegmentName)> {
        let note = PublishedNote::parse(self.checkpoint.clone().into_bytes())?;
        let segment: SegmentName = self.segment.parse().ok()?;
        let checkpoint = note.checkpoint();
        let whole = checkpoint.origin().as_str() == self.origin
            && checkpoint.size() == self.size
            && segment.end() == self.size;
        whole.then_some((note, segment))
    }

    /// The published checkpoint that the backup goes up to.
    pub fn checkpoint(&self) -> Option<PublishedNote> {
        self.parts().map(|(note, _)| note)
    }

    /// How many entries of the log it holds.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The files beside the log.
    pub fn files(&self) -> &[Kept] {
        &self.files
    }
}

impl Kept {
    /// Reads the file from a backup and holds it against its digest.
    pub fn read(&self, backup: &Path) -> Result<Zeroizing<Vec<u8>>, BackupError> {
        let named: Result<Digest, _> = self.sha256.parse();
        let manifest = || BackupError::Manifest(backup.join(Manifest::NAME));
        let path = files(backup).join(named.map_err(|_| manifest())?.to_string());
        let bytes = Zeroizing::new(read_bounded(&path, MAX_FILE_BYTES)?);
        if digest(&bytes).to_string() != self.sha256 {
            return Err(BackupError::Changed(path));
        }
        Ok(bytes)
    }
}

/// How a backup is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Private keys too.
    pub with_keys: bool,
    /// Hard links in the place of copies of segments, where source and target are on one disk.
    pub link: bool,
}

/// What a backup did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// How many entries of the log the backup holds.
    pub size: u64,
    /// Its segments.
    pub segments: usize,
    /// Segments that were not there before.
    pub added: usize,
}

fn files(backup: &Path) -> PathBuf {
    backup.join("files")
}

/// Where a backup's segments lie.
pub(crate) fn segments(backup: &Path) -> PathBuf {
    backup.join("segments")
}

/// Makes a backup of `data` in `to`, or brings the one that is there up to date.
///
/// The verifier may run: segments never change once they have their name, and the lock leads from
/// the newest to all. `progress` is told how many of how many segments are done.
pub fn backup(
    data: &DataDir,
    to: &Path,
    options: Options,
    mut progress: impl FnMut(usize, usize),
) -> Result<Done, BackupError> {
    let (published, names) = published_segments(&data.ledger())?;
    let checkpoint = published.checkpoint();
    for directory in [to.to_owned(), segments(to), files(to)] {
        LocalDisk
            .make_directories(&directory, Access::Private)
            .map_err(BackupError::io(&directory))?;
    }
    let _held = Idle::hold(to)?;
    let before = Manifest::read(to)?;
    if let Some(before) = &before
        && let Some((_, segment)) = before.parts()
        && names.binary_search(&segment).is_err()
    {
        return Err(BackupError::Other {
            path: to.to_owned(),
            held: before.origin.clone(),
            size: before.size,
        });
    }
    let mut added = 0;
    for (number, name) in (1..).zip(&names) {
        let (from, into) = (
            data.ledger().join("segments").join(name.to_string()),
            segments(to).join(name.to_string()),
        );
        if !is_there(&from, &into)? {
            put_segment(&from, &into, name, options.link)?;
            added += 1;
        }
        progress(number, names.len());
    }
    LocalDisk
        .sync_directory(&segments(to))
        .map_err(BackupError::io(to))?;
    let kept = put_files(data, to, options.with_keys)?;
    let manifest = Manifest {
        version: 1,
        origin: checkpoint.origin().to_string(),
        size: checkpoint.size(),
        checkpoint: String::from_utf8_lossy(published.note()).into_owned(),
        segment: names.last().map(ToString::to_string).unwrap_or_default(),
        files: kept,
    };
    let path = to.join(Manifest::NAME);
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(io::Error::from)
        .map_err(BackupError::io(&path))?;
    LocalDisk
        .replace(&path, &text, Access::Private)
        .map_err(BackupError::io(&path))?;
    forget(to, &manifest)?;
    Ok(Done {
        size: manifest.size,
        segments: names.len(),
        added,
    })
}

/// A segment of that name and length is the one: it got its name once it was whole.
fn is_there(from: &Path, into: &Path) -> Result<bool, BackupError> {
    let length = fs::metadata(from).map_err(BackupError::io(from))?.len();
    match fs::metadata(into) {
        Ok(found) => Ok(found.len() == length),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(BackupError::io(into)(error)),
    }
}

/// Copies or links a segment whose bytes are those that it is named by.
pub(crate) fn put_segment(
    from: &Path,
    into: &Path,
    name: &SegmentName,
    link: bool,
) -> Result<(), BackupError> {
    let bytes = fs::read(from).map_err(BackupError::io(from))?;
    if digest(&bytes) != *name.digest() {
        return Err(BackupError::Changed(from.to_owned()));
    }
    // Two disks, or a file system without links: a copy serves as well.
    if link && LocalDisk.link(from, into).is_ok() {
        return Ok(());
    }
    LocalDisk
        .replace(into, &bytes, Access::Private)
        .map_err(BackupError::io(into))
}

/// Puts the files beside the log under their digests.
fn put_files(data: &DataDir, to: &Path, with_keys: bool) -> Result<Vec<Kept>, BackupError> {
    let mut kept = Vec::new();
    for name in data
        .restorable(with_keys)
        .map_err(BackupError::io(data.path()))?
    {
        let path = data.path().join(&name);
        let mut bytes = match read_bounded(&path, MAX_FILE_BYTES) {
            // No token was ever issued, or there is one authority only.
            Err(BackupError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                continue;
            }
            read => Zeroizing::new(read?),
        };
        if path == data.tokens() {
            // A line that is being written now is of a token that nobody has yet.
            let whole = bytes.iter().rposition(|byte| *byte == b'\n');
            bytes.truncate(whole.map_or(0, |at| at + 1));
        }
        let sha256 = digest(&bytes).to_string();
        let into = files(to).join(&sha256);
        LocalDisk
            .replace(&into, &bytes, Access::Private)
            .map_err(BackupError::io(&into))?;
        kept.push(Kept { name, sha256 });
    }
    Ok(kept)
}

/// Removes files that only an earlier backup named.
fn forget(to: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let named: BTreeSet<&str> = manifest.files.iter().map(|f| f.sha256.as_str()).collect();
    let at = files(to);
    for found in fs::read_dir(&at).map_err(BackupError::io(&at))? {
        let found = found.map_err(BackupError::io(&at))?;
        if !named.contains(found.file_name().to_string_lossy().as_ref()) {
            fs::remove_file(found.path()).map_err(BackupError::io(&found.path()))?;
        }
    }
    Ok(())
}

fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, BackupError> {
    use io::Read as _;
    let file = fs::File::open(path).map_err(BackupError::io(path))?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(BackupError::io(path))?;
    if bytes.len() as u64 > limit {
        return Err(BackupError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}
