//! What the judge says where a chain or the log was broken and went on.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{Finding, Known, Rule, Severity};
use affiant_proto::{KeyId, v1};
use log::{HOST, Log};

const MODELS: [&str; 1] = ["NVIDIA H100 80GB HBM3"];

fn one(log: &Log, rule: Rule) -> Finding {
    let mut found: Vec<_> = log.findings();
    found.retain(|finding| finding.rule == rule);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn each_break_that_a_chain_tells_of_is_a_finding_that_names_its_host() {
    let mut log = Log::new(&MODELS);
    log.tick(1_000);
    let index = log.next();
    let lost = v1::Gap {
        first: 5,
        last: 9,
        reason: "disk".into(),
        ..Default::default()
    };
    log.judge.gap(index, HOST, &lost);
    let restart = v1::ChainRestart {
        restored_sequence: 3,
        adopted_sequence: 12,
        ..Default::default()
    };
    let index = log.next();
    log.judge.chain_restart(index, HOST, &restart);
    let fork = v1::Fork {
        chain: HOST.to_vec(),
        sequence: 13,
        ..Default::default()
    };
    let index = log.next();
    log.judge.fork(index, &fork);
    let records = one(&log, Rule::RecordsLost);
    assert_eq!(records.host.as_deref(), Some("gpu-01"));
    assert_eq!(records.details, ["5 statements are lost, 5 to 9: disk"]);
    let restarted = one(&log, Rule::ChainRestart);
    assert!(restarted.details[0].contains("statement 3, the log at 12"));
    let forked = one(&log, Rule::ChainFork);
    assert_eq!(forked.severity, Severity::Critical);
    assert!(forked.details[0].contains("sequence 13"));
}

#[test]
fn a_host_that_was_shown_another_log_is_heard_and_an_unknown_observation_is_not_judged() {
    let mut log = Log::new(&MODELS);
    let mut say = |rule: &str| {
        let index = log.next();
        let observation = v1::Observation {
            rule: rule.into(),
            text: "size 9 after size 12".into(),
            ..Default::default()
        };
        log.judge.observation(index, HOST, &observation)
    };
    assert_eq!([say("LOG_WENT_BACK"), say("SOMETHING")], [true, false]);
    let finding = one(&log, Rule::LogContradicted);
    assert_eq!(finding.details, ["LOG_WENT_BACK: size 9 after size 12"]);
}

fn succession(kept: u64, last: u64) -> v1::Succession {
    let reference = |size| {
        Some(v1::CheckpointRef {
            size,
            ..Default::default()
        })
    };
    v1::Succession {
        origin: "example.org/log/2".into(),
        kept: reference(kept),
        last: reference(last),
        ..Default::default()
    }
}

#[test]
fn a_succession_that_loses_something_is_graver_than_a_planned_one() {
    let severity = |kept, last| {
        let mut log = Log::new(&MODELS);
        let index = log.next();
        log.judge.succession(index, &succession(kept, last));
        let finding = one(&log, Rule::LogSuccession);
        (finding.severity, finding.details[0].clone())
    };
    assert_eq!(severity(40, 40).0, Severity::Low);
    let (severity, detail) = severity(40, 50);
    assert_eq!(severity, Severity::High);
    assert!(detail.contains("entries 40 to 49"), "{detail}");
}

#[test]
fn statements_of_a_revoked_key_are_suspect_from_the_index_named_and_not_before() {
    let key = KeyId::new([4; 16]);
    let suspect = |from_index| {
        let mut log = Log::new(&MODELS);
        for _ in 0..5 {
            log.tick(1_000);
            let index = log.next();
            log.judge.signed(index, HOST, key);
        }
        let (last, index) = (log.index, log.next());
        let revocation = v1::Revocation {
            key_id: key.as_bytes().to_vec(),
            from_index,
            r#use: v1::KeyUse::Record.into(),
            reason: "stolen".into(),
            ..Default::default()
        };
        log.judge.revocation(index, &revocation);
        (last, log.findings())
    };
    let (last, findings) = suspect(9);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let finding = &findings[0];
    assert_eq!(
        (finding.rule, finding.known),
        (Rule::KeySuspect, Known::Later)
    );
    assert_eq!(finding.evidence.first_index, 9);
    assert!(finding.details[0].contains(&format!("9 to {last}")));
    assert!(finding.details[0].ends_with("stolen"));
    let (_, findings) = suspect(last + 1);
    assert_eq!(findings, [], "all that it signed stands");
}
