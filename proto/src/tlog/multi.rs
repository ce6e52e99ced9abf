//! That several leaves are in a tree, with each hash sent once.
//!
//! The tree has the shape of RFC 6962: a tree of n > 1 leaves splits at the largest power of two
//! below n. Walk it depth first, left before right. A subtree that holds none of the shown leaves
//! is not entered: its hash is the next of the proof. So the proof holds one hash for each
//! largest subtree without a shown leaf, complete or at the right edge, from left to right. With
//! no leaf shown the proof is the root alone; the tree without leaves has an empty proof.

use super::{
    hash::{Hash, empty_root, node_hash},
    proof::{ProofError, within_limit},
    tree::{MAX_SIZE, Nodes, TreeError, range_hash, split},
};

/// Makes the proof that the leaves of `indices`, strictly rising, are in the tree of the first
/// `size` leaves: at most 63 hashes a leaf.
pub fn multi_proof<N: Nodes>(
    nodes: &N,
    indices: &[u64],
    size: u64,
) -> Result<Vec<Hash>, TreeError<N::Error>> {
    if size > MAX_SIZE {
        return Err(TreeError::TooLarge(size));
    }
    let mut due = 0;
    for &index in indices {
        if index >= size {
            return Err(TreeError::Outside { index, size });
        }
        if index < due {
            return Err(TreeError::Unsorted(index));
        }
        due = index + 1;
    }
    let mut proof = Vec::new();
    if size > 0 {
        hide(nodes, indices, 0, size, &mut proof)?;
    }
    Ok(proof)
}

/// Puts into `proof` the subtrees of `start..end` without any of `indices`.
///
/// A range of n leaves splits into parts of at most 2^(⌈log2 n⌉ − 1), so calls nest at most 64 deep.
fn hide<N: Nodes>(
    nodes: &N,
    indices: &[u64],
    start: u64,
    end: u64,
    proof: &mut Vec<Hash>,
) -> Result<(), TreeError<N::Error>> {
    if indices.is_empty() {
        proof.push(range_hash(nodes, start, end)?);
        return Ok(());
    }
    if end - start <= 1 {
        return Ok(());
    }
    let middle = start + split(end - start);
    let (left, right) = indices.split_at(indices.partition_point(|index| *index < middle));
    hide(nodes, left, start, middle, proof)?;
    hide(nodes, right, middle, end, proof)
}

/// Checks that `leaves` (index and leaf hash, strictly rising) are in the tree of `size` leaves
/// with this root.
///
/// Hashes less often than there are leaves and proof hashes together: each hash computed joins
/// two of them, and a walk that runs out of hashes ends there.
pub fn verify_multi(
    leaves: &[(u64, Hash)],
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    within_limit(size)?;
    let mut due = 0;
    for &(index, _) in leaves {
        if index >= size {
            return Err(ProofError::Outside { index, size });
        }
        if index < due {
            return Err(ProofError::Unsorted(index));
        }
        due = index + 1;
    }
    let mut rest = proof;
    let computed = match size {
        0 => empty_root(),
        _ => rebuild(leaves, 0, size, &mut rest)?,
    };
    if !rest.is_empty() {
        return Err(ProofError::TooLong);
    }
    if computed != *root {
        return Err(ProofError::Root);
    }
    Ok(())
}

/// Computes the hash of `start..end` from the shown leaves in it and the proof's next hashes.
///
/// A range of n leaves splits into parts of at most 2^(⌈log2 n⌉ − 1), so calls nest at most 64 deep.
fn rebuild(
    leaves: &[(u64, Hash)],
    start: u64,
    end: u64,
    proof: &mut &[Hash],
) -> Result<Hash, ProofError> {
    if leaves.is_empty() {
        let (next, rest) = proof.split_first().ok_or(ProofError::TooShort)?;
        *proof = rest;
        return Ok(*next);
    }
    if let [(_, leaf)] = leaves
        && end - start <= 1
    {
        return Ok(*leaf);
    }
    let middle = start + split(end - start);
    let (left, right) = leaves.split_at(leaves.partition_point(|(index, _)| *index < middle));
    let left = rebuild(left, start, middle, proof)?;
    let right = rebuild(right, middle, end, proof)?;
    Ok(node_hash(&left, &right))
}
