//! Verifying a bundle, or a whole log: every check in its order, without network, clock or server.
//!
//! What holds the checks together is one reading of the evidence by the code that made the
//! report; what the report says is then only compared.

mod anchor;
mod checks;
mod compare;
mod evidence;
mod log;
mod trusted;
mod verdict;
mod whole;

pub use checks::Checks;
pub use verdict::{
    Anchor, AnchorKind, Check, Completeness, CompletenessState, Conclusion, Findings, Integrity,
    IntegrityState, Verdict, Witness,
};
pub use whole::{Unheld, WholeLog};

use affiant_proto::{digest, tlog::Note};

use crate::{
    consistency::MAX_CONSISTENCY_BYTES,
    document::{Claim, MAX_REPORT_BYTES},
    evidence::BadEvidence,
    files::{self, Files, Unread, whole},
    trust::Trust,
};
use checks::Stop;
use compare::{figures, judged};
use evidence::evidence;
use log::{anchored, checkpoint, consistency, inclusion, issued, past, views};

/// Most bytes of a page or guide: the page repeats the report in more words.
const MAX_PAGE_BYTES: u64 = 2 * MAX_REPORT_BYTES;

/// Most bytes of a signed note.
const MAX_CHECKPOINT_BYTES: u64 = affiant_proto::tlog::MAX_NOTE_BYTES as u64;

/// Why no verdict was reached: the storage failed, which says nothing about the evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoVerdict {
    /// A small file.
    #[error(transparent)]
    File(Unread),
    /// The evidence.
    #[error(transparent)]
    Evidence(BadEvidence),
}

/// Verifies a bundle by what the reader trusts and kept. Gives an error only when the storage
/// fails; everything else is in the verdict.
pub fn verify(
    files: &dyn Files,
    trust: Option<&Trust>,
    since: Option<&Note>,
) -> Result<Verdict, NoVerdict> {
    let mut checks = Checks::default();
    match examine(&mut checks, files, trust, since) {
        // What broke is in the checks.
        Ok(()) | Err(Stop::Broken) => Ok(checks.conclude_bundle(trust.is_some())),
        Err(Stop::Io(error)) => Err(error),
    }
}

fn examine(
    checks: &mut Checks,
    files: &dyn Files,
    trust: Option<&Trust>,
    since: Option<&Note>,
) -> Result<(), Stop> {
    let report = small(checks, files, files::REPORT, MAX_REPORT_BYTES)?;
    let signature = small(
        checks,
        files,
        files::SIGNATURE,
        affiant_proto::statement::MAX_STATEMENT_BYTES as u64,
    )?;
    let note = small(checks, files, files::CHECKPOINT, MAX_CHECKPOINT_BYTES)?;
    let earlier = small(checks, files, files::CONSISTENCY, MAX_CONSISTENCY_BYTES)?;
    let claim = Claim::read(&report).map_err(|bad| checks.broken("report", bad.to_string()))?;

    let read = evidence(checks, files, &claim, trust)?;
    let signed = checkpoint(checks, &note, &read.key, &claim)?;
    inclusion(checks, &read, signed.checkpoint())?;
    let earlier = consistency(checks, &earlier, &claim, signed.checkpoint())?;
    let past = past(&read, &earlier, signed.checkpoint(), since);
    views(checks, &read.reading, &past);
    issued(checks, &read, &signature, &claim, digest(&report));
    anchored(checks, &read.reading, &signed, &past, trust, since);
    figures(checks, files, &read.reading, &claim, &report, &signed)?;
    judged(checks, &read.reading, &claim, trust);
    Ok(())
}

/// Reads a small file whole; what is missing or too long breaks the evidence.
fn small(checks: &mut Checks, files: &dyn Files, name: &str, limit: u64) -> Result<Vec<u8>, Stop> {
    match whole(files, name, limit) {
        Ok(bytes) => Ok(bytes),
        Err(error @ Unread::Io { .. }) => Err(Stop::Io(NoVerdict::File(error))),
        Err(bad) => Err(checks.broken("files", bad.to_string())),
    }
}
