//! As known then and as known now: what is logged later, or claims to be older than it is.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{Known, Rule, registry::view::View};
use affiant_proto::v1::{self, TenantState, tenant_event::Body};
use log::{ANN, BO, HOST, INTERVAL, Log, START, line, owns, party};

const MODELS: [&str; 1] = ["NVIDIA H100 80GB HBM3"];
const MINUTE: u64 = 60_000;

fn applied() -> Log {
    let mut log = Log::new(&MODELS);
    log.say(party("firm", "Firm", "US"));
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: "firm".into(),
        end_customer: "firm".into(),
        ultimate_parent: "firm".into(),
        ..Default::default()
    });
    log
}

fn approved() -> Log {
    let mut log = applied();
    log.bind("b", "t", "szu");
    log.approve("t");
    log.tick(1_000);
    log
}

fn decide_since(log: &mut Log, effective_unix_ms: u64) {
    let dossier = log.judge.registry().dossier_digest("t").unwrap();
    for officer in [ANN, BO] {
        let decision = v1::Decision {
            tenant: "t".into(),
            dossier: dossier.as_bytes().to_vec(),
            verdict: v1::Verdict::Approve.into(),
            effective_unix_ms,
            reason: "seen".into(),
            ..Default::default()
        };
        let index = log.next();
        log.judge.decision(index, officer, &decision);
    }
}

/// A record of an interval that ends at this instant, logged now.
fn record(log: &mut Log, end_ms: u64) {
    let usage = log.interval(end_ms - INTERVAL, end_ms);
    let totals = v1::Totals {
        devices: vec![v1::DeviceTotals {
            attributed_ms: INTERVAL,
            ..Default::default()
        }],
    };
    let (index, sequence) = (log.next(), log.sequence());
    log.judge
        .usage(index, HOST, sequence, &usage, &totals, &[Some(line(0, 0))]);
}

/// The views at an instant, as known then and as known now.
fn views(log: &Log, at: u64) -> (View, View) {
    let view = |known| log.judge.registry().view("t", at, known).unwrap();
    (view(Some(at)), view(None))
}

/// (rule, when it could be known, how many records) of all findings but gaps.
fn found(log: &Log) -> Vec<(Rule, Known, u64)> {
    let findings = log.findings().into_iter();
    let findings = findings.filter(|one| one.rule != Rule::UsageGap);
    findings
        .map(|one| (one.rule, one.known, one.evidence.count))
        .collect()
}

#[test]
fn a_back_dated_approval_permits_nothing_before_it_was_logged() {
    let mut log = applied();
    log.bind("b", "t", "szu");
    for _ in 0..3 {
        log.work(0);
    }
    let used = log.now;
    decide_since(&mut log, START);
    let logged = log.now;
    log.tick(1_000);
    log.work(0);
    assert_eq!(found(&log), [(Rule::UseUnvetted, Known::Then, 3)]);
    for at in [START, used - 1] {
        let (then, now) = views(&log, at);
        assert_eq!((then.permitted, then.state), (false, "draft"), "{at}");
        assert_eq!((now.permitted, now.state), (false, "draft"), "{at}");
    }
    let (then, now) = views(&log, logged);
    assert!(then.permitted && now.permitted);
    let change = now.change.unwrap();
    assert_eq!(
        (change.logged_unix_ms, change.from_unix_ms),
        (logged, logged)
    );
    assert_eq!((change.officers.len(), change.reason.as_str()), (2, "seen"));
}

#[test]
fn a_back_dated_binding_attributes_nothing_that_was_logged_before_it() {
    let mut log = applied();
    log.approve("t");
    for _ in 0..3 {
        log.work(0);
    }
    let binding = v1::Binding {
        id: "b".into(),
        tenant: "t".into(),
        namespace: "szu".into(),
        ..Default::default()
    };
    let event = v1::BindingEvent {
        effective_unix_ms: START,
        binding: Some(binding),
        ..Default::default()
    };
    let before = log.findings();
    let index = log.next();
    log.judge.binding_event(index, ANN, &event);
    assert_eq!(log.findings(), before);
    assert_eq!(found(&log), [(Rule::UseUnattributed, Known::Then, 3)]);
    // Nor a record from before it that arrives after it.
    log.tick(MINUTE);
    record(&mut log, START + 2 * INTERVAL);
    assert_eq!(found(&log), [(Rule::UseUnattributed, Known::Then, 4)]);
    let tenants = log.judge.figures().tenants;
    assert!(tenants.is_empty(), "{tenants:?}");
    log.work(0);
    assert_eq!(found(&log), [(Rule::UseUnattributed, Known::Then, 4)]);
}

#[test]
fn a_parent_that_is_learned_late_is_a_finding_as_known_now_and_both_views_say_what_was_known() {
    let mut log = approved();
    for _ in 0..3 {
        log.work(0);
    }
    let used = log.now - INTERVAL;
    assert_eq!(log.findings(), []);
    log.tick(MINUTE);
    log.say_since(START, party("parent", "Parent", "CN"));
    log.say_since(START, owns("parent", "firm"));
    assert_eq!(found(&log), [(Rule::RestrictedHq, Known::Later, 3)]);
    let (then, now) = views(&log, used);
    assert!(
        then.permitted && now.permitted,
        "it was approved, by what officers knew"
    );
    assert_eq!(then.headquarters.keys().collect::<Vec<_>>(), ["firm"]);
    assert_eq!(
        now.headquarters.keys().collect::<Vec<_>>(),
        ["firm", "parent"]
    );
    // What officers learn since takes nothing back.
    log.say(party("parent", "Parent", "US"));
    let ended = Body::Edge(v1::Edge {
        from: "parent".into(),
        to: "firm".into(),
        kind: v1::EdgeKind::Owns.into(),
        until_unix_ms: Some(START),
        ..Default::default()
    });
    log.say_since(START, ended);
    log.approve("t");
    assert_eq!(found(&log), [(Rule::RestrictedHq, Known::Later, 3)]);
}

#[test]
fn a_tenant_suspended_at_noon_is_fine_a_minute_before_and_a_finding_a_minute_after() {
    let mut log = approved();
    let noon = START + 60 * MINUTE;
    log.tick(noon - 2 * MINUTE - log.now);
    for _ in 0..18 {
        // Until a minute past noon; nobody has said anything yet.
        log.work(0);
    }
    assert_eq!(log.now, noon + MINUTE);
    assert_eq!(found(&log), []);
    log.tick(4 * MINUTE);
    log.state_since(noon, "t", TenantState::Suspended);
    let later = found(&log);
    assert_eq!(later.len(), 1, "{later:?}");
    let finding = log.findings().pop().unwrap();
    assert_eq!(
        (finding.rule, finding.known),
        (Rule::UseUnvetted, Known::Later)
    );
    assert_eq!(
        (finding.opened_unix_ms, finding.last_unix_ms),
        (noon, noon + MINUTE)
    );

    // Records that arrive late, a few minutes after the suspension was logged.
    record(&mut log, noon - MINUTE);
    assert_eq!(found(&log), later, "11:59, and it arrived at 12:05");
    record(&mut log, noon + MINUTE);
    let both = found(&log);
    assert!(
        both.contains(&(Rule::UseUnvetted, Known::Then, 1)),
        "{both:?}: 12:01, and it arrived at 12:05"
    );
    assert_eq!(both.len(), 2);

    let (then, now) = views(&log, noon - MINUTE);
    assert!(then.permitted && now.permitted);
    let (then, now) = views(&log, noon + MINUTE);
    assert_eq!((then.permitted, then.state), (true, "approved"));
    assert_eq!((now.permitted, now.state), (false, "suspended"));
}

#[test]
fn a_view_as_known_at_some_other_time_is_what_the_log_had_said_by_then() {
    let mut log = approved();
    let used = log.now;
    log.tick(MINUTE);
    log.state_since(START, "t", TenantState::Suspended);
    let suspended = log.now;
    let registry = log.judge.registry();
    let known = |at: u64| registry.view("t", used, Some(at)).unwrap().state;
    assert_eq!(known(used), "approved");
    assert_eq!(known(suspended - 1), "approved");
    assert_eq!(known(suspended), "suspended");
    assert_eq!(registry.view("t", used, None).unwrap().state, "suspended");
    assert_eq!(registry.view("nobody", used, None), None);
}

#[test]
fn a_view_knows_of_a_revoked_key_from_its_revocation_on() {
    let mut log = applied();
    let key = affiant_proto::KeyId::new([9; 16]);
    let open = v1::Officer {
        name: "Ann".into(),
        ..Default::default()
    };
    let index = log.next();
    log.judge.signed(index, ANN, key);
    log.judge.officer(index, ANN, &open);
    log.tick(MINUTE);
    decide_since(&mut log, START);
    let (used, signed) = (log.now, log.index);
    log.judge.signed(signed, ANN, key);
    log.tick(MINUTE);
    let revocation = v1::Revocation {
        key_id: vec![9; 16],
        from_index: index + 1,
        r#use: v1::KeyUse::Officer.into(),
        ..Default::default()
    };
    let revoked = log.next();
    log.judge.revocation(revoked, &revocation);
    let known = |at, known| {
        let view = log.judge.registry().view("t", at, known).unwrap();
        (view.permitted, view.state)
    };
    assert_eq!(known(used, Some(used)), (true, "approved"));
    let doubted = (false, "approved by a key that was revoked");
    assert_eq!(known(used, Some(log.now)), doubted);
    assert_eq!(known(used, None), doubted);
    assert!(!known(log.now + MINUTE, Some(log.now + MINUTE)).0);
    assert_eq!(
        log.judge.officer_name(&"01".repeat(32)).as_deref(),
        Some("Ann")
    );
}
