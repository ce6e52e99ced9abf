//! How the files of a bundle are read: from a directory, or from memory.

use std::{collections::BTreeMap, io, io::Read};

use affiant_proto::Digest;

use crate::plain_file::remedy;

/// The report: figures and findings, as JSON.
pub const REPORT: &str = "report.json";
/// The `report-issued` statement over the digest of the report.
pub const SIGNATURE: &str = "report.cose";
/// The report for people.
pub const PAGE: &str = "report.html";
/// The checkpoint to which all evidence is tied, a C2SP note with its cosignatures.
pub const CHECKPOINT: &str = "checkpoint";
/// Proofs that the log only grew since earlier checkpoints.
pub const CONSISTENCY: &str = "consistency";
/// Statements, shown leaves and their one multi-proof.
pub const EVIDENCE: &str = "evidence.bin";
/// How to verify, for people.
pub const GUIDE: &str = "VERIFY.md";

/// Every file of a bundle but exhibits, in the order in which they are written.
pub const ALL: [&str; 7] = [
    REPORT,
    SIGNATURE,
    PAGE,
    CHECKPOINT,
    CONSISTENCY,
    EVIDENCE,
    GUIDE,
];

/// Where a bundle has the exhibit of a digest, which the statement that names it calls for.
pub fn exhibit(named: &Digest) -> String {
    format!("exhibits/{named}")
}

/// Gives the files of a bundle by name. What it gives is not trusted.
pub trait Files {
    /// Opens a file for one reading; none when there is no such file.
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn Read + '_>>>;
}

impl Files for BTreeMap<String, Vec<u8>> {
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        Ok(self
            .get(name)
            .map(|bytes| Box::new(bytes.as_slice()) as Box<dyn Read>))
    }
}

/// Why a small file of a bundle could not be had whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unread {
    /// The storage failed: says nothing about the evidence.
    #[error(
        "{name} could not be read: {source}; {} and read the bundle again",
        remedy(source)
    )]
    Io {
        /// Name of the file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The bundle lacks it.
    #[error("the bundle has no file {0}; ask for the whole bundle")]
    Missing(String),
    /// Longer than any bundle's.
    #[error("{name} is longer than {limit} bytes, the most that a bundle's may have")]
    TooLong {
        /// Name of the file.
        name: String,
        /// The limit, in bytes.
        limit: u64,
    },
}

/// Reads one file whole, at most `limit` bytes.
pub fn whole(files: &dyn Files, name: &str, limit: u64) -> Result<Vec<u8>, Unread> {
    let io = |source| Unread::Io {
        name: name.to_owned(),
        source,
    };
    let file = files.open(name).map_err(io)?;
    let file = file.ok_or_else(|| Unread::Missing(name.to_owned()))?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(Unread::TooLong {
            name: name.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beyond_its_limit_or_missing_is_said_to_be() {
        let files = BTreeMap::from([("a".to_owned(), vec![1, 2, 3])]);
        assert_eq!(whole(&files, "a", 3).unwrap(), [1, 2, 3]);
        assert!(matches!(
            whole(&files, "a", 2),
            Err(Unread::TooLong { limit: 2, .. })
        ));
        assert!(matches!(whole(&files, "b", 2), Err(Unread::Missing(_))));
    }
}
