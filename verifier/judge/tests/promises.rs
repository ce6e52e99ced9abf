//! What the judge promises, over whole logs.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{Amount, Class, HostState, Judge, Known, Parameters, Rule};
use affiant_proto::{
    KeyId, Reenrolment,
    v1::{self, tenant_event::Body},
};
use log::{HOST, INTERVAL, Log, START, line, owns, party};
use proptest::prelude::*;

const MODELS: [&str; 1] = ["NVIDIA H100 80GB HBM3"];

fn plain(id: &str) -> v1::Tenant {
    v1::Tenant {
        id: id.into(),
        customer: "firm".into(),
        end_customer: "firm".into(),
        ultimate_parent: "firm".into(),
        ..Default::default()
    }
}

/// One tenant of no fault, stated and bound; not approved.
fn stated() -> Log {
    let mut log = Log::new(&MODELS);
    log.say(party("firm", "Firm", "US"));
    log.tenant(plain("t"));
    log.bind("b", "t", "szu");
    log
}

fn approved() -> Log {
    let mut log = stated();
    log.approve("t");
    log
}

#[test]
fn use_before_the_approval_is_unvetted_and_use_after_it_is_not_whatever_the_approval_claims() {
    let mut log = stated();
    log.work(0);
    log.approve("t");
    log.work(0);
    let findings = log.findings();
    assert_eq!(log.rules(), [Rule::UseUnvetted]);
    assert_eq!(findings[0].evidence.count, 1);
    assert_eq!(findings[0].last_unix_ms, START + INTERVAL);
}

#[test]
fn a_record_that_comes_late_is_judged_by_its_own_time_not_by_an_approval_since() {
    let mut log = stated();
    log.work(0);
    log.tick(5 * INTERVAL);
    log.approve("t");
    // Spooled since before the approval, logged after it.
    let usage = log.interval(START + INTERVAL, START + 2 * INTERVAL);
    let totals = v1::Totals::default();
    let index = log.next();
    log.judge
        .usage(index, HOST, 9, &usage, &totals, &[Some(line(0, 0))]);
    let unvetted = log
        .findings()
        .into_iter()
        .find(|finding| finding.rule == Rule::UseUnvetted);
    assert_eq!(unvetted.unwrap().evidence.count, 2);
}

#[test]
fn one_officer_twice_leaves_the_tenant_unvetted() {
    let mut log = stated();
    log.decide("t", log::ANN);
    log.decide("t", log::ANN);
    log.work(0);
    assert_eq!(log.rules(), [Rule::UseUnvetted]);
}

#[test]
fn a_suspension_reaches_back_and_says_that_it_was_learnt_later() {
    let mut log = approved();
    for _ in 0..6 {
        log.work(0);
    }
    assert_eq!(log.findings(), []);
    log.state_since(START + 25_000, "t", v1::TenantState::Suspended);
    let findings = log.findings();
    assert_eq!(findings.len(), 1);
    assert_eq!(
        (findings[0].rule, findings[0].known),
        (Rule::UseUnvetted, Known::Later)
    );
    assert_eq!(findings[0].opened_unix_ms, START + 25_000);
    log.work(0);
    let known: Vec<_> = log.findings().iter().map(|finding| finding.known).collect();
    assert_eq!(known, [Known::Later, Known::Then]);
}

#[test]
fn a_headquarters_that_was_restricted_all_along_reaches_back_to_its_effective_time() {
    let mut log = approved();
    for _ in 0..6 {
        log.work(0);
    }
    log.say_since(START + 25_000, party("firm", "Firm", "CN"));
    let findings = log.findings();
    assert_eq!(
        findings.len(),
        1,
        "the lapse itself does not reach back: {findings:?}"
    );
    assert_eq!(
        (findings[0].rule, findings[0].known),
        (Rule::RestrictedHq, Known::Later)
    );
    assert_eq!(findings[0].opened_unix_ms, START + 25_000);
}

#[test]
fn no_later_event_deletes_a_finding() {
    let mut log = approved();
    log.work(0);
    log.say_since(START, owns("bad", "firm"));
    log.say_since(START, party("bad", "Owner", "RU"));
    let before: Vec<_> = log
        .findings()
        .into_iter()
        .map(|finding| finding.id)
        .collect();
    assert_eq!(before.len(), 1);
    log.say_since(0, party("bad", "Owner", "US"));
    log.approve("t");
    log.say_since(
        0,
        Body::Edge(v1::Edge {
            from: "bad".into(),
            to: "firm".into(),
            kind: v1::EdgeKind::Owns.into(),
            until_unix_ms: Some(0),
            ..Default::default()
        }),
    );
    log.work(0);
    let after: Vec<_> = log
        .findings()
        .into_iter()
        .map(|finding| finding.id)
        .collect();
    assert!(
        before.iter().all(|id| after.contains(id)),
        "{before:?} {after:?}"
    );
}

#[test]
fn a_changed_dossier_makes_use_unvetted_until_two_decide_again() {
    let mut log = approved();
    log.work(0);
    log.say(party("firm", "Firm", "DE"));
    log.work(0);
    assert_eq!(log.rules(), [Rule::UseUnvetted]);
    log.approve("t");
    log.work(0);
    assert_eq!(log.findings()[0].evidence.count, 1);
}

#[test]
fn conditions_that_ran_out_are_vetting_expired_and_not_unvetted() {
    let mut log = Log::new(&MODELS);
    log.say(party("firm", "Firm", "US"));
    let conditions = v1::Conditions {
        valid_to_unix_ms: Some(START + 25_000),
        device_classes: vec!["3A090.a".into()],
        ..Default::default()
    };
    log.tenant(v1::Tenant {
        conditions: Some(conditions),
        ..plain("t")
    });
    log.bind("b", "t", "szu");
    log.approve("t");
    log.work(0);
    log.work(0);
    assert_eq!(log.findings(), []);
    log.work(0);
    assert_eq!(log.rules(), [Rule::VettingExpired]);
}

#[test]
fn a_class_that_was_not_approved_is_not_allowed_and_an_unknown_device_is_controlled() {
    let mut log = Log::new(&["NVIDIA H100 80GB HBM3", "NVIDIA Mystery 9000"]);
    log.say(party("firm", "Firm", "CN"));
    let conditions = v1::Conditions {
        device_classes: vec!["3A090.a".into()],
        ..Default::default()
    };
    log.tenant(v1::Tenant {
        conditions: Some(conditions),
        ..plain("t")
    });
    log.bind("b", "t", "szu");
    log.approve("t");
    log.work(0);
    assert_eq!(log.rules(), [Rule::DeviceNotAllowed, Rule::RestrictedHq]);
    let findings = log.findings();
    let classes = |rule| {
        &findings
            .iter()
            .find(|finding| finding.rule == rule)
            .unwrap()
            .classes
    };
    assert_eq!(classes(Rule::DeviceNotAllowed), &[Class::Unknown]);
    assert_eq!(classes(Rule::RestrictedHq), &[Class::A, Class::Unknown]);
}

#[test]
fn an_ambiguous_binding_is_nobodys_use_and_not_a_guess() {
    let mut log = approved();
    log.tenant(plain("u"));
    log.approve("u");
    log.bind("b2", "u", "szu");
    log.work(0);
    assert_eq!(log.rules(), [Rule::UseUnattributed]);
    let finding = log.findings().pop().unwrap();
    assert_eq!(finding.host.as_deref(), Some("gpu-01"));
    assert!(finding.details[0].contains("t, u"), "{:?}", finding.details);
    assert_eq!(log.judge.figures().tenants, []);
}

#[test]
fn a_workload_without_a_binding_is_unattributed_and_names_itself() {
    let mut log = approved();
    log.work(2);
    assert_eq!(log.rules(), [Rule::UseUnattributed]);
    assert_eq!(
        log.findings()[0].details,
        ["no binding for namespace stray"]
    );
}

#[test]
fn what_is_withheld_is_never_unattributed() {
    let mut log = approved();
    log.record(vec![None]);
    log.work(3);
    assert_eq!(log.findings(), []);
    let figures = log.judge.figures();
    assert_eq!(figures.lines_withheld, 1);
    assert_eq!(
        figures.classes[0].withheld_ms,
        Amount(2 * u128::from(INTERVAL))
    );
    assert_eq!(figures.classes[0].unattributed_ms, Amount(0));
}

#[test]
fn a_gap_opens_while_a_live_host_is_silent_and_closes_when_it_has_spoken_for_a_while() {
    let mut log = approved();
    log.work(0);
    for _ in 0..31 {
        log.tick(1_000);
    }
    let open = log.findings();
    assert_eq!((open[0].rule, open[0].open), (Rule::UsageGap, true));
    assert_eq!(open[0].opened_unix_ms, START + INTERVAL);
    log.work(0);
    for _ in 0..31 {
        log.work(0);
    }
    let closed = log.findings();
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert_eq!((closed[0].open, &closed[0].id), (false, &open[0].id));
}

#[test]
fn a_device_that_hangs_is_a_gap_of_its_own_and_no_other_devices() {
    let mut log = Log::new(&["NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"]);
    let dark = |device| v1::UsageLine {
        device,
        kind: v1::LineKind::NotObserved.into(),
        reason: v1::Reason::DriverHung.into(),
        time_ms: INTERVAL,
        ..Default::default()
    };
    let idle = v1::UsageLine {
        kind: v1::LineKind::Idle.into(),
        time_ms: INTERVAL,
        ..Default::default()
    };
    log.record(vec![Some(idle), Some(dark(1))]);
    assert_eq!(log.findings()[0].device.as_deref(), Some("GPU-1"));
    log.record(vec![Some(dark(0)), Some(dark(1))]);
    let hosts = log
        .findings()
        .into_iter()
        .filter(|finding| finding.device.is_none());
    assert_eq!(hosts.count(), 1, "all devices at once are the host's");
}

#[test]
fn a_host_that_enrols_anew_owes_the_time_between_and_its_old_chain_owes_no_more() {
    let mut log = approved();
    log.work(0);
    let again = v1::Enrolment {
        host: "gpu-01".into(),
        ..Default::default()
    };
    let index = log.next();
    log.judge
        .enrolment(index, [9; 32], &again, Reenrolment::Unproved);
    assert_eq!(log.judge.hosts()[0].state, HostState::Pending);
    let event = v1::HostEvent {
        host_chain: vec![9; 32],
        kind: v1::HostEventKind::Approve.into(),
        ..Default::default()
    };
    let index = log.next();
    log.judge.host_event(index, &event);
    for _ in 0..400 {
        log.tick(1_000);
    }
    let states: Vec<_> = log.judge.hosts().iter().map(|host| host.state).collect();
    assert_eq!(states, [HostState::Approved, HostState::Replaced]);
    let findings = log.findings();
    let rules: Vec<_> = findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, [Rule::UsageGap, Rule::ReEnrolled], "{findings:?}");
    assert_eq!(findings[0].chain.as_deref(), Some("09".repeat(32).as_str()));
    assert_eq!(findings[0].opened_unix_ms, START + INTERVAL);
}

#[test]
fn a_ban_is_for_good() {
    let mut log = approved();
    log.host_event(v1::HostEventKind::Ban);
    log.host_event(v1::HostEventKind::Approve);
    log.work(0);
    assert_eq!(log.judge.hosts()[0].state, HostState::Banned);
    for _ in 0..400 {
        log.tick(1_000);
    }
    assert_eq!(log.findings(), [], "nothing is due of it");
}

#[test]
fn a_retired_host_has_no_gap() {
    let mut log = approved();
    log.work(0);
    log.host_event(v1::HostEventKind::Retire);
    for _ in 0..99 {
        log.tick(1_000);
    }
    assert_eq!(log.findings(), []);
}

#[test]
fn figures_of_a_period_count_its_records_only_and_two_periods_make_the_whole() {
    let attributed = |judge: Judge| {
        let mut log = Log::with(judge, &MODELS);
        log.say(party("firm", "Firm", "US"));
        log.tenant(plain("t"));
        log.bind("b", "t", "szu");
        log.approve("t");
        for _ in 0..6 {
            log.work(0);
        }
        assert_eq!(log.findings(), []);
        log.judge
            .figures()
            .tenants
            .iter()
            .map(|tenant| tenant.attributed_ms.0)
            .sum::<u128>()
    };
    let (middle, end) = (START + 2 * INTERVAL, START + 9 * INTERVAL);
    let over = |from, to| attributed(Judge::over(Parameters::default(), from, to));
    assert_eq!([over(START, middle), over(middle, end)], [20_000, 40_000]);
    assert_eq!(attributed(Judge::new(Parameters::default())), 60_000);
}

#[test]
fn kinds_that_are_not_judged_are_counted_and_stay_bounded() {
    let mut log = approved();
    for kind in 0..1_000 {
        log.judge.not_judged(kind, &format!("kind-{}", kind % 500));
    }
    let counted = log.judge.figures().not_judged;
    assert!(counted.len() <= 65);
    assert_eq!(counted.values().sum::<u64>(), 1_000);
}

fn edge_numbers() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(START),
        Just(START + 5),
        Just(u64::MAX - 1),
        Just(u64::MAX),
        any::<u64>()
    ]
}

fn hostile_line() -> impl Strategy<Value = Option<v1::UsageLine>> {
    let numbers = (
        edge_numbers(),
        proptest::option::of(edge_numbers()),
        any::<u32>(),
    );
    let places = (
        prop_oneof![Just(0_u32), Just(1), any::<u32>()],
        -1_i32..8,
        proptest::option::of(0_u32..9),
    );
    proptest::option::of(
        (numbers, places, -1_i32..25).prop_map(|(n, p, reason)| v1::UsageLine {
            device: p.0,
            kind: p.1,
            workload: p.2,
            reason,
            time_ms: n.0,
            allocated_ms: n.1,
            busy_ms: n.1,
            energy_mj: n.1,
            samples: n.2,
            missing: n.2,
            ..Default::default()
        }),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_number_from_outside_makes_the_judge_panic_and_parts_always_make_up_the_total(
        acts in proptest::collection::vec((0_u8..15, edge_numbers(), edge_numbers(), -1_i32..12), 0..40),
        lines in proptest::collection::vec(hostile_line(), 0..6),
    ) {
        let mut log = approved();
        for (act, a, b, kind) in acts {
            let index = log.next();
            match act {
                0 => log.judge.clock(index, b),
                1 => log.judge.host_event(index, &v1::HostEvent { host_chain: HOST.to_vec(), kind, ..Default::default() }),
                2 => log.judge.host_event(index, &v1::HostEvent { host_chain: vec![1], kind, ..Default::default() }),
                3 => log.say_since(a, party("firm", "Firm", "CN")),
                4 => log.say_since(a, Body::State(v1::TenantStateChange {
                    tenant: "t".into(), state: kind, reason: String::new(),
                })),
                5 => log.judge.enrolment(index, [9; 32], &v1::Enrolment {
                    predecessor: Some(v1::Predecessor { chain: HOST.to_vec(), ..Default::default() }),
                    ..Default::default()
                }, if kind % 2 == 0 { Reenrolment::Proved } else { Reenrolment::Unproved }),
                6 => log.judge.gap(index, HOST, &v1::Gap { first: a, last: b, lines: kind % 2 == 0, ..Default::default() }),
                7 => {
                    log.judge.signed(index, HOST, KeyId::new([1; 16]));
                    log.judge.revocation(index, &v1::Revocation {
                        key_id: vec![1; 16], from_index: a, r#use: kind, ..Default::default()
                    });
                }
                8 => log.judge.fork(index, &v1::Fork { chain: HOST.to_vec(), sequence: a, ..Default::default() }),
                9 => {
                    let size = |size| Some(v1::CheckpointRef { size, ..Default::default() });
                    log.judge.succession(index, &v1::Succession { last: size(a), kept: size(b), ..Default::default() });
                }
                10 => {
                    log.judge.chain_restart(index, HOST, &v1::ChainRestart {
                        restored_sequence: a, adopted_sequence: b, ..Default::default()
                    });
                }
                11 => log.judge.host_event(index, &v1::HostEvent {
                    host_chain: HOST.to_vec(),
                    kind: v1::HostEventKind::Maintenance.into(),
                    until_unix_ms: Some(a),
                    ..Default::default()
                }),
                12 => log.judge.inventory_declaration(index, HOST, &v1::InventoryDeclaration {
                    site: "ashburn".into(),
                    devices: vec![v1::DeclaredDevice { uuid: format!("GPU-{kind}"), ..Default::default() }],
                    part: u32::try_from(a).unwrap_or(u32::MAX),
                    parts: u32::try_from(b).unwrap_or(u32::MAX),
                    ..Default::default()
                }),
                _ => {
                    let usage = v1::Usage {
                        wall_start_ms: a, wall_end_ms: b, inventory: 1, workloads: 2, ..Default::default()
                    };
                    let parts = v1::DeviceTotals { attributed_ms: a, not_observed_ms: b, ..Default::default() };
                    let totals = v1::Totals { devices: vec![parts; 3] };
                    log.judge.usage(index, HOST, a, &usage, &totals, &lines);
                }
            }
        }
        let findings = log.judge.findings();
        let ids: std::collections::BTreeSet<_> = findings.iter().map(|finding| &finding.id).collect();
        prop_assert_eq!(ids.len(), findings.len(), "two findings with one id");
        let figures = log.judge.figures();
        for class in &figures.classes {
            let parts = [class.tenants_ms, class.unattributed_ms, class.idle_ms, class.not_observed_ms, class.lost_ms];
            let shown: u128 = parts.iter().map(|part| part.0).sum();
            prop_assert!(shown + class.withheld_ms.0 >= class.total_ms.0);
        }
        let text = serde_json::to_string(&figures).unwrap();
        prop_assert_eq!(serde_json::from_str::<affiant_judge::Figures>(&text).unwrap(), figures);
        log.judge.hosts();
    }
}
