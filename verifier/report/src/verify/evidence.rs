//! Reading all evidence: every signature, every place in a chain, every shown line.

use affiant_judge::{HostState, exhibits, roll_call::Tally};
use affiant_proto::{
    Digest, digest,
    tlog::{Hash, NoteKey},
};

use super::{
    NoVerdict,
    checks::{Checks, Stop},
    trusted::{generations, officers, trusted},
};
use crate::{
    document::Claim,
    evidence::{BadEvidence, Entry, Head, Reader},
    files::{self, Files, Unread},
    reading::{Reading, Unsound},
    trust::Trust,
};

/// Evidence that was read to its end.
pub(super) struct Read {
    pub(super) reading: Reading,
    pub(super) leaves: Vec<(u64, Hash)>,
    pub(super) head: Head,
    pub(super) proof: Vec<Hash>,
    pub(super) issued: Option<Entry>,
    pub(super) key: NoteKey,
}

/// Reads all evidence: every signature, every place in a chain, every shown leaf.
pub(super) fn evidence(
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
    trusted(checks, reading.authorities(), trust)?;
    let mut issued = None;
    while let Some(entry) = reader.next_entry().map_err(|error| bad(checks, error))? {
        leaves.push((entry.index, entry.leaf()));
        if let Some(named) = exhibits::named(entry.statement.body())
            && let Some(bytes) = exhibit(checks, files, &named)?
        {
            reading.exhibit(bytes);
        }
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
    let key = generations(checks, reading.authorities(), trust)?;
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
    let all = reading.officers();
    let all = all.iter().map(|it| (it.name.as_str(), it.key.as_slice()));
    officers(checks, reading.genesis().0, all, trust);
    late(checks, &reading);
    roll_calls(checks, &reading);
    Ok(Read {
        reading,
        leaves,
        head,
        proof,
        issued,
        key,
    })
}

/// Reads the file that a statement names; where it is not in the bundle, what rests on it is not judged.
fn exhibit(
    checks: &mut Checks,
    files: &dyn Files,
    named: &Digest,
) -> Result<Option<Vec<u8>>, Stop> {
    let name = files::exhibit(named);
    match files::whole(files, &name, exhibits::MAX_EXHIBIT_BYTES as u64) {
        Ok(bytes) if digest(&bytes) == *named => Ok(Some(bytes)),
        Ok(_) => Err(checks.broken("exhibits", format!("{name} is not what it is named by"))),
        Err(Unread::Missing(_)) => Ok(None),
        Err(error @ Unread::Io { .. }) => Err(Stop::Io(NoVerdict::File(error))),
        Err(bad) => Err(checks.broken("exhibits", bad.to_string())),
    }
}

/// Says whether the roll calls follow from the log before them. One that does not was refused as
/// it was read.
fn roll_calls(checks: &mut Checks, reading: &Reading) {
    let Tally {
        checked,
        unchecked,
        missed,
    } = reading.roll_calls();
    let mut open = Vec::new();
    if unchecked > 0 {
        open.push(format!(
            "{unchecked} could not be held against the log, for what stands before them is not shown"
        ));
    }
    if missed > 0 {
        open.push(format!("{missed} were due and are not there"));
    }
    if open.is_empty() {
        let text = match checked {
            0 => "none stands in what is shown".to_owned(),
            _ => {
                format!("{checked} roll calls follow from the heads of all open chains before them")
            }
        };
        checks.fine("roll-calls", text);
    } else {
        checks.unknown(
            "roll-calls",
            format!("of the roll calls {checked} follow; {}", open.join("; ")),
        );
    }
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
