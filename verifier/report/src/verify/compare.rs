//! Making the report again and comparing it, and what was judged in it.

use std::collections::BTreeMap;

use affiant_judge::RULES_VERSION;
use affiant_proto::{digest, tlog::SignedCheckpoint};

use super::{
    MAX_PAGE_BYTES,
    checks::{Checks, Judged, Stop},
    small,
};
use crate::{
    calendar::utc,
    differ::differ,
    document::{Claim, Document},
    files::{self, Files},
    guide,
    page::{self, Anchored},
    reading::Reading,
    trust::Trust,
};

/// Makes the report, its page and its guide again and compares the bytes.
pub(super) fn figures(
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
    let records = document.completeness.records;
    period(checks, &document);
    checks.judged = Some(Judged {
        findings: document.findings.clone(),
        lines_withheld: document.completeness.lines_withheld,
        lines_erased: document.completeness.lines_erased,
        withheld_ms: document.completeness.withheld_ms,
        not_judged: document.not_judged.clone(),
    });
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
    let page = small(checks, files, files::PAGE, MAX_PAGE_BYTES)?;
    let guide = small(checks, files, files::GUIDE, MAX_PAGE_BYTES)?;
    // Both name those who had signed the checkpoint when they were made; who cosigned it later
    // stands after them.
    let made = digest(report);
    let shown = Anchored::of(signed.note(), signed.checkpoint());
    let then = (1..=shown.signers.len()).rev().find_map(|signers| {
        let mut then = shown.clone();
        then.signers.truncate(signers);
        let same = guide::render(&document, made, &then).as_bytes() == guide;
        same.then_some(then)
    });
    let other = match then {
        None => Some(files::GUIDE),
        Some(then) if page::render(&document, made, &then).as_bytes() != page => Some(files::PAGE),
        Some(_) => None,
    };
    if let Some(name) = other {
        checks.broken(
            "page",
            format!("{name} does not say what report.json says; read the report, not the page"),
        );
        return Ok(());
    }
    checks.fine(
        "page",
        "report.html and VERIFY.md say what report.json says",
    );
    Ok(())
}

/// Says how far into the period the evidence comes.
fn period(checks: &mut Checks, document: &Document) {
    let (from, to) = (utc(document.period.from()), utc(document.period.to()));
    match document.completeness.shown_until_unix_ms {
        Some(until) if until >= document.period.to() => {
            checks.fine("period", format!("from {from} to {to}, all of it"));
        }
        Some(until) => checks.fine(
            "period",
            format!(
                "from {from} to {to}, and the log's time was {} then: nothing is said of what came later",
                utc(until)
            ),
        ),
        None => checks.unknown(
            "period",
            format!("from {from} to {to}, to which the log's time had not come: nothing is said of it"),
        ),
    }
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
pub(super) fn judged(checks: &mut Checks, reading: &Reading, claim: &Claim, trust: Option<&Trust>) {
    kinds(checks, &reading.judge().figures().not_judged);
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
    sources(checks, others, trust);
}

/// Says which statements the rules do not judge.
pub(super) fn kinds(checks: &mut Checks, not_judged: &BTreeMap<String, u64>) {
    let kinds: Vec<String> = not_judged
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    if kinds.is_empty() {
        checks.fine(
            "judged",
            "every statement is of a kind that the rules judge",
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
}

/// Says how many records come from other sources than the driver.
pub(super) fn sources(checks: &mut Checks, others: u64, trust: Option<&Trust>) {
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
