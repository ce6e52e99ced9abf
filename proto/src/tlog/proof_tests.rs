//! Promises that all proofs keep, over trees of every small shape and random larger ones.

use proptest::{prelude::*, sample::Index};

use super::{fixtures::*, *};

#[test]
fn every_leaf_of_every_small_tree_has_a_proof_that_holds() {
    let tree = tree(70);
    for size in 1..=70 {
        let root = tree.root(size).unwrap();
        for index in 0..size {
            let proof = inclusion_proof(&tree, index, size).unwrap();
            assert_eq!(
                verify_inclusion(&leaf(index), index, size, &root, &proof),
                Ok(()),
                "leaf {index} of {size}"
            );
        }
    }
}

#[test]
fn every_small_tree_has_grown_from_every_smaller_one() {
    let tree = tree(70);
    for new in 0..=70 {
        for old in 0..=new {
            let proof = consistency_proof(&tree, old, new).unwrap();
            let (old_root, new_root) = (tree.root(old).unwrap(), tree.root(new).unwrap());
            assert_eq!(
                verify_consistency(old, &old_root, new, &new_root, &proof),
                Ok(()),
                "{old} to {new}"
            );
        }
    }
}

#[test]
fn every_subset_of_every_small_tree_can_be_proved() {
    let tree = tree(9);
    for size in 0..=9_u64 {
        let root = tree.root(size).unwrap();
        for mask in 0..1_u64 << size {
            let shown: Vec<u64> = (0..size).filter(|index| mask >> index & 1 == 1).collect();
            let proof = multi_proof(&tree, &shown, size).unwrap();
            let leaves: Vec<(u64, Hash)> = shown.iter().map(|n| (*n, leaf(*n))).collect();
            assert_eq!(verify_multi(&leaves, size, &root, &proof), Ok(()));
            // Nothing is sent that the reader has: hidden leaves alone bound the proof.
            assert!(proof.len() as u64 <= size - shown.len() as u64);
        }
    }
}

#[test]
fn a_multi_proof_lists_the_largest_hidden_subtrees_from_left_to_right() {
    let tree = tree(7);
    let pair = |left| node_hash(&leaf(left), &leaf(left + 1));
    let four = node_hash(&pair(0), &pair(2));
    let edge = node_hash(&pair(4), &leaf(6));
    for (shown, want) in [
        (vec![], vec![node_hash(&four, &edge)]),
        (vec![1, 4], vec![leaf(0), pair(2), leaf(5), leaf(6)]),
        (vec![6], vec![four, pair(4)]),
        (vec![2, 3], vec![pair(0), edge]),
        (vec![0, 1, 2, 3, 4, 5, 6], vec![]),
    ] {
        assert_eq!(multi_proof(&tree, &shown, 7), Ok(want), "{shown:?}");
    }
    assert_eq!(multi_proof(&tree, &[], 0), Ok(vec![]));
}

#[test]
fn with_no_leaf_shown_the_proof_is_the_root_and_nothing_else() {
    let root = tree(5).root(5).unwrap();
    assert_eq!(verify_multi(&[], 5, &root, &[root]), Ok(()));
    assert_eq!(
        verify_multi(&[], 5, &root, &[leaf(0)]),
        Err(ProofError::Root)
    );
    assert_eq!(verify_multi(&[], 5, &root, &[]), Err(ProofError::TooShort));
    assert_eq!(
        verify_multi(&[], 5, &root, &[root, root]),
        Err(ProofError::TooLong)
    );
    assert_eq!(verify_multi(&[], 0, &empty_root(), &[]), Ok(()));
    assert_eq!(
        verify_multi(&[], 0, &empty_root(), &[empty_root()]),
        Err(ProofError::TooLong)
    );
    assert_eq!(verify_multi(&[], 0, &root, &[]), Err(ProofError::Root));
}

#[test]
fn the_empty_tree_has_one_root_and_equal_sizes_have_equal_roots() {
    let (empty, one, other) = (empty_root(), leaf(0), leaf(1));
    assert_eq!(verify_consistency(0, &empty, 9, &one, &[]), Ok(()));
    assert_eq!(
        verify_consistency(0, &one, 9, &one, &[]),
        Err(ProofError::OldRoot)
    );
    assert_eq!(
        verify_consistency(0, &empty, 0, &one, &[]),
        Err(ProofError::Root)
    );
    assert_eq!(
        verify_consistency(0, &empty, 9, &one, &[one]),
        Err(ProofError::TooLong)
    );
    assert_eq!(
        verify_consistency(5, &one, 5, &other, &[]),
        Err(ProofError::Root)
    );
    assert_eq!(
        verify_consistency(5, &one, 5, &one, &[one]),
        Err(ProofError::TooLong)
    );
}

#[test]
fn a_log_that_claims_growth_under_its_old_root_is_refused() {
    let tree = tree(8);
    for (old, proof) in [(2, vec![]), (4, vec![]), (3, vec![leaf(2)])] {
        let root = tree.root(old).unwrap();
        assert!(verify_consistency(old, &root, 8, &root, &proof).is_err());
    }
    let root = tree.root(4).unwrap();
    assert_eq!(
        verify_consistency(4, &root, 8, &root, &[]),
        Err(ProofError::TooShort)
    );
}

#[test]
fn sizes_and_indices_that_cannot_be_are_errors_at_once() {
    let (h, long) = (leaf(0), vec![leaf(1); 100_000]);
    for size in [MAX_SIZE + 1, u64::MAX] {
        assert_eq!(
            verify_inclusion(&h, 0, size, &h, &long),
            Err(ProofError::TooLarge(size))
        );
        assert_eq!(
            verify_consistency(1, &h, size, &h, &long),
            Err(ProofError::TooLarge(size))
        );
        assert_eq!(
            verify_multi(&[(0, h)], size, &h, &long),
            Err(ProofError::TooLarge(size))
        );
        assert_eq!(
            inclusion_proof(&tree(1), 0, size),
            Err(TreeError::TooLarge(size))
        );
        assert_eq!(
            consistency_proof(&tree(1), 0, size),
            Err(TreeError::TooLarge(size))
        );
        assert_eq!(
            multi_proof(&tree(1), &[], size),
            Err(TreeError::TooLarge(size))
        );
    }
    for (index, size) in [(0, 0), (5, 5), (u64::MAX, 5), (MAX_SIZE, MAX_SIZE)] {
        let outside = Err(ProofError::Outside { index, size });
        assert_eq!(verify_inclusion(&h, index, size, &h, &long), outside);
        assert_eq!(verify_multi(&[(index, h)], size, &h, &long), outside);
        let outside = Err(TreeError::Outside { index, size });
        assert_eq!(inclusion_proof(&tree(5), index, size), outside);
        assert_eq!(multi_proof(&tree(5), &[index], size), outside);
    }
    assert_eq!(
        verify_consistency(6, &h, 5, &h, &long),
        Err(ProofError::Backwards { old: 6, new: 5 })
    );
    assert_eq!(
        consistency_proof(&tree(6), 6, 5),
        Err(TreeError::Backwards { old: 6, new: 5 })
    );
}

#[test]
fn a_proof_that_never_ends_is_left_after_as_many_hashes_as_the_tree_is_deep() {
    // Far more hashes than could be hashed within the time of a test run.
    let (h, long) = (leaf(0), vec![leaf(1); 2_000_000]);
    for _ in 0..1_000 {
        for size in [1, 2, 3, MAX_SIZE - 1, MAX_SIZE] {
            let last = size - 1;
            assert_eq!(
                verify_inclusion(&h, last, size, &h, &long),
                Err(ProofError::TooLong)
            );
            assert_eq!(
                verify_multi(&[(last, h)], size, &h, &long),
                Err(ProofError::TooLong)
            );
        }
        for (old, new) in [(1, 2), (2, MAX_SIZE), (MAX_SIZE - 1, MAX_SIZE)] {
            assert_eq!(
                verify_consistency(old, &h, new, &h, &long),
                Err(ProofError::TooLong)
            );
        }
    }
}

#[test]
fn the_largest_trees_are_walked_in_their_depth() {
    let h = leaf(0);
    let many: Vec<(u64, Hash)> = (0..1_000_u64).map(|n| (n << 53, h)).collect();
    assert_eq!(
        verify_multi(&many, MAX_SIZE, &h, &[]),
        Err(ProofError::TooShort)
    );
    // One hash for each level: 63 for one leaf, and 64 from the next size but one.
    let proof = [h; 63];
    assert_eq!(
        verify_inclusion(&h, MAX_SIZE - 1, MAX_SIZE, &h, &proof),
        Err(ProofError::Root)
    );
    assert_eq!(
        verify_inclusion(&h, 0, MAX_SIZE, &h, &proof[1..]),
        Err(ProofError::TooShort)
    );
    assert_eq!(
        verify_consistency(MAX_SIZE - 1, &h, MAX_SIZE, &h, &[h; 64]),
        Err(ProofError::OldRoot)
    );
}

#[test]
fn leaves_out_of_order_or_twice_are_refused() {
    let tree = tree(8);
    let root = tree.root(8).unwrap();
    for (shown, at) in [([3, 2], 2), ([3, 3], 3)] {
        assert_eq!(multi_proof(&tree, &shown, 8), Err(TreeError::Unsorted(at)));
        let leaves = shown.map(|n| (n, leaf(n)));
        assert_eq!(
            verify_multi(&leaves, 8, &root, &[]),
            Err(ProofError::Unsorted(at))
        );
    }
}

#[test]
fn a_store_that_lacks_a_hash_gives_an_error_that_names_it() {
    let missing = Err(TreeError::Node {
        level: 2,
        index: 1,
        source: MissingNode(6),
    });
    assert_eq!(inclusion_proof(&tree(6), 0, 8), missing);
    assert_eq!(consistency_proof(&tree(6), 4, 8), missing);
    assert_eq!(multi_proof(&tree(6), &[0], 8), missing);
}

#[test]
fn every_single_bit_of_leaf_root_and_proof_counts() {
    let tree = tree(7);
    let root = tree.root(7).unwrap();
    let old_root = tree.root(3).unwrap();
    let single = inclusion_proof(&tree, 2, 7).unwrap();
    let growth = consistency_proof(&tree, 3, 7).unwrap();
    let multi = multi_proof(&tree, &[2, 5], 7).unwrap();
    let shown = [(2, leaf(2)), (5, leaf(5))];
    for bit in 0..=255 {
        for bad in damaged(&single, bit) {
            assert!(verify_inclusion(&leaf(2), 2, 7, &root, &bad).is_err());
        }
        for bad in damaged(&growth, bit) {
            assert!(verify_consistency(3, &old_root, 7, &root, &bad).is_err());
        }
        for bad in damaged(&multi, bit) {
            assert!(verify_multi(&shown, 7, &root, &bad).is_err());
        }
        let bad = flipped(&root, bit);
        assert!(verify_inclusion(&leaf(2), 2, 7, &bad, &single).is_err());
        assert!(verify_consistency(3, &old_root, 7, &bad, &growth).is_err());
        assert!(verify_consistency(3, &flipped(&old_root, bit), 7, &root, &growth).is_err());
        assert!(verify_multi(&shown, 7, &bad, &multi).is_err());
        assert!(verify_inclusion(&flipped(&leaf(2), bit), 2, 7, &root, &single).is_err());
    }
}

proptest! {
    #[test]
    fn an_inclusion_proof_holds_and_no_changed_one_does(
        size in 1_u64..3_000, at in any::<Index>(), bit in any::<u8>(),
    ) {
        let tree = tree(size);
        let index = at.index(size as usize) as u64;
        let root = tree.root(size).unwrap();
        let proof = inclusion_proof(&tree, index, size).unwrap();
        prop_assert_eq!(verify_inclusion(&leaf(index), index, size, &root, &proof), Ok(()));
        for bad in damaged(&proof, bit) {
            prop_assert!(verify_inclusion(&leaf(index), index, size, &root, &bad).is_err());
        }
        let (bad_leaf, bad_root) = (flipped(&leaf(index), bit), flipped(&root, bit));
        prop_assert!(verify_inclusion(&bad_leaf, index, size, &root, &proof).is_err());
        prop_assert!(verify_inclusion(&leaf(index), index, size, &bad_root, &proof).is_err());
        let elsewhere = (index + 1) % size;
        if elsewhere != index {
            prop_assert!(verify_inclusion(&leaf(index), elsewhere, size, &root, &proof).is_err());
        }
    }

    #[test]
    fn a_consistency_proof_holds_and_no_changed_one_does(
        new in 2_u64..3_000, at in any::<Index>(), bit in any::<u8>(),
    ) {
        let tree = tree(new);
        let old = 1 + at.index(new as usize - 1) as u64;
        let (old_root, new_root) = (tree.root(old).unwrap(), tree.root(new).unwrap());
        let proof = consistency_proof(&tree, old, new).unwrap();
        prop_assert_eq!(verify_consistency(old, &old_root, new, &new_root, &proof), Ok(()));
        for bad in damaged(&proof, bit) {
            prop_assert!(verify_consistency(old, &old_root, new, &new_root, &bad).is_err());
        }
        let (bad_old, bad_new) = (flipped(&old_root, bit), flipped(&new_root, bit));
        prop_assert!(verify_consistency(old, &bad_old, new, &new_root, &proof).is_err());
        prop_assert!(verify_consistency(old, &old_root, new, &bad_new, &proof).is_err());
    }

    #[test]
    fn a_rewritten_tree_has_no_consistency_proof(
        new in 2_u64..500, at in any::<Index>(), changed in any::<Index>(),
    ) {
        let honest = tree(new);
        let old = 1 + at.index(new as usize - 1) as u64;
        let changed = changed.index(old as usize) as u64;
        let rewritten: MemoryTree =
            (0..new).map(|n| if n == changed { leaf(u64::MAX) } else { leaf(n) }).collect();
        let proof = consistency_proof(&rewritten, old, new).unwrap();
        prop_assert!(verify_consistency(
            old, &honest.root(old).unwrap(), new, &rewritten.root(new).unwrap(), &proof,
        ).is_err());
    }

    #[test]
    fn a_multi_proof_holds_and_no_changed_one_does(
        size in 1_u64..600,
        wanted in prop::collection::vec(any::<Index>(), 1..20),
        bit in any::<u8>(),
    ) {
        let tree = tree(size);
        let root = tree.root(size).unwrap();
        let shown: std::collections::BTreeSet<u64> =
            wanted.iter().map(|at| at.index(size as usize) as u64).collect();
        let shown: Vec<u64> = shown.into_iter().collect();
        let proof = multi_proof(&tree, &shown, size).unwrap();
        let leaves: Vec<(u64, Hash)> = shown.iter().map(|n| (*n, leaf(*n))).collect();
        prop_assert_eq!(verify_multi(&leaves, size, &root, &proof), Ok(()));
        for bad in damaged(&proof, bit) {
            prop_assert!(verify_multi(&leaves, size, &root, &bad).is_err());
        }
        prop_assert!(verify_multi(&leaves, size, &flipped(&root, bit), &proof).is_err());
        for at in 0..leaves.len() {
            let mut bad = leaves.clone();
            bad[at].1 = flipped(&bad[at].1, bit);
            prop_assert!(verify_multi(&bad, size, &root, &proof).is_err());
            let mut fewer = leaves.clone();
            fewer.remove(at);
            prop_assert!(verify_multi(&fewer, size, &root, &proof).is_err());
        }
    }

    #[test]
    fn for_one_leaf_a_multi_proof_is_the_inclusion_proof_from_left_to_right(
        size in 1_u64..3_000, at in any::<Index>(),
    ) {
        let tree = tree(size);
        let index = at.index(size as usize) as u64;
        let mut single = inclusion_proof(&tree, index, size).unwrap();
        let mut multi = multi_proof(&tree, &[index], size).unwrap();
        single.sort();
        multi.sort();
        prop_assert_eq!(single, multi);
    }

    #[test]
    fn no_numbers_make_a_verifier_panic(
        a in any::<u64>(), b in any::<u64>(), c in any::<u64>(), hashes in 0_usize..130,
    ) {
        let h = leaf(0);
        let proof = vec![h; hashes];
        prop_assert!(verify_inclusion(&h, a, b, &empty_root(), &proof).is_err());
        prop_assert!(verify_multi(&[(a, h), (b, h)], c, &empty_root(), &proof).is_err());
        if a != b && a != 0 {
            prop_assert!(verify_consistency(a, &h, b, &empty_root(), &proof).is_err());
        }
    }
}
