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
use affiant_report::{
    edge::TEMPORARY,
    plain_file::{self, NotRead},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    data::DataDir,
    ledger::{
        Access, Disk as _, Exhibits, Idle, LocalDisk, NotHeld, NotKept, PublishedNote, SegmentName,
        published_segments, rewritten,
    },
    target::stranger,
};

/// Most bytes of a file beside the log: the token file of 1,000,000 tokens of 250 bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// Most bytes of a manifest: a note of 64 KiB, and as JSON 200 bytes for each of [`crate::ledger::MAX_EXHIBITS`] files that
/// statements name and of some 20 others, 12.9 MB.
const MAX_MANIFEST_BYTES: u64 = 16 * 1024 * 1024;

/// How the manifest names the directory of exhibits, which lies within the log's.
pub(crate) const EXHIBITS: &str = "exhibits";

/// What a backup has, and the lock of who makes one.
const OWN: [&str; 4] = ["segments", "files", Manifest::NAME, "writer.pid"];

/// How often keys and log are read until no key changed meanwhile. A change of keys moves three
/// files at most, in milliseconds, and reading takes about as long: a second try finds it over.
const TRIES: usize = 10;

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
    /// The directory holds something else, and no backup that was begun.
    #[error(
        "{path} holds {found}, which no backup has, and no manifest of one; make the backup in a new \
         directory, or an empty one"
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What stands there.
        found: String,
    },
    /// Keys changed whenever they were read.
    #[error(
        "{0}: keys changed each of {TRIES} times that they were read with the log; run the backup \
         again when the change of keys is over"
    )]
    Unsettled(PathBuf),
    /// A file whose bytes are not those that it is named by.
    #[error("{0} was changed since it was written; restore it from another copy")]
    Changed(PathBuf),
    /// A file that is larger than it can be.
    #[error("{path} has more than {limit} bytes, which it never should")]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The most that it may have.
        limit: u64,
    },
    /// A manifest that could not be read back. The one before stays.
    #[error(
        "{path} would have {length} bytes, and one of more than {MAX_MANIFEST_BYTES} is not restored; take \
         out of log/exhibits what no statement names"
    )]
    LongManifest {
        /// The manifest.
        path: PathBuf,
        /// Bytes that it would have.
        length: u64,
    },
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
    /// The newest segment; those before it go back to the first entry.
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

    /// Spells it for `path`, as far as it can be read back.
    fn spell(&self, path: &Path) -> Result<Vec<u8>, BackupError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(io::Error::from)
            .map_err(BackupError::io(path))?;
        let length = text.len() as u64;
        if length > MAX_MANIFEST_BYTES {
            let path = path.to_owned();
            return Err(BackupError::LongManifest { path, length });
        }
        Ok(text)
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
/// The verifier may run: segments never change once they have their name, and the lock names the
/// newest. What was rewritten since the last backup takes the place of what it was: lines that were
/// erased do not outlive it here. `progress` is told how many of how many segments are done.
pub fn backup(
    data: &DataDir,
    to: &Path,
    options: Options,
    mut progress: impl FnMut(usize, usize),
) -> Result<Done, BackupError> {
    for _ in 1..TRIES {
        match once(data, to, options, &mut progress) {
            // Rewritten between being named and being read: named anew.
            Err(BackupError::Io { path, source })
                if source.kind() == io::ErrorKind::NotFound && is_segment(data, &path) => {}
            done => return done,
        }
    }
    once(data, to, options, &mut progress)
}

fn is_segment(data: &DataDir, path: &Path) -> bool {
    path.parent() == Some(&segments(&data.ledger()))
}

fn once(
    data: &DataDir,
    to: &Path,
    options: Options,
    progress: &mut impl FnMut(usize, usize),
) -> Result<Done, BackupError> {
    let Seen {
        log: (published, names),
        files: beside,
    } = together(data, options.with_keys, || {
        published_segments(&data.ledger()).map_err(BackupError::from)
    })?;
    let checkpoint = published.checkpoint();
    if Manifest::read(to)?.is_none()
        && let Some(found) = stranger(to, &OWN).map_err(BackupError::io(to))?
    {
        let path = to.to_owned();
        return Err(BackupError::Foreign { path, found });
    }
    for directory in [to.to_owned(), segments(to), files(to)] {
        LocalDisk
            .make_directories(&directory, Access::Private)
            .map_err(BackupError::io(&directory))?;
    }
    let _held = Idle::hold(to)?;
    let before = Manifest::read(to)?;
    if let Some(before) = &before
        && let Some((_, segment)) = before.parts()
        && !names.contains(&segment)
        && !rewritten(&segments(to), &segment, &segments(&data.ledger()), &names)
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
            segments(&data.ledger()).join(name.to_string()),
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
    let mut kept = put_files(&beside, to)?;
    kept.extend(put_exhibits(&data.ledger(), to)?);
    let manifest = Manifest {
        version: 1,
        origin: checkpoint.origin().to_string(),
        size: checkpoint.size(),
        checkpoint: String::from_utf8_lossy(published.note()).into_owned(),
        segment: names.last().map(ToString::to_string).unwrap_or_default(),
        files: kept,
    };
    let path = to.join(Manifest::NAME);
    let text = manifest.spell(&path)?;
    LocalDisk
        .replace(&path, &text, Access::Private)
        .map_err(BackupError::io(&path))?;
    forget(to, &manifest, &names)?;
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

/// The log, and the files beside it as they were when it was read.
struct Seen<L> {
    log: L,
    files: Vec<Beside>,
}

/// A file beside the log.
struct Beside {
    name: String,
    bytes: Zeroizing<Vec<u8>>,
}

/// Reads the log and the files beside it as they stood at one time: the files before and after the
/// log, and all again where they differ. Each key has one use, so what is the same before and after
/// was the same between; and whatever a change of keys leaves at any one time, a start goes on from.
fn together<L>(
    data: &DataDir,
    with_keys: bool,
    mut log: impl FnMut() -> Result<L, BackupError>,
) -> Result<Seen<L>, BackupError> {
    // Tokens are only ever added to; one that the log has not yet is of no harm.
    let settled = |files: &[Beside]| -> Vec<(String, Digest)> {
        let files = files
            .iter()
            .filter(|it| data.path().join(&it.name) != data.tokens());
        files
            .map(|it| (it.name.clone(), digest(&it.bytes)))
            .collect()
    };
    for _ in 0..TRIES {
        let before = settled(&read_beside(data, with_keys)?);
        let log = log()?;
        let files = read_beside(data, with_keys)?;
        if settled(&files) == before {
            return Ok(Seen { log, files });
        }
    }
    Err(BackupError::Unsettled(data.path().to_owned()))
}

fn read_beside(data: &DataDir, with_keys: bool) -> Result<Vec<Beside>, BackupError> {
    let mut read = Vec::new();
    for name in data
        .restorable(with_keys)
        .map_err(BackupError::io(data.path()))?
    {
        let path = data.path().join(&name);
        let mut bytes = match read_bounded(&path, MAX_FILE_BYTES) {
            // No token was ever issued, there is one authority only, or no key is changing.
            Err(BackupError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && !data.is_due(&path) =>
            {
                continue;
            }
            read => Zeroizing::new(read?),
        };
        if path == data.tokens() {
            // A line that is being written now is of a token that nobody has yet.
            let whole = bytes.iter().rposition(|byte| *byte == b'\n');
            bytes.truncate(whole.map_or(0, |at| at + 1));
        }
        read.push(Beside { name, bytes });
    }
    Ok(read)
}

/// Puts the files beside the log under their digests.
fn put_files(beside: &[Beside], to: &Path) -> Result<Vec<Kept>, BackupError> {
    let mut kept = Vec::new();
    for Beside { name, bytes } in beside {
        let (name, sha256) = (name.clone(), digest(bytes).to_string());
        let into = files(to).join(&sha256);
        LocalDisk
            .replace(&into, bytes, Access::Private)
            .map_err(BackupError::io(&into))?;
        kept.push(Kept { name, sha256 });
    }
    Ok(kept)
}

/// Puts the exhibits that are not there yet, each of which has its digest as its name.
fn put_exhibits(ledger: &Path, to: &Path) -> Result<Vec<Kept>, BackupError> {
    let exhibits = Exhibits::of(ledger);
    let mut kept = Vec::new();
    for named in exhibits.all().map_err(BackupError::io(ledger))? {
        let (from, sha256) = (exhibits.path(&named), named.to_string());
        let into = files(to).join(&sha256);
        if !is_there(&from, &into)? {
            let bytes = exhibits.get(&named).map_err(BackupError::io(&from))?;
            let bytes = bytes.ok_or_else(|| BackupError::Changed(from.clone()))?;
            LocalDisk
                .replace(&into, &bytes, Access::Private)
                .map_err(BackupError::io(&into))?;
        }
        let name = format!("{EXHIBITS}/{sha256}");
        kept.push(Kept { name, sha256 });
    }
    Ok(kept)
}

/// Removes what only an earlier backup named.
fn forget(to: &Path, manifest: &Manifest, segments: &[SegmentName]) -> Result<(), BackupError> {
    let kept: BTreeSet<String> = manifest.files.iter().map(|f| f.sha256.clone()).collect();
    let rewritten: BTreeSet<String> = segments.iter().map(ToString::to_string).collect();
    for (at, named) in [(files(to), kept), (self::segments(to), rewritten)] {
        for found in fs::read_dir(&at).map_err(BackupError::io(&at))? {
            let found = found.map_err(BackupError::io(&at))?;
            let name = found.file_name().to_string_lossy().into_owned();
            let whole = name.strip_suffix(TEMPORARY).unwrap_or(&name);
            // Nothing else was put there by a backup.
            let ours = whole.parse::<Digest>().is_ok() || whole.parse::<SegmentName>().is_ok();
            if ours && !named.contains(&name) {
                fs::remove_file(found.path()).map_err(BackupError::io(&found.path()))?;
            }
        }
    }
    Ok(())
}

fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, BackupError> {
    plain_file::read_bounded(path, limit).map_err(|error| match error {
        NotRead::Long { path, .. } => BackupError::TooLarge { path, limit },
        other => BackupError::io(path)(other.into_io()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn data(dir: &Path) -> DataDir {
        let data = DataDir::create(&dir.join("data")).unwrap();
        for due in [data.ca_certificate(), data.log_key(), data.ca_key()] {
            fs::write(due, "the first").unwrap();
        }
        fs::write(data.operator_key(), "0").unwrap();
        data
    }

    fn operator(seen: &Seen<u32>) -> String {
        let named = |it: &&Beside| it.name == "keys/operator.key";
        let file = seen.files.iter().find(named).unwrap();
        String::from_utf8(file.bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_change_of_keys_while_the_log_is_read_is_in_both_or_in_none() {
        let dir = tempfile::tempdir().unwrap();
        let data = data(dir.path());
        // The log says so first, then the file is moved: here between the log and the files.
        let (mut logged, mut reads) = (0_u32, 0);
        let seen = together(&data, true, || {
            reads += 1;
            let read = logged;
            if reads < 3 {
                logged += 1;
                fs::write(data.operator_key(), logged.to_string()).unwrap();
            }
            Ok(read)
        });
        let seen = seen.unwrap();
        assert_eq!((seen.log, operator(&seen)), (2, "2".into()));
    }

    #[test]
    fn keys_that_never_stand_still_are_not_backed_up() {
        let dir = tempfile::tempdir().unwrap();
        let data = data(dir.path());
        let mut reads = 0_u32;
        let seen = together(&data, true, || {
            reads += 1;
            fs::write(data.operator_key(), reads.to_string()).unwrap();
            Ok(reads)
        });
        assert!(matches!(seen, Err(BackupError::Unsettled(_))));
    }

    #[test]
    fn a_key_that_is_due_and_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let data = data(dir.path());
        fs::remove_file(data.ca_certificate()).unwrap();
        let missing = together(&data, false, || Ok(0)).err().unwrap().to_string();
        assert!(missing.contains("ca.pem"), "{missing}");
    }

    #[test]
    fn a_manifest_that_could_not_be_read_back_is_not_written_and_that_of_every_exhibit_is() {
        let of = |count: usize| Manifest {
            version: 1,
            origin: "log.example.org/affiant/1".into(),
            size: u64::MAX,
            checkpoint: "x".repeat(64 * 1024),
            segment: "x".repeat(130),
            files: (0..count)
                .map(|n| {
                    let sha256 = digest(&n.to_be_bytes()).to_string();
                    let name = format!("{EXHIBITS}/{sha256}");
                    Kept { name, sha256 }
                })
                .collect(),
        };
        let path = Path::new("backup/manifest.json");
        let text = of(crate::ledger::MAX_EXHIBITS + 20).spell(path).unwrap();
        assert!(text.len() as u64 <= MAX_MANIFEST_BYTES);
        let refused = of(90_000).spell(path).unwrap_err().to_string();
        assert!(refused.contains("more than 16777216"), "{refused}");
    }
}
