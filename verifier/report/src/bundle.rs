//! Making a bundle: build the report from the log, let the log take its digest, then finish.
//!
//! ```text
//! build(log up to the basis) ─▶ Bundle ─ body() ─▶ report-issued, logged ─▶ checkpoint ─ finish ─▶ files
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use affiant_judge::{Parameters, exhibits};
use affiant_proto::{
    Body, Digest, Disclosure, Statement, digest,
    tlog::{Checkpoint, Nodes, SignedCheckpoint, TreeError, multi_proof},
    v1,
};

use crate::{
    consistency,
    document::{Claim, Document},
    evidence::{self, Entry},
    files, guide, page,
    reading::{Fault, Reading, Unsound},
    scope::{Period, Scope},
    select::{BadLog, Selection, Selector},
};

/// What is to be reported.
#[derive(Clone, Debug)]
pub struct Order {
    /// The period.
    pub period: Period,
    /// Whose lines are shown.
    pub scope: Scope,
    /// By what uses are judged.
    pub parameters: Parameters,
    /// The log as it stands: every figure is computed from its first `size` entries.
    pub basis: Checkpoint,
    /// Sizes of checkpoints that readers may have kept, to which the bundle is tied, too.
    pub kept: BTreeSet<u64>,
}

/// Why a report could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError<E> {
    /// The log could not be read.
    #[error("the log could not be read: {0}")]
    Log(E),
    /// Entries do not come one after the other up to the basis.
    #[error("the log gave entry {got} where {due} was due; restore the log from a copy")]
    Order {
        /// Index due.
        due: u64,
        /// Index given, or the number of entries when they end.
        got: u64,
    },
    /// An entry that cannot be read.
    #[error(transparent)]
    Entry(#[from] BadLog),
    /// It gives no report: the log on disk is not what was admitted into it.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// An exhibit could not be read.
    #[error("exhibit {named} could not be read: {source}")]
    Exhibit {
        /// Which.
        named: Digest,
        /// Why.
        source: io::Error,
    },
    /// Something is missing from the log.
    #[error("the log is not whole: {0}")]
    Fault(Fault),
}

/// A report with its evidence, not yet issued.
#[derive(Debug)]
pub struct Bundle {
    claim: Claim,
    document: Document,
    report: Vec<u8>,
    entries: Vec<Entry>,
    exhibits: BTreeMap<Digest, Vec<u8>>,
    earlier: BTreeSet<u64>,
}

/// Builds the report from `log`: all envelopes from index 0 on; those beyond the basis are left.
/// `exhibit` gives the file of a digest, where it is at hand.
pub fn build<E>(
    order: Order,
    log: impl IntoIterator<Item = Result<(u64, Vec<u8>), E>>,
    exhibit: impl Fn(&Digest) -> io::Result<Option<Vec<u8>>>,
) -> Result<Bundle, BuildError<E>> {
    let mut selector = Selector::new(order.period, order.scope.clone());
    let mut due = 0;
    for entry in log {
        if due == order.basis.size() {
            break;
        }
        let (index, envelope) = entry.map_err(BuildError::Log)?;
        if index != due {
            return Err(BuildError::Order { due, got: index });
        }
        selector.take(index, &envelope)?;
        due += 1;
    }
    if due != order.basis.size() {
        return Err(BuildError::Order { due, got: due });
    }
    let mut selection = selector.finish();
    let bodies = selection.entries.iter().map(|entry| entry.statement.body());
    for named in bodies.filter_map(exhibits::named) {
        let read = exhibit(&named).map_err(|source| BuildError::Exhibit { named, source })?;
        selection.exhibits.extend(read.map(|bytes| (named, bytes)));
    }
    let (bundle, faults) = assemble(order, selection)?;
    match faults.into_iter().next() {
        None => Ok(bundle),
        Some(fault) => Err(BuildError::Fault(fault)),
    }
}

/// Why a selection gives no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// A statement that is not admitted.
    #[error(transparent)]
    Unsound(#[from] Unsound),
    /// The report cannot be spelled.
    #[error("the report could not be spelled as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Puts a report together from a selection, whole or not, and gives what is missing from it:
/// every reader will find the same. [`build`] refuses to report on such a log.
pub fn assemble(order: Order, selection: Selection) -> Result<(Bundle, Vec<Fault>), AssembleError> {
    let claim = Claim {
        period: order.period,
        scope: order.scope,
        origin: order.basis.origin().clone(),
        size: order.basis.size(),
        root: *order.basis.root(),
        parameters: order.parameters,
        rules_version: affiant_judge::RULES_VERSION.to_owned(),
    };
    let mut entries = selection.entries.iter().cloned();
    let first = entries.next().ok_or(Unsound::NoGenesis)?;
    let mut reading = Reading::open(first, claim.period, claim.parameters.clone())?;
    for entry in entries {
        let named = exhibits::named(entry.statement.body());
        if let Some(bytes) = named.and_then(|named| selection.exhibits.get(&named)) {
            reading.exhibit(bytes.clone());
        }
        reading.take(entry)?;
    }
    let faults = reading.finish(claim.size);
    let document = Document::of(&reading, &claim);
    let report = document.to_json()?;
    let mut earlier = selection.earlier;
    earlier.extend(order.kept);
    earlier.insert(claim.size);
    Ok((
        Bundle {
            claim,
            document,
            report,
            entries: selection.entries,
            exhibits: selection.exhibits,
            earlier,
        },
        faults,
    ))
}

/// The files of a bundle: name and bytes, in the order of [`files::ALL`], then exhibits.
pub type Written = Vec<(String, Vec<u8>)>;

/// Why a bundle could not be finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinishError<E: std::error::Error + 'static> {
    /// The statement is not the one of this report.
    #[error("the report-issued statement does not name this report; log the body that it gives")]
    OtherReport,
    /// The checkpoint does not cover the statement.
    #[error("the checkpoint of size {size} does not cover the report-issued statement at {index}")]
    Uncovered {
        /// Size of the checkpoint.
        size: u64,
        /// Index of the statement.
        index: u64,
    },
    /// The log could not give a hash.
    #[error(transparent)]
    Tree(#[from] TreeError<E>),
}

impl Bundle {
    /// The bytes of `report.json`.
    pub fn report(&self) -> &[u8] {
        &self.report
    }

    /// What the report says.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// SHA-256 of `report.json`.
    pub fn digest(&self) -> Digest {
        digest(&self.report)
    }

    /// What the operator's chain shall say of this report.
    pub fn body(&self) -> v1::ReportIssued {
        v1::ReportIssued {
            header: None,
            report: self.digest().as_bytes().to_vec(),
            size: self.claim.size,
            from_unix_ms: self.claim.period.from(),
            to_unix_ms: self.claim.period.to(),
            tenant: self.claim.scope.tenant().to_owned(),
        }
    }

    /// Finishes the bundle with the logged statement, a checkpoint that covers it, with whatever
    /// cosignatures it has, and the log's tree. Gives the files by name.
    pub fn finish<N: Nodes>(
        mut self,
        issued: (u64, Statement),
        checkpoint: &SignedCheckpoint,
        nodes: &N,
    ) -> Result<Written, FinishError<N::Error>>
    where
        N::Error: std::error::Error + 'static,
    {
        let (index, statement) = issued;
        let said = match statement.body() {
            Body::ReportIssued(said) => v1::ReportIssued {
                header: None,
                ..said.clone()
            },
            _ => return Err(FinishError::OtherReport),
        };
        if said != self.body() || index < self.claim.size {
            return Err(FinishError::OtherReport);
        }
        let (size, root) = (
            checkpoint.checkpoint().size(),
            *checkpoint.checkpoint().root(),
        );
        if index >= size {
            return Err(FinishError::Uncovered { size, index });
        }
        let signature = statement.as_bytes().to_vec();
        self.entries.push(Entry {
            index,
            statement,
            disclosure: Disclosure::default(),
        });
        let indices: Vec<u64> = self.entries.iter().map(|entry| entry.index).collect();
        let proof = multi_proof(nodes, &indices, size)?;
        // An unwitnessed checkpoint that a host embeds may be newer than the one at hand.
        let earlier = self.earlier.into_iter().filter(|earlier| *earlier < size);
        let earlier = consistency::prove(nodes, earlier.collect::<Vec<_>>(), size)?;
        let shown = page::Anchored::of(checkpoint.note(), checkpoint.checkpoint());
        let page = page::render(&self.document, digest(&self.report), &shown);
        let guide = guide::render(&self.document, digest(&self.report), &shown);
        let files = [
            (files::REPORT, self.report),
            (files::SIGNATURE, signature),
            (files::PAGE, page.into_bytes()),
            (
                files::CHECKPOINT,
                checkpoint.note().to_string().into_bytes(),
            ),
            (
                files::CONSISTENCY,
                consistency::spell(&earlier).into_bytes(),
            ),
            (
                files::EVIDENCE,
                evidence::spell(size, root, &self.entries, &proof),
            ),
            (files::GUIDE, guide.into_bytes()),
        ];
        let exhibits = self.exhibits.into_iter();
        let exhibits = exhibits.map(|(named, bytes)| (files::exhibit(&named), bytes));
        let files = files.map(|(name, bytes)| (name.to_owned(), bytes));
        Ok(files.into_iter().chain(exhibits).collect())
    }
}
