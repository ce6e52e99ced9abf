//! Roots that the log had at earlier sizes, with what has to be remembered for them.

use std::collections::BTreeMap;

use affiant_proto::tlog::{Hash, NodePlace, Nodes, Tile, TileKind, node_place, root_at, root_of};

use crate::edge::{Edge, Made};

/// A subtree of the log that is not at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tile {index} of level {level} is not stored as it was made")]
pub struct Unheld {
    /// Level of the tile.
    pub level: u8,
    /// Its index.
    pub index: u64,
}

/// What is remembered: 40 bytes a segment as it was written, and the tiles above the lowest, an eighth of a byte an
/// entry. A year of a segment a second is 1.3 GB, one of a segment a minute 21 MB.
pub(super) struct Past<'a> {
    /// Size and root wherever the log was closed, rising.
    ends: Vec<(u64, Hash)>,
    /// Full hash tiles from level 1 on.
    upper: BTreeMap<(u8, u64), Tile>,
    /// Stored tiles of level 0.
    leaves: Box<dyn Fn(u64) -> Option<Vec<u8>> + 'a>,
}

impl<'a> Past<'a> {
    pub(super) fn new(leaves: impl Fn(u64) -> Option<Vec<u8>> + 'a) -> Self {
        Self {
            ends: Vec::new(),
            upper: BTreeMap::new(),
            leaves: Box::new(leaves),
        }
    }

    /// Keeps a full tile that may be asked for.
    pub(super) fn keep(&mut self, made: &Made) {
        if let TileKind::Hashes { level } = made.path.kind()
            && level > 0
            && let Ok(tile) = Tile::parse(&made.bytes)
        {
            self.upper.insert((level, made.path.index()), tile);
        }
    }

    pub(super) fn ends(&mut self, size: u64, root: Hash) {
        self.ends.push((size, root));
    }

    /// The root at `size`, which `edge` has reached.
    pub(super) fn root(&self, size: u64, edge: &Edge) -> Result<Hash, Unheld> {
        if size == edge.size() {
            return Ok(edge.root());
        }
        if let Ok(at) = self.ends.binary_search_by_key(&size, |(size, _)| *size)
            && let Some((_, root)) = self.ends.get(at)
        {
            return Ok(*root);
        }
        let stored = Stored { past: self, edge };
        root_at(&stored, size).map_err(|error| match error {
            affiant_proto::tlog::TreeError::Node { source, .. } => source,
            // Sizes are bounded by the tree that was read.
            _ => Unheld {
                level: u8::MAX,
                index: size,
            },
        })
    }
}

/// The tree that was read so far.
struct Stored<'a> {
    past: &'a Past<'a>,
    edge: &'a Edge,
}

impl Stored<'_> {
    fn lowest(&self, place: &NodePlace) -> Option<Hash> {
        let tile = Tile::parse(&(self.past.leaves)(place.tile)?).ok()?;
        // The level above was computed here, so it says whether these are the leaves.
        let above = node_place(8, place.tile)?;
        let due = self.at(&above)?;
        let whole = tile.hashes().len() == 256 && root_of(tile.hashes()) == due;
        whole.then(|| tile.node(place)).flatten()
    }

    fn at(&self, place: &NodePlace) -> Option<Hash> {
        if let Some(hashes) = self.edge.tile(place.level, place.tile) {
            let first = usize::from(place.first);
            let hashes = hashes.get(first..first + usize::from(place.count))?;
            return Some(root_of(hashes));
        }
        match place.level {
            0 => self.lowest(place),
            level => self.past.upper.get(&(level, place.tile))?.node(place),
        }
    }
}

impl Nodes for Stored<'_> {
    type Error = Unheld;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Unheld> {
        let place = node_place(level, index).ok_or(Unheld { level, index })?;
        self.at(&place).ok_or(Unheld {
            level: place.level,
            index: place.tile,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_proto::{digest, tlog::MemoryTree, tlog::leaf_hash};

    use super::*;

    #[test]
    fn the_root_at_any_earlier_size_is_that_which_the_log_had() {
        let (mut tree, mut edge) = (MemoryTree::new(), Edge::default());
        let mut lowest = BTreeMap::new();
        let mut upper = Vec::new();
        for number in 0..70_000_u64 {
            let leaf = digest(&number.to_be_bytes());
            tree.push(leaf_hash(leaf.as_bytes()));
            edge.push(&leaf, |made| match made.path.kind() {
                TileKind::Hashes { level: 0 } => {
                    lowest.insert(made.path.index(), made.bytes);
                }
                _ => upper.push(made),
            });
        }
        lowest.get_mut(&3).unwrap()[0] ^= 1;
        lowest.remove(&5);
        let mut past = Past::new(|index| lowest.get(&index).cloned());
        upper.iter().for_each(|made| past.keep(made));
        past.ends(800, tree.root(800).unwrap());
        for size in [
            1, 2, 255, 256, 257, 511, 768, 800, 65_535, 65_536, 65_537, 69_888, 69_999, 70_000,
        ] {
            assert_eq!(
                past.root(size, &edge),
                Ok(tree.root(size).unwrap()),
                "{size}"
            );
        }
        for (size, index) in [(801, 3), (1_300, 5)] {
            assert_eq!(past.root(size, &edge), Err(Unheld { level: 0, index }));
        }
    }
}
