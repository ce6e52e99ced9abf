//! The shape of an RFC 6962 tree, and how its stored hashes are read.

use super::{
    frontier::CompactRange,
    hash::{Hash, empty_root, node_hash},
};

/// Most leaves of a tree: 2^63.
///
/// At 100,000 leaves a second that lasts 2^63 / 10^5 / 3.2·10^7 s = 2.9 million years, and it
/// bounds every walk to 63 steps and keeps `index + 1` and sums of two indices within a `u64`.
pub const MAX_SIZE: u64 = 1 << 63;

/// Reads the hashes of complete subtrees.
pub trait Nodes {
    /// Why a hash could not be read.
    type Error;

    /// Gives the hash of the complete subtree of 2^`level` leaves that starts at leaf
    /// `index` · 2^`level`; level 0 are the leaf hashes.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

impl<N: Nodes + ?Sized> Nodes for &N {
    type Error = N::Error;

    fn node(&self, level: u8, index: u64) -> Result<Hash, N::Error> {
        (**self).node(level, index)
    }
}

/// Why a root or a proof could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError<E> {
    /// Above [`MAX_SIZE`].
    #[error("a tree of {0} leaves is beyond the limit of 2^63")]
    TooLarge(u64),
    /// An index at or beyond the size.
    #[error("leaf {index} is not in a tree of {size} leaves; ask for a lower index")]
    Outside {
        /// The index asked for.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// An old size above the new one.
    #[error("a tree of {old} leaves is not older than one of {new}; swap the sizes")]
    Backwards {
        /// The size said to be older.
        old: u64,
        /// The size said to be newer.
        new: u64,
    },
    /// Indices that are not strictly rising.
    #[error("leaf {0} is asked for out of order; sort the indices and ask for each once")]
    Unsorted(u64),
    /// A hash that the store could not give.
    #[error("the hash of subtree {index} at level {level} could not be read")]
    Node {
        /// The level asked for.
        level: u8,
        /// The index asked for.
        index: u64,
        /// Why.
        source: E,
    },
}

/// Computes the root of the first `size` leaves; reads at most 63 hashes.
pub fn root_at<N: Nodes>(nodes: &N, size: u64) -> Result<Hash, TreeError<N::Error>> {
    if size > MAX_SIZE {
        return Err(TreeError::TooLarge(size));
    }
    range_hash(nodes, 0, size)
}

/// Computes the hash of leaves `start..end`, a range of the RFC 6962 shape: complete, or at the
/// right edge and starting at a multiple of the power of two above its length.
pub(super) fn range_hash<N: Nodes>(
    nodes: &N,
    start: u64,
    end: u64,
) -> Result<Hash, TreeError<N::Error>> {
    Ok(join(&peaks(nodes, start, end)?))
}

/// Reads the complete subtrees that make up `start..end`, largest first.
pub(super) fn peaks<N: Nodes>(
    nodes: &N,
    start: u64,
    end: u64,
) -> Result<Vec<Hash>, TreeError<N::Error>> {
    let mut found = Vec::new();
    let mut at = start;
    while at < end {
        let level = floor_log2(end - at);
        let index = at >> level;
        found.push(nodes.node(level, index).map_err(|source| TreeError::Node {
            level,
            index,
            source,
        })?);
        at += 1 << level;
    }
    Ok(found)
}

/// Joins subtrees of falling size into their common root.
pub(super) fn join(peaks: &[Hash]) -> Hash {
    let mut smallest_first = peaks.iter().rev();
    match smallest_first.next() {
        None => empty_root(),
        Some(last) => smallest_first.fold(*last, |right, left| node_hash(left, &right)),
    }
}

/// Gives the size of the left part of a tree of `size` leaves: the largest power of two below it.
/// For a size below 2, which has no parts, it gives 0.
pub(super) fn split(size: u64) -> u64 {
    match size {
        0 | 1 => 0,
        _ => 1 << floor_log2(size - 1),
    }
}

/// Gives the exponent of the largest power of two in `n`, and 0 for 0.
pub(super) fn floor_log2(n: u64) -> u8 {
    // At most 63.
    u8::try_from(n.checked_ilog2().unwrap_or(0)).unwrap_or(63)
}

/// A tree whose every node is in memory: 64 bytes a leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryTree {
    frontier: CompactRange,
    levels: Vec<Vec<Hash>>,
}

/// A node that a [`MemoryTree`] does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tree in memory has {0} leaves and not this subtree; ask for a lower size")]
pub struct MissingNode(pub u64);

impl MemoryTree {
    /// Makes a tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let levels = &mut self.levels;
        self.frontier.push(leaf, |level, _, hash| {
            // Subtrees of one level complete in the order of their index, lower levels first.
            match levels.get_mut(usize::from(level)) {
                Some(row) => row.push(hash),
                None => levels.push(vec![hash]),
            }
        });
    }

    /// Tells how many leaves there are.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Computes the root of the first `size` leaves.
    pub fn root(&self, size: u64) -> Result<Hash, TreeError<MissingNode>> {
        root_at(self, size)
    }
}

impl Extend<Hash> for MemoryTree {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

impl FromIterator<Hash> for MemoryTree {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut tree = Self::default();
        tree.extend(leaves);
        tree
    }
}

impl Nodes for MemoryTree {
    type Error = MissingNode;

    fn node(&self, level: u8, index: u64) -> Result<Hash, MissingNode> {
        let row = self.levels.get(usize::from(level));
        usize::try_from(index)
            .ok()
            .and_then(|index| row?.get(index))
            .copied()
            .ok_or(MissingNode(self.size()))
    }
}
