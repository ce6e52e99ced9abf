//! That one leaf is in a tree (RFC 6962 section 2.1.1, RFC 9162 section 2.1.3).

use super::{
    hash::{Hash, node_hash},
    proof::{ProofError, within_limit},
    tree::{MAX_SIZE, Nodes, TreeError, range_hash, split},
};

/// Makes the proof that leaf `index` is in the tree of the first `size` leaves: at most 63
/// hashes, lowest first; reads at most 126.
pub fn inclusion_proof<N: Nodes>(
    nodes: &N,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, TreeError<N::Error>> {
    if size > MAX_SIZE {
        return Err(TreeError::TooLarge(size));
    }
    if index >= size {
        return Err(TreeError::Outside { index, size });
    }
    let mut proof = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(range_hash(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(range_hash(nodes, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that `leaf` (a leaf hash) is at `index` in the tree of `size` leaves with this root.
///
/// Hashes at most 63 times, whatever the proof's length.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    within_limit(size)?;
    if index >= size {
        return Err(ProofError::Outside { index, size });
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::TooLong);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // A right edge without a sibling of its own rises until it is a right child.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::TooShort);
    }
    if hash != *root {
        return Err(ProofError::Root);
    }
    Ok(())
}
