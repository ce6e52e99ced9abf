//! Witnessing by exchange of files, without a network: a request or a copy of the log's public
//! directory comes in, a cosigned note goes out.

use std::path::{Path, PathBuf};

use affiant_proto::tlog::{
    AddCheckpoint, Checkpoint, Hash, MAX_REQUEST_BYTES, MalformedCheckpoint, MalformedNote,
    MalformedRequest, Nodes, Note, TILE_WIDTH, Tile, TileKind, TilePath, TreeError,
    consistency_proof, node_place, root_of,
};
use affiant_report::plain_file::{NotRead, read_bounded};

use super::{Answer, Memory, Witness};

/// Bytes of a full tile.
const TILE_BYTES: u64 = TILE_WIDTH as u64 * 32;

/// Name of the newest checkpoint in a public directory (C2SP tlog-tiles).
const CHECKPOINT: &str = "checkpoint";

/// What is asked of the witness.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// A file: the body of add-checkpoint, or a checkpoint's note.
    File(&'a Path),
    /// A checkpoint's note, and the public directory of the log from which its proof is made.
    With(&'a Path, &'a Path),
    /// The public directory of a log: its newest checkpoint.
    Directory(&'a Path),
}

/// Why a witness was not even asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAsked {
    /// A file.
    #[error(transparent)]
    Unread(#[from] NotRead),
    /// A request that is none.
    #[error("{path}: {source}")]
    Request {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: MalformedRequest,
    },
    /// A note that is none.
    #[error("{path}: {source}")]
    Note {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: MalformedNote,
    },
    /// A note that is no checkpoint.
    #[error("{path}: {source}")]
    Checkpoint {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: MalformedCheckpoint,
    },
    /// An older checkpoint than the witness has cosigned.
    #[error(
        "{path}: a checkpoint of size {size}, and this witness has cosigned size {known}; bring a \
         newer one"
    )]
    Older {
        /// Which file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The witness's.
        known: u64,
    },
    /// No proof, and none to be made.
    #[error(
        "{path}: the witness has cosigned size {known} and needs the proof from there; bring the \
         log's public directory and name it with --tiles"
    )]
    NoProof {
        /// Which file.
        path: PathBuf,
        /// The witness's size.
        known: u64,
    },
    /// A public directory from which the proof cannot be made.
    #[error("{path}: {why}; copy the log's public directory again, all of it")]
    Tiles {
        /// The directory.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Asks the witness once; gives the note that it was asked about, and the answer.
pub fn once<M: Memory>(
    witness: &mut Witness<M>,
    asked: Asked<'_>,
    seconds: u64,
) -> Result<(Note, Answer), NotAsked> {
    let request = match asked {
        Asked::File(path) => {
            let bytes = read(path)?;
            if bytes.starts_with(b"old ") {
                AddCheckpoint::parse(&bytes).map_err(|source| NotAsked::Request {
                    path: path.to_owned(),
                    source,
                })?
            } else {
                of_note(witness, path, &bytes, None)?
            }
        }
        Asked::With(path, tiles) => of_note(witness, path, &read(path)?, Some(tiles))?,
        Asked::Directory(tiles) => {
            let path = tiles.join(CHECKPOINT);
            of_note(witness, &path, &read(&path)?, Some(tiles))?
        }
    };
    let answer = witness.judge(&request, seconds);
    Ok((request.note().clone(), answer))
}

/// Makes the request for a note: the proof from what the witness knows to what the note says.
fn of_note<M: Memory>(
    witness: &Witness<M>,
    path: &Path,
    bytes: &[u8],
    tiles: Option<&Path>,
) -> Result<AddCheckpoint, NotAsked> {
    let note = Note::parse(bytes).map_err(|source| NotAsked::Note {
        path: path.to_owned(),
        source,
    })?;
    let new: Checkpoint = note.text().parse().map_err(|source| NotAsked::Checkpoint {
        path: path.to_owned(),
        source,
    })?;
    // A stranger's log is refused by the witness itself, whatever it is asked from.
    let known = witness.known(new.origin().as_str()).unwrap_or(0);
    if known > new.size() {
        return Err(NotAsked::Older {
            path: path.to_owned(),
            size: new.size(),
            known,
        });
    }
    let proof = match tiles {
        _ if known == 0 || known == new.size() => Vec::new(),
        Some(tiles) => {
            let bad = |why: String| NotAsked::Tiles {
                path: tiles.to_owned(),
                why,
            };
            let stored = Stored::open(tiles)?;
            if stored.size < new.size() {
                let why = format!("its checkpoint is of size {} only", stored.size);
                return Err(bad(why));
            }
            consistency_proof(&stored, known, new.size()).map_err(|error| {
                bad(match error {
                    TreeError::Node { source, .. } => source,
                    other => other.to_string(),
                })
            })?
        }
        None => {
            return Err(NotAsked::NoProof {
                path: path.to_owned(),
                known,
            });
        }
    };
    AddCheckpoint::new(known, proof, note).map_err(|source| NotAsked::Request {
        path: path.to_owned(),
        source,
    })
}

/// The tiles of a public directory. Nothing in it is believed: what is read goes into a proof, which
/// the witness checks.
struct Stored {
    at: PathBuf,
    size: u64,
}

impl Stored {
    fn open(at: &Path) -> Result<Self, NotAsked> {
        let path = at.join(CHECKPOINT);
        let bad = |source| NotAsked::Checkpoint {
            path: path.clone(),
            source,
        };
        let note = Note::parse(&read(&path)?).map_err(|source| NotAsked::Note {
            path: path.clone(),
            source,
        })?;
        let checkpoint: Checkpoint = note.text().parse().map_err(bad)?;
        Ok(Self {
            at: at.to_owned(),
            size: checkpoint.size(),
        })
    }

    /// A partial tile that was dropped once it was full is the beginning of the full one.
    fn tile(&self, path: &TilePath) -> Result<Tile, String> {
        let read = |path: &TilePath| read_bounded(&self.at.join(path.to_string()), TILE_BYTES);
        let bad = |error: &dyn std::fmt::Display| format!("tile {path}: {error}");
        let bytes = match (read(path), TilePath::new(path.kind(), path.index(), None)) {
            (Err(none), Ok(full)) if none.is_missing() => read(&full),
            (bytes, _) => bytes,
        };
        Tile::parse(&bytes.map_err(|error| bad(&error))?).map_err(|error| bad(&error))
    }
}

impl Nodes for Stored {
    type Error = String;

    fn node(&self, level: u8, index: u64) -> Result<Hash, String> {
        let beyond = || format!("subtree {index} of level {level} is beyond its checkpoint");
        let place = node_place(level, index).ok_or_else(beyond)?;
        let kind = TileKind::Hashes { level: place.level };
        let path = TilePath::within(kind, place.tile, self.size).ok_or_else(beyond)?;
        let tile = self.tile(&path)?;
        let first = usize::from(place.first);
        let hashes = tile.hashes().get(first..first + usize::from(place.count));
        hashes.map(root_of).ok_or_else(beyond)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, NotAsked> {
    Ok(read_bounded(path, MAX_REQUEST_BYTES as u64)?)
}
