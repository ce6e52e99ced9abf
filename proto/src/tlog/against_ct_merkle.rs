//! The same trees and proofs by an independent implementation of RFC 6962.

use ct_merkle::{
    ConsistencyProof, InclusionProof, RootHash,
    digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Update, consts::U32},
    mem_backed_tree::MemoryBackedTree,
};
use proptest::{prelude::*, sample::Index};

use super::*;

/// SHA-256 of ring behind the interface that the other implementation wants.
#[derive(Clone)]
struct Sha256(ring::digest::Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }
}

impl HashMarker for Sha256 {}

impl OutputSizeUser for Sha256 {
    type OutputSize = U32;
}

impl Update for Sha256 {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

impl FixedOutput for Sha256 {
    fn finalize_into(self, out: &mut Output<Self>) {
        out.copy_from_slice(self.0.finish().as_ref());
    }
}

type Theirs = MemoryBackedTree<Sha256, Vec<u8>>;

fn both(size: u64) -> (MemoryTree, Theirs) {
    let (mut ours, mut theirs) = (MemoryTree::new(), Theirs::new());
    for n in 0..size {
        let data = n.to_le_bytes().to_vec();
        ours.push(leaf_hash(&data));
        theirs.push(data);
    }
    (ours, theirs)
}

fn bytes(proof: &[Hash]) -> Vec<u8> {
    proof.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

fn root(hash: &Hash, size: u64) -> RootHash<Sha256> {
    RootHash::new((*hash.as_bytes()).into(), size)
}

#[test]
fn the_roots_are_the_same_at_every_size() {
    let (mut ours, mut theirs) = (MemoryTree::new(), Theirs::new());
    for size in 1..=1_100_u64 {
        let data = size.to_le_bytes().to_vec();
        ours.push(leaf_hash(&data));
        theirs.push(data);
        assert_eq!(
            ours.root(size).unwrap().as_bytes().as_slice(),
            theirs.root().as_bytes().as_slice(),
            "{size} leaves"
        );
    }
}

#[test]
fn a_tree_of_100_000_leaves_has_the_same_root_and_proofs() {
    const SIZE: u64 = 100_000;
    let (ours, theirs) = both(SIZE);
    assert_eq!(
        ours.root(SIZE).unwrap().as_bytes().as_slice(),
        theirs.root().as_bytes().as_slice()
    );
    // A stride that is prime to the size meets every shape of path.
    for at in (0..SIZE).step_by(9_973).chain([SIZE - 1]) {
        let proof = inclusion_proof(&ours, at, SIZE).unwrap();
        assert_eq!(
            bytes(&proof),
            theirs.prove_inclusion(at as usize).as_bytes()
        );
        let proof = consistency_proof(&ours, at + 1, SIZE).unwrap();
        let expected = theirs.prove_consistency((SIZE - at - 1) as usize);
        assert_eq!(bytes(&proof), expected.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_inclusion_proofs_are_the_same_and_each_accepts_the_other(
        size in 1_u64..4_000, at in any::<Index>(),
    ) {
        let (ours, theirs) = both(size);
        let index = at.index(size as usize);
        let proof = inclusion_proof(&ours, index as u64, size).unwrap();
        let expected = theirs.prove_inclusion(index);
        prop_assert_eq!(bytes(&proof), expected.as_bytes());

        let data = (index as u64).to_le_bytes().to_vec();
        let made = InclusionProof::<Sha256>::try_from_bytes(bytes(&proof)).unwrap();
        let their_root = root(&ours.root(size).unwrap(), size);
        their_root.verify_inclusion(&data, index as u64, &made).unwrap();
    }

    #[test]
    fn the_consistency_proofs_are_the_same_and_each_accepts_the_other(
        new in 1_u64..4_000, at in any::<Index>(),
    ) {
        let (ours, theirs) = both(new);
        let old = 1 + at.index(new as usize) as u64;
        let proof = consistency_proof(&ours, old, new).unwrap();
        let expected = theirs.prove_consistency((new - old) as usize);
        prop_assert_eq!(bytes(&proof), expected.as_bytes());

        let made = ConsistencyProof::<Sha256>::try_from_bytes(bytes(&proof)).unwrap();
        let (old_root, new_root) = (ours.root(old).unwrap(), ours.root(new).unwrap());
        root(&new_root, new).verify_consistency(&root(&old_root, old), &made).unwrap();
    }

    #[test]
    fn both_give_one_verdict_on_arbitrary_proofs(
        size in 1_u64..200, other in 1_u64..200, at in any::<Index>(), cut in any::<Index>(),
    ) {
        // A proof from one size held against another: mostly wrong, sometimes right.
        let (ours, theirs) = both(size.max(other));
        let index = at.index(size as usize) as u64;
        let mut proof = inclusion_proof(&ours, index, size).unwrap();
        proof.truncate(proof.len() - cut.index(proof.len() + 1).min(1));
        let at_other = ours.root(other).unwrap();
        let data = theirs.items()[index as usize].clone();
        let made = InclusionProof::<Sha256>::try_from_bytes(bytes(&proof)).unwrap();
        prop_assert_eq!(
            verify_inclusion(&leaf_hash(&data), index, other, &at_other, &proof).is_ok(),
            root(&at_other, other).verify_inclusion(&data, index, &made).is_ok()
        );
    }
}
