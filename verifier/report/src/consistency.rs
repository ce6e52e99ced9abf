//! Proofs that the log only grew between earlier checkpoints and the bundle's.
//!
//! # Bytes of `consistency`
//!
//! UTF-8 text. The line `affiant consistency 1`, then one block per earlier size, sizes strictly
//! rising: a line `old SIZE ROOT`, one line per hash of the RFC 6962 consistency proof from that
//! size to the bundle's checkpoint, and an empty line. Sizes are decimal, roots and hashes 64
//! hexadecimal digits in lower case.

use std::fmt::Write as _;

use affiant_proto::tlog::{self, Hash, Nodes, TreeError};

const TITLE: &str = "affiant consistency 1";

/// Most earlier checkpoints: 100 cosigned ones, 100 that hosts embed, 50 that successions went on
/// from, the report's basis, and room for those of earlier reports.
pub const MAX_EARLIER: usize = 256;

/// Most bytes of the file: 256 blocks of a line of 100 and 64 hashes of 65, 1.1 MB.
pub const MAX_CONSISTENCY_BYTES: u64 = (MAX_EARLIER as u64) * (100 + 64 * 65) + 32;

/// An earlier state of the log with the proof that the bundle's tree begins with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Leaves of the earlier tree; at least 1.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The consistency proof.
    pub proof: Vec<Hash>,
}

/// Why text is not such a file, or a proof in it does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadConsistency {
    /// A line that is not in its one spelling.
    #[error("line {0} of the consistency file is not in the one accepted spelling")]
    Line(usize),
    /// More than [`MAX_EARLIER`] blocks.
    #[error("the consistency file has more than {MAX_EARLIER} earlier sizes")]
    TooMany,
    /// A proof that does not lead from one root to the other.
    #[error("the log at size {size} does not begin the log of the bundle: {source}")]
    Proof {
        /// The earlier size.
        size: u64,
        /// Why.
        source: tlog::ProofError,
    },
}

/// Makes the proofs from `sizes` to the tree of `new` leaves; sizes of 0 or above it are left out.
pub fn prove<N: Nodes>(
    nodes: &N,
    sizes: impl IntoIterator<Item = u64>,
    new: u64,
) -> Result<Vec<Earlier>, TreeError<N::Error>> {
    let mut sizes: Vec<u64> = sizes
        .into_iter()
        .filter(|size| (1..=new).contains(size))
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    let newest = sizes.split_off(sizes.len().saturating_sub(MAX_EARLIER));
    let one = |size| {
        let root = tlog::root_at(nodes, size)?;
        Ok(Earlier {
            size,
            root,
            proof: tlog::consistency_proof(nodes, size, new)?,
        })
    };
    newest.into_iter().map(one).collect()
}

/// Spells the file.
pub fn spell(earlier: &[Earlier]) -> String {
    let mut out = format!("{TITLE}\n");
    for block in earlier {
        // Writing into a string cannot fail.
        let _ = writeln!(out, "old {} {}", block.size, block.root);
        for hash in &block.proof {
            let _ = writeln!(out, "{hash}");
        }
        out.push('\n');
    }
    out
}

/// Reads the file and checks every proof against the bundle's checkpoint.
pub fn read(text: &str, size: u64, root: &Hash) -> Result<Vec<Earlier>, BadConsistency> {
    let mut lines = (1..).zip(text.split_terminator('\n'));
    match lines.next() {
        Some((_, line)) if line == TITLE && text.ends_with('\n') => {}
        _ => return Err(BadConsistency::Line(1)),
    }
    let mut blocks: Vec<Earlier> = Vec::new();
    let mut open: Option<Earlier> = None;
    let mut last = 1;
    for (number, line) in lines {
        last = number;
        let bad = || BadConsistency::Line(number);
        match &mut open {
            None => open = Some(old(line).ok_or_else(bad)?),
            Some(_) if line.is_empty() => {
                if blocks.len() >= MAX_EARLIER {
                    return Err(BadConsistency::TooMany);
                }
                blocks.extend(open.take());
            }
            Some(block) => block.proof.push(line.parse().map_err(|_| bad())?),
        }
    }
    // One spelling: what was read prints the same, so sizes rise and numbers are shortest.
    if open.is_some() || spell(&blocks) != text || !blocks.is_sorted_by(|a, b| a.size < b.size) {
        return Err(BadConsistency::Line(last));
    }
    for block in &blocks {
        tlog::verify_consistency(block.size, &block.root, size, root, &block.proof).map_err(
            |source| BadConsistency::Proof {
                size: block.size,
                source,
            },
        )?;
    }
    Ok(blocks)
}

fn old(line: &str) -> Option<Earlier> {
    let (size, root) = line.strip_prefix("old ")?.split_once(' ')?;
    let size = size.parse().ok().filter(|size| *size > 0)?;
    Some(Earlier {
        size,
        root: root.parse().ok()?,
        proof: Vec::new(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use affiant_proto::tlog::MemoryTree;

    use super::*;

    fn tree(size: u64) -> MemoryTree {
        (0..size)
            .map(|n| tlog::leaf_hash(&n.to_be_bytes()))
            .collect()
    }

    fn file() -> (Vec<Earlier>, Hash) {
        let tree = tree(20);
        (
            prove(&tree, [13, 5, 0, 5, 20, 21], 20).unwrap(),
            tree.root(20).unwrap(),
        )
    }

    #[test]
    fn proofs_read_back_and_hold() {
        let (made, root) = file();
        assert_eq!(
            made.iter().map(|block| block.size).collect::<Vec<_>>(),
            [5, 13, 20]
        );
        assert_eq!(read(&spell(&made), 20, &root).unwrap(), made);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (made, root) = file();
        let text = spell(&made);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(read(&changed, 20, &root).is_err(), "byte {at}");
        }
        assert!(read(&text[..text.len() - 1], 20, &root).is_err());
    }

    #[test]
    fn an_earlier_root_of_another_log_does_not_begin_this_one() {
        let (mut made, root) = file();
        made[0].root = tlog::leaf_hash(b"another");
        let found = read(&spell(&made), 20, &root).unwrap_err();
        assert!(
            matches!(found, BadConsistency::Proof { size: 5, .. }),
            "{found}"
        );
    }

    #[test]
    fn only_the_newest_sizes_are_kept() {
        let tree = tree(300);
        let made = prove(&tree, 1..=300, 300).unwrap();
        assert_eq!(made.len(), MAX_EARLIER);
        assert_eq!(made.last().unwrap().size, 300);
    }
}
