//! Holding the evidence against the log: its checkpoint, its tree, its past.

use std::collections::BTreeMap;

use affiant_proto::{
    Body, Digest,
    authority::{Fate, Generation},
    tlog::{Checkpoint, Hash, Note, NoteKey, SignedCheckpoint, verify_multi},
};

use super::{
    anchor,
    checks::{Checks, Stop},
    evidence::Read,
};
use crate::{
    consistency::{self, Earlier},
    document::Claim,
    prefix,
    reading::Reading,
    trust::Trust,
};

pub(super) fn checkpoint(
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

pub(super) fn inclusion(checks: &mut Checks, read: &Read, now: &Checkpoint) -> Result<(), Stop> {
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

pub(super) fn consistency(
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
pub(super) fn past(
    read: &Read,
    earlier: &[Earlier],
    now: &Checkpoint,
    since: Option<&Note>,
) -> BTreeMap<u64, Hash> {
    let kept = since.and_then(|note| note.text().parse::<Checkpoint>().ok());
    let seen = read.reading.checkpoints().keys().map(|(_, size)| *size);
    let lineage = read.reading.authorities().lineage().generations();
    let went_on = lineage.filter_map(|it| Some(it.opening()?.kept().size()));
    let sizes = seen
        .chain(went_on)
        .chain(kept.map(|kept| kept.size()))
        .collect();
    let mut roots = prefix::roots(&read.leaves, now.size(), &read.proof, &sizes);
    roots.extend(earlier.iter().map(|block| (block.size, block.root)));
    roots.insert(now.size(), *now.root());
    roots
}

/// Holds what hosts and witnesses saw of the log, and what successions kept of it, against the log.
pub(super) fn views(checks: &mut Checks, reading: &Reading, past: &BTreeMap<u64, Hash>) {
    let lineage = reading.authorities().lineage();
    if let Some(wrong) = lineage.generations().find_map(|it| kept_wrong(it, past)) {
        checks.broken("views", wrong);
        return;
    }
    let (mut seen, mut lost) = (0_u64, 0_u64);
    for ((generation, size), (root, index)) in reading.checkpoints() {
        let Some(generation) = lineage.generations().nth(*generation) else {
            continue;
        };
        let origin = generation.origin().as_str();
        match lineage.fate(origin, *size, root) {
            Fate::Standing => {}
            Fate::Lost(_) => {
                lost += 1;
                continue;
            }
            Fate::Hidden(_) | Fate::Impossible | Fate::Foreign => {
                let text = format!(
                    "the statement at log index {index} saw {origin} at size {size} under root \
                     {root}, which the log's succession denies: it hides more than it declares"
                );
                checks.broken("views", text);
                return;
            }
        }
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
    let lost = match lost {
        0 => String::new(),
        lost => format!("; {lost} more lie in what a succession declares as lost"),
    };
    checks.fine(
        "views",
        format!(
            "states of the log that hosts or witnesses saw: {seen}, all of them states of this log{lost}"
        ),
    );
}

/// Says how a generation did not begin with what its succession names, as far as that can be told.
fn kept_wrong(generation: &Generation, past: &BTreeMap<u64, Hash>) -> Option<String> {
    let kept = generation.opening()?.kept();
    let here = past.get(&kept.size())?;
    (here != kept.root()).then(|| {
        format!(
            "{} says that it goes on from size {} under root {}, and the log there has {here}",
            generation.origin(),
            kept.size(),
            kept.root()
        )
    })
}

pub(super) fn issued(
    checks: &mut Checks,
    read: &Read,
    signature: &[u8],
    claim: &Claim,
    report: Digest,
) {
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

pub(super) fn anchored(
    checks: &mut Checks,
    reading: &Reading,
    signed: &SignedCheckpoint,
    past: &BTreeMap<u64, Hash>,
    trust: Option<&Trust>,
    since: Option<&Note>,
) {
    let mut anchor = std::mem::take(&mut checks.anchor);
    let witnesses = anchor::witnesses(&mut anchor, signed, trust);
    let lineage = reading.authorities().lineage();
    let kept =
        since.map(|note| anchor::kept(&mut anchor, note, lineage, signed.checkpoint(), past));
    checks.anchor = anchor;
    checks.found("witnesses", witnesses);
    let clock = anchor::clock(reading.lags(), trust, signed, reading.clock());
    checks.found("clock", clock);
    if let Some(kept) = kept {
        checks.found("kept", kept);
    }
}
