//! What a bundle says, and that a reader reaches the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;

use affiant_proto::{
    Ed25519Signer, Envelope,
    tlog::{Cosigner, Note},
    v1,
};
use affiant_report::{
    Conclusion, Scope, Verdict, build, files,
    verify::{AnchorKind, CompletenessState, IntegrityState, verify},
};
use support::{Files, H100, Use, World, played};

fn json(files: &Files) -> serde_json::Value {
    serde_json::from_slice(&files[files::REPORT]).unwrap()
}

fn failed(verdict: &Verdict) -> BTreeMap<&str, &str> {
    let failed = verdict.checks.iter().filter(|check| !check.ok);
    failed
        .map(|check| (check.name, check.detail.as_str()))
        .collect()
}

#[test]
fn a_report_is_verified_offline_and_its_findings_are_found_again() {
    let (mut world, period) = played();
    let bundle = world.report(period, Scope::All);
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(failed(&verdict), BTreeMap::new());
    assert_eq!(verdict.verdict, Conclusion::Findings);
    assert_eq!(verdict.anchor.kind, AnchorKind::Witnessed);
    assert_eq!(verdict.integrity.state, IntegrityState::Holds);
    assert_eq!(verdict.completeness.state, CompletenessState::Full);
    let rules: Vec<&str> = verdict
        .findings
        .items
        .iter()
        .map(|finding| finding.rule.as_str())
        .collect();
    assert_eq!(rules, ["RESTRICTED_HQ", "USE_UNATTRIBUTED"]);
    assert_eq!(
        bundle.keys().map(String::as_str).collect::<Vec<_>>().len(),
        files::ALL.len()
    );
}

#[test]
fn figures_are_those_of_the_period_and_sum_to_the_totals() {
    let (mut world, period) = played();
    let report = json(&world.report(period, Scope::All));
    let uses = report["tenant_use"].as_array().unwrap();
    let of = |tenant: &str| {
        let uses = uses.iter().filter(|used| used["tenant"] == tenant);
        uses.map(|used| used["attributed_ms"].as_u64().unwrap())
            .sum::<u64>()
    };
    // Six records: acme 10 s + 2.5 s on each, the other 7.5 s on each and 10 s on five of them.
    assert_eq!(
        (of("acme"), of("lumen-research")),
        (6 * 12_500, 6 * 7_500 + 5 * 10_000)
    );
    let totals = &report["totals"];
    let sum: u64 = [
        "tenants_ms",
        "unattributed_ms",
        "idle_ms",
        "not_observed_ms",
        "withheld_ms",
    ]
    .iter()
    .map(|part| totals[part].as_u64().unwrap())
    .sum();
    assert_eq!(Some(sum), totals["total_ms"].as_u64());
    assert_eq!(sum, 6 * 3 * 10_000);
    assert_eq!(report["completeness"]["kind"], "full");
    assert_eq!(report["devices"].as_array().unwrap().len(), 3);
    assert_eq!(report["devices"][0]["class"], "3A090.a");
}

#[test]
fn a_report_for_one_tenant_shows_its_lines_and_counts_all_others() {
    let (mut world, period) = played();
    let bundle = world.report(period, Scope::Tenant("acme".into()));
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(failed(&verdict), BTreeMap::new());
    assert_eq!(verdict.verdict, Conclusion::Clean);
    assert_eq!(verdict.completeness.state, CompletenessState::Totals);
    let report = json(&bundle);
    let tenants: Vec<&str> = report["tenant_use"]
        .as_array()
        .unwrap()
        .iter()
        .map(|used| used["tenant"].as_str().unwrap())
        .collect();
    assert_eq!(tenants, ["acme"]);
    let withheld = report["totals"]["withheld_ms"].as_u64().unwrap();
    assert_eq!(withheld, 6 * 3 * 10_000 - 6 * 12_500);
    // Nothing of another tenant's use is in the bundle: neither its namespace nor its pod.
    let shown = bundle
        .values()
        .any(|bytes| bytes.windows(16).any(|part| part == b"lumen-research-0"));
    assert!(!shown, "the pod of another tenant is in the bundle");
    let whole = world.report(period, Scope::All);
    let shown = whole[files::EVIDENCE]
        .windows(16)
        .any(|part| part == b"lumen-research-0");
    assert!(shown, "the test would not notice");
}

#[test]
fn what_tenants_did_together_is_found_where_both_are_shown_and_a_report_on_one_verifies_without() {
    let mut world = World::new();
    world.clock();
    world.party("p", &["Parent"], "US");
    for id in ["one", "two"] {
        world.tenant(v1::Tenant {
            id: id.into(),
            customer: "p".into(),
            end_customer: "p".into(),
            ultimate_parent: "p".into(),
            declared_use: "weather".into(),
            conditions: Some(v1::Conditions {
                device_classes: vec!["3A090.a".into()],
                max_gpus: Some(1),
                ..v1::Conditions::default()
            }),
            ..v1::Tenant::default()
        });
        world.approve(id);
    }
    world.clock();
    world.enrol("gpu-a", &[H100, H100], v1::SourceKind::Nvml);
    let both: &[&[Use<'_>]] = &[&[(0, "one", 10_000), (1, "two", 10_000)]];
    world.tick(both);
    let from = world.now;
    // Ten minutes of a clock that begin anywhere, whole.
    for round in 0..121 {
        if round % 30 == 0 {
            world.witness();
        }
        world.tick(both);
    }
    let to = world.now;
    world.tick(both);
    world.clock();
    let period = affiant_report::Period::new(from, to).unwrap();
    let mut rules = |scope: Scope| -> Vec<String> {
        let bundle = world.report(period, scope);
        let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
        assert_eq!(failed(&verdict), BTreeMap::new());
        let items = verdict.findings.items.iter();
        items
            .map(|finding| finding.rule.as_str().to_owned())
            .collect()
    };
    assert_eq!(rules(Scope::All), ["STRUCTURING"]);
    assert!(rules(Scope::Tenant("one".into())).is_empty());
}

#[test]
fn records_whose_lines_the_host_let_go_count_by_their_totals_for_nobody() {
    let (mut world, period) = played();
    let whole = json(&world.report(period, Scope::All));
    let all: Vec<Envelope> = world.log.drain(..).collect();
    world.log = all.into_iter().map(Envelope::without_lines).collect();
    for scope in [Scope::All, Scope::Tenant("acme".into())] {
        let bundle = world.report(period, scope);
        let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
        assert_eq!(failed(&verdict), BTreeMap::new());
        assert_eq!(verdict.completeness.state, CompletenessState::Totals);
        let report = json(&bundle);
        assert_eq!(report["tenant_use"], serde_json::json!([]));
        assert_eq!(report["totals"]["total_ms"], whole["totals"]["total_ms"]);
        assert_eq!(report["totals"]["withheld_ms"], whole["totals"]["total_ms"]);
        assert_eq!(report["totals"]["idle_ms"], 0);
    }
}

#[test]
fn without_trust_a_reader_learns_what_to_compare_and_no_more() {
    let (mut world, period) = played();
    let bundle = world.report(period, Scope::Tenant("acme".into()));
    let verdict = verify(&bundle, None, None).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Incomplete);
    assert_eq!(verdict.integrity.state, IntegrityState::Unproven);
    assert_eq!(verdict.anchor.kind, AnchorKind::None);
    let genesis = world.genesis().to_string();
    assert!(
        failed(&verdict)["trust"].contains(&genesis),
        "{:?}",
        failed(&verdict)
    );
}

#[test]
fn a_reader_who_trusts_another_log_is_told_so() {
    let (mut world, period) = played();
    let bundle = world.report(period, Scope::All);
    let text = world.trust().print().unwrap();
    let genesis = world.genesis().to_string();
    let other = text.replace(&genesis, &"0".repeat(64));
    let verdict = verify(
        &bundle,
        Some(&affiant_report::Trust::parse(&other).unwrap()),
        None,
    )
    .unwrap();
    assert_eq!(verdict.verdict, Conclusion::Broken);
    assert!(failed(&verdict)["trust"].contains(&genesis));
}

#[test]
fn a_witness_that_did_not_cosign_leaves_the_verdict_incomplete() {
    let (mut world, period) = played();
    let mut bundle = world.report(period, Scope::Tenant("acme".into()));
    let plain = world.checkpoint().note().to_string();
    let written = String::from_utf8(bundle[files::CHECKPOINT].clone()).unwrap();
    assert!(written.starts_with(&plain));
    // The page names who signed, so it has to be made again with the plain checkpoint.
    bundle.insert(files::CHECKPOINT.into(), plain.into_bytes());
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(verdict.anchor.kind, AnchorKind::None);
    assert!(failed(&verdict).contains_key("witnesses"));
    assert_ne!(verdict.verdict, Conclusion::Clean);
}

#[test]
fn a_witness_may_cosign_a_report_after_it_was_made() {
    let (mut world, period) = played();
    let mut bundle = world.report(period, Scope::All);
    let key = Ed25519Signer::from_seed(&[88; 32]).unwrap();
    let late = Cosigner::new("late.example".parse().unwrap(), key).unwrap();
    let mut note = Note::parse(&bundle[files::CHECKPOINT]).unwrap();
    let line = late.cosign(world.checkpoint().checkpoint(), world.now / 1_000);
    note.add(line.unwrap()).unwrap();
    bundle.insert(files::CHECKPOINT.into(), note.to_string().into_bytes());
    let keys = vec![support::witness_key(), late.key().clone()];
    let trust = world.trust().with_witnesses(keys, 2).unwrap();
    let verdict = verify(&bundle, Some(&trust), None).unwrap();
    assert_eq!(failed(&verdict), BTreeMap::new());
    assert_eq!(verdict.anchor.kind, AnchorKind::Witnessed);
    // Who is named and did not sign, or is named out of his place, is another thing.
    for name in [files::PAGE, files::GUIDE] {
        let mut told = bundle.clone();
        let text = String::from_utf8(told[name].clone()).unwrap();
        let text = text.replace("witness.example", "late.example");
        told.insert(name.into(), text.into_bytes());
        let verdict = verify(&told, Some(&trust), None).unwrap();
        assert!(failed(&verdict).contains_key("page"), "{name}");
    }
}

#[test]
fn a_checkpoint_that_the_reader_kept_anchors_every_later_report() {
    let (mut world, period) = played();
    let first = world.report(period, Scope::Tenant("acme".into()));
    let kept = Note::parse(&first[files::CHECKPOINT]).unwrap();
    world.clock();
    let again = world.report(period, Scope::Tenant("acme".into()));
    let trust = world.trust().without_witnesses();
    let verdict = verify(&again, Some(&trust), Some(&kept)).unwrap();
    assert_eq!(failed(&verdict), BTreeMap::new());
    assert_eq!(verdict.anchor.kind, AnchorKind::Kept);
    let itself = verify(&first, Some(&trust), Some(&kept)).unwrap();
    assert_eq!(itself.anchor.kind, AnchorKind::Kept);
    let newer = Note::parse(&again[files::CHECKPOINT]).unwrap();
    let older = verify(&first, Some(&trust), Some(&newer)).unwrap();
    assert_eq!(
        (older.verdict, older.anchor.kind),
        (Conclusion::Incomplete, AnchorKind::Unrelated)
    );
}

#[test]
fn a_host_that_fell_silent_stands_in_the_report() {
    let (mut world, _) = played();
    let from = world.now;
    for _ in 0..45 {
        for _ in 0..10 {
            world.clock();
        }
        world.record(0, &[(0, "acme", 10_000)]);
    }
    let period = affiant_report::Period::new(from, world.now).unwrap();
    let bundle = world.report(period, Scope::All);
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(failed(&verdict), BTreeMap::new());
    let gap = verdict
        .findings
        .items
        .iter()
        .find(|finding| finding.rule.as_str() == "USAGE_GAP");
    let gap = gap.unwrap_or_else(|| panic!("no gap: {:#}", json(&bundle)["hosts"]));
    assert_eq!(gap.host.as_deref(), Some("gpu-b"));
}

#[test]
fn records_that_were_not_measured_are_said_to_be_and_need_consent() {
    let mut world = World::new();
    world.clock();
    world.enrol("traced", &[support::H100], v1::SourceKind::Recorded);
    let from = world.now;
    for _ in 0..3 {
        world.tick(&[&[]]);
    }
    let period = affiant_report::Period::new(from, world.now).unwrap();
    let bundle = world.report(period, Scope::All);
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Incomplete);
    assert!(failed(&verdict)["sources"].contains("not measured"));
    let verdict = verify(&bundle, Some(&world.trust().with_recorded(true)), None).unwrap();
    assert_eq!(
        (verdict.verdict, failed(&verdict)),
        (Conclusion::Clean, BTreeMap::new())
    );
    let page = String::from_utf8(bundle[files::PAGE].clone()).unwrap();
    assert!(page.contains("Not all of this was measured"));
}

#[test]
fn statements_that_nobody_judges_make_the_verdict_incomplete() {
    let (mut world, period) = played();
    world.host_says(
        0,
        v1::Observation {
            rule: "pci-count".into(),
            ..v1::Observation::default()
        },
        None,
    );
    let later = affiant_report::Period::new(period.from(), world.now).unwrap();
    let bundle = world.report(later, Scope::Tenant("acme".into()));
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Incomplete);
    assert_eq!(verdict.completeness.not_judged["observation.v1"], 1);
}

#[test]
fn uses_judged_by_other_parameters_than_the_readers_are_not_taken_as_judged() {
    let (mut world, period) = played();
    let mut order = world.order(period, Scope::All);
    order.parameters.planned_ms_per_day += 1;
    let bundle = build(order, world.entries(), |_| Ok(None)).unwrap();
    let bundle = world.issue(bundle);
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Incomplete);
    assert!(
        failed(&verdict)["parameters"].contains("planned_ms_per_day"),
        "{:?}",
        failed(&verdict)
    );
}

#[test]
fn a_report_of_an_old_period_leaves_out_what_does_not_concern_it() {
    let (mut world, period) = played();
    let before = world.log.len() as u64;
    for _ in 0..20 {
        world.tick(&[&[(0, "acme", 10_000)], &[]]);
    }
    let bundle = world.report(period, Scope::All);
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(failed(&verdict), BTreeMap::new());
    let entries = json(&bundle)["completeness"]["entries"].as_u64().unwrap();
    assert!(entries < before, "{entries} of {before}");
}

#[test]
fn a_host_that_may_have_sent_late_leaves_the_verdict_incomplete() {
    let (mut world, _) = played();
    // Its last record ends within the period, and nothing tells whether it sent more.
    let from = world.now;
    for _ in 0..3 {
        world.tick(&[&[], &[]]);
    }
    let to = world.now;
    for _ in 0..3 {
        world.tick(&[&[]]);
    }
    let period = affiant_report::Period::new(from, to).unwrap();
    let bundle = world.report(period, Scope::All);
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Incomplete);
    assert!(
        failed(&verdict)["late"].ends_with("of hosts gpu-b"),
        "{:?}",
        failed(&verdict)
    );
}

#[test]
fn the_same_log_gives_the_same_bytes() {
    let make = || {
        let (mut world, period) = played();
        world.report(period, Scope::All)
    };
    assert_eq!(make(), make());
}

#[test]
fn a_log_that_is_not_whole_is_not_reported_on() {
    let (world, period) = played();
    let order = world.order(period, Scope::All);
    let holed = world
        .entries()
        .filter(|entry| entry.as_ref().is_ok_and(|(index, _)| *index != 40));
    assert!(build(order.clone(), holed, |_| Ok(None)).is_err());
    let short = world.entries().take(50);
    assert!(build(order, short, |_| Ok(None)).is_err());
}
