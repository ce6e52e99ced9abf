//! The public tree of a log that grows: tiles and entry bundles as C2SP tlog-tiles lays them out.
//!
//! The verifier writes what this makes; the auditor makes it again and compares.

use affiant_proto::{
    Digest,
    tlog::{CompactRange, Hash, TILE_WIDTH, TileKind, TilePath, leaf_hash, new_tiles},
};

/// Hashes of a full tile.
const WIDTH: usize = TILE_WIDTH as usize;

/// Tile levels of the largest tree: 2^63 leaves are 256^7.9.
const LEVELS: usize = 8;

/// Most bytes of a tile or bundle: 256 entries, each a length of two bytes and a digest of 32.
pub const MAX_TILE_BYTES: usize = WIDTH * 34;

/// Ends the names of files that are not yet what they will be called: a verifier may be writing one.
pub const TEMPORARY: &str = ".part";

/// A tile or bundle with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Where it stands.
    pub path: TilePath,
    /// What stands there.
    pub bytes: Vec<u8>,
}

/// The right edge of the tree, in memory: the partial tile of each level and the partial bundle.
///
/// It grows leaf by leaf and gives up each tile that is full; what it keeps is at most eight tiles
/// of 8 KiB.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    range: CompactRange,
    levels: [Vec<Hash>; LEVELS],
    bundle: Vec<Digest>,
}

impl Edge {
    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.range.size()
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        self.range.root()
    }

    /// Appends the statement of that digest; `full` gets each tile and bundle that it fills.
    pub fn push(&mut self, digest: &Digest, mut full: impl FnMut(Made)) {
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
    pub fn partial(&self, old: u64) -> Vec<Made> {
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
    pub fn at(&self, level: u8, position: u64) -> Option<Hash> {
        let tile = self.tile(level, position / WIDTH as u64)?;
        let inside = usize::try_from(position % WIDTH as u64).ok()?;
        tile.get(inside).copied()
    }

    /// The hashes of the tile of that level and index, if it is the partial one.
    pub fn tile(&self, level: u8, index: u64) -> Option<&[Hash]> {
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
    let mut bytes = Vec::with_capacity(32 * hashes.len());
    for hash in hashes {
        bytes.extend(hash.as_bytes());
    }
    bytes
}

/// Each entry is two bytes of length, 00 20, and a digest.
fn bundle_bytes(digests: &[Digest]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(34 * digests.len());
    for digest in digests {
        bytes.extend([0, 32]);
        bytes.extend(digest.as_bytes());
    }
    bytes
}
