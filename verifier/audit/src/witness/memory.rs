//! What a witness remembers: of each log the newest checkpoint that it cosigned.
//!
//! Trusted: whoever can roll the file back can make the witness cosign two histories. One file
//! holds all logs and is replaced whole, so a log that it does not name was never cosigned, and a
//! file that is missing is a loss.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use affiant_proto::tlog::{
    Checkpoint, MAX_LOGS, MalformedNote, Note, NoteKey, NoteSignature, Origin, SignedCheckpoint,
};
use affiant_report::plain_file::{NotRead, read_bounded};
use serde::{Deserialize, Serialize};

/// Most bytes of the state file: three notes of each of 256 logs, a note of 4 KiB of text and two
/// lines of 450 bytes, and a quarter more for JSON.
const MAX_STATE_BYTES: u64 = 256 * 3 * 5 * 1024 * 5 / 4;

/// The format of the file.
const VERSION: u32 = 1;

/// Ending of the file beside a key that was never used.
pub(super) const UNUSED: &str = "unused";

/// Holds the newest checkpoint of each log across restarts.
pub trait Memory: Send {
    /// What was remembered of a log last; none of one that was never cosigned.
    fn seen(&self, origin: &Origin) -> Option<&Seen>;

    /// All that was remembered, of logs that are watched no longer too.
    fn all(&self) -> Vec<&Seen>;

    /// Makes this the newest of its log; it is durable once this returns.
    fn remember(&mut self, seen: Seen) -> Result<(), Forgetful>;

    /// Keeps a checkpoint that the log's key signed and that contradicts the newest; the first of a
    /// log is kept, durably, and no other.
    fn accuse(
        &mut self,
        shown: &SignedCheckpoint,
        log: &NoteKey,
        seconds: u64,
    ) -> Result<(), Forgetful>;
}

/// A checkpoint that was cosigned. Its note has the log's signature and the witness's, and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    checkpoint: Checkpoint,
    note: Note,
    contradiction: Option<Contradiction>,
}

/// Proof that a log's key signed two trees of one size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contradiction {
    /// The checkpoint that was cosigned.
    pub cosigned: String,
    /// The other one.
    pub shown: String,
    /// When it was shown, in seconds since 1970.
    pub unix_s: u64,
}

impl Seen {
    /// Keeps of a checkpoint's note what its log signed, and the cosignature.
    pub fn new(
        signed: &SignedCheckpoint,
        log: &NoteKey,
        line: &NoteSignature,
    ) -> Result<Self, MalformedNote> {
        Ok(Self {
            checkpoint: signed.checkpoint().clone(),
            note: only(signed.note(), log, Some(line))?,
            contradiction: None,
        })
    }

    /// Gives the checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Gives its note.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Gives what the log's key signed against itself.
    pub fn contradiction(&self) -> Option<&Contradiction> {
        self.contradiction.as_ref()
    }
}

/// A note with the lines of one key and one line more, so that strangers' lines take no room.
fn only(note: &Note, key: &NoteKey, more: Option<&NoteSignature>) -> Result<Note, MalformedNote> {
    // Every line of the key has verified, and one says it.
    let own = note.signatures().iter().filter(|line| line.claims(key));
    let own = own.take(1);
    let lines: String = own.chain(more).map(|line| format!("{line}\n")).collect();
    Note::parse(format!("{}\n{lines}", note.text()).as_bytes())
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
        "state file {0} is missing; look where it went, for a copy would be older than what was cosigned; \
         else begin anew with a new key, made with --init"
    )]
    Missing(PathBuf),
    /// A pipe, a device, a directory.
    #[error("state file {0} is not a plain file; name the one that the witness wrote")]
    NotPlain(PathBuf),
    /// It holds something else.
    #[error(
        "state file {path} does not hold the state of a witness: {why}; begin anew with a new key"
    )]
    NotAState {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Another witness works on it.
    #[error("state file {0} is in use by another witness; stop that one first")]
    InUse(PathBuf),
    /// A write failed before, so what the disk holds is not known.
    #[error("state file {0} could not be written before; see to its disk and restart the witness")]
    Broken(PathBuf),
    /// Too many logs, those that are no longer watched among them.
    #[error("state file {0} holds {MAX_LOGS} logs already; run a second witness, with another key")]
    Full(PathBuf),
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    logs: Vec<StoredLog>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredLog {
    note: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contradiction: Option<Contradiction>,
}

/// A state file, held by one process at a time.
#[derive(Debug)]
pub struct FileMemory {
    path: PathBuf,
    logs: BTreeMap<Origin, Seen>,
    broken: bool,
    // Held for its lock.
    _lock: File,
}

impl FileMemory {
    /// Opens the state of a witness, or makes it the first time that its key is used.
    ///
    /// A file beside the key (`KEY.unused`) tells that it never cosigned; it goes before the first
    /// cosignature can. Without it a missing state is an error: the witness would forget what it
    /// promised.
    pub fn first_or_again(key: &Path, path: &Path) -> Result<Self, Forgetful> {
        let unused = beside(key, UNUSED);
        let missing = !path.try_exists().map_err(|source| Forgetful::Io {
            path: path.to_owned(),
            source,
        })?;
        if missing && unused.exists() {
            Self::create(path)?;
        }
        let memory = Self::open(path)?;
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

    /// Makes the file of a witness that has cosigned nothing; refuses to overwrite one.
    pub fn create(path: &Path) -> Result<(), Forgetful> {
        let io = |source| Forgetful::Io {
            path: path.to_owned(),
            source,
        };
        // Whole from the start: a cut file would be a state that cannot be read.
        let temporary = beside(path, "new");
        write(&temporary, &spelled(&BTreeMap::new())).map_err(io)?;
        fs::hard_link(&temporary, path).map_err(io)?;
        fs::remove_file(&temporary).map_err(io)?;
        sync_folder(path).map_err(io)
    }

    /// Opens the file and holds it until dropped.
    pub fn open(path: &Path) -> Result<Self, Forgetful> {
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
        let bytes = read_bounded(path, MAX_STATE_BYTES).map_err(|error| match error {
            none if none.is_missing() => Forgetful::Missing(path.to_owned()),
            NotRead::Io { source, .. } => io(source),
            NotRead::NotPlain(path) => Forgetful::NotPlain(path),
            other => Forgetful::NotAState {
                path: path.to_owned(),
                why: other.to_string(),
            },
        })?;
        let logs = read(&bytes).map_err(|why| Forgetful::NotAState {
            path: path.to_owned(),
            why,
        })?;
        Ok(Self {
            path: path.to_owned(),
            logs,
            broken: false,
            _lock: lock,
        })
    }

    /// Writes all of it in the place of what was there. After a failure nothing is written again:
    /// what the disk then holds is known only once it is read.
    fn store(&mut self, logs: BTreeMap<Origin, Seen>) -> Result<(), Forgetful> {
        if self.broken {
            return Err(Forgetful::Broken(self.path.clone()));
        }
        let temporary = beside(&self.path, "new");
        let stored = write(&temporary, &spelled(&logs))
            .and_then(|()| fs::rename(&temporary, &self.path))
            .and_then(|()| sync_folder(&self.path));
        if let Err(source) = stored {
            self.broken = true;
            return Err(Forgetful::Io {
                path: self.path.clone(),
                source,
            });
        }
        self.logs = logs;
        Ok(())
    }
}

impl Memory for FileMemory {
    fn seen(&self, origin: &Origin) -> Option<&Seen> {
        self.logs.get(origin)
    }

    fn all(&self) -> Vec<&Seen> {
        self.logs.values().collect()
    }

    fn remember(&mut self, seen: Seen) -> Result<(), Forgetful> {
        let mut logs = self.logs.clone();
        let origin = seen.checkpoint.origin().clone();
        if !logs.contains_key(&origin) && logs.len() >= MAX_LOGS {
            return Err(Forgetful::Full(self.path.clone()));
        }
        let contradiction = logs
            .get(&origin)
            .and_then(|seen| seen.contradiction.clone());
        logs.insert(
            origin,
            Seen {
                contradiction,
                ..seen
            },
        );
        self.store(logs)
    }

    fn accuse(
        &mut self,
        shown: &SignedCheckpoint,
        log: &NoteKey,
        seconds: u64,
    ) -> Result<(), Forgetful> {
        let mut logs = self.logs.clone();
        let Some(seen) = logs.get_mut(shown.checkpoint().origin()) else {
            return Ok(());
        };
        if seen.contradiction.is_some() {
            return Ok(());
        }
        // The log's own lines are the proof.
        let (Ok(cosigned), Ok(other)) =
            (only(&seen.note, log, None), only(shown.note(), log, None))
        else {
            return Ok(());
        };
        seen.contradiction = Some(Contradiction {
            cosigned: cosigned.to_string(),
            shown: other.to_string(),
            unix_s: seconds,
        });
        self.store(logs)
    }
}

fn spelled(logs: &BTreeMap<Origin, Seen>) -> Vec<u8> {
    let logs = logs.values().map(|seen| StoredLog {
        note: seen.note.to_string(),
        contradiction: seen.contradiction.clone(),
    });
    let stored = Stored {
        version: VERSION,
        logs: logs.collect(),
    };
    // Strings and numbers alone: spelling them cannot fail.
    let mut text = serde_json::to_vec_pretty(&stored).unwrap_or_default();
    text.push(b'\n');
    text
}

fn read(bytes: &[u8]) -> Result<BTreeMap<Origin, Seen>, String> {
    if bytes.len() as u64 > MAX_STATE_BYTES {
        return Err(format!("it is longer than {MAX_STATE_BYTES} bytes"));
    }
    let stored: Stored = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if stored.version != VERSION {
        return Err(format!("it is of version {}", stored.version));
    }
    let mut logs = BTreeMap::new();
    for log in stored.logs {
        let note = Note::parse(log.note.as_bytes()).map_err(|bad| bad.to_string())?;
        let checkpoint: Checkpoint = note.text().parse().map_err(|bad| format!("{bad}"))?;
        let origin = checkpoint.origin().clone();
        let seen = Seen {
            checkpoint,
            note,
            contradiction: log.contradiction,
        };
        if logs.insert(origin.clone(), seen).is_some() {
            return Err(format!("it has {origin} twice"));
        }
    }
    if logs.len() > MAX_LOGS {
        return Err(format!("it has {} logs", logs.len()));
    }
    Ok(logs)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
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
    use affiant_proto::{
        Ed25519Signer,
        tlog::{Cosigner, NoteSigner, leaf_hash},
    };

    use super::*;

    fn signer(origin: &str) -> NoteSigner<Ed25519Signer> {
        let key = Ed25519Signer::from_seed(&[1; 32]).unwrap();
        NoteSigner::new(origin.parse().unwrap(), key).unwrap()
    }

    fn signed(origin: &str, size: u64, root: u8) -> SignedCheckpoint {
        let checkpoint = Checkpoint::new(origin.parse().unwrap(), size, leaf_hash(&[root]));
        checkpoint.unwrap().sign(&signer(origin)).unwrap()
    }

    fn seen(origin: &str, size: u64) -> Seen {
        let key = Ed25519Signer::from_seed(&[2; 32]).unwrap();
        let cosigner = Cosigner::new("witness.example".parse().unwrap(), key).unwrap();
        let signed = signed(origin, size, 0);
        let line = cosigner.cosign(signed.checkpoint(), 7).unwrap();
        Seen::new(&signed, signer(origin).key(), &line).unwrap()
    }

    #[test]
    fn what_was_remembered_of_each_log_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        FileMemory::create(&path).unwrap();
        let mut memory = FileMemory::open(&path).unwrap();
        assert_eq!(memory.seen(&"a.example/1".parse().unwrap()), None);
        for (origin, size) in [("a.example/1", 5), ("b.example/1", 9), ("a.example/1", 6)] {
            memory.remember(seen(origin, size)).unwrap();
        }
        let other = signed("b.example/1", 9, 1);
        let log = signer("b.example/1");
        memory.accuse(&other, log.key(), 70).unwrap();
        memory.remember(seen("b.example/1", 10)).unwrap();
        drop(memory);
        let mut memory = FileMemory::open(&path).unwrap();
        let size = |memory: &FileMemory, origin: &str| {
            memory
                .seen(&origin.parse().unwrap())
                .unwrap()
                .checkpoint()
                .size()
        };
        assert_eq!(
            (size(&memory, "a.example/1"), size(&memory, "b.example/1")),
            (6, 10)
        );
        // The first contradiction stays, whatever is shown later.
        memory
            .accuse(&signed("b.example/1", 10, 1), log.key(), 80)
            .unwrap();
        let b = memory.seen(&"b.example/1".parse().unwrap()).unwrap();
        let kept = b.contradiction().unwrap();
        assert_eq!(kept.unix_s, 70);
        for note in [&kept.cosigned, &kept.shown] {
            Checkpoint::open(note.as_bytes(), log.key()).unwrap();
        }
    }

    #[test]
    fn a_lost_state_is_not_made_again_once_the_key_was_used() {
        let folder = tempfile::tempdir().unwrap();
        let (key, path) = (folder.path().join("key"), folder.path().join("state"));
        fs::write(beside(&key, UNUSED), "").unwrap();
        drop(FileMemory::first_or_again(&key, &path).unwrap());
        drop(FileMemory::first_or_again(&key, &path).unwrap());
        fs::remove_file(&path).unwrap();
        let again = FileMemory::first_or_again(&key, &path);
        assert!(matches!(again, Err(Forgetful::Missing(_))));
    }

    #[test]
    fn a_state_that_is_missing_damaged_or_in_use_stops_the_witness() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert!(matches!(
            FileMemory::open(&path),
            Err(Forgetful::Missing(_))
        ));
        FileMemory::create(&path).unwrap();
        assert!(FileMemory::create(&path).is_err(), "never overwritten");
        let held = FileMemory::open(&path).unwrap();
        assert!(matches!(FileMemory::open(&path), Err(Forgetful::InUse(_))));
        drop(held);
        let whole = spelled(&BTreeMap::from([(
            "a.example/1".parse().unwrap(),
            seen("a.example/1", 5),
        )]));
        for end in 0..whole.len() - 1 {
            fs::write(&path, &whole[..end]).unwrap();
            let cut = FileMemory::open(&path);
            assert!(matches!(cut, Err(Forgetful::NotAState { .. })), "{end}");
        }
        fs::write(&path, &whole).unwrap();
        FileMemory::open(&path).unwrap();
    }

    #[test]
    fn after_a_write_that_failed_nothing_is_promised_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        FileMemory::create(&path).unwrap();
        let mut memory = FileMemory::open(&path).unwrap();
        // A directory in the place of the temporary file: it cannot be written.
        fs::create_dir(beside(&path, "new")).unwrap();
        let failed = memory.remember(seen("a.example/1", 5));
        assert!(matches!(failed, Err(Forgetful::Io { .. })));
        fs::remove_dir(beside(&path, "new")).unwrap();
        let again = memory.remember(seen("a.example/1", 5));
        assert!(matches!(again, Err(Forgetful::Broken(_))));
        assert_eq!(memory.seen(&"a.example/1".parse().unwrap()), None);
        drop(memory);
        FileMemory::open(&path)
            .unwrap()
            .remember(seen("a.example/1", 5))
            .unwrap();
    }
}
