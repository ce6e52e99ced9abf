//! A finding, derived again from a log or a bundle, with each piece of its evidence.

use std::collections::BTreeSet;

use affiant_judge::{Finding, Judge, exhibits, objections::Objection};
use affiant_proto::{Disclosure, envelope};
use affiant_report::{
    Verdict,
    digits::{FirstDigits, NotOne},
    document::{Claim, MAX_REPORT_BYTES},
    evidence::{Entry, Reader},
    files::{self, EVIDENCE, Files, REPORT, Unread, whole},
    reading::Reading,
    verify::Checks,
    words::meaning,
};
use serde::Serialize;

use super::{
    NotShown,
    context::Context,
    record::{Record, records},
};
use crate::log::{self, Asked, Found, Store, Watch};

/// A finding with its evidence.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// The finding, as it follows from what is here.
    pub finding: Finding,
    /// What its rule means, and what a reader may do.
    pub meaning: &'static str,
    /// What its tenant says against it; it changes nothing that is judged.
    pub objections: Vec<Objection>,
    /// Its evidence, as far as the finding lists it.
    pub records: Vec<Record>,
    /// Indices of evidence that a bundle does not show.
    pub not_shown: Vec<u64>,
}

/// Derives a finding again from a whole log, all of which is verified on the way.
pub fn explain_log(
    store: &dyn Store,
    id: &FirstDigits,
    asked: &Asked<'_>,
    watch: &mut dyn Watch,
) -> Result<(Explained, Verdict), NotShown> {
    let mut checks = Checks::default();
    let found = Found::of(store, &mut checks)?;
    let read = log::read(store, &found, asked, watch, &mut checks)?;
    let mut finding = None;
    if let Some(read) = read {
        let judge = read.log.judge();
        finding = Some(disputed(judge, named(judge, id)?));
        read.log
            .conclude(&mut checks, found.note.as_deref(), asked.since, read.whole);
    }
    let (finding, objections) = finding.ok_or_else(|| NotShown::NoFinding(id.clone()))?;
    let indices: BTreeSet<u64> = finding.evidence.indices.iter().copied().collect();
    let records = records(store, &found, &indices, asked.trust)?;
    let verdict = checks.conclude_log(asked.trust.is_some());
    let disputed = (finding, objections);
    Ok((explained(disputed, &indices, records), verdict))
}

/// The finding whose id begins so, also one of a policy in shadow.
fn named(judge: &Judge, id: &FirstDigits) -> Result<Finding, NotShown> {
    let all = judge.findings().into_iter().chain(judge.tried());
    let found = id.one(all, |finding| &finding.id);
    found.map_err(|error| match error {
        NotOne::None(id) => NotShown::NoFinding(id),
        several => NotShown::Ambiguous(several),
    })
}

/// Derives a finding again from a bundle; what ties that to the log is for `verify` to say.
pub fn explain_bundle(files: &dyn Files, id: &FirstDigits) -> Result<Explained, NotShown> {
    let report = whole(files, REPORT, MAX_REPORT_BYTES)?;
    let claim = Claim::read(&report).map_err(|bad| NotShown::Report(bad.to_string()))?;
    let mut reader = open(files)?;
    let first = reader.next_entry()?;
    let first = first.ok_or(affiant_report::reading::Unsound::NoGenesis)?;
    let mut reading = Reading::open(first, claim.period, claim.parameters.clone())?;
    while let Some(entry) = reader.next_entry()? {
        // The report's own statement comes after what it is about.
        if entry.index < claim.size {
            if let Some(named) = exhibits::named(entry.statement.body()) {
                let name = files::exhibit(&named);
                match whole(files, &name, exhibits::MAX_EXHIBIT_BYTES as u64) {
                    Ok(bytes) => reading.exhibit(bytes),
                    Err(Unread::Missing(_)) => {}
                    Err(bad) => return Err(bad.into()),
                }
            }
            reading.take(entry)?;
        }
    }
    let (finding, objections) = disputed(reading.judge(), named(reading.judge(), id)?);
    let indices: BTreeSet<u64> = finding.evidence.indices.iter().copied().collect();

    let mut chains = BTreeSet::new();
    each(files, |entry| {
        if indices.contains(&entry.index) {
            let statement = &entry.statement;
            chains.insert(
                statement
                    .header()
                    .chain()
                    .unwrap_or_else(|| statement.digest()),
            );
        }
    })?;
    let mut context = Context::new(chains, indices.clone());
    each(files, |entry| {
        let leaves = shown(&entry);
        context.take(entry.index, &entry.statement, &leaves);
    })?;
    let disputed = (finding, objections);
    Ok(explained(disputed, &indices, context.finish()))
}

/// A finding with what is said against it.
fn disputed(judge: &Judge, finding: Finding) -> (Finding, Vec<Objection>) {
    let all = judge.objections().iter();
    let against = all.filter(|it| it.disputes(&finding)).cloned().collect();
    (finding, against)
}

fn explained(
    (finding, objections): (Finding, Vec<Objection>),
    indices: &BTreeSet<u64>,
    records: Vec<Record>,
) -> Explained {
    let shown: BTreeSet<u64> = records.iter().map(|record| record.index).collect();
    Explained {
        meaning: meaning(finding.rule),
        finding,
        objections,
        not_shown: indices.difference(&shown).copied().collect(),
        records,
    }
}

fn open(files: &dyn Files) -> Result<Reader<Box<dyn std::io::Read + '_>>, NotShown> {
    let name = || EVIDENCE.to_owned();
    let file = files.open(EVIDENCE).map_err(|source| Unread::Io {
        name: name(),
        source,
    })?;
    Ok(Reader::open(file.ok_or_else(|| Unread::Missing(name()))?)?)
}

fn each(files: &dyn Files, mut visit: impl FnMut(Entry)) -> Result<(), NotShown> {
    let mut reader = open(files)?;
    while let Some(entry) = reader.next_entry()? {
        visit(entry);
    }
    Ok(())
}

/// The leaves that a bundle shows of an entry, each in its place.
fn shown(entry: &Entry) -> Vec<Option<Vec<u8>>> {
    let Some((_, count)) = envelope::root(entry.statement.body()) else {
        return Vec::new();
    };
    let mut leaves = vec![None; (count as usize).min(affiant_proto::salted::MAX_LEAVES)];
    let Disclosure { shown, .. } = &entry.disclosure;
    for leaf in shown {
        if let Some(place) = leaves.get_mut(leaf.index as usize) {
            *place = Some(leaf.content.clone());
        }
    }
    leaves
}
