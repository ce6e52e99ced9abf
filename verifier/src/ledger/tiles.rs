//! The public tree: tiles and entry bundles as C2SP tlog-tiles lays them out.
//!
//! Not trusted: opening the log makes every tile again from the segments and compares, and a
//! [`super::Reader`] holds each tile that it reads against the level above, up to hashes in memory.
//! So tiles are written in one step but without fsync: whoever loses them loses nothing.

use std::{
    io,
    path::{Path, PathBuf},
};

use affiant_proto::{
    Digest,
    tlog::{CompactRange, Hash, TILE_WIDTH, TileKind, TilePath, leaf_hash, new_tiles},
};

use super::disk::{self, Disk};

/// Hashes of a full tile.
const WIDTH: usize = TILE_WIDTH as usize;

/// Tile levels of the largest tree: 2^63 leaves are 256^7.9.
const LEVELS: usize = 8;

/// Most bytes of a tile or bundle: 256 entries, each a length of two bytes and a digest of 32.
const MAX_TILE_BYTES: usize = WIDTH * 34;

/// A tile or bundle with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) path: TilePath,
    pub(super) bytes: Vec<u8>,
}

/// The right edge of the tree, in memory: the partial tile of each level and the partial bundle.
///
/// It grows leaf by leaf and gives up each tile that is full; what it keeps is at most eight tiles
/// of 8 KiB.
#[derive(Clone, Debug, Default)]
pub(super) struct Edge {
    range: CompactRange,
    levels: [Vec<Hash>; LEVELS],
    bundle: Vec<Digest>,
}

impl Edge {
    /// How many leaves the tree has.
    pub(super) fn size(&self) -> u64 {
        self.range.size()
    }

    /// The root of the tree.
    pub(super) fn root(&self) -> Hash {
        self.range.root()
    }

    /// Appends the statement of that digest; `full` gets each tile and bundle that it fills.
    pub(super) fn push(&mut self, digest: &Digest, mut full: impl FnMut(Made)) {
        self.bundle.push(*digest);
        if self.bundle.len() == WIDTH {
            let bytes = bundle_bytes(&self.bundle);
            full_tile(TileKind::Entries, self.range.size(), bytes, &mut full);
            self.bundle.clear();
        }
        let levels = &mut self.levels;
        let leaf = leaf_hash(digest.as_bytes());
        self.range.push(leaf, |level, index, hash| {
            // A tile level is eight tree levels; what lies between is not stored.
            let (level, between) = (level / 8, level % 8);
            let tile = levels.get_mut(usize::from(level)).filter(|_| between == 0);
            let Some(tile) = tile else { return };
            tile.push(hash);
            if tile.len() == WIDTH {
                full_tile(
                    TileKind::Hashes { level },
                    index,
                    tile_bytes(tile),
                    &mut full,
                );
                tile.clear();
            }
        });
    }

    /// The partial tiles and the partial bundle that changed since the tree had `old` leaves.
    pub(super) fn partial(&self, old: u64) -> Vec<Made> {
        let mut made = Vec::new();
        for path in new_tiles(old, self.size()).filter(|path| path.partial().is_some()) {
            let TileKind::Hashes { level } = path.kind() else {
                continue;
            };
            let Some(tile) = self.tile(level, path.index()) else {
                continue;
            };
            made.push(Made {
                path,
                bytes: tile_bytes(tile),
            });
            let bundle = TilePath::new(TileKind::Entries, path.index(), path.partial());
            if let (0, Ok(path)) = (level, bundle) {
                made.push(Made {
                    path,
                    bytes: bundle_bytes(&self.bundle),
                });
            }
        }
        made
    }

    /// The hash at `position` of a tile level, if the partial tile there holds it.
    pub(super) fn at(&self, level: u8, position: u64) -> Option<Hash> {
        let tile = self.tile(level, position / WIDTH as u64)?;
        let inside = usize::try_from(position % WIDTH as u64).ok()?;
        tile.get(inside).copied()
    }

    /// The hashes of the tile of that level and index, if it is the partial one.
    pub(super) fn tile(&self, level: u8, index: u64) -> Option<&[Hash]> {
        let tile = self.levels.get(usize::from(level))?;
        let hashes = self.size().checked_shr(8 * u32::from(level))?;
        (index == hashes / WIDTH as u64).then_some(tile.as_slice())
    }
}

fn full_tile(kind: TileKind, index: u64, bytes: Vec<u8>, full: &mut impl FnMut(Made)) {
    // A level of 0 to 7 and no partial width always make a path.
    if let Ok(path) = TilePath::new(kind, index / WIDTH as u64, None) {
        full(Made { path, bytes });
    }
}

fn tile_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// Each entry is two bytes of length, 00 20, and a digest.
fn bundle_bytes(digests: &[Digest]) -> Vec<u8> {
    let entry = |digest: &Digest| [&[0, 32], digest.as_bytes().as_slice()].concat();
    digests.iter().flat_map(entry).collect()
}

/// The directory that holds the public tree.
#[derive(Clone, Debug)]
pub(super) struct Public(pub(super) PathBuf);

impl Public {
    /// Writes a tile; a full one takes the place of its partial ones.
    pub(super) fn write(&self, disk: &dyn Disk, made: &Made) -> io::Result<()> {
        let path = self.path(&made.path);
        disk.publish(&path, &made.bytes)?;
        if made.path.partial().is_some() {
            return Ok(());
        }
        let mut partial = path.into_os_string();
        partial.push(".p");
        match disk.remove_directory(Path::new(&partial)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Tells whether the tile on disk is the one that was made.
    pub(super) fn holds(&self, made: &Made) -> bool {
        matches!(self.read(&made.path), Ok(Some(bytes)) if bytes == made.bytes)
    }

    /// Reads a tile's bytes; `None` where there is none.
    pub(super) fn read(&self, path: &TilePath) -> io::Result<Option<Vec<u8>>> {
        disk::read(&self.path(path), MAX_TILE_BYTES)
    }

    /// Where a tile lies.
    pub(super) fn path(&self, path: &TilePath) -> PathBuf {
        self.0.join(path.to_string())
    }

    /// Where the newest checkpoint lies.
    pub(super) fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ledger::disk::LocalDisk;
    use affiant_proto::{
        digest,
        tlog::{MemoryTree, Nodes as _, Tile},
    };

    /// Publishes a tree that grows by `steps`, and gives the tree in memory beside the edge.
    fn grow(public: &Public, steps: &[u64]) -> (MemoryTree, Edge) {
        let (mut tree, mut edge) = (MemoryTree::new(), Edge::default());
        for step in steps {
            let old = edge.size();
            let mut made = Vec::new();
            for number in old..old + step {
                let digest = digest(&number.to_be_bytes());
                tree.push(leaf_hash(digest.as_bytes()));
                edge.push(&digest, |full| made.push(full));
            }
            made.extend(edge.partial(old));
            made.iter()
                .for_each(|made| public.write(&LocalDisk, made).unwrap());
        }
        (tree, edge)
    }

    #[test]
    fn every_tile_of_every_level_holds_the_hashes_of_its_subtrees() {
        let dir = tempfile::tempdir().unwrap();
        let public = Public(dir.path().to_owned());
        let (tree, edge) = grow(&public, &[1, 254, 1, 1, 300, 65_200, 100]);
        let size = tree.size();
        assert_eq!(edge.root(), tree.root(size).unwrap());
        for path in new_tiles(0, size) {
            let TileKind::Hashes { level } = path.kind() else {
                panic!("a bundle among hash tiles");
            };
            let tile = Tile::parse(&public.read(&path).unwrap().unwrap()).unwrap();
            assert_eq!(tile.hashes().len(), usize::from(path.width()));
            for (position, hash) in (path.index() * 256..).zip(tile.hashes()) {
                assert_eq!(*hash, tree.node(8 * level, position).unwrap());
                let held = edge.at(level, position);
                assert_eq!(held, path.partial().map(|_| *hash));
            }
            let bundle = TilePath::new(TileKind::Entries, path.index(), path.partial());
            if level == 0 {
                let bundle = public.read(&bundle.unwrap()).unwrap().unwrap();
                for (entry, hash) in bundle.chunks(34).zip(tile.hashes()) {
                    assert_eq!(entry[..2], [0, 32]);
                    assert_eq!(leaf_hash(&entry[2..]), *hash);
                }
            }
        }
    }

    #[test]
    fn a_full_tile_takes_the_place_of_its_partial_ones() {
        let dir = tempfile::tempdir().unwrap();
        let public = Public(dir.path().to_owned());
        grow(&public, &[5, 6]);
        for tile in ["tile/0/000.p/5", "tile/0/000.p/11", "tile/entries/000.p/11"] {
            assert!(
                dir.path().join(tile).exists(),
                "{tile}: an older checkpoint needs it"
            );
        }
        grow(&public, &[5, 6, 245]);
        for (gone, full) in [
            ("tile/0/000.p", "tile/0/000"),
            ("tile/entries/000.p", "tile/entries/000"),
        ] {
            assert!(!dir.path().join(gone).exists() && dir.path().join(full).exists());
        }
        assert!(dir.path().join("tile/1/000.p/1").exists());
    }
}
