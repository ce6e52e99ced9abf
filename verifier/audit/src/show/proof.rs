//! Inclusion proofs from stored tiles. The tiles are not trusted: the proof is verified.

use affiant_proto::{
    Digest,
    tlog::{
        Checkpoint, Hash, Nodes, NoteKey, Tile, TileKind, TilePath, inclusion_proof, leaf_hash,
        node_place, verify_inclusion,
    },
};
use affiant_report::edge::MAX_TILE_BYTES;

use super::record::Held;
use crate::log::{Found, Store};

/// A tree whose nodes are in stored tiles.
struct Tiles<'a> {
    store: &'a dyn Store,
    public: &'a str,
    size: u64,
}

/// A tile that could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{0} is missing or malformed")]
struct NoTile(String);

impl Nodes for Tiles<'_> {
    type Error = NoTile;

    fn node(&self, level: u8, index: u64) -> Result<Hash, NoTile> {
        let none = || NoTile(format!("the tile of level {level}, index {index}"));
        let place = node_place(level, index).ok_or_else(none)?;
        let kind = TileKind::Hashes { level: place.level };
        let path = TilePath::within(kind, place.tile, self.size).ok_or_else(none)?;
        let full = TilePath::new(kind, place.tile, None).unwrap_or(path);
        // A partial tile gives way to the full one.
        for path in [path, full] {
            let at = format!("{}{path}", self.public);
            let read = self.store.read(&at, MAX_TILE_BYTES as u64);
            let tile = read
                .ok()
                .flatten()
                .and_then(|bytes| Tile::parse(&bytes).ok());
            if let Some(hash) = tile.and_then(|tile| tile.node(&place)) {
                return Ok(hash);
            }
        }
        Err(NoTile(format!("{}{path}", self.public)))
    }
}

/// Ties a statement to the published checkpoint, and that to the log's key.
pub(super) fn included(
    store: &dyn Store,
    found: &Found,
    (key, trusted): (Option<&NoteKey>, bool),
    index: u64,
    statement: Digest,
) -> Vec<Held> {
    let held = |what, ok, detail: String| Held { what, ok, detail };
    let Some(note) = &found.note else {
        return vec![held(
            "in the log",
            false,
            "there is no checkpoint".to_owned(),
        )];
    };
    let Some(key) = key else {
        return vec![held(
            "checkpoint",
            false,
            "the log names no key that can be".to_owned(),
        )];
    };
    let signed = match Checkpoint::open(note, key) {
        Ok(signed) => signed,
        Err(bad) => return vec![held("checkpoint", false, bad.to_string())],
    };
    let by = match trusted {
        true => format!("signed by {key}, which you trust"),
        false => format!("signed by {key}, for which only the log itself speaks; give --trust"),
    };
    let now = signed.checkpoint();
    let size = now.size();
    let mut all = vec![held("checkpoint", true, by)];
    if index >= size {
        let text = format!("not yet published: the checkpoint is of size {size}");
        all.push(held("in the log", false, text));
        return all;
    }
    let tiles = Tiles {
        store,
        public: found.places.public(),
        size,
    };
    let leaf = leaf_hash(statement.as_bytes());
    let proved = match inclusion_proof(&tiles, index, size) {
        Err(error) => held("in the log", false, error.to_string()),
        Ok(proof) => match verify_inclusion(&leaf, index, size, now.root(), &proof) {
            Err(bad) => held("in the log", false, bad.to_string()),
            Ok(()) => {
                let text = format!(
                    "a proof of {} hashes holds against root {} at size {size}",
                    proof.len(),
                    now.root()
                );
                held("in the log", true, text)
            }
        },
    };
    all.push(proved);
    all
}
