//! Why a proof does not hold.

use super::tree::MAX_SIZE;

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// A size above [`MAX_SIZE`].
    #[error("a tree of {0} leaves is beyond the limit of 2^63")]
    TooLarge(u64),
    /// An index at or beyond the size.
    #[error("leaf {index} cannot be in a tree of {size} leaves")]
    Outside {
        /// The index.
        index: u64,
        /// The size.
        size: u64,
    },
    /// An old size above the new one.
    #[error("a tree of {old} leaves cannot grow into one of {new}")]
    Backwards {
        /// The size said to be older.
        old: u64,
        /// The size said to be newer.
        new: u64,
    },
    /// Leaves that are not in strictly rising order.
    #[error("leaf {0} stands out of order in the proof")]
    Unsorted(u64),
    /// Fewer hashes than the sizes and indices ask for.
    #[error("the proof lacks hashes; get it again for this very size")]
    TooShort,
    /// More hashes than the sizes and indices ask for.
    #[error("the proof has hashes to spare; get it again for this very size")]
    TooLong,
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root; leaf, root or proof were changed")]
    Root,
    /// The hashes do not lead to the older root.
    #[error("the proof does not lead to the older root; the log was rewritten or forked")]
    OldRoot,
}

pub(super) fn within_limit(size: u64) -> Result<(), ProofError> {
    if size > MAX_SIZE {
        return Err(ProofError::TooLarge(size));
    }
    Ok(())
}
