//! What the judge says where a chain or the log was broken and went on.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{Finding, HostState, Known, Rule, Severity};
use affiant_proto::{KeyId, v1};
use log::{HOST, INTERVAL, Log};

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

const HOUR: u64 = 3_600_000;

/// Every device is unobserved for one interval, for `reason`.
fn dark(log: &mut Log, reason: v1::Reason) {
    let line = v1::UsageLine {
        kind: v1::LineKind::NotObserved.into(),
        reason: reason.into(),
        time_ms: INTERVAL,
        ..Default::default()
    };
    log.record(vec![Some(line)]);
}

#[test]
fn planned_darkness_is_excused_for_two_hours_of_a_day_and_counted_apart() {
    let mut log = Log::new(&MODELS);
    for _ in 0..2 * HOUR / INTERVAL {
        dark(&mut log, v1::Reason::DriverUpgrade);
    }
    assert_eq!(log.findings(), []);
    let figures = log.judge.figures();
    let planned = u128::from(2 * HOUR);
    assert_eq!(figures.classes[0].planned_ms.0, planned);
    assert_eq!(figures.dark[0].planned_ms.0, planned);
    assert_eq!(figures.dark[0].unplanned_ms.0, 0);
    dark(&mut log, v1::Reason::Mig);
    let open = one(&log, Rule::PlannedSilenceExceeded);
    assert_eq!(open.device.as_deref(), Some("GPU-0"));
    assert_eq!(open.details, ["not observed: MIG change (MIG)"]);
    assert!(open.open);
    for _ in 0..40 {
        log.work(0);
    }
    let closed = one(&log, Rule::PlannedSilenceExceeded);
    assert_eq!((closed.open, &closed.id), (false, &open.id));
}

#[test]
fn darkness_without_a_plan_is_a_gap_at_once_and_names_its_reason() {
    let mut log = Log::new(&MODELS);
    dark(&mut log, v1::Reason::AgentStopped);
    let gap = one(&log, Rule::UsageGap);
    assert_eq!(gap.details, ["not observed: agent stopped (AGENT_STOPPED)"]);
    assert_eq!(log.judge.figures().dark[0].unplanned_ms.0, 10_000);
}

#[test]
fn an_operators_maintenance_excuses_a_silent_host_and_what_it_could_not_observe_meanwhile() {
    let mut log = Log::new(&MODELS);
    log.work(2);
    log.maintain(None);
    for _ in 0..400 {
        log.tick(1_000);
    }
    assert_eq!(log.judge.hosts()[0].state, HostState::Maintenance);
    assert!(log.judge.hosts()[0].resting_since_unix_ms.is_some());
    // Back in the same boot: what lies between is told, with the only reason the agent knows.
    let line = v1::UsageLine {
        kind: v1::LineKind::NotObserved.into(),
        reason: v1::Reason::AgentStopped.into(),
        time_ms: 400_000,
        ..Default::default()
    };
    let parts = v1::DeviceTotals {
        not_observed_ms: 400_000,
        ..Default::default()
    };
    let totals = v1::Totals {
        devices: vec![parts],
    };
    let usage = log.interval(log.now - 400_000, log.now);
    let index = log.next();
    log.judge
        .usage(index, HOST, 9, &usage, &totals, &[Some(line)]);
    log.work(3);
    assert_eq!(log.rules(), [Rule::UseUnattributed], "of the stray work");
    let figures = log.judge.figures();
    assert_eq!(figures.dark[0].planned_ms.0, 400_000);
    assert_eq!(log.judge.hosts()[0].state, HostState::Approved);
}

#[test]
fn a_maintenance_that_lasts_beyond_the_day_is_told_while_it_lasts_and_after() {
    let mut log = Log::new(&MODELS);
    log.work(3);
    log.maintain(None);
    for _ in 0..3 * 360 {
        log.tick(INTERVAL);
    }
    let open = one(&log, Rule::PlannedSilenceExceeded);
    assert_eq!(log.findings().len(), 1);
    assert!(open.open);
    assert_eq!(open.last_unix_ms - open.opened_unix_ms, HOUR);
    log.work(3);
    let after = one(&log, Rule::PlannedSilenceExceeded);
    assert_eq!(after.opened_unix_ms, open.opened_unix_ms);
    assert_eq!(log.findings().len(), 1, "{:?}", log.findings());
    assert_eq!(log.judge.hosts()[0].planned_ms.0, u128::from(3 * HOUR));
}

#[test]
fn silence_after_the_end_that_a_maintenance_names_is_a_gap() {
    let mut log = Log::new(&MODELS);
    log.work(3);
    log.maintain(Some(log.now + 100_000));
    for _ in 0..200 {
        log.tick(1_000);
    }
    let gap = one(&log, Rule::UsageGap);
    assert_eq!(gap.opened_unix_ms, log.now - 100_000);
    assert_eq!(log.judge.hosts()[0].state, HostState::Approved);
    assert!(log.judge.hosts()[0].silent_since_unix_ms.is_some());
}
