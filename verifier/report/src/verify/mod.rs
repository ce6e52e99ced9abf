//! Verifying a bundle: every check in its order, without network, clock or server.
//!
//! What holds the checks together is one reading of the evidence by the code that made the
//! report; what the report says is then only compared.

mod anchor;
mod verdict;

pub use verdict::{
    Anchor, AnchorKind, Check, Completeness, CompletenessState, Conclusion, Findings, Integrity,
    IntegrityState, Verdict, Witness,
};

use std::collections::BTreeMap;

use affiant_judge::{Amount, HostState, RULES_VERSION};
use affiant_proto::{
    Body, Digest, PublicKey, digest,
    tlog::{Checkpoint, Hash, Note, NoteKey, SignedCheckpoint, verify_multi},
    v1,
};

use crate::{
    consistency::{self, Earlier, MAX_CONSISTENCY_BYTES},
    differ::differ,
    document::{Claim, Document, MAX_REPORT_BYTES},
    evidence::{BadEvidence, Entry, Reader},
    files::{self, Files, Unread, whole},
    guide,
    page::{self, Anchored},
    prefix,
    reading::{Reading, Unsound},
    trust::{self, Trust},
};
use anchor::Found;

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
        Ok(()) | Err(Stop::Broken) => Ok(checks.conclude(trust.is_some())),
        Err(Stop::Io(error)) => Err(error),
    }
}

/// Why the checks end early.
enum Stop {
    Broken,
    Io(NoVerdict),
}

/// The checks so far and what they found.
#[derive(Default)]
struct Checks {
    list: Vec<Check>,
    broken: Vec<String>,
    incomplete: Vec<&'static str>,
    anchor: Anchor,
    document: Option<Document>,
}

impl Checks {
    fn fine(&mut self, name: &'static str, detail: impl Into<String>) {
        self.list.push(Check {
            name,
            ok: true,
            detail: detail.into(),
            unknown: false,
        });
    }

    fn unknown(&mut self, name: &'static str, detail: impl Into<String>) {
        let detail = detail.into();
        self.incomplete.push(name);
        self.list.push(Check {
            name,
            ok: false,
            detail,
            unknown: true,
        });
    }

    fn broken(&mut self, name: &'static str, detail: impl Into<String>) -> Stop {
        let detail = detail.into();
        self.broken.push(detail.clone());
        self.list.push(Check {
            name,
            ok: false,
            detail,
            unknown: false,
        });
        Stop::Broken
    }

    fn found(&mut self, name: &'static str, found: Found) {
        match found {
            Found::Fine(detail) => self.fine(name, detail),
            Found::Unknown(detail) => self.unknown(name, detail),
            Found::Broken(detail) => {
                self.broken(name, detail);
            }
        }
    }

    fn conclude(mut self, trusted: bool) -> Verdict {
        let integrity = match self.broken.first() {
            Some(first) => Integrity { state: IntegrityState::Broken, text: format!("broken: {first}") },
            None if trusted => Integrity {
                state: IntegrityState::Holds,
                text: "every signature, chain, line and proof holds, and every figure was computed again".to_owned(),
            },
            None => Integrity {
                state: IntegrityState::Unproven,
                text: "everything agrees with the keys in the bundle itself; nobody but the bundle vouches for them".to_owned(),
            },
        };
        self.anchor.text = anchor::words(&self.anchor);
        let (findings, completeness) = match &self.document {
            Some(document) => (
                Findings::of(document.findings.clone()),
                self.completeness(document),
            ),
            None => (Findings::unknown(), nothing_shown()),
        };
        let verdict = if !self.broken.is_empty() {
            Conclusion::Broken
        } else if !self.incomplete.is_empty() {
            Conclusion::Incomplete
        } else if findings.count > 0 {
            Conclusion::Findings
        } else {
            Conclusion::Clean
        };
        Verdict {
            verdict,
            anchor: self.anchor,
            integrity,
            completeness,
            findings,
            checks: self.list,
        }
    }

    fn completeness(&self, document: &Document) -> Completeness {
        let shown = &document.completeness;
        let withheld = match shown.lines_withheld {
            0 => "every line of every record is shown".to_owned(),
            lines => format!(
                "{lines} lines are withheld; their {} of device time stand in the totals",
                crate::calendar::length(shown.withheld_ms.0)
            ),
        };
        // Trust and anchor have statements of their own.
        let own = ["trust", "witnesses", "kept"];
        let open: Vec<&str> = self
            .incomplete
            .iter()
            .copied()
            .filter(|name| !own.contains(name))
            .collect();
        let (state, text) = if !open.is_empty() {
            let text = format!("incomplete, see above: {}; {withheld}", open.join(", "));
            (CompletenessState::Incomplete, text)
        } else if shown.lines_withheld > 0 {
            (CompletenessState::Totals, withheld)
        } else {
            (CompletenessState::Full, withheld)
        };
        Completeness {
            state,
            lines_withheld: shown.lines_withheld,
            withheld_ms: shown.withheld_ms,
            not_judged: document.not_judged.clone(),
            text,
        }
    }
}

fn nothing_shown() -> Completeness {
    Completeness {
        state: CompletenessState::Incomplete,
        lines_withheld: 0,
        withheld_ms: Amount(0),
        not_judged: BTreeMap::new(),
        text: "not known: the evidence could not be judged".to_owned(),
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
    anchored(checks, &read.key, &signed, &past, trust, since);
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

/// Evidence that was read to its end.
struct Read {
    reading: Reading,
    leaves: Vec<(u64, Hash)>,
    head: crate::evidence::Head,
    proof: Vec<Hash>,
    issued: Option<Entry>,
    key: NoteKey,
}

/// Reads all evidence: every signature, every place in a chain, every shown leaf.
fn evidence(
    checks: &mut Checks,
    files: &dyn Files,
    claim: &Claim,
    trust: Option<&Trust>,
) -> Result<Read, Stop> {
    let file = files.open(files::EVIDENCE).map_err(|source| {
        let name = files::EVIDENCE.to_owned();
        Stop::Io(NoVerdict::File(Unread::Io { name, source }))
    })?;
    let missing = || Unread::Missing(files::EVIDENCE.to_owned()).to_string();
    let file = file.ok_or_else(|| checks.broken("files", missing()))?;
    let bad = |checks: &mut Checks, error: BadEvidence| match error {
        BadEvidence::Io { .. } => Stop::Io(NoVerdict::Evidence(error)),
        bad => checks.broken("statements", bad.to_string()),
    };
    let mut reader = Reader::open(file).map_err(|error| bad(checks, error))?;
    let head = reader.head();
    let first = reader.next_entry().map_err(|error| bad(checks, error))?;
    let first = first.ok_or_else(|| checks.broken("statements", Unsound::NoGenesis.to_string()))?;
    let mut leaves = vec![(first.index, first.leaf())];
    let opened = Reading::open(first, claim.period, claim.parameters.clone());
    let mut reading = opened.map_err(|error| checks.broken("statements", error.to_string()))?;
    let key = trusted(checks, &reading, trust)?;
    let mut issued = None;
    while let Some(entry) = reader.next_entry().map_err(|error| bad(checks, error))? {
        leaves.push((entry.index, entry.leaf()));
        let taken = if entry.index < claim.size {
            reading.take(entry)
        } else if issued.is_none() {
            issued = Some(entry.clone());
            reading.take_issued(entry)
        } else {
            let text = format!(
                "log index {}: nothing but the report's own statement belongs after the basis",
                entry.index
            );
            return Err(checks.broken("statements", text));
        };
        taken.map_err(|error| checks.broken("statements", error.to_string()))?;
    }
    let proof = reader.into_proof().map_err(|error| bad(checks, error))?;
    checks.fine(
        "statements",
        format!(
            "{} statements: every signature, chain and shown line holds",
            leaves.len()
        ),
    );
    let faults = reading.finish(claim.size);
    match faults.first() {
        None => {
            let (from, to) = reading.span();
            let to = to.unwrap_or(claim.size.saturating_sub(1));
            checks.fine(
                "whole",
                format!("every log entry from {from} to {to} is shown, and no chain has a hole"),
            );
        }
        Some(first) if faults.len() == 1 => {
            checks.broken("whole", first.to_string());
        }
        Some(first) => {
            checks.broken("whole", format!("{first} (and {} more)", faults.len() - 1));
        }
    }
    officers(checks, &reading, trust);
    late(checks, &reading);
    Ok(Read {
        reading,
        leaves,
        head,
        proof,
        issued,
        key,
    })
}

/// Says of which hosts records of the period may have been logged after what is shown: those
/// that are expected to report, and of which no record after the period is there.
fn late(checks: &mut Checks, reading: &Reading) {
    if reading.span().1.is_none() {
        checks.fine(
            "late",
            "the log is shown to its end, so nothing that came late is left out",
        );
        return;
    }
    let expected = |state| {
        matches!(
            state,
            HostState::Enrolled | HostState::Approved | HostState::Maintenance
        )
    };
    let hosts = reading
        .judge()
        .hosts()
        .into_iter()
        .filter(|host| expected(host.state));
    let open = hosts.filter(|host| {
        let chain: Option<Digest> = host.chain.parse().ok();
        !chain
            .and_then(|chain| reading.hosts().get(&chain))
            .is_some_and(|seen| seen.closed)
    });
    let open: Vec<String> = open.map(|host| host.host).collect();
    if open.is_empty() {
        checks.fine(
            "late",
            "of every host a record after the period is shown, so none of the period is left out",
        );
    } else {
        let text =
            "no record after the period is shown, so what was sent late may be left out, of hosts";
        checks.unknown("late", format!("{text} {}", open.join(", ")));
    }
}

/// Holds the genesis against what the reader trusts; gives the key that signs checkpoints.
fn trusted(checks: &mut Checks, reading: &Reading, trust: Option<&Trust>) -> Result<NoteKey, Stop> {
    let (genesis, found) = reading.genesis();
    let own = trust::log_key(genesis).map_err(|bad| checks.broken("trust", bad.to_string()))?;
    let Some(trust) = trust else {
        checks.unknown("trust", fingerprints(genesis, found, &own));
        return Ok(own);
    };
    let ca = Digest::try_from(genesis.ca.as_slice()).ok();
    let wrong = if trust.genesis() != found {
        Some(format!(
            "the genesis is {found}, and you trust {}",
            trust.genesis()
        ))
    } else if *trust.log() != own {
        Some(format!(
            "the log's key is {own}, and you trust {}",
            trust.log()
        ))
    } else if ca != Some(trust.ca()) {
        Some(format!(
            "the authority is not {}, which you trust",
            trust.ca()
        ))
    } else {
        None
    };
    match wrong {
        Some(wrong) => {
            checks.broken("trust", wrong);
        }
        None => checks.fine(
            "trust",
            format!("genesis {found}, log key and authority are those you trust"),
        ),
    }
    Ok(trust.log().clone())
}

/// Holds the officers against what the reader trusts, once all are known.
fn officers(checks: &mut Checks, reading: &Reading, trust: Option<&Trust>) {
    let Some(trust) = trust else { return };
    let known = |key: &[u8]| PublicKey::ed25519(key).is_ok_and(|key| trust.knows(&key));
    let (genesis, _) = reading.genesis();
    if let Some(stranger) = genesis.officers.iter().find(|officer| !known(&officer.key)) {
        checks.broken(
            "officers",
            format!(
                "officer {} of the genesis is not among those you trust",
                stranger.name
            ),
        );
        return;
    }
    let later: Vec<&str> = reading
        .officers()
        .into_iter()
        .filter(|officer| !known(&officer.key))
        .map(|officer| officer.name.as_str())
        .collect();
    match later.is_empty() {
        true => checks.fine("officers", "every officer is among those you trust"),
        false => checks.fine(
            "officers",
            format!(
                "admitted by two officers each, and not in your list: {}",
                later.join(", ")
            ),
        ),
    }
}

/// Says what to compare by another channel.
fn fingerprints(genesis: &v1::Genesis, digest: Digest, key: &NoteKey) -> String {
    let ca = Digest::try_from(genesis.ca.as_slice())
        .map_or("not a digest".to_owned(), |ca| ca.to_string());
    let officers = genesis.officers.iter().map(|officer| {
        let id = PublicKey::ed25519(&officer.key)
            .map_or("refused key".to_owned(), |key| key.id().to_string());
        format!("{} {id}", officer.name)
    });
    let officers: Vec<String> = officers.collect();
    format!(
        "no trust was given; compare by another channel: genesis {digest}; log key {key}; authority {ca}; officers {}",
        officers.join(", ")
    )
}

fn checkpoint(
    checks: &mut Checks,
    note: &[u8],
    key: &NoteKey,
    claim: &Claim,
) -> Result<SignedCheckpoint, Stop> {
    let signed =
        Checkpoint::open(note, key).map_err(|bad| checks.broken("checkpoint", bad.to_string()))?;
    let size = signed.checkpoint().size();
    checks.anchor.size = Some(size);
    checks.anchor.root = Some(signed.checkpoint().root().to_string());
    if signed.checkpoint().origin() != &claim.origin {
        return Err(checks.broken(
            "checkpoint",
            format!(
                "the report names log {}, the checkpoint {}",
                claim.origin,
                signed.checkpoint().origin()
            ),
        ));
    }
    // One spelling: what is not part of the note would be seen by nobody.
    if signed.note().to_string().as_bytes() != note {
        return Err(checks.broken("checkpoint", "the checkpoint is not in its one spelling"));
    }
    checks.fine("checkpoint", format!("signed by {key}, size {size}"));
    Ok(signed)
}

fn inclusion(checks: &mut Checks, read: &Read, now: &Checkpoint) -> Result<(), Stop> {
    if (read.head.size, read.head.root) != (now.size(), *now.root()) {
        return Err(checks.broken(
            "inclusion",
            "the evidence is tied to another checkpoint than the bundle's",
        ));
    }
    verify_multi(&read.leaves, now.size(), now.root(), &read.proof).map_err(|bad| {
        checks.broken(
            "inclusion",
            format!("the evidence is not in the log: {bad}"),
        )
    })?;
    checks.fine(
        "inclusion",
        format!(
            "all {} statements are in the log of size {}",
            read.leaves.len(),
            now.size()
        ),
    );
    Ok(())
}

fn consistency(
    checks: &mut Checks,
    file: &[u8],
    claim: &Claim,
    now: &Checkpoint,
) -> Result<Vec<Earlier>, Stop> {
    let text = std::str::from_utf8(file)
        .map_err(|_| checks.broken("consistency", "the consistency file is not text"))?;
    let earlier = consistency::read(text, now.size(), now.root())
        .map_err(|bad| checks.broken("consistency", bad.to_string()))?;
    let basis = earlier.iter().find(|block| block.size == claim.size);
    match basis {
        Some(basis) if basis.root == claim.root => {}
        Some(_) => {
            return Err(checks.broken(
                "consistency",
                "the report's basis has another root than the log at that size",
            ));
        }
        None => {
            return Err(checks.broken(
                "consistency",
                "the bundle does not prove that the log grew from the report's basis",
            ));
        }
    }
    checks.fine(
        "consistency",
        format!(
            "earlier states of the log, the report's basis among them: {}, and it only grew since",
            earlier.len()
        ),
    );
    Ok(earlier)
}

/// The roots that the log had at the sizes that somebody saw: proved ones, and those that what is
/// shown gives.
fn past(
    read: &Read,
    earlier: &[Earlier],
    now: &Checkpoint,
    since: Option<&Note>,
) -> BTreeMap<u64, Hash> {
    let kept = since.and_then(|note| note.text().parse::<Checkpoint>().ok());
    let seen = read.reading.checkpoints().keys().copied();
    let sizes = seen.chain(kept.map(|kept| kept.size())).collect();
    let mut roots = prefix::roots(&read.leaves, now.size(), &read.proof, &sizes);
    roots.extend(earlier.iter().map(|block| (block.size, block.root)));
    roots.insert(now.size(), *now.root());
    roots
}

/// Holds what hosts and witnesses saw of the log against the log.
fn views(checks: &mut Checks, reading: &Reading, past: &BTreeMap<u64, Hash>) {
    let mut seen = 0_u64;
    for (size, (root, index)) in reading.checkpoints() {
        let Some(here) = past.get(size) else {
            continue;
        };
        seen += 1;
        if here != root {
            checks.broken(
                "views",
                format!(
                    "the log was rewritten or forked: the statement at log index {index} saw size {size} under \
                     root {root}, this log has {here}"
                ),
            );
            return;
        }
    }
    checks.fine(
        "views",
        format!(
            "states of the log that hosts or witnesses saw: {seen}, all of them states of this log"
        ),
    );
}

fn issued(checks: &mut Checks, read: &Read, signature: &[u8], claim: &Claim, report: Digest) {
    let (_, genesis) = read.reading.genesis();
    let said = read
        .issued
        .as_ref()
        .and_then(|entry| match entry.statement.body() {
            Body::ReportIssued(said) => Some((entry, said)),
            _ => None,
        });
    let Some((entry, said)) = said else {
        checks.broken(
            "issued",
            "the log has no statement that this report was issued",
        );
        return;
    };
    let fits = said.size == claim.size
        && said.from_unix_ms == claim.period.from()
        && said.to_unix_ms == claim.period.to()
        && said.tenant == claim.scope.tenant()
        && entry.statement.header().chain() == Some(genesis);
    if said.report != report.as_bytes() {
        checks.broken("issued", "report.json is not the report that was issued: its SHA-256 is not the one that was signed");
    } else if !fits {
        checks.broken(
            "issued",
            "the statement that the report was issued names another period, scope or basis",
        );
    } else if entry.statement.as_bytes() != signature {
        checks.broken("issued", "report.cose is not the statement that was logged");
    } else {
        checks.fine(
            "issued",
            format!(
                "the operator signed SHA-256 {report}, log index {}",
                entry.index
            ),
        );
    }
}

fn anchored(
    checks: &mut Checks,
    key: &NoteKey,
    signed: &SignedCheckpoint,
    past: &BTreeMap<u64, Hash>,
    trust: Option<&Trust>,
    since: Option<&Note>,
) {
    let mut anchor = std::mem::take(&mut checks.anchor);
    let witnesses = anchor::witnesses(&mut anchor, signed, trust);
    let kept = since.map(|note| anchor::kept(&mut anchor, note, key, signed.checkpoint(), past));
    checks.anchor = anchor;
    checks.found("witnesses", witnesses);
    if let Some(kept) = kept {
        checks.found("kept", kept);
    }
}

/// Makes the report, its page and its guide again and compares the bytes.
fn figures(
    checks: &mut Checks,
    files: &dyn Files,
    reading: &Reading,
    claim: &Claim,
    report: &[u8],
    signed: &SignedCheckpoint,
) -> Result<(), Stop> {
    let document = Document::of(reading, claim);
    let due = document
        .to_json()
        .map_err(|bad| checks.broken("figures", bad.to_string()))?;
    let shown = Anchored::of(signed.note(), signed.checkpoint());
    let page = page::render(&document, digest(report), &shown);
    let guide = guide::render(&document, digest(report), &shown);
    let records = document.completeness.records;
    checks.document = Some(document);
    if claim.rules_version != RULES_VERSION {
        checks.unknown(
            "figures",
            format!("difference in judgement: the report was made by rules {}, this tool judges by {RULES_VERSION}; findings below are by {RULES_VERSION}", claim.rules_version),
        );
        return Ok(());
    }
    if due != report {
        checks.broken("figures", difference(&due, report));
        return Ok(());
    }
    checks.fine(
        "figures",
        format!(
            "every figure and finding was computed again from {records} records and is the same"
        ),
    );
    for (name, due) in [(files::PAGE, page), (files::GUIDE, guide)] {
        if small(checks, files, name, MAX_PAGE_BYTES)? != due.as_bytes() {
            checks.broken(
                "page",
                format!("{name} does not say what report.json says; read the report, not the page"),
            );
            return Ok(());
        }
    }
    checks.fine(
        "page",
        "report.html and VERIFY.md say what report.json says",
    );
    Ok(())
}

/// Says where a report departs from its evidence.
fn difference(due: &[u8], report: &[u8]) -> String {
    let read = |bytes| serde_json::from_slice::<serde_json::Value>(bytes);
    let (Ok(due), Ok(found)) = (read(due), read(report)) else {
        return "report.json is not JSON".to_owned();
    };
    let Some(path) = differ(&due, &found) else {
        return "report.json says what its evidence gives, in another spelling".to_owned();
    };
    let withheld = |said: &serde_json::Value| {
        said.pointer("/completeness/lines_withheld")
            .and_then(serde_json::Value::as_u64)
    };
    let lines = match (withheld(&due), withheld(&found)) {
        (Some(due), Some(found)) if due != found => {
            format!("; {due} lines are withheld where the report says {found}")
        }
        _ => String::new(),
    };
    format!("report.json differs from what its evidence gives, first at {path}{lines}")
}

/// Says what was not judged, or judged by other parameters or from other sources than the reader
/// accepts.
fn judged(checks: &mut Checks, reading: &Reading, claim: &Claim, trust: Option<&Trust>) {
    let not_judged = reading.judge().figures().not_judged;
    let kinds: Vec<String> = not_judged
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    if kinds.is_empty() {
        checks.fine(
            "judged",
            "every statement in the evidence is of a kind that the rules judge",
        );
    } else {
        checks.unknown(
            "judged",
            format!(
                "statements that the rules do not judge: {}",
                kinds.join(", ")
            ),
        );
    }
    let wanted = trust
        .map(|trust| trust.parameters().clone())
        .unwrap_or_default();
    if wanted == claim.parameters {
        checks.fine(
            "parameters",
            "uses were judged by the parameters that you accept",
        );
    } else {
        let differs = match (
            serde_json::to_value(&wanted),
            serde_json::to_value(&claim.parameters),
        ) {
            (Ok(wanted), Ok(found)) => differ(&wanted, &found).unwrap_or_default(),
            _ => String::new(),
        };
        checks.unknown(
            "parameters",
            format!("uses were judged by other parameters than you accept, first at {differs}; compare rules.parameters of report.json with your trust file"),
        );
    }
    let others = reading
        .hosts()
        .values()
        .flat_map(|host| host.sources.iter().filter(|(kind, _)| **kind != "nvml"));
    let others: u64 = others.map(|(_, count)| *count).sum();
    if others == 0 {
        checks.fine(
            "sources",
            "every record was measured through nvml, as its host signed",
        );
    } else if trust.is_some_and(Trust::accepts_recorded) {
        checks.fine("sources", format!("{others} records come from recorded traces or simulated libraries, which you accept"));
    } else {
        checks.unknown(
            "sources",
            format!("{others} records were not measured: they come from recorded traces or simulated libraries"),
        );
    }
}
