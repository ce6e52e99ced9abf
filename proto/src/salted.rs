//! Lines under a salted root: any subset can be shown, the others stay hashes.
//!
//! An RFC 6962 tree whose leaf `i` is SHA-256(0x00 ‖ salt_i ‖ content_i). The salts derive from
//! one seed that stays beside the contents, so that showing a leaf shows only its own salt.

use std::{collections::BTreeSet, fmt};

use ring::hmac;

use crate::tlog::{self, Hash, MemoryTree};

/// Most leaves under one root: 64 devices × 64 lines each = 4,096, and the totals line.
pub const MAX_LEAVES: usize = 4_097;

/// Most bytes of one leaf: a totals line of 64 devices is 64 × 45 = 2,880; a workload with all
/// its names at their limits stays below 4 KiB.
pub const MAX_LEAF_BYTES: usize = 4_096;

/// The secret from which the salts of one statement derive; fresh from the OS for each.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; 16]);

/// The salt of one leaf.
pub type Salt = [u8; 16];

impl Seed {
    /// Takes 16 random bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Gives the bytes, to be kept beside the leaves and nowhere else.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Derives salt `index`: the first 16 bytes of HMAC-SHA-256(seed, "affiant salt" ‖ u32 index,
    /// big-endian).
    pub fn salt(&self, index: u32) -> Salt {
        self.salts().salt(index)
    }

    /// Sets up the derivation once for many salts: half of what one costs.
    fn salts(&self) -> Salts {
        Salts(hmac::Key::new(hmac::HMAC_SHA256, &self.0))
    }
}

/// The keyed state from which all salts of one seed derive.
struct Salts(hmac::Key);

impl Salts {
    fn salt(&self, index: u32) -> Salt {
        let mut message = *b"affiant salt\0\0\0\0";
        message[12..].copy_from_slice(&index.to_be_bytes());
        let mut salt = [0; 16];
        salt.copy_from_slice(&hmac::sign(&self.0, &message).as_ref()[..16]);
        salt
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// Hashes one leaf with its salt.
pub fn salted_leaf(salt: &Salt, content: &[u8]) -> Hash {
    tlog::leaf_hash_of(salt, content)
}

/// Why leaves cannot stand under one root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadLeaves {
    /// More than [`MAX_LEAVES`].
    #[error("{0} leaves where at most {MAX_LEAVES} may stand under one root")]
    TooMany(usize),
    /// Longer than [`MAX_LEAF_BYTES`].
    #[error("leaf {index} is {bytes} bytes long where at most {MAX_LEAF_BYTES} are allowed")]
    TooLong {
        /// Which leaf.
        index: u32,
        /// How long it is.
        bytes: usize,
    },
    /// Count in the signed statement and number of leaves differ.
    #[error("the statement signs {signed} leaves, {given} are here")]
    Count {
        /// As signed.
        signed: u32,
        /// As given.
        given: usize,
    },
    /// The leaves hash to another root than the signed one.
    #[error("the leaves do not hash to the signed root")]
    Root,
    /// A disclosure whose indices are not rising, or beyond the count.
    #[error("leaf index {0} is out of order or beyond the signed count")]
    Index(u32),
}

/// All leaves of one statement with their seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaltedTree {
    seed: Seed,
    leaves: Vec<Vec<u8>>,
}

impl SaltedTree {
    /// Puts `leaves` under a root; errors when there are too many or one is too long.
    pub fn new(seed: Seed, leaves: Vec<Vec<u8>>) -> Result<Self, BadLeaves> {
        bounded(&leaves)?;
        Ok(Self { seed, leaves })
    }

    /// Checks that the leaves are those that a statement signed.
    pub fn matches(&self, root: &[u8], count: u32) -> Result<(), BadLeaves> {
        stand_under(root, count, &self.seed, &self.leaves)
    }

    /// The root over all leaves.
    pub fn root(&self) -> Hash {
        tlog::root_of(&self.hashes().collect::<Vec<_>>())
    }

    /// How many leaves there are.
    pub fn count(&self) -> u32 {
        // At most MAX_LEAVES, by construction.
        u32::try_from(self.leaves.len()).unwrap_or(u32::MAX)
    }

    /// The contents, in order.
    pub fn leaves(&self) -> &[Vec<u8>] {
        &self.leaves
    }

    /// Gives up the contents.
    pub fn into_leaves(self) -> Vec<Vec<u8>> {
        self.leaves
    }

    /// The seed of the salts.
    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    /// Shows the leaves of `indices` (those beyond the count are left out), hides the others.
    pub fn disclose(&self, indices: &BTreeSet<u32>) -> Disclosure {
        let mut tree = MemoryTree::default();
        self.hashes().for_each(|hash| tree.push(hash));
        let shown: Vec<Shown> = (0..)
            .zip(&self.leaves)
            .filter(|(index, _)| indices.contains(index))
            .map(|(index, leaf)| Shown {
                index,
                salt: self.seed.salt(index),
                content: leaf.clone(),
            })
            .collect();
        let places: Vec<u64> = shown.iter().map(|leaf| u64::from(leaf.index)).collect();
        // A tree in memory holds every node that its own size asks for.
        let proof = tlog::multi_proof(&tree, &places, u64::from(self.count())).unwrap_or_default();
        Disclosure { shown, proof }
    }

    fn hashes(&self) -> impl Iterator<Item = Hash> + '_ {
        hashes(&self.seed, &self.leaves)
    }
}

fn hashes(seed: &Seed, leaves: &[impl AsRef<[u8]>]) -> impl Iterator<Item = Hash> {
    let salts = seed.salts();
    (0..)
        .zip(leaves)
        .map(move |(index, leaf)| salted_leaf(&salts.salt(index), leaf.as_ref()))
}

/// Checks that leaves are few and short enough to stand under a root.
pub(crate) fn bounded(leaves: &[impl AsRef<[u8]>]) -> Result<(), BadLeaves> {
    if leaves.len() > MAX_LEAVES {
        return Err(BadLeaves::TooMany(leaves.len()));
    }
    for (index, leaf) in (0..).zip(leaves) {
        let bytes = leaf.as_ref().len();
        if bytes > MAX_LEAF_BYTES {
            return Err(BadLeaves::TooLong { index, bytes });
        }
    }
    Ok(())
}

/// Checks that leaves, salted from `seed`, are those that a statement signed.
pub(crate) fn stand_under(
    root: &[u8],
    count: u32,
    seed: &Seed,
    leaves: &[impl AsRef<[u8]>],
) -> Result<(), BadLeaves> {
    if u32::try_from(leaves.len()) != Ok(count) {
        return Err(BadLeaves::Count {
            signed: count,
            given: leaves.len(),
        });
    }
    let hashes: Vec<_> = hashes(seed, leaves).collect();
    if tlog::root_of(&hashes).as_bytes() != root {
        Err(BadLeaves::Root)
    } else {
        Ok(())
    }
}

/// One leaf that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its place under the root.
    pub index: u32,
    /// Its salt.
    pub salt: Salt,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// Some leaves with the hashes that tie them to the signed root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disclosure {
    /// The shown leaves, by rising index.
    pub shown: Vec<Shown>,
    /// The multi-proof (FORMAT.md).
    pub proof: Vec<Hash>,
}

impl Disclosure {
    /// Checks that every shown leaf stands under the signed root at its place.
    pub fn matches(&self, root: &[u8], count: u32) -> Result<(), BadLeaves> {
        let root: [u8; 32] = root.try_into().map_err(|_| BadLeaves::Root)?;
        let mut due = 0;
        for leaf in &self.shown {
            if leaf.index < due || leaf.index >= count {
                return Err(BadLeaves::Index(leaf.index));
            }
            if leaf.content.len() > MAX_LEAF_BYTES {
                let bytes = leaf.content.len();
                return Err(BadLeaves::TooLong {
                    index: leaf.index,
                    bytes,
                });
            }
            due = leaf.index + 1;
        }
        let leaves: Vec<(u64, Hash)> = self
            .shown
            .iter()
            .map(|leaf| {
                (
                    u64::from(leaf.index),
                    salted_leaf(&leaf.salt, &leaf.content),
                )
            })
            .collect();
        tlog::verify_multi(&leaves, u64::from(count), &Hash::from(root), &self.proof)
            .map_err(|_| BadLeaves::Root)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree(count: usize) -> SaltedTree {
        let leaves = (0..count)
            .map(|n| format!("line {n}").into_bytes())
            .collect();
        SaltedTree::new(Seed::new([9; 16]), leaves).unwrap()
    }

    proptest! {
        #[test]
        fn any_subset_can_be_shown_and_proved(
            count in 0_usize..40,
            wanted in prop::collection::btree_set(0_u32..40, 0..12),
        ) {
            let tree = tree(count);
            let disclosed = tree.disclose(&wanted);
            prop_assert_eq!(disclosed.shown.len(), wanted.iter().filter(|i| (**i as usize) < count).count());
            prop_assert_eq!(disclosed.matches(tree.root().as_bytes(), tree.count()), Ok(()));
        }

        #[test]
        fn a_swapped_or_changed_line_does_not_fit(
            count in 2_usize..40, at in any::<prop::sample::Index>(), bit in 0_u8..8,
        ) {
            let tree = tree(count);
            let all = (0..tree.count()).collect();
            let root = *tree.root().as_bytes();
            let mut changed = tree.disclose(&all);
            let place = at.index(count);
            changed.shown[place].content[0] ^= 1 << bit;
            prop_assert_eq!(changed.matches(&root, tree.count()), Err(BadLeaves::Root));
            let mut swapped = tree.disclose(&all);
            let other = (place + 1) % count;
            let kept = swapped.shown[place].content.clone();
            swapped.shown[place].content = swapped.shown[other].content.clone();
            swapped.shown[other].content = kept;
            prop_assert_eq!(swapped.matches(&root, tree.count()), Err(BadLeaves::Root));
        }
    }

    #[test]
    fn a_shown_salt_tells_nothing_of_its_neighbours() {
        let seed = Seed::new([1; 16]);
        assert_ne!(seed.salt(0), seed.salt(1));
        let one = tree(3).disclose(&[1].into());
        assert_eq!(one.shown.len(), 1);
        assert_eq!(one.proof.len(), 2);
    }

    #[test]
    fn leaves_beyond_the_limits_are_refused() {
        let seed = || Seed::new([0; 16]);
        let many = vec![Vec::new(); MAX_LEAVES + 1];
        assert_eq!(
            SaltedTree::new(seed(), many),
            Err(BadLeaves::TooMany(MAX_LEAVES + 1))
        );
        let long = vec![vec![0; MAX_LEAF_BYTES + 1]];
        assert!(matches!(
            SaltedTree::new(seed(), long),
            Err(BadLeaves::TooLong { index: 0, .. })
        ));
    }
}
