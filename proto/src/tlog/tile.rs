//! Where hashes and entries of a log lie (C2SP tlog-tiles): paths, widths, places.

use std::{fmt, str::FromStr};

use super::{
    hash::{Hash, root_of},
    spelling,
    tree::MAX_SIZE,
};

/// Hashes of a full tile, and entries of a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// Highest tile level that a path may name, by specification.
const MAX_LEVEL: u8 = 63;

/// Bytes of a hash in a tile.
const HASH_BYTES: usize = 32;

/// What a tile resource holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes of subtrees of 256^level leaves; level 0 to 63.
    Hashes {
        /// The tile level: 8 tree levels each.
        level: u8,
    },
    /// Entries.
    Entries,
}

/// Names a tile or an entry bundle, full or partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePath {
    kind: TileKind,
    index: u64,
    width: u16,
}

/// Why a path or a tile is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedTile {
    /// Text that is no tile path, or not spelled in the one way.
    #[error("not a tile path: tile/LEVEL/INDEX or tile/entries/INDEX, with .p/WIDTH if partial")]
    Path,
    /// A level above 63.
    #[error("tile level {0} is above 63")]
    Level(u8),
    /// A width that no tile has.
    #[error("a tile of width {0}; a partial one has 1 to 255 and a full one 256")]
    Width(u16),
    /// Contents that are not 1 to 256 whole hashes.
    #[error("tile of {0} bytes; 32 for each of 1 to 256 hashes are due")]
    Length(usize),
}

impl TilePath {
    /// Names a tile; `partial` is its width (1 to 255) where it is not full.
    pub fn new(kind: TileKind, index: u64, partial: Option<u16>) -> Result<Self, MalformedTile> {
        if let TileKind::Hashes { level } = kind
            && level > MAX_LEVEL
        {
            return Err(MalformedTile::Level(level));
        }
        let width = match partial {
            None => TILE_WIDTH,
            Some(width) if (1..TILE_WIDTH).contains(&width) => width,
            Some(width) => return Err(MalformedTile::Width(width)),
        };
        Ok(Self { kind, index, width })
    }

    /// Names tile `index` of `kind` as it is in a tree of `size` leaves; none where that tree
    /// has no such tile.
    pub fn within(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let level = match kind {
            TileKind::Hashes { level } => level,
            TileKind::Entries => 0,
        };
        let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let first = index.checked_mul(u64::from(TILE_WIDTH))?;
        let width = hashes.saturating_sub(first).min(u64::from(TILE_WIDTH));
        let width = u16::try_from(width).ok().filter(|width| *width > 0)?;
        Some(Self { kind, index, width })
    }

    /// Tells what it holds.
    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// Gives its index within its level.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Gives its width: 1 to 256 hashes or entries.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Gives its width where it is partial.
    pub fn partial(&self) -> Option<u16> {
        (self.width < TILE_WIDTH).then_some(self.width)
    }
}

/// Spells the path of a hash tile, like `tile/0/x001/x234/067` or `tile/1/000.p/17`.
pub fn tile_path(level: u8, index: u64, partial: Option<u16>) -> Result<String, MalformedTile> {
    Ok(TilePath::new(TileKind::Hashes { level }, index, partial)?.to_string())
}

/// Spells the path of an entry bundle, like `tile/entries/x001/x234/067`.
pub fn entries_path(index: u64, partial: Option<u16>) -> Result<String, MalformedTile> {
    Ok(TilePath::new(TileKind::Entries, index, partial)?.to_string())
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        // 20 digits are 7 groups of three; all but the last begin with an x.
        for place in (1..7).rev().map(|group| 1000_u64.pow(group)) {
            if self.index >= place {
                write!(f, "x{:03}/", self.index / place % 1000)?;
            }
        }
        write!(f, "{:03}", self.index % 1000)?;
        match self.partial() {
            Some(width) => write!(f, ".p/{width}"),
            None => Ok(()),
        }
    }
}

impl FromStr for TilePath {
    type Err = MalformedTile;

    fn from_str(text: &str) -> Result<Self, MalformedTile> {
        let parsed = parse(text).ok_or(MalformedTile::Path)?;
        // One spelling: no leading x000, no zeroes before a level or width.
        if parsed.to_string() != text {
            return Err(MalformedTile::Path);
        }
        Ok(parsed)
    }
}

fn parse(text: &str) -> Option<TilePath> {
    let (kind, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => TileKind::Entries,
        level => TileKind::Hashes {
            level: spelling::decimal(level)?.try_into().ok()?,
        },
    };
    let (index, partial) = match rest.split_once(".p/") {
        Some((index, width)) => (index, Some(spelling::decimal(width)?.try_into().ok()?)),
        None => (rest, None),
    };
    let mut sum: u64 = 0;
    for group in index.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let value: u64 = digits.parse().ok()?;
        sum = sum.checked_mul(1000)?.checked_add(value)?;
    }
    TilePath::new(kind, sum, partial).ok()
}

/// Lists the hash tiles that are new or wider when a tree grows from `old` to `new` leaves,
/// lowest level first. Entry bundles go with the tiles of level 0.
pub fn new_tiles(old: u64, new: u64) -> impl Iterator<Item = TilePath> {
    let new = new.min(MAX_SIZE);
    (0..8_u8)
        .map(move |level| (level, old >> (8 * level), new >> (8 * level)))
        .filter(|(_, before, after)| before < after)
        .flat_map(move |(level, before, after)| {
            let width = u64::from(TILE_WIDTH);
            (before / width..after.div_ceil(width))
                .filter_map(move |index| TilePath::within(TileKind::Hashes { level }, index, new))
        })
}

/// Where the hash of a complete subtree is to be found: `count` hashes of one tile, from
/// `first`, whose root it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePlace {
    /// The tile's level.
    pub level: u8,
    /// The tile's index.
    pub tile: u64,
    /// The first of its hashes: 0 to 255.
    pub first: u8,
    /// How many, a power of two: 1 to 128.
    pub count: u8,
}

/// Finds the place of the subtree of 2^`level` leaves at `index`; none where no tree reaches it.
pub fn node_place(level: u8, index: u64) -> Option<NodePlace> {
    let end = index.checked_add(1)?;
    if level > MAX_LEVEL || end > MAX_SIZE >> level {
        return None;
    }
    let inside = level % 8;
    let first = index << inside;
    Some(NodePlace {
        level: level / 8,
        tile: first / u64::from(TILE_WIDTH),
        first: u8::try_from(first % u64::from(TILE_WIDTH)).ok()?,
        count: 1 << inside,
    })
}

/// The hashes of a tile, full or partial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile(Vec<Hash>);

impl Tile {
    /// Reads the contents of a tile: 1 to 256 hashes of 32 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedTile> {
        let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
        if !rest.is_empty() || !(1..=usize::from(TILE_WIDTH)).contains(&hashes.len()) {
            return Err(MalformedTile::Length(bytes.len()));
        }
        Ok(Self(hashes.iter().copied().map(Hash::from_bytes).collect()))
    }

    /// Gives the hashes.
    pub fn hashes(&self) -> &[Hash] {
        &self.0
    }

    /// Computes the hash at `place`, a place in this very tile; none where the tile is too
    /// narrow.
    pub fn node(&self, place: &NodePlace) -> Option<Hash> {
        let first = usize::from(place.first);
        let hashes = self.0.get(first..first + usize::from(place.count))?;
        Some(root_of(hashes))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::tlog::{CompactRange, MemoryTree, Nodes, leaf_hash, root_at};

    fn hashes(level: u8) -> TileKind {
        TileKind::Hashes { level }
    }

    #[test]
    fn paths_are_spelled_as_the_specification_shows() {
        for (made, want) in [
            (tile_path(0, 1_234_067, None), "tile/0/x001/x234/067"),
            (tile_path(0, 0, None), "tile/0/000"),
            (tile_path(1, 999, Some(17)), "tile/1/999.p/17"),
            (tile_path(63, 1_000, Some(255)), "tile/63/x001/000.p/255"),
            (entries_path(1_000_000, None), "tile/entries/x001/x000/000"),
            (
                entries_path(u64::MAX, Some(1)),
                "tile/entries/x018/x446/x744/x073/x709/x551/615.p/1",
            ),
        ] {
            let made = made.unwrap();
            assert_eq!(made, want);
            assert_eq!(made.parse::<TilePath>().unwrap().to_string(), want);
        }
    }

    #[test]
    fn levels_and_widths_that_no_tile_has_are_refused() {
        assert_eq!(tile_path(64, 0, None), Err(MalformedTile::Level(64)));
        for width in [0, 256, u16::MAX] {
            assert_eq!(
                tile_path(0, 0, Some(width)),
                Err(MalformedTile::Width(width))
            );
            assert_eq!(
                entries_path(0, Some(width)),
                Err(MalformedTile::Width(width))
            );
        }
    }

    #[test]
    fn a_path_has_one_spelling() {
        for bad in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "/tile/0/000",
            "tile/0/000/",
            "tile/00/000",
            "tile/64/000",
            "tile/256/000",
            "tile/-1/000",
            "tile/data/000",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/x000/001",
            "tile/0/001/000",
            "tile/0/x001/x000",
            "tile/0/xx01/000",
            "tile/0/../000",
            "tile/0/000.p/0",
            "tile/0/000.p/00",
            "tile/0/000.p/01",
            "tile/0/000.p/256",
            "tile/0/000.p/",
            "tile/0/000.p/1.p/1",
            "tile/0/000.p",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(bad.parse::<TilePath>(), Err(MalformedTile::Path), "{bad}");
        }
    }

    #[test]
    fn a_tree_of_70_000_leaves_has_the_tiles_that_the_specification_counts() {
        let mut count: BTreeMap<(u8, u16), u64> = BTreeMap::new();
        for path in new_tiles(0, 70_000) {
            let TileKind::Hashes { level } = path.kind() else {
                panic!("entries among the hash tiles");
            };
            *count.entry((level, path.width())).or_default() += 1;
        }
        assert_eq!(
            count.into_iter().collect::<Vec<_>>(),
            [
                ((0, 112), 1),
                ((0, 256), 273),
                ((1, 17), 1),
                ((1, 256), 1),
                ((2, 1), 1)
            ]
        );
        let names: Vec<String> = new_tiles(255, 256).map(|path| path.to_string()).collect();
        assert_eq!(names, ["tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(new_tiles(256, 256).count(), 0);
        assert_eq!(new_tiles(u64::MAX, 0).count(), 0);
    }

    #[test]
    fn a_tile_beyond_the_tree_is_not_within_it() {
        for (kind, index, size) in [
            (hashes(0), 0, 0),
            (hashes(0), 1, 256),
            (hashes(1), 0, 255),
            (hashes(8), 0, u64::MAX),
            (hashes(255), 0, u64::MAX),
            (hashes(0), u64::MAX, u64::MAX),
            (TileKind::Entries, 2, 512),
        ] {
            assert_eq!(TilePath::within(kind, index, size), None);
        }
        let half = TilePath::within(TileKind::Entries, 2, 640).unwrap();
        assert_eq!(half.to_string(), "tile/entries/002.p/128");
    }

    #[test]
    fn a_tile_of_no_or_too_many_or_broken_hashes_is_refused() {
        for length in [0, 31, 33, 257 * 32] {
            assert_eq!(
                Tile::parse(&vec![0; length]),
                Err(MalformedTile::Length(length))
            );
        }
        assert_eq!(Tile::parse(&[0; 8_192]).unwrap().hashes().len(), 256);
        let one = Tile::parse(&[0; 32]).unwrap();
        assert_eq!(one.node(&node_place(1, 0).unwrap()), None);
    }

    /// Reads nodes from tiles alone.
    struct Tiles(BTreeMap<TilePath, Tile>, u64);

    impl Nodes for Tiles {
        type Error = (u8, u64);

        fn node(&self, level: u8, index: u64) -> Result<Hash, (u8, u64)> {
            let missing = (level, index);
            let place = node_place(level, index).ok_or(missing)?;
            let path = TilePath::within(hashes(place.level), place.tile, self.1).ok_or(missing)?;
            let tile = self.0.get(&path).ok_or(missing)?;
            tile.node(&place).ok_or(missing)
        }
    }

    #[test]
    fn tiles_give_every_node_and_root_of_the_tree_they_were_cut_from() {
        let size = 66_000;
        let mut tree = MemoryTree::new();
        let mut edge = CompactRange::new();
        let mut nodes = Vec::new();
        for n in 0..size {
            let leaf = leaf_hash(&u64::to_be_bytes(n));
            tree.push(leaf);
            edge.push(leaf, |level, index, hash| nodes.push((level, index, hash)));
        }
        let mut tiles = Tiles(BTreeMap::new(), size);
        for path in new_tiles(0, size) {
            let TileKind::Hashes { level } = path.kind() else {
                continue;
            };
            let first = path.index() * 256;
            let bytes: Vec<u8> = (first..first + u64::from(path.width()))
                .flat_map(|index| *tree.node(8 * level, index).unwrap().as_bytes())
                .collect();
            tiles.0.insert(path, Tile::parse(&bytes).unwrap());
        }
        for (level, index, hash) in nodes {
            assert_eq!(tiles.node(level, index), Ok(hash), "level {level}, {index}");
        }
        assert_eq!(root_at(&tiles, size).unwrap(), edge.root());
    }

    #[test]
    fn a_node_that_no_tree_reaches_has_no_place() {
        for (level, index) in [
            (64, 0),
            (255, 0),
            (0, u64::MAX),
            (63, 1),
            (0, MAX_SIZE),
            (1, MAX_SIZE / 2),
        ] {
            assert_eq!(node_place(level, index), None, "{level} {index}");
        }
        let last = node_place(0, MAX_SIZE - 1).unwrap();
        assert_eq!((last.level, last.first, last.count), (0, 255, 1));
        assert_eq!(node_place(63, 0).unwrap().count, 128);
    }

    proptest! {
        #[test]
        fn every_path_reads_back(
            level in 0_u8..64, entries in any::<bool>(), index in any::<u64>(),
            width in proptest::option::of(1_u16..256),
        ) {
            let kind = if entries { TileKind::Entries } else { hashes(level) };
            let path = TilePath::new(kind, index, width).unwrap();
            prop_assert_eq!(path.to_string().parse::<TilePath>(), Ok(path));
        }

        #[test]
        fn what_reads_as_a_path_prints_as_it_was(
            text in "(tile|til)/([0-9]{1,2}|entries|x)/(x[0-9]{3}/){0,3}[0-9]{2,3}(\\.p/[0-9]{1,3})?",
        ) {
            if let Ok(path) = text.parse::<TilePath>() {
                prop_assert_eq!(path.to_string(), text);
            }
        }

        #[test]
        fn growing_in_steps_writes_the_tiles_of_growing_at_once(
            a in 0_u64..70_000, b in 0_u64..70_000,
        ) {
            let (middle, size) = (a.min(b), a.max(b));
            let mut stepped: BTreeMap<(TileKind, u64), u16> = BTreeMap::new();
            for path in new_tiles(0, middle).chain(new_tiles(middle, size)) {
                let before = stepped.insert((path.kind(), path.index()), path.width());
                prop_assert!(before.unwrap_or(0) < path.width());
            }
            let at_once: BTreeMap<(TileKind, u64), u16> = new_tiles(0, size)
                .map(|path| ((path.kind(), path.index()), path.width()))
                .collect();
            prop_assert_eq!(stepped, at_once);
        }
    }
}
