//! What can be wrong with evidence.

use affiant_judge::admission::Refusal;

/// Most faults that are kept, each with its own words; one is enough to break the evidence.
pub(super) const MAX_FAULTS: usize = 100;

/// What is wrong with evidence of which each statement holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Entries of the period that are not there.
    #[error("log entries {first} to {last} of the period are not shown; ask for the whole bundle")]
    NotShown {
        /// First index.
        first: u64,
        /// Last index.
        last: u64,
    },
    /// Records of a host that are neither there nor announced as lost.
    #[error(
        "{chain}: statements {first} to {last} are missing, and no gap statement accounts for them"
    )]
    Missing {
        /// Host and chain.
        chain: String,
        /// First sequence.
        first: u64,
        /// Last sequence.
        last: u64,
    },
    /// The log's clock did not advance.
    #[error("clock at log index {0} does not advance on the one before it")]
    Clock(u64),
    /// Two roots of one size: the log was shown differently to different hosts.
    #[error(
        "split view: statement at log index {index} saw the log at size {size} under another root \
         than the rest of the evidence"
    )]
    SplitView {
        /// Where it was embedded.
        index: u64,
        /// The size.
        size: u64,
    },
}

/// Why reading stopped: what follows cannot be judged either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsound {
    /// The first entry is not the genesis at index 0.
    #[error("the first entry is not the genesis of the log at index 0")]
    NoGenesis,
    /// A statement that is not admitted.
    #[error("log index {index} ({place}): {source}")]
    Refused {
        /// Its log index.
        index: u64,
        /// Host or officer and sequence, as far as known.
        place: String,
        /// Why.
        source: Refusal,
    },
}
