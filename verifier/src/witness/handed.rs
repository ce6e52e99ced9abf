//! Cosignatures that came by hand: notes laid into a folder of the data directory, from a witness
//! without a network (`affiant-audit witness --once`).
//!
//! A note that is taken is removed, for the log has it; one that is refused stays, renamed, and the
//! journal says why.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use affiant_proto::tlog::{
    Checkpoint, CosignerKey, MAX_NOTE_BYTES, Note, NoteKey, OpenError, SignedCheckpoint, root_at,
    verify_cosignature,
};

use crate::ledger::Reader;

/// Most notes that are taken at a time: as many as a policy has witnesses. The others wait.
const MAX_AT_ONCE: usize = 99;

/// Ending of a note that was refused.
const REFUSED: &str = "refused";

/// Why a note is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotTaken {
    /// The file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Not this log's checkpoint.
    #[error("not a checkpoint of this log: {0}")]
    Open(#[from] OpenError),
    /// A checkpoint from beyond the published tree.
    #[error(
        "a checkpoint of size {0}, which this log has not published; if its key signed it, the data \
         directory is an old one"
    )]
    Beyond(u64),
    /// Another tree.
    #[error(
        "another tree of size {0}, signed by this log's key: two histories; keep this note as evidence"
    )]
    OtherTree(u64),
    /// The log could not be read.
    #[error("log could not be read: {0}")]
    Log(String),
    /// No cosignature of a listed witness.
    #[error("no cosignature of a witness that the configuration names")]
    Nobody,
}

/// A note with cosignatures of witnesses that are listed, and no other lines but the log's.
#[derive(Debug)]
pub struct Handed {
    /// Where it lies.
    pub path: PathBuf,
    /// Size of its tree.
    pub size: u64,
    /// The note.
    pub note: Note,
    /// Whose cosignatures it has.
    pub by: Vec<CosignerKey>,
}

/// Reads what lies in the folder; what is refused is told, and put aside.
pub(super) fn read(
    folder: &Path,
    log: &NoteKey,
    known: &[CosignerKey],
    reader: &Reader,
) -> Vec<Handed> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| is_note(path) && path.is_file())
        .collect();
    paths.sort();
    let mut taken = Vec::new();
    for path in paths.into_iter().take(MAX_AT_ONCE) {
        match take(&path, log, known, reader) {
            Ok(handed) => taken.push(handed),
            Err(error) => {
                tracing::warn!(note = %path.display(), %error, "a cosigned note was not taken");
                let mut aside = path.clone().into_os_string();
                aside.push(".");
                aside.push(REFUSED);
                if let Err(error) = fs::rename(&path, aside) {
                    tracing::warn!(note = %path.display(), %error, "and could not be renamed");
                }
            }
        }
    }
    taken
}

/// Names that a copy in progress has are left alone: hidden ones, and those that still change theirs.
fn is_note(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let ending = path.extension().unwrap_or_default();
    !hidden
        && ![REFUSED, "part", "new", "tmp"]
            .iter()
            .any(|it| ending == *it)
}

fn take(
    path: &Path,
    log: &NoteKey,
    known: &[CosignerKey],
    reader: &Reader,
) -> Result<Handed, NotTaken> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_NOTE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    let signed = Checkpoint::open(&bytes, log)?;
    let theirs = signed.checkpoint();
    if theirs.size() > reader.size() {
        return Err(NotTaken::Beyond(theirs.size()));
    }
    let ours = root_at(reader, theirs.size()).map_err(|error| NotTaken::Log(error.to_string()))?;
    if ours != *theirs.root() {
        return Err(NotTaken::OtherTree(theirs.size()));
    }
    let (note, by) = cosigned(&signed, log, known)?;
    Ok(Handed {
        path: path.to_owned(),
        size: theirs.size(),
        note,
        by,
    })
}

/// Keeps the lines of the log and of listed witnesses whose cosignatures verify.
fn cosigned(
    signed: &SignedCheckpoint,
    log: &NoteKey,
    known: &[CosignerKey],
) -> Result<(Note, Vec<CosignerKey>), NotTaken> {
    let all = signed.note();
    let by = known
        .iter()
        .filter(|key| verify_cosignature(all, key).is_ok());
    let by: Vec<CosignerKey> = by.cloned().collect();
    if by.is_empty() {
        return Err(NotTaken::Nobody);
    }
    let lines = all.signatures().iter();
    let lines = lines.filter(|line| line.claims(log) || by.iter().any(|key| line.claims(key)));
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    let note = Note::parse(format!("{}\n{lines}", all.text()).as_bytes());
    Ok((note.map_err(OpenError::from)?, by))
}
