//! What a reader makes of a log that went on anew, and of keys that changed or were revoked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use affiant_judge::Rule;
use affiant_proto::{tlog::SignedCheckpoint, v1};
use affiant_report::{
    Conclusion, Period, Scope, Verdict,
    verify::{AnchorKind, verify},
};
use support::{World, played, reference};

/// A log that is lost from half of it on, `published` beyond that, and goes on by succession; with
/// the checkpoints kept by readers: one of what stands, one of what is lost, the last.
fn went_on(declared_less: bool) -> (World, Period, [SignedCheckpoint; 3]) {
    let (mut world, period) = played();
    let last = world.checkpoint();
    let kept = world.log.len() / 2;
    let lost = world.lose(kept);
    let half = lost.len() / 2;
    let stands = world.checkpoint();
    let between = {
        let mut tree = world.tree.clone();
        for one in &lost[..half] {
            tree.push(affiant_proto::tlog::leaf_hash(
                one.statement().digest().as_bytes(),
            ));
        }
        support::checkpoint_of(&tree, support::ORIGIN, 2)
    };
    world.succeed(reference(if declared_less { &between } else { &last }));
    world.clock();
    world.resend(lost);
    world.clock();
    (world, period, [stands, between, last])
}

/// The period until the log's last instant.
fn to_the_end(world: &World, period: Period) -> Period {
    Period::new(period.from(), world.now).unwrap()
}

fn detail<'a>(verdict: &'a Verdict, name: &str) -> &'a str {
    let check = verdict.checks.iter().find(|check| check.name == name);
    check.map_or("", |check| check.detail.as_str())
}

#[test]
fn a_log_that_went_on_by_two_officers_is_believed_and_its_loss_is_a_finding() {
    let (mut world, period, [stands, between, last]) = went_on(false);
    let period = to_the_end(&world, period);
    let bundle = world.report(period, Scope::All);
    let trust = world.trust();
    let verdict = verify(&bundle, Some(&trust), None).unwrap();
    assert_eq!(
        verdict.verdict,
        Conclusion::Findings,
        "{:#?}",
        verdict.checks
    );
    assert!(detail(&verdict, "generations").contains("log.example/2"));
    assert!(
        verdict
            .findings
            .items
            .iter()
            .any(|finding| finding.rule == Rule::LogSuccession)
    );
    let trust = trust.without_witnesses();
    let kept = |signed: &SignedCheckpoint| {
        let verdict = verify(&bundle, Some(&trust), Some(signed.note())).unwrap();
        (verdict.verdict, verdict.anchor.kind)
    };
    assert_eq!(kept(&stands), (Conclusion::Findings, AnchorKind::Kept));
    assert_eq!(kept(&between), (Conclusion::Findings, AnchorKind::Lost));
    assert_eq!(kept(&last), (Conclusion::Findings, AnchorKind::Lost));
    let own = world.checkpoint();
    assert_eq!(kept(&own), (Conclusion::Findings, AnchorKind::Kept));
}

#[test]
fn a_succession_that_hides_what_a_reader_kept_is_broken() {
    let (mut world, period, [_, between, last]) = went_on(true);
    let bundle = world.report(period, Scope::All);
    let trust = world.trust().without_witnesses();
    let verdict = verify(&bundle, Some(&trust), Some(last.note())).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Broken);
    assert!(detail(&verdict, "kept").contains("hides more than it declares"));
    let verdict = verify(&bundle, Some(&trust), Some(between.note())).unwrap();
    assert_eq!(verdict.anchor.kind, AnchorKind::Lost);
}

#[test]
fn a_checkpoint_of_what_was_kept_under_another_root_is_broken() {
    let (mut world, period, [stands, ..]) = went_on(false);
    let bundle = world.report(period, Scope::All);
    let mut tree = affiant_proto::tlog::MemoryTree::new();
    for place in 0..stands.checkpoint().size() {
        tree.push(affiant_proto::tlog::leaf_hash(&place.to_be_bytes()));
    }
    let forged = support::checkpoint_of(&tree, support::ORIGIN, 2);
    let trust = world.trust().without_witnesses();
    let verdict = verify(&bundle, Some(&trust), Some(forged.note())).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Broken);
    assert!(detail(&verdict, "kept").contains("rewritten"));
}

#[test]
fn a_host_that_saw_what_the_succession_hides_breaks_the_report() {
    let (mut world, period) = played();
    let last = world.checkpoint();
    let lost = world.lose(world.log.len() - 20);
    let kept = reference(&world.checkpoint());
    // Only what is kept is said to have been published; a host then shows that it saw more.
    world.succeed(kept);
    world.resend(lost);
    world.see(reference(&last));
    world.tick(&[&[]]);
    world.clock();
    let period = to_the_end(&world, period);
    let bundle = world.report(period, Scope::All);
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Broken, "{:#?}", verdict.checks);
    assert!(detail(&verdict, "views").contains("hides more than it declares"));
}

#[test]
fn a_planned_change_of_the_logs_key_loses_nothing_and_breaks_no_rule_but_its_own() {
    let (mut world, period) = played();
    let last = world.checkpoint();
    world.succeed(reference(&last));
    world.clock();
    let bundle = world.report(period, Scope::Tenant("acme".into()));
    let trust = world.trust().without_witnesses();
    let verdict = verify(&bundle, Some(&trust), Some(last.note())).unwrap();
    assert_eq!(
        verdict.anchor.kind,
        AnchorKind::Kept,
        "{:#?}",
        verdict.checks
    );
    assert!(verdict.anchor.lost_size.is_none());
    assert!(verdict.findings.items.iter().all(|finding| {
        finding.rule == Rule::LogSuccession && finding.severity == affiant_judge::Severity::Low
    }));
}

#[test]
fn a_succession_by_officers_whom_the_reader_does_not_know_leaves_it_open() {
    let (mut world, period, _) = went_on(false);
    let bundle = world.report(period, Scope::All);
    let text = world.trust().print().unwrap();
    let known = world.trust();
    assert!(detail(&verify(&bundle, Some(&known), None).unwrap(), "generations").contains("anew"));
    // The same file, but of another second officer.
    let ben = support::hex(&support::key(4));
    let other = support::hex(&support::key(99));
    let strange = affiant_report::Trust::parse(&text.replace(&ben, &other)).unwrap();
    let verdict = verify(&bundle, Some(&strange), None).unwrap();
    assert!(detail(&verdict, "generations").contains("approved by 1 of two persons"));
}

#[test]
fn a_period_that_begins_after_a_change_of_key_verifies() {
    let (mut world, _) = played();
    world.change_key(0, 70);
    let quiet: &[&[support::Use<'_>]] = &[&[(0, "acme", 10_000)], &[]];
    world.tick(quiet);
    world.tick(quiet);
    let from = world.now;
    world.tick(quiet);
    world.change_key(0, 71);
    world.tick(quiet);
    let to = world.now;
    world.tick(quiet);
    world.clock();
    let period = Period::new(from, to).unwrap();
    for scope in [Scope::All, Scope::Tenant("acme".into())] {
        let bundle = world.report(period, scope);
        let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
        assert!(
            matches!(verdict.verdict, Conclusion::Clean | Conclusion::Findings),
            "{:#?}",
            verdict.checks
        );
    }
}

#[test]
fn a_stolen_record_key_is_suspect_from_its_index_and_what_it_signed_before_stands() {
    let (mut world, period) = played();
    let from_index = world.log.len() as u64 - 80;
    world.operator(v1::Revocation {
        key_id: world.record_key(0).as_bytes().to_vec(),
        from_index,
        reason: "copied from the host".into(),
        r#use: v1::KeyUse::Record.into(),
        ..v1::Revocation::default()
    });
    world.clock();
    let bundle = world.report(period, Scope::All);
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(
        verdict.verdict,
        Conclusion::Findings,
        "{:#?}",
        verdict.checks
    );
    assert!(
        verdict
            .findings
            .items
            .iter()
            .any(|finding| finding.rule == Rule::KeySuspect)
    );
}
