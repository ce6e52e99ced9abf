//! That a tree only grew (RFC 6962 section 2.1.2, RFC 9162 section 2.1.4).

use super::{
    hash::{Hash, empty_root, node_hash},
    proof::{ProofError, within_limit},
    tree::{MAX_SIZE, Nodes, TreeError, range_hash, split},
};

/// Makes the proof that the tree of `new` leaves begins with that of `old`: at most 64 hashes,
/// empty when `old` is 0 or equals `new`.
pub fn consistency_proof<N: Nodes>(
    nodes: &N,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, TreeError<N::Error>> {
    if new > MAX_SIZE {
        return Err(TreeError::TooLarge(new));
    }
    if old > new {
        return Err(TreeError::Backwards { old, new });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let mut proof = Vec::new();
    let (mut start, mut end) = (0, new);
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(range_hash(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(range_hash(nodes, start, middle)?);
            start = middle;
        }
    }
    // A tree that starts at 0 is the old tree itself, whose root the reader already has.
    if start != 0 {
        proof.push(range_hash(nodes, start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that the tree of `new_size` leaves with `new_root` begins with the tree of `old_size`
/// leaves with `old_root`.
///
/// The empty tree has one root and equal sizes have equal roots; both take an empty proof.
/// Hashes at most 128 times, whatever the proof's length.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    within_limit(new_size)?;
    if old_size > new_size {
        return Err(ProofError::Backwards {
            old: old_size,
            new: new_size,
        });
    }
    if old_size == 0 && *old_root != empty_root() {
        return Err(ProofError::OldRoot);
    }
    if old_size == new_size && old_root != new_root {
        return Err(ProofError::Root);
    }
    if old_size == 0 || old_size == new_size {
        return match proof {
            [] => Ok(()),
            _ => Err(ProofError::TooLong),
        };
    }
    grow(old_size, old_root, new_size, new_root, proof)
}

/// Checks a proof between two sizes that differ and are not 0.
fn grow(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    // The largest subtree that ends where the old tree ends; both roots are built from it.
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (seed, rest) = match proof.split_first() {
        _ if node == 0 => (old_root, proof),
        Some(split) => split,
        None => return Err(ProofError::TooShort),
    };
    let (mut old, mut new) = (*seed, *seed);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::TooLong);
        }
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::TooShort);
    }
    if old != *old_root {
        return Err(ProofError::OldRoot);
    }
    if new != *new_root {
        return Err(ProofError::Root);
    }
    Ok(())
}
