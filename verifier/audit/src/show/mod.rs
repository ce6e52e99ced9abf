//! One record, or one finding with its evidence, shown readably and with its proof.

mod body;
mod context;
mod explain;
mod proof;
mod record;
pub mod text;
mod usage;

use std::path::PathBuf;

use affiant_report::{
    digits::{FirstDigits, NotOne},
    evidence::BadEvidence,
    files,
    reading::Unsound,
    segment::BadSegment,
};

use crate::log::{Failure, Unread};

pub use body::Field;
pub use explain::{Explained, explain_bundle, explain_log};
pub use record::{Held, Record, Seen, Which, record};
pub use usage::{Line, Total, Usage};

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotShown {
    /// There is no log, or the storage failed.
    #[error(transparent)]
    Log(#[from] Failure),
    /// A file of a bundle.
    #[error(transparent)]
    Bundle(#[from] files::Unread),
    /// The evidence of a bundle.
    #[error(transparent)]
    Evidence(#[from] BadEvidence),
    /// A segment in which it should be.
    #[error(transparent)]
    Segment(#[from] BadSegment),
    /// An entry on the way to it.
    #[error("{path}: log index {index}: {fault}")]
    Entry {
        /// The segment.
        path: PathBuf,
        /// The entry.
        index: u64,
        /// What is wrong.
        fault: String,
    },
    /// Evidence that cannot be judged.
    #[error("{0}")]
    Unsound(#[from] Unsound),
    /// A bundle whose report cannot be read.
    #[error("report.json: {0}")]
    Report(String),
    /// No such record.
    #[error("{0} is not in this log, which has {1} entries")]
    NoRecord(Which, u64),
    /// Digits with which no record begins, or several do.
    #[error("records: {0}")]
    Which(NotOne),
    /// No such finding.
    #[error("there is no finding {0}; `log --json` or report.json list those that there are")]
    NoFinding(FirstDigits),
    /// Several begin so.
    #[error("findings: {0}")]
    Ambiguous(NotOne),
}

impl From<Unread> for NotShown {
    fn from(unread: Unread) -> Self {
        Self::Log(unread.into())
    }
}
