//! The right edge of a growing tree: all that appending a leaf needs to know.

use super::{
    hash::{Hash, node_hash},
    tree::{MAX_SIZE, Nodes, TreeError, join, peaks},
};

/// The complete subtrees, largest first, of an append-only tree: at most 64 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactRange {
    size: u64,
    peaks: Vec<Hash>,
}

impl CompactRange {
    /// Makes the edge of a tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the edge of the tree of `size` leaves; at most 63 hashes.
    ///
    /// Fails when the size is above [`MAX_SIZE`] or a hash cannot be read. The caller compares
    /// [`root`](Self::root) with a root that it trusts.
    pub fn restore<N: Nodes>(nodes: &N, size: u64) -> Result<Self, TreeError<N::Error>> {
        if size > MAX_SIZE {
            return Err(TreeError::TooLarge(size));
        }
        Ok(Self {
            size,
            peaks: peaks(nodes, 0, size)?,
        })
    }

    /// Tells how many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash and reports every subtree that it completes, the leaf itself
    /// (level 0) first, as level, index in the level, and hash.
    pub fn push(&mut self, leaf: Hash, mut complete: impl FnMut(u8, u64, Hash)) {
        let (mut level, mut index, mut hash) = (0, self.size, leaf);
        complete(level, index, hash);
        // Every one-bit at the low end of the size is a subtree that this leaf closes.
        while index & 1 == 1
            && let Some(left) = self.peaks.pop()
        {
            hash = node_hash(&left, &hash);
            level += 1;
            index >>= 1;
            complete(level, index, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Computes the root.
    pub fn root(&self) -> Hash {
        join(&self.peaks)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::tlog::{MemoryTree, MissingNode, empty_root, leaf_hash, root_at, root_of};

    fn leaf(n: u64) -> Hash {
        leaf_hash(&n.to_be_bytes())
    }

    #[test]
    fn every_complete_subtree_is_reported_once_in_order_and_with_its_own_root() {
        let mut range = CompactRange::new();
        let mut next = [0_u64; 8];
        for n in 0..130 {
            range.push(leaf(n), |level, index, hash| {
                assert_eq!(next[usize::from(level)], index, "level {level}");
                next[usize::from(level)] += 1;
                let first = index << level;
                let leaves: Vec<Hash> = (first..first + (1 << level)).map(leaf).collect();
                assert_eq!(hash, root_of(&leaves));
            });
        }
        assert_eq!(next, [130, 65, 32, 16, 8, 4, 2, 1]);
    }

    #[test]
    fn an_edge_read_back_grows_as_if_it_had_never_stopped() {
        let tree: MemoryTree = (0..200).map(leaf).collect();
        let mut kept = CompactRange::new();
        for size in 0..200 {
            let read = CompactRange::restore(&tree, size).unwrap();
            assert_eq!(read, kept);
            assert_eq!(read.root(), root_at(&tree, size).unwrap());
            kept.push(leaf(size), |_, _, _| {});
        }
    }

    #[test]
    fn an_edge_beyond_what_is_stored_or_allowed_is_an_error() {
        let tree: MemoryTree = (0..3).map(leaf).collect();
        assert_eq!(
            CompactRange::restore(&tree, 4),
            Err(TreeError::Node {
                level: 2,
                index: 0,
                source: MissingNode(3)
            })
        );
        for size in [MAX_SIZE + 1, u64::MAX] {
            assert_eq!(
                CompactRange::restore(&tree, size),
                Err(TreeError::TooLarge(size))
            );
            assert_eq!(tree.root(size), Err(TreeError::TooLarge(size)));
        }
        assert!(tree.root(MAX_SIZE).is_err());
        assert_eq!(tree.root(0), Ok(empty_root()));
    }
}
