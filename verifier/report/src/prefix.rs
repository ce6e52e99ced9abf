//! Roots that the log had earlier, computed from what a bundle shows of it.
//!
//! A bundle shows most entries one after the other; what is hidden stands in the multi-proof as
//! whole subtrees. From left to right these make up every earlier tree whose edge is not inside a
//! hidden subtree, so that any checkpoint of that size can be held against the log without a
//! proof of its own.

use std::collections::{BTreeMap, BTreeSet};

use affiant_proto::tlog::{Hash, node_hash};

/// A subtree of which the hash is known: a shown leaf, or one that is hidden as a whole.
struct Piece {
    leaves: u64,
    hash: Hash,
}

/// Computes the roots of the first `sizes` leaves of a tree of `size`, from shown `leaves` (index
/// and leaf hash, rising) and a multi-proof that was verified; leaves out sizes that cannot be
/// told. Works once through both, and one logarithm of `size` per answer.
pub fn roots(
    leaves: &[(u64, Hash)],
    size: u64,
    proof: &[Hash],
    sizes: &BTreeSet<u64>,
) -> BTreeMap<u64, Hash> {
    let mut pieces = Vec::with_capacity(leaves.len() + proof.len());
    cut(leaves, 0, size, &mut proof.iter(), &mut pieces);
    let mut peaks: Vec<Piece> = Vec::new();
    let mut at = 0_u64;
    let mut found = BTreeMap::new();
    for mut piece in pieces {
        // Only the right edge of the whole tree is not a power of two, and nothing follows it.
        if !piece.leaves.is_power_of_two() {
            break;
        }
        at = at.saturating_add(piece.leaves);
        while let Some(left) = peaks.pop_if(|left| left.leaves == piece.leaves) {
            piece = Piece {
                leaves: left.leaves * 2,
                hash: node_hash(&left.hash, &piece.hash),
            };
        }
        peaks.push(piece);
        if sizes.contains(&at)
            && let Some(root) = peaks
                .iter()
                .rev()
                .map(|peak| peak.hash)
                .reduce(|right, left| node_hash(&left, &right))
        {
            found.insert(at, root);
        }
    }
    found
}

/// Walks the tree as the multi-proof is ordered. Each call halves the range: at most 64 deep.
fn cut<'a>(
    leaves: &[(u64, Hash)],
    start: u64,
    end: u64,
    proof: &mut impl Iterator<Item = &'a Hash>,
    pieces: &mut Vec<Piece>,
) {
    match leaves {
        [] => pieces.extend(proof.next().map(|hash| Piece {
            leaves: end - start,
            hash: *hash,
        })),
        [(_, leaf)] if end - start <= 1 => pieces.push(Piece {
            leaves: 1,
            hash: *leaf,
        }),
        _ if end - start <= 1 => {}
        _ => {
            // The largest power of two below the length.
            let middle = start + (1 << (end - start - 1).ilog2());
            let (left, right) =
                leaves.split_at(leaves.partition_point(|(index, _)| *index < middle));
            cut(left, start, middle, proof, pieces);
            cut(right, middle, end, proof, pieces);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use affiant_proto::tlog::{MemoryTree, leaf_hash, multi_proof};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn earlier_roots_are_those_that_the_log_had(
            size in 1_u64..200,
            shown in prop::collection::btree_set(0_u64..200, 0..120),
        ) {
            let tree: MemoryTree = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
            let shown: Vec<u64> = shown.into_iter().filter(|index| *index < size).collect();
            let proof = multi_proof(&tree, &shown, size).unwrap();
            let leaves: Vec<(u64, Hash)> = shown.iter().map(|n| (*n, leaf_hash(&n.to_be_bytes()))).collect();
            let sizes: BTreeSet<u64> = (0..=size + 1).collect();
            let found = roots(&leaves, size, &proof, &sizes);
            for (at, root) in &found {
                prop_assert_eq!(tree.root(*at).unwrap(), *root, "size {}", at);
            }
            // Right behind a shown leaf every root can be told.
            for index in shown {
                prop_assert!(found.contains_key(&(index + 1)), "size {}", index + 1);
            }
        }
    }

    #[test]
    fn what_a_hidden_subtree_cuts_is_not_guessed() {
        let tree: MemoryTree = (0..8_u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let proof = multi_proof(&tree, &[6], 8).unwrap();
        let leaves = [(6, leaf_hash(&6_u64.to_be_bytes()))];
        let found = roots(&leaves, 8, &proof, &(0..=8).collect());
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [4, 6, 7, 8]);
    }
}
