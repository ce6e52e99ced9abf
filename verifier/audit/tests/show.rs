//! One record, and one finding with its evidence, as an auditor sees them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod stored;
#[path = "../../report/tests/support/mod.rs"]
mod support;

use affiant_audit::{
    log::{Asked, audit},
    show::{NotShown, Which, explain_bundle, explain_log, record, text},
};
use affiant_report::{Conclusion, Scope, digits::FirstDigits};
use stored::files;
use support::played;

fn digits(text: &str) -> FirstDigits {
    text.parse().unwrap()
}

#[test]
fn every_record_of_a_log_is_shown_with_signature_and_inclusion_verified() {
    let (world, _) = played();
    let (files, trust) = (files(&world), world.trust());
    for (index, envelope) in (0..).zip(&world.log) {
        let shown = record(&files, &Which::Index(index), Some(&trust)).unwrap();
        assert!(shown.held.iter().all(|held| held.ok), "{shown:#?}");
        assert_eq!(shown.held.len(), 3, "signature, checkpoint, inclusion");
        assert_eq!(shown.digest, envelope.statement().digest().to_string());
        let header = envelope.statement().header();
        let chain = header
            .chain()
            .unwrap_or_else(|| envelope.statement().digest());
        let digits = chain.to_string().parse().unwrap();
        let place = Which::Place(digits, header.sequence());
        assert_eq!(record(&files, &place, Some(&trust)).unwrap(), shown);
    }
}

#[test]
fn a_usage_record_shows_devices_workloads_and_the_window_in_which_it_was_made() {
    let (world, _) = played();
    let files = files(&world);
    let usage = (0..)
        .zip(&world.log)
        .filter(|(_, one)| one.statement().kind().name() == "usage.v1");
    let (index, _) = usage.last().unwrap();
    let shown = record(&files, &Which::Index(index), Some(&world.trust())).unwrap();
    assert_eq!(shown.by.as_deref(), Some("host gpu-b"));
    let usage = shown.usage.as_ref().unwrap();
    assert_eq!(usage.withheld, 0);
    assert!(usage.lines[0].device.starts_with("GPU-"), "{usage:?}");
    let (after, before) = (shown.after_unix_ms.unwrap(), shown.before_unix_ms.unwrap());
    assert!(
        after < shown.unix_ms && shown.unix_ms < before,
        "{after} {before}"
    );
    let text = text::record(&shown);
    for part in [
        "host gpu-b",
        &usage.lines[0].device,
        "idle",
        "total of",
        "ok: a proof of",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_is_not_read_is_a_dash_and_never_zero() {
    let (world, _) = played();
    let files = files(&world);
    let usage = (0..)
        .zip(&world.log)
        .filter(|(_, one)| one.statement().kind().name() == "usage.v1");
    let (index, _) = usage.last().unwrap();
    let shown = record(&files, &Which::Index(index), None).unwrap();
    let line = &shown.usage.as_ref().unwrap().lines[0];
    assert_eq!(line.busy_ms, None);
    let text = text::record(&shown);
    let row = text.lines().find(|row| row.starts_with("1 ")).unwrap();
    assert!(row.contains("  -  "), "{row}");
}

#[test]
fn a_record_that_was_changed_or_is_not_there_is_not_shown() {
    let (world, _) = played();
    let (mut files, trust) = (files(&world), world.trust());
    let size = world.log.len() as u64;
    let none = record(&files, &Which::Index(size), Some(&trust));
    assert!(matches!(none, Err(NotShown::NoRecord(..))), "{none:?}");
    let tile = "public/tile/0/000.p/".to_owned();
    let path = files
        .keys()
        .find(|path| path.starts_with(&tile))
        .unwrap()
        .clone();
    files.get_mut(&path).unwrap()[40 * 32] ^= 1;
    let shown = record(&files, &Which::Index(41), Some(&trust)).unwrap();
    assert!(
        shown
            .held
            .iter()
            .any(|held| held.what == "in the log" && !held.ok),
        "{shown:#?}"
    );
}

#[test]
fn every_finding_is_derived_again_from_log_and_bundle_with_all_its_evidence() {
    let (mut world, period) = played();
    let (log, trust) = (files(&world), world.trust());
    let asked = Asked {
        trust: Some(&trust),
        ..Asked::default()
    };
    let verdict = audit(&log, &asked, &mut ()).unwrap();
    assert!(verdict.findings.count > 0);
    for finding in &verdict.findings.items {
        let (explained, verdict) =
            explain_log(&log, &digits(&finding.id), &asked, &mut ()).unwrap();
        assert_eq!(explained.finding, *finding);
        assert_ne!(verdict.verdict, Conclusion::Broken);
        let indices: Vec<u64> = explained.records.iter().map(|one| one.index).collect();
        assert_eq!(indices, finding.evidence.indices);
        let text = text::explained(&explained);
        assert!(
            text.contains(finding.rule.as_str()) && text.contains(&finding.title),
            "{text}"
        );
    }
    let bundle = world.report(period, Scope::All);
    let report: serde_json::Value = serde_json::from_slice(&bundle["report.json"]).unwrap();
    let findings = report["findings"].as_array().unwrap();
    assert!(!findings.is_empty());
    for finding in findings {
        let explained = explain_bundle(&bundle, &digits(finding["id"].as_str().unwrap())).unwrap();
        assert_eq!(serde_json::to_value(&explained.finding).unwrap(), *finding);
        assert_eq!(explained.not_shown, Vec::<u64>::new());
        let signed = explained.records.iter().flat_map(|one| &one.held);
        assert!(signed.clone().count() > 0 && signed.clone().all(|held| held.ok));
    }
    let none = explain_log(&log, &digits("00000000"), &asked, &mut ());
    assert!(matches!(none, Err(NotShown::NoFinding(_))));
}
