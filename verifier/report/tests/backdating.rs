//! A log whose own clock is behind: what it logged of witnesses gives it away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use affiant_proto::{
    Ed25519Signer,
    tlog::{CosignerKey, Note},
};
use affiant_report::{Conclusion, Period, Scope, Trust, Verdict, files, verify::verify};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use support::{World, cosigned_at, played, witness_key};

/// A log that took a cosignature from a witness whose clock was so far ahead.
fn behind_by(seconds: u64) -> (World, Period) {
    let (mut world, period) = played();
    world.clock();
    world.witness_ahead(seconds);
    world.clock();
    let period = Period::new(period.from(), world.now).unwrap();
    (world, period)
}

fn clock(verdict: &Verdict) -> (bool, &str) {
    let mut checks = verdict.checks.iter();
    let check = checks.find(|check| check.name == "clock").unwrap();
    (check.ok, &check.detail)
}

fn told(seconds: u64, trust: impl FnOnce(Trust) -> Trust) -> Verdict {
    let (mut world, period) = behind_by(seconds);
    let trust = trust(world.trust());
    verify(&world.report(period, Scope::All), Some(&trust), None).unwrap()
}

fn other_witness(seed: u8) -> CosignerKey {
    use affiant_proto::Signer as _;
    let key = Ed25519Signer::from_seed(&[seed; 32]).unwrap();
    CosignerKey::new("other.example".parse().unwrap(), key.public_key().clone()).unwrap()
}

#[test]
fn a_log_that_was_back_dated_holds_a_cosignature_from_its_own_future() {
    let verdict = told(3_600, |trust| trust);
    assert_eq!(verdict.verdict, Conclusion::Broken, "{:#?}", verdict.checks);
    let (ok, detail) = clock(&verdict);
    assert!(!ok && detail.contains("back-dated"), "{detail}");
    assert!(
        detail.contains("60 min") || detail.contains("59 min"),
        "{detail}"
    );
}

#[test]
fn clocks_that_part_by_minutes_are_no_back_dating() {
    let verdict = told(240, |trust| trust);
    let (ok, detail) = clock(&verdict);
    assert!(ok, "{detail}");
    assert_ne!(verdict.verdict, Conclusion::Broken);
}

#[test]
fn a_log_that_logs_no_cosignature_is_held_to_the_time_of_its_checkpoint() {
    let told = |late_s: u64| {
        let (mut world, _) = played();
        world.clock();
        // Only what lies in the period is shown, and the cosignature of before does not.
        let from = world.now;
        world.clock();
        let period = Period::new(from, world.now).unwrap();
        let mut bundle = world.report(period, Scope::All);
        let cosigned = cosigned_at(&world.checkpoint(), world.now / 1_000 + late_s);
        let note = cosigned.to_string().into_bytes();
        bundle.insert(files::CHECKPOINT.into(), note);
        verify(&bundle, Some(&world.trust()), None).unwrap()
    };
    let prompt = told(60);
    let (ok, detail) = clock(&prompt);
    assert!(ok && detail.contains("is logged"), "{detail}");
    let late = told(3_600);
    let (ok, detail) = clock(&late);
    assert!(!ok && detail.contains("min before your quorum"), "{detail}");
    assert_eq!(late.verdict, Conclusion::Incomplete, "{:#?}", late.checks);
}

#[test]
fn one_of_two_witnesses_alone_is_no_proof_and_none_is_no_question() {
    let both = |trust: Trust| {
        let keys = vec![witness_key(), other_witness(8)];
        trust.with_witnesses(keys, 2).unwrap()
    };
    let verdict = told(3_600, both);
    let (ok, detail) = clock(&verdict);
    assert!(!ok && detail.contains("one of two clocks"), "{detail}");
    assert_eq!(verdict.verdict, Conclusion::Incomplete);
    let any = |trust: Trust| {
        let keys = vec![witness_key(), other_witness(8)];
        trust.with_witnesses(keys, 1).unwrap()
    };
    assert_eq!(told(3_600, any).verdict, Conclusion::Broken);
    let verdict = told(3_600, Trust::without_witnesses);
    assert!(clock(&verdict).0);
    assert_ne!(
        verdict.verdict,
        Conclusion::Broken,
        "nobody's time is trusted"
    );
}

#[test]
fn a_cosignature_that_no_witness_made_says_nothing_of_the_clock() {
    let (mut world, period) = behind_by(0);
    // The operator writes a far time under the witness's name.
    let forged = world.witness_ahead(3_600).to_string();
    let (text, _) = forged.split_once("\n\n").unwrap();
    let note = Note::parse(format!("{text}\n\n{}", last_line(&forged)).as_bytes()).unwrap();
    let mut line = note.signatures()[0].bytes().to_vec();
    line[3] = 0x7f;
    let id = witness_key().id();
    let encoded = STANDARD.encode([id.as_bytes().as_slice(), &line].concat());
    let forged = format!("{text}\n\n\u{2014} witness.example {encoded}\n");
    world.say_cosigned(forged.into_bytes());
    world.clock();
    let period = Period::new(period.from(), world.now).unwrap();
    let trust = world.trust();
    let verdict = verify(&world.report(period, Scope::All), Some(&trust), None).unwrap();
    let (ok, detail) = clock(&verdict);
    assert!(!ok && detail.contains("does not hold"), "{detail}");
    assert_eq!(verdict.verdict, Conclusion::Broken);
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap().to_owned() + "\n"
}
