//! What the judge says where a chain or the log was broken and went on.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{Finding, HostState, Known, Rule, Severity};
use affiant_proto::{KeyId, Reenrolment, v1};
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
    for _ in 0..60 {
        log.tick(INTERVAL);
    }
    let lasting = one(&log, Rule::ChainFork);
    assert_eq!((lasting.open, &lasting.id), (true, &forked.id));
    assert_eq!(lasting.evidence.count, 1);
    assert!(!one(&log, Rule::ChainRestart).open);
    host_event(&mut log, HOST, v1::HostEventKind::Evict);
    for _ in 0..60 {
        log.tick(INTERVAL);
    }
    let ended = one(&log, Rule::ChainFork);
    assert_eq!((ended.open, &ended.id), (false, &forked.id));
    assert_eq!(ended.last_unix_ms, lasting.last_unix_ms);
}

/// All that may break, in one log; a device at most in each record, so that tests stay small.
fn broken() -> Log {
    let mut log = Log::new(&MODELS);
    let key = KeyId::new([4; 16]);
    enrol(&mut log, NEW, "gpu-02", None, Reenrolment::First);
    for _ in 0..6 {
        log.work(3);
        let index = log.index;
        log.judge.signed(index, HOST, key);
        elsewhere(&mut log);
    }
    log.tick(60_000);
    elsewhere(&mut log);
    let first = log.sequence() + 1;
    log.record(vec![None]);
    for lines in [true, false] {
        let gap = v1::Gap {
            first,
            last: first,
            lines,
            ..Default::default()
        };
        let index = log.next();
        log.judge.gap(index, HOST, &gap);
    }
    let index = log.next();
    log.judge
        .chain_restart(index, HOST, &v1::ChainRestart::default());
    for _ in 0..=2 * HOUR / INTERVAL {
        dark(&mut log, v1::Reason::Rma);
    }
    let observation = v1::Observation {
        rule: "LOG_FORKED".into(),
        ..Default::default()
    };
    let index = log.next();
    log.judge.observation(index, HOST, &observation);
    let index = log.next();
    log.judge.succession(index, &succession(40, 50));
    let index = log.next();
    let revocation = v1::Revocation {
        key_id: key.as_bytes().to_vec(),
        from_index: 8,
        r#use: v1::KeyUse::Record.into(),
        ..Default::default()
    };
    log.judge.revocation(index, &revocation);
    let fork = v1::Fork {
        chain: NEW.to_vec(),
        ..Default::default()
    };
    let index = log.next();
    log.judge.fork(index, &fork);
    enrol(&mut log, [7; 32], "gpu-02", Some(NEW), Reenrolment::Proved);
    log
}

#[test]
fn a_log_with_every_break_gives_the_same_verdict_byte_for_byte_when_judged_again() {
    let verdict = |log: &Log| {
        let findings = serde_json::to_string(&log.judge.findings()).unwrap();
        let figures = serde_json::to_string(&log.judge.figures()).unwrap();
        findings + &figures
    };
    let log = broken();
    let rules = log.rules();
    for rule in [
        Rule::ChainFork,
        Rule::ChainRestart,
        Rule::RecordsLost,
        Rule::LinesLost,
        Rule::ReEnrolled,
        Rule::KeySuspect,
        Rule::DeviceDuplicate,
        Rule::PlannedSilenceExceeded,
        Rule::LogSuccession,
        Rule::LogContradicted,
        Rule::UsageGap,
    ] {
        assert!(rules.contains(&rule), "{rule:?} not in {rules:?}");
    }
    assert_eq!(verdict(&log), verdict(&broken()));
    assert_eq!(verdict(&log), verdict(&log), "asking changes nothing");
}

#[test]
fn a_period_counts_a_break_once_and_two_periods_make_the_whole() {
    let breaks = |from, to| {
        let judge = affiant_judge::Judge::over(affiant_judge::Parameters::default(), from, to);
        let mut log = Log::with(judge, &MODELS);
        for _ in 0..4 {
            log.work(3);
            let index = log.next();
            let restart = v1::ChainRestart::default();
            log.judge.chain_restart(index, HOST, &restart);
        }
        let mut found = log.findings();
        found.retain(|finding| finding.rule == Rule::ChainRestart);
        found
            .iter()
            .map(|finding| finding.evidence.count)
            .sum::<u64>()
    };
    let middle = log::START + 2 * INTERVAL;
    let parts = [breaks(log::START, middle), breaks(middle, u64::MAX)];
    assert_eq!(parts, [2, 2]);
    assert_eq!(breaks(0, u64::MAX), 4);
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
    assert_eq!([say("LOG_FORKED"), say("LOG_LACKS_RECORD")], [true, true]);
    let finding = one(&log, Rule::LogContradicted);
    let details = ["LOG_FORKED", "LOG_LACKS_RECORD", "LOG_WENT_BACK"];
    let details = details.map(|rule| format!("{rule}: size 9 after size 12"));
    assert_eq!(finding.details, details);
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

#[test]
fn an_officer_who_ends_his_own_key_is_no_suspect_for_saying_so() {
    let key = KeyId::new([9; 16]);
    let ended = |from: fn(u64) -> u64| {
        let mut log = Log::new(&MODELS);
        log.officer([9; 32], "leaver");
        let first = log.index;
        log.judge.signed(first, [9; 32], key);
        log.tick(1_000);
        let index = log.next();
        log.judge.signed(index, [9; 32], key);
        let revocation = v1::Revocation {
            key_id: key.as_bytes().to_vec(),
            from_index: from(index),
            r#use: v1::KeyUse::Officer.into(),
            reason: "left".into(),
            ..Default::default()
        };
        log.judge.revocation(index, &revocation);
        (first, log.findings())
    };
    assert_eq!(ended(|index| index).1, []);
    assert_eq!(ended(|index| index - 1).1, [], "a clock stands between");
    let (first, findings) = ended(|_| 0);
    assert_eq!(findings.len(), 1, "{findings:?}");
    let said = format!("log indices {first} to {first} were");
    assert!(findings[0].details[0].starts_with(&said), "{findings:?}");
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

#[test]
fn lines_that_a_host_let_go_are_used_for_nobody_knows_whom_and_never_idle() {
    let mut log = Log::new(&MODELS);
    let first = log.sequence() + 1;
    for _ in 0..4 {
        log.record(vec![None]);
    }
    let withheld = log.judge.figures();
    assert_eq!(withheld.classes[0].withheld_ms.0, 40_000);
    let lost = v1::Gap {
        first,
        last: first + 2,
        lines: true,
        ..Default::default()
    };
    let index = log.next();
    log.judge.gap(index, HOST, &lost);
    let figures = log.judge.figures();
    let class = &figures.classes[0];
    assert_eq!((class.lost_ms.0, class.withheld_ms.0), (30_000, 10_000));
    assert_eq!((class.idle_ms.0, class.tenants_ms.0), (0, 0));
    assert_eq!((figures.lines_lost, figures.lines_withheld), (3, 4));
    assert_eq!(figures.hosts[0].lost_ms.0, 30_000);
    let finding = one(&log, Rule::LinesLost);
    assert_eq!(finding.evidence.count, 3);
    assert_eq!(finding.evidence.last_index, index);
    let index = log.next();
    log.judge.gap(index, HOST, &lost);
    assert_eq!(log.judge.figures().lines_lost, 3, "said twice, lost once");
}

const NEW: [u8; 32] = [9; 32];

fn enrol(log: &mut Log, chain: [u8; 32], name: &str, old: Option<[u8; 32]>, before: Reenrolment) {
    let predecessor = old.map(|old| v1::Predecessor {
        chain: old.to_vec(),
        reason: "board replaced".into(),
        ..Default::default()
    });
    let enrolment = v1::Enrolment {
        host: name.into(),
        predecessor,
        ..Default::default()
    };
    let index = log.next();
    log.judge.enrolment(index, chain, &enrolment, before);
}

fn host_event(log: &mut Log, chain: [u8; 32], kind: v1::HostEventKind) {
    let event = v1::HostEvent {
        host_chain: chain.to_vec(),
        kind: kind.into(),
        ..Default::default()
    };
    let index = log.next();
    log.judge.host_event(index, &event);
}

/// How the chains stand, by chain: `NEW` before `HOST`.
fn states(log: &Log) -> Vec<HostState> {
    log.judge.hosts().iter().map(|host| host.state).collect()
}

#[test]
fn a_host_enrolled_anew_with_its_old_key_goes_on_at_once_and_is_a_finding() {
    let mut log = Log::new(&MODELS);
    log.work(3);
    enrol(&mut log, NEW, "gpu-01", Some(HOST), Reenrolment::Proved);
    assert_eq!(states(&log), [HostState::Enrolled, HostState::Replaced]);
    let finding = one(&log, Rule::ReEnrolled);
    assert_eq!(finding.host.as_deref(), Some("gpu-01"));
    assert!(finding.details[0].contains("proved by the old chain's key: board replaced"));
}

#[test]
fn a_host_enrolled_anew_without_its_old_key_waits_for_an_operator_and_is_a_finding_then() {
    let mut log = Log::new(&MODELS);
    enrol(&mut log, NEW, "gpu-01", Some(HOST), Reenrolment::Unproved);
    assert_eq!(states(&log), [HostState::Pending, HostState::Approved]);
    assert_eq!(log.findings(), []);
    host_event(&mut log, NEW, v1::HostEventKind::Approve);
    assert_eq!(states(&log), [HostState::Approved, HostState::Replaced]);
    assert!(one(&log, Rule::ReEnrolled).details[0].contains("approved by an operator"));
}

#[test]
fn an_old_key_gives_no_other_hosts_name_and_none_that_an_operator_put_out() {
    let mut log = Log::new(&MODELS);
    enrol(&mut log, [8; 32], "gpu-02", None, Reenrolment::First);
    enrol(&mut log, NEW, "gpu-02", Some(HOST), Reenrolment::Proved);
    let [other, new, old] = states(&log)[..] else {
        panic!("{:?}", states(&log));
    };
    assert_eq!(
        [other, new, old],
        [HostState::Enrolled, HostState::Pending, HostState::Approved]
    );
    for kind in [v1::HostEventKind::Evict, v1::HostEventKind::Ban] {
        let mut log = Log::new(&MODELS);
        host_event(&mut log, HOST, kind);
        enrol(&mut log, NEW, "gpu-01", Some(HOST), Reenrolment::Proved);
        assert_eq!(states(&log)[0], HostState::Pending, "{kind:?}");
    }
}

#[test]
fn a_retired_hosts_name_may_be_enrolled_anew_without_a_finding_and_its_late_records_count() {
    let mut log = Log::new(&MODELS);
    log.work(3);
    log.tick(INTERVAL);
    host_event(&mut log, HOST, v1::HostEventKind::Retire);
    enrol(&mut log, NEW, "gpu-01", None, Reenrolment::First);
    assert_eq!(states(&log), [HostState::Enrolled, HostState::Retired]);
    let usage = log.interval(log.now - INTERVAL, log.now);
    let index = log.next();
    let totals = v1::Totals::default();
    log.judge.usage(index, HOST, 9, &usage, &totals, &[]);
    assert_eq!(states(&log), [HostState::Enrolled, HostState::Retired]);
    let old = &log.judge.figures().hosts[1];
    assert_eq!((old.recorded_ms.0, old.hole_ms.0), (20_000, 0));
    assert_eq!(log.findings(), []);
}

#[test]
fn a_host_whose_key_was_revoked_still_owes_its_time_and_is_enrolled_anew_by_approval_only() {
    let mut log = Log::new(&MODELS);
    let key = KeyId::new([4; 16]);
    let index = log.next();
    log.judge.signed(index, HOST, key);
    log.work(3);
    let index = log.next();
    let revocation = v1::Revocation {
        key_id: key.as_bytes().to_vec(),
        from_index: index,
        r#use: v1::KeyUse::Record.into(),
        ..Default::default()
    };
    log.judge.revocation(index, &revocation);
    enrol(&mut log, NEW, "gpu-01", Some(HOST), Reenrolment::Proved);
    assert_eq!(states(&log), [HostState::Pending, HostState::Revoked]);
    for _ in 0..40 {
        log.tick(1_000);
    }
    assert_eq!(log.rules(), [Rule::UsageGap]);
    host_event(&mut log, NEW, v1::HostEventKind::Approve);
    assert_eq!(states(&log), [HostState::Approved, HostState::Replaced]);
    assert_eq!(log.rules(), [Rule::UsageGap], "the operator had ended it");
}

#[test]
fn a_fork_lasts_until_its_key_is_revoked_and_stays_a_finding_of_all_that_time() {
    let mut log = Log::new(&MODELS);
    let key = KeyId::new([4; 16]);
    let index = log.next();
    log.judge.signed(index, HOST, key);
    log.tick(1_000);
    let index = log.next();
    let fork = v1::Fork {
        chain: HOST.to_vec(),
        sequence: 13,
        ..Default::default()
    };
    log.judge.fork(index, &fork);
    for _ in 0..60 {
        log.tick(INTERVAL);
    }
    let lasting = one(&log, Rule::ChainFork);
    let index = log.next();
    let revocation = v1::Revocation {
        key_id: key.as_bytes().to_vec(),
        from_index: index,
        r#use: v1::KeyUse::Record.into(),
        ..Default::default()
    };
    log.judge.revocation(index, &revocation);
    for _ in 0..60 {
        log.tick(INTERVAL);
    }
    let ended = one(&log, Rule::ChainFork);
    assert_eq!((ended.open, &ended.id), (false, &lasting.id));
    assert_eq!(ended.last_unix_ms, lasting.last_unix_ms);
}

/// Another host with the same device sends a record of the last interval.
fn elsewhere(log: &mut Log) {
    let device = v1::Device {
        uuid: "GPU-0".into(),
        ..Default::default()
    };
    let index = log.next();
    log.judge.inventory(index, NEW, 1, vec![Some(device)]);
    let usage = log.interval(log.now - INTERVAL, log.now);
    let index = log.next();
    let totals = v1::Totals::default();
    log.judge.usage(index, NEW, 2, &usage, &totals, &[]);
}

#[test]
fn a_device_in_two_hosts_at_once_is_a_duplicate_and_one_after_the_other_a_move() {
    let mut log = Log::new(&MODELS);
    enrol(&mut log, NEW, "gpu-02", None, Reenrolment::First);
    for _ in 0..6 {
        log.work(3);
        elsewhere(&mut log);
    }
    let double = one(&log, Rule::DeviceDuplicate);
    assert_eq!(double.severity, Severity::High);
    assert_eq!(double.device.as_deref(), Some("GPU-0"));
    assert_eq!(double.hosts, ["gpu-01", "gpu-02"]);
    assert_eq!(log.rules(), [Rule::DeviceDuplicate]);

    let mut log = Log::new(&MODELS);
    enrol(&mut log, NEW, "gpu-02", None, Reenrolment::First);
    log.work(3);
    host_event(&mut log, HOST, v1::HostEventKind::Retire);
    log.tick(60_000);
    elsewhere(&mut log);
    let moved = one(&log, Rule::DeviceMoved);
    assert_eq!(moved.severity, Severity::Low);
    assert_eq!(moved.details, ["from host gpu-01 to host gpu-02"]);
    assert_eq!(log.rules(), [Rule::DeviceMoved]);
}

#[test]
fn use_under_an_approval_by_a_stolen_key_is_unvetted_as_known_now_and_stands_as_known_then() {
    let mut log = Log::new(&MODELS);
    log.party("firm", "Firm", "US");
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: "firm".into(),
        end_customer: "firm".into(),
        ultimate_parent: "firm".into(),
        ..Default::default()
    });
    log.bind("b", "t", "szu");
    log.tick(1_000);
    log.decide("t", log::ANN);
    let stolen = log.index + 1;
    let key = KeyId::new([5; 16]);
    log.judge.signed(stolen, log::BO, key);
    log.decide("t", log::BO);
    for _ in 0..6 {
        log.work(0);
    }
    assert_eq!(log.findings(), []);
    let opening = v1::Officer {
        name: "Bo".into(),
        ..Default::default()
    };
    log.judge.officer(2, log::BO, &opening);
    let index = log.next();
    let revocation = v1::Revocation {
        key_id: key.as_bytes().to_vec(),
        from_index: stolen,
        r#use: v1::KeyUse::Officer.into(),
        ..Default::default()
    };
    log.judge.revocation(index, &revocation);
    let suspect = one(&log, Rule::KeySuspect);
    assert_eq!(
        suspect.title,
        "officer Bo has statements of a key that was revoked"
    );
    let approval = format!("approval of tenant t at log index {stolen}");
    assert!(suspect.details.contains(&approval), "{:?}", suspect.details);
    let unvetted = one(&log, Rule::UseUnvetted);
    assert_eq!((unvetted.known, unvetted.evidence.count), (Known::Later, 6));
    log.work(0);
    let mut unvetted = log.findings();
    unvetted.retain(|finding| finding.rule == Rule::UseUnvetted);
    let known: Vec<_> = unvetted.iter().map(|finding| finding.known).collect();
    assert_eq!(
        known,
        [Known::Later, Known::Then],
        "and nothing is permitted after"
    );
    let before = log.judge.findings().len();
    log.approve("t");
    log.work(0);
    assert_eq!(
        log.findings().len(),
        before,
        "approved again, and nothing taken back"
    );
}
