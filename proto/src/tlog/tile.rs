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
