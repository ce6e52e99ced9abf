//! How the log's tree grows: what a leaf and a proof cost at one size and at a hundred times that.
//!
//! The leaves are digests of numbers, so that millions are at hand; tiles, proofs and their
//! verification are those of verifier and auditor, tiles read from the disk with no cache between.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use affiant_proto::{
    Digest, digest,
    tlog::{
        Hash, Nodes, Tile, TileKind, TilePath, consistency_proof, inclusion_proof, leaf_hash,
        node_hash, node_place, root_at, verify_consistency, verify_inclusion,
    },
};
use affiant_report::edge::{Edge, Made};
use serde::Serialize;

use crate::{primitive::thread_time, random::Random};

/// Leaves of one segment: a second of a million GPUs.
const SEGMENT: u64 = 12_500;

/// Segments over which a leaf's cost is taken, the last ones before a size.
const SEGMENTS: u64 = 8;

/// Proofs of each kind over which theirs is taken.
const PROOFS: u32 = 500;

/// What was measured at one size. Times are CPU time in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Grown {
    /// Leaves of the tree.
    pub leaves: u64,
    /// One hash of two nodes, to hold the others against.
    pub hash_us: f64,
    /// Adding a leaf: hashes, tiles, and writing these each [`SEGMENT`] leaves.
    pub append_us: f64,
    /// Making an inclusion proof of a random leaf.
    pub prove_us: f64,
    /// Hashes of it.
    pub proof_hashes: f64,
    /// Verifying it.
    pub verify_us: f64,
    /// Making a consistency proof from a random older size.
    pub extend_us: f64,
    /// Hashes of it.
    pub extend_hashes: f64,
    /// Verifying it.
    pub verify_extension_us: f64,
    /// Bytes of all full tiles and bundles, per leaf.
    pub bytes_per_leaf: f64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotGrown {
    /// The directory is there already, or the disk said no.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Sizes that do not rise.
    #[error("--leaves {0}: sizes from 100,000 on that rise are due")]
    Sizes(u64),
    /// What was proved does not verify: a fault of this program or of the tree.
    #[error("{0}")]
    Wrong(String),
}

fn wrong(error: impl std::fmt::Display) -> NotGrown {
    NotGrown::Wrong(error.to_string())
}

/// Grows a tree whose tiles come to stand in `out`, and measures it at each of `sizes`.
pub fn grow(out: &Path, sizes: &[u64], mut at: impl FnMut(&Grown)) -> Result<(), NotGrown> {
    let mut last = SEGMENT * SEGMENTS - 1;
    for size in sizes {
        if *size <= last {
            return Err(NotGrown::Sizes(*size));
        }
        last = *size;
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| NotGrown::Io { path, source }
    };
    fs::create_dir(out).map_err(failed(out))?;
    let mut tree = Tree {
        out: out.to_owned(),
        edge: Edge::default(),
        bytes: 0,
    };
    let mut random = Random::new(1, 1);
    for size in sizes {
        while tree.edge.size() < size - SEGMENT * SEGMENTS {
            let left = size - SEGMENT * SEGMENTS - tree.edge.size();
            tree.append(left.min(SEGMENT)).map_err(failed(out))?;
        }
        let begun = thread_time();
        for _ in 0..SEGMENTS {
            tree.append(SEGMENT).map_err(failed(out))?;
        }
        let append_us = each(begun, SEGMENT * SEGMENTS);
        at(&tree.measure(append_us, &mut random)?);
    }
    Ok(())
}

/// CPU time of one of `count` since `begun`, microseconds.
#[expect(clippy::cast_precision_loss, reason = "some millions, exact")]
fn each(begun: Duration, count: u64) -> f64 {
    thread_time().saturating_sub(begun).as_secs_f64() * 1e6 / count as f64
}

fn leaf(number: u64) -> Digest {
    digest(&number.to_be_bytes())
}

struct Tree {
    out: PathBuf,
    edge: Edge,
    /// Of full tiles and bundles.
    bytes: u64,
}

impl Tree {
    fn append(&mut self, count: u64) -> io::Result<()> {
        let old = self.edge.size();
        let mut made = Vec::new();
        for number in old..old + count {
            self.edge.push(&leaf(number), |full| made.push(full));
        }
        self.bytes += made.iter().map(|full| full.bytes.len() as u64).sum::<u64>();
        made.extend(self.edge.partial(old));
        made.iter().try_for_each(|made| self.write(made))
    }

    fn write(&self, made: &Made) -> io::Result<()> {
        let path = self.out.join(made.path.to_string());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, &made.bytes)
    }

    #[expect(clippy::cast_precision_loss, reason = "some millions, exact")]
    fn measure(&self, append_us: f64, random: &mut Random) -> Result<Grown, NotGrown> {
        let (size, root) = (self.edge.size(), self.edge.root());
        let begun = thread_time();
        let mut hash = root;
        for _ in 0..SEGMENT {
            hash = node_hash(&hash, &root);
        }
        let hash_us = each(std::hint::black_box((begun, hash)).0, SEGMENT);

        let picked: Vec<u64> = (0..PROOFS).map(|_| random.within(0, size - 1)).collect();
        let begun = thread_time();
        let proofs = picked
            .iter()
            .map(|index| inclusion_proof(self, *index, size));
        let proofs: Vec<Vec<Hash>> = proofs.collect::<Result<_, _>>().map_err(wrong)?;
        let prove_us = each(begun, PROOFS.into());
        let begun = thread_time();
        for (index, proof) in picked.iter().zip(&proofs) {
            let leaf = leaf_hash(leaf(*index).as_bytes());
            verify_inclusion(&leaf, *index, size, &root, proof).map_err(wrong)?;
        }
        let verify_us = each(begun, PROOFS.into());
        let hashes = |proofs: &[Vec<Hash>]| proofs.iter().map(Vec::len).sum::<usize>() as f64;
        let proof_hashes = hashes(&proofs) / f64::from(PROOFS);

        let mut olds = Vec::new();
        for old in picked.iter().map(|index| index + 1) {
            olds.push((old, root_at(self, old).map_err(wrong)?));
        }
        let begun = thread_time();
        let proofs = olds
            .iter()
            .map(|(old, _)| consistency_proof(self, *old, size));
        let proofs: Vec<Vec<Hash>> = proofs.collect::<Result<_, _>>().map_err(wrong)?;
        let extend_us = each(begun, PROOFS.into());
        let begun = thread_time();
        for ((old, was), proof) in olds.iter().zip(&proofs) {
            verify_consistency(*old, was, size, &root, proof).map_err(wrong)?;
        }
        Ok(Grown {
            leaves: size,
            hash_us,
            append_us,
            prove_us,
            proof_hashes,
            verify_us,
            extend_us,
            extend_hashes: hashes(&proofs) / f64::from(PROOFS),
            verify_extension_us: each(begun, PROOFS.into()),
            bytes_per_leaf: self.bytes as f64 / size as f64,
        })
    }
}

/// A tile that is not there, or not one.
#[derive(Debug, thiserror::Error)]
#[error("the tile of level {0}, index {1} cannot be read")]
struct NoTile(u8, u64);

impl Nodes for Tree {
    type Error = NoTile;

    fn node(&self, level: u8, index: u64) -> Result<Hash, NoTile> {
        let none = || NoTile(level, index);
        let place = node_place(level, index).ok_or_else(none)?;
        let kind = TileKind::Hashes { level: place.level };
        let path = TilePath::within(kind, place.tile, self.edge.size()).ok_or_else(none)?;
        let bytes = fs::read(self.out.join(path.to_string())).map_err(|_| none())?;
        let tile = Tile::parse(&bytes).map_err(|_| none())?;
        tile.node(&place).ok_or_else(none)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_measured_at_each_size_and_its_proofs_are_longer_by_its_height_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut grown = Vec::new();
        let sizes = [100_000, 200_000];
        grow(&dir.path().join("tree"), &sizes, |at| grown.push(*at)).unwrap();
        assert_eq!(grown.iter().map(|at| at.leaves).collect::<Vec<_>>(), sizes);
        for at in &grown {
            assert!((16.0..18.5).contains(&at.proof_hashes), "{at:?}");
            assert!((65.9..66.3).contains(&at.bytes_per_leaf), "{at:?}");
            assert!(at.append_us > 0.0 && at.prove_us > at.hash_us, "{at:?}");
        }
    }

    #[test]
    fn sizes_that_do_not_rise_and_a_folder_that_is_there_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("tree");
        for sizes in [vec![99_999], vec![100_000, 100_000]] {
            assert!(matches!(
                grow(&out, &sizes, |_| {}),
                Err(NotGrown::Sizes(_))
            ));
        }
        let there = grow(dir.path(), &[100_000], |_| {});
        assert!(matches!(there, Err(NotGrown::Io { .. })));
    }
}
