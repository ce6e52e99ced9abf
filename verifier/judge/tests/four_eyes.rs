//! Four eyes cannot be got round: what the judge refuses, how it says so, and what it still lets pass.
//!
//! What admission refuses never reaches a judge; `tests/tests/four_eyes.rs` plays that.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{Finding, Known, Rule, Severity};
use affiant_proto::{
    Ed25519Signer, KeyId, Signer as _,
    v1::{self, tenant_event::Body},
};
use log::{ANN, BO, INTERVAL, Log, owns, party};

const CEM: [u8; 32] = [3; 32];
const MODELS: [&str; 1] = ["NVIDIA H100 80GB HBM3"];

/// A tenant that is its own end customer, with its owner; applied for, bound, not approved.
fn applied() -> Log {
    let mut log = Log::new(&MODELS);
    for (chain, name) in [(ANN, "Ann"), (BO, "Bo"), (CEM, "Cem")] {
        log.officer(chain, name);
    }
    log.say(party("firm", "Firm", "US"));
    log.say(party("owner", "Owner", "US"));
    log.say(owns("owner", "firm"));
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: "firm".into(),
        end_customer: "firm".into(),
        ultimate_parent: "owner".into(),
        ..Default::default()
    });
    log.bind("b", "t", "szu");
    log.tick(1_000);
    log
}

fn by(log: &mut Log, officer: [u8; 32], effective_unix_ms: u64, body: Body) {
    let event = v1::TenantEvent {
        effective_unix_ms,
        body: Some(body),
        ..Default::default()
    };
    let index = log.next();
    log.judge.tenant_event(index, officer, &event);
}

/// A person of the registry who is an officer by this identifier.
fn person(id: &str, identifiers: &[&str]) -> Body {
    let identifier = |value: &&str| v1::Identifier {
        scheme: "officer".into(),
        value: (*value).into(),
        country: String::new(),
    };
    Body::Party(v1::Party {
        id: id.into(),
        kind: v1::PartyKind::Person.into(),
        identifiers: identifiers.iter().map(identifier).collect(),
        headquarters: "US".into(),
        ..Default::default()
    })
}

fn edge(from: &str, to: &str, kind: v1::EdgeKind) -> Body {
    Body::Edge(v1::Edge {
        from: from.into(),
        to: to.into(),
        kind: kind.into(),
        ..Default::default()
    })
}

fn ended(from: &str, to: &str, kind: v1::EdgeKind, until: u64) -> Body {
    Body::Edge(v1::Edge {
        from: from.into(),
        to: to.into(),
        kind: kind.into(),
        until_unix_ms: Some(until),
        ..Default::default()
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn self_approvals(log: &Log) -> Vec<Finding> {
    let mut found = log.findings();
    found.retain(|finding| finding.rule == Rule::SelfApproval);
    found
}

fn is_noted(log: &Log, words: &str) -> bool {
    let notes = log.judge.figures().notes;
    notes.iter().any(|note| note.contains(words))
}

/// Whether use of the tenant is a finding from here on.
fn is_unvetted(log: &mut Log) -> bool {
    log.tick(1_000);
    let since = log.now;
    log.work(0);
    let findings = log.findings();
    let mut unvetted = findings.iter().filter(|one| one.rule == Rule::UseUnvetted);
    unvetted.any(|one| one.known == Known::Then && one.last_unix_ms >= since + INTERVAL)
}

#[test]
fn two_officers_who_have_nothing_to_do_with_the_tenant_approve_it() {
    let mut log = applied();
    log.say(person("ann-lee", &["Ann"]));
    log.say(person("bo-li", &["Bo"]));
    log.say(edge("ann-lee", "stranger", v1::EdgeKind::ActsFor));
    log.say(edge("bo-li", "firm", v1::EdgeKind::ResellsTo));
    log.approve("t");
    assert!(!is_unvetted(&mut log));
    assert_eq!(log.findings(), []);
}

#[test]
fn the_same_officer_twice_is_noted_and_approves_nothing() {
    let mut log = applied();
    for _ in 0..3 {
        log.decide("t", ANN);
    }
    assert!(is_noted(&log, "one officer counts once"));
    assert_eq!(self_approvals(&log), []);
    assert!(is_unvetted(&mut log));
    log.decide("t", BO);
    assert!(!is_unvetted(&mut log));
}

#[test]
fn an_officer_who_is_acts_for_owns_controls_or_belongs_to_a_party_of_the_tenant_approves_nothing() {
    use v1::EdgeKind::{ActsFor, AffiliatedUnitOf, Controls, Owns};
    let own = |ties: &[(&str, &str, v1::EdgeKind)]| {
        let mut log = applied();
        log.say(person("ann-lee", &["ann"]));
        for (from, to, kind) in ties {
            log.say(edge(from, to, *kind));
        }
        log.approve("t");
        log
    };
    for (ties, told) in [
        (&[("ann-lee", "firm", ActsFor)][..], "acts for firm"),
        (&[("ann-lee", "firm", Owns)], "ann-lee"),
        (&[("ann-lee", "owner", Controls)], "ann-lee"),
        (
            &[("ann-lee", "owner", AffiliatedUnitOf)],
            "is a unit of owner",
        ),
        // Through others.
        (
            &[("ann-lee", "shell", Owns), ("shell", "firm", ActsFor)],
            "owns of shell, which acts for firm",
        ),
    ] {
        let mut log = own(ties);
        let found = self_approvals(&log);
        assert_eq!(found.len(), 1, "{ties:?}: {found:?}");
        assert_eq!(found[0].severity, Severity::Critical);
        assert_eq!(found[0].tenant.as_deref(), Some("t"));
        assert_eq!(found[0].known, Known::Then);
        assert!(found[0].details[0].contains(told), "{:?}", found[0].details);
        assert!(found[0].details[0].contains("officer ann is party ann-lee"));
        assert!(is_noted(&log, "by an officer of its own"));
        assert!(is_unvetted(&mut log), "{ties:?}");
        // Two others may.
        log.decide("t", CEM);
        assert!(!is_unvetted(&mut log), "{ties:?}: bo and cem");
    }
}

#[test]
fn an_officer_is_known_by_chain_key_or_name_in_whatever_case() {
    let signer = Ed25519Signer::from_seed(&[9; 32]).unwrap();
    let key: KeyId = signer.public_key().id();
    let as_the_genesis_has_it = "Ann of the genesis";
    for name in [
        hex(&ANN),
        hex(&ANN).to_uppercase(),
        key.to_string(),
        " ANN ".to_owned(),
        as_the_genesis_has_it.to_owned(),
    ] {
        let mut log = Log::new(&MODELS);
        let genesis = v1::Genesis {
            officers: vec![v1::OfficerKey {
                name: as_the_genesis_has_it.into(),
                key: signer.public_key().as_bytes().to_vec(),
            }],
            ..Default::default()
        };
        log.judge.genesis(0, [0; 32], &genesis);
        let index = log.next();
        log.judge.signed(index, ANN, key);
        log.officer(ANN, "Ann");
        log.officer(BO, "Bo");
        log.say(person("firm", &[&name]));
        log.tenant(v1::Tenant {
            id: "t".into(),
            customer: "firm".into(),
            ..Default::default()
        });
        log.approve("t");
        assert_eq!(self_approvals(&log).len(), 1, "{name}");
        assert_eq!(log.judge.registry().state("t"), "draft", "{name}");
    }
}

#[test]
fn an_identifier_that_names_no_officer_is_noted() {
    let mut log = applied();
    log.say(person("ann-lee", &["anne"]));
    assert!(is_noted(
        &log,
        "party ann-lee is said to be officer anne, who is not known by now"
    ));
    log.approve("t");
    assert!(!is_unvetted(&mut log));
}

#[test]
fn two_keys_of_one_person_count_as_one() {
    let mut log = applied();
    log.say(person("ann-lee", &["Ann", &hex(&BO)]));
    log.approve("t");
    let found = self_approvals(&log);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].details,
        ["officers ann and bo are one party, ann-lee"]
    );
    assert!(is_noted(&log, "by the same person"));
    assert!(is_unvetted(&mut log));
    log.decide("t", CEM);
    assert!(!is_unvetted(&mut log), "a third is a second person");
}

#[test]
fn two_officers_of_one_name_count_as_one() {
    let mut log = Log::new(&MODELS);
    log.officer(ANN, "Ann");
    log.officer(BO, "ann ");
    log.say(party("firm", "Firm", "US"));
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: "firm".into(),
        ..Default::default()
    });
    log.approve("t");
    assert_eq!(
        self_approvals(&log)[0].details,
        ["officers ann and ann go by one name, ann"]
    );
    assert_eq!(log.judge.registry().state("t"), "draft");
}

#[test]
fn a_tie_that_is_learned_later_and_reaches_back_undoes_the_approval_as_known_now_alone() {
    let mut log = applied();
    log.say(person("ann-lee", &["Ann"]));
    log.approve("t");
    let approved_ms = log.now;
    log.tick(1_000);
    log.work(0);
    assert_eq!(log.findings(), []);
    // She acted for the owner all along, as it turns out.
    let since = log::START;
    by(
        &mut log,
        BO,
        since,
        edge("ann-lee", "owner", v1::EdgeKind::ActsFor),
    );
    let found = log.findings();
    let rules: Vec<_> = found.iter().map(|one| (one.rule, one.known)).collect();
    assert_eq!(
        rules,
        [
            (Rule::SelfApproval, Known::Later),
            (Rule::UseUnvetted, Known::Later)
        ]
    );
    assert_eq!(found[0].opened_unix_ms, approved_ms);
    assert_eq!(
        found[1].details,
        ["state approved without two officers who may"]
    );
    assert_eq!(log.judge.registry().state("t"), "under_review");
    assert!(is_unvetted(&mut log), "and it permits nothing more");
    log.decide("t", BO);
    log.decide("t", CEM);
    assert!(!is_unvetted(&mut log));
    let stays = log
        .findings()
        .into_iter()
        .filter(|one| one.known == Known::Later);
    assert_eq!(stays.count(), 2, "no later approval takes a finding away");
}

#[test]
fn a_tie_that_began_after_the_approval_leaves_it_alone() {
    let mut log = applied();
    log.say(person("ann-lee", &["Ann"]));
    log.approve("t");
    log.tick(60_000);
    let now = log.now;
    by(
        &mut log,
        BO,
        now,
        edge("ann-lee", "stranger", v1::EdgeKind::ActsFor),
    );
    by(
        &mut log,
        BO,
        now,
        edge("ann-lee", "other", v1::EdgeKind::Owns),
    );
    assert_eq!(log.judge.registry().state("t"), "approved");
    by(
        &mut log,
        BO,
        now,
        edge("ann-lee", "firm", v1::EdgeKind::ActsFor),
    );
    assert_eq!(self_approvals(&log), [], "she decided before it");
    assert_eq!(log.judge.registry().state("t"), "approved");
}

#[test]
fn who_an_officer_is_has_no_date_and_counts_for_what_he_decided_before() {
    let mut log = applied();
    log.say(edge("ann-lee", "firm", v1::EdgeKind::ActsFor));
    log.say(party("ann-lee", "Ann Lee", "US"));
    log.approve("t");
    log.tick(1_000);
    assert_eq!(log.findings(), []);
    log.say(person("ann-lee", &["Ann"]));
    assert_eq!(self_approvals(&log).len(), 1);
    assert_eq!(self_approvals(&log)[0].known, Known::Later);
    let mut both = applied();
    both.approve("t");
    both.tick(1_000);
    both.say(person("ann-lee", &["Ann", "Bo"]));
    assert_eq!(
        self_approvals(&both)[0].details,
        ["officers ann and bo are one party, ann-lee"]
    );
    assert_eq!(both.judge.registry().state("t"), "under_review");
}

#[test]
fn a_decision_that_waits_for_a_second_falls_too_when_its_officer_turns_out_to_be_tied() {
    let mut log = applied();
    log.say(person("ann-lee", &["Ann"]));
    log.decide("t", ANN);
    by(
        &mut log,
        BO,
        log::START,
        edge("ann-lee", "firm", v1::EdgeKind::ActsFor),
    );
    log.decide("t", BO);
    assert!(is_unvetted(&mut log), "bo is alone");
    assert_eq!(self_approvals(&log).len(), 1);
}

#[test]
fn no_officer_clears_himself_and_another_does() {
    let forget = |officer: [u8; 32]| {
        let mut log = applied();
        log.say(person("ann-lee", &["Ann"]));
        by(
            &mut log,
            BO,
            log::START,
            edge("ann-lee", "firm", v1::EdgeKind::ActsFor),
        );
        log.tick(1_000);
        let now = log.now;
        by(
            &mut log,
            officer,
            now,
            ended("ann-lee", "firm", v1::EdgeKind::ActsFor, now),
        );
        log.tick(1_000);
        log.approve("t");
        log
    };
    let mut own = forget(ANN);
    assert_eq!(self_approvals(&own).len(), 1);
    assert!(is_unvetted(&mut own));
    let mut other = forget(BO);
    assert_eq!(self_approvals(&other), []);
    assert!(!is_unvetted(&mut other));
    // Nor by saying to be somebody else.
    let mut renamed = applied();
    by(&mut renamed, BO, log::START, person("ann-lee", &["Ann"]));
    by(
        &mut renamed,
        BO,
        log::START,
        edge("ann-lee", "firm", v1::EdgeKind::ActsFor),
    );
    by(&mut renamed, ANN, log::START, person("ann-lee", &[]));
    renamed.approve("t");
    assert_eq!(self_approvals(&renamed).len(), 1);
    assert!(is_unvetted(&mut renamed));
}

#[test]
fn an_officer_of_its_own_may_still_reject_and_suspend() {
    let mut log = applied();
    log.say(person("ann-lee", &["Ann"]));
    log.say(edge("ann-lee", "firm", v1::EdgeKind::ActsFor));
    log.decide("t", BO);
    log.decide("t", CEM);
    assert_eq!(log.judge.registry().state("t"), "approved");
    let dossier = log.judge.registry().dossier_digest("t").unwrap();
    let decision = v1::Decision {
        tenant: "t".into(),
        dossier: dossier.as_bytes().to_vec(),
        verdict: v1::Verdict::Reject.into(),
        effective_unix_ms: log.now,
        ..Default::default()
    };
    let index = log.next();
    log.judge.decision(index, ANN, &decision);
    assert_eq!(log.judge.registry().state("t"), "rejected");
    assert_eq!(self_approvals(&log), []);
}

#[test]
fn a_decision_over_an_older_dossier_approves_nothing_after_the_tenant_applied_again() {
    let mut log = applied();
    let old = log.judge.registry().dossier_digest("t").unwrap();
    log.decide("t", ANN);
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: "firm".into(),
        end_customer: "owner".into(),
        ultimate_parent: "owner".into(),
        ..Default::default()
    });
    for officer in [BO, CEM] {
        let replayed = v1::Decision {
            tenant: "t".into(),
            dossier: old.as_bytes().to_vec(),
            verdict: v1::Verdict::Approve.into(),
            effective_unix_ms: log.now,
            ..Default::default()
        };
        let index = log.next();
        log.judge.decision(index, officer, &replayed);
        assert!(is_noted(
            &log,
            &format!("index {index}: decision about tenant t is over another dossier")
        ));
    }
    assert!(is_unvetted(&mut log));
    // And not by adding one over the new dossier to one over the old.
    log.decide("t", ANN);
    assert!(is_unvetted(&mut log));
}

#[test]
fn a_decision_from_before_a_rejection_does_not_count_after_it_over_the_very_same_dossier() {
    let mut log = applied();
    log.decide("t", ANN);
    let now = log.now;
    log.state_since(now, "t", v1::TenantState::Rejected);
    log.state_since(now, "t", v1::TenantState::Applied);
    log.decide("t", BO);
    assert!(is_unvetted(&mut log));
    log.decide("t", CEM);
    assert!(!is_unvetted(&mut log));
}

#[test]
fn what_was_rejected_or_closed_is_approved_by_nobody_until_it_applies_anew() {
    for state in [v1::TenantState::Rejected, v1::TenantState::Closed] {
        let mut log = applied();
        log.approve("t");
        let now = log.now;
        log.state_since(now, "t", state);
        // Neither over the same dossier, nor by way of a review, nor over a new dossier.
        log.approve("t");
        log.state_since(now, "t", v1::TenantState::UnderReview);
        log.approve("t");
        log.party("firm", "Firm by another name", "DE");
        log.approve("t");
        let was = state.as_str_name().trim_start_matches("TENANT_STATE_");
        let why = format!("tenant t, which was {}: it has", was.to_lowercase());
        assert!(is_noted(&log, &why), "{why}");
        assert!(is_unvetted(&mut log));
        log.state_since(log.now, "t", v1::TenantState::Applied);
        log.decide("t", ANN);
        assert!(is_unvetted(&mut log), "one is not two");
        log.decide("t", BO);
        assert!(!is_unvetted(&mut log));
    }
}

#[test]
fn an_approval_of_one_tenant_is_none_of_another_with_the_same_parties() {
    let mut log = applied();
    log.tenant(v1::Tenant {
        id: "u".into(),
        customer: "firm".into(),
        end_customer: "firm".into(),
        ultimate_parent: "owner".into(),
        ..Default::default()
    });
    let of_t = log.judge.registry().dossier_digest("t").unwrap();
    for officer in [ANN, BO] {
        let decision = v1::Decision {
            tenant: "u".into(),
            dossier: of_t.as_bytes().to_vec(),
            verdict: v1::Verdict::Approve.into(),
            effective_unix_ms: log.now,
            ..Default::default()
        };
        let index = log.next();
        log.judge.decision(index, officer, &decision);
    }
    assert_eq!(log.judge.registry().state("u"), "draft");
    assert!(is_noted(
        &log,
        "decision about tenant u is over another dossier"
    ));
}

#[test]
fn one_officer_does_not_approve_by_a_change_of_state() {
    let mut log = applied();
    for state in [
        v1::TenantState::Approved,
        v1::TenantState::ApprovedWithConditions,
    ] {
        log.state_since(log.now, "t", state);
    }
    assert!(is_noted(&log, "an approval takes two officers' decisions"));
    assert!(is_unvetted(&mut log));
}

/// The tenant with another customer.
fn restated(log: &mut Log, customer: &str) {
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: customer.into(),
        end_customer: "firm".into(),
        ultimate_parent: "owner".into(),
        ..Default::default()
    });
}

#[test]
fn who_decides_before_his_own_company_is_the_customer_approves_nothing() {
    // The digest of what will stand, computed ahead.
    let begun = || {
        let mut log = applied();
        log.say(party("own", "Own", "US"));
        log.say(person("ann-lee", &["Ann"]));
        log.say(edge("ann-lee", "own", v1::EdgeKind::ActsFor));
        log
    };
    let mut ahead = begun();
    restated(&mut ahead, "own");
    let dossier = ahead.judge.registry().dossier_digest("t").unwrap();
    let mut log = begun();
    let decision = v1::Decision {
        tenant: "t".into(),
        dossier: dossier.as_bytes().to_vec(),
        verdict: v1::Verdict::Approve.into(),
        effective_unix_ms: log.now,
        ..Default::default()
    };
    let index = log.next();
    log.judge.decision(index, ANN, &decision);
    restated(&mut log, "own");
    log.decide("t", BO);
    assert!(is_unvetted(&mut log));
    log.decide("t", CEM);
    assert!(!is_unvetted(&mut log), "two others may");
}

#[test]
fn a_change_that_is_dated_ahead_ends_an_approval_at_once() {
    let year = 365 * 86_400_000;
    let mut log = applied();
    log.approve("t");
    assert!(!is_unvetted(&mut log));
    log.say_since(log.now + year, party("owner", "Owner", "CN"));
    assert!(is_unvetted(&mut log));
}

#[test]
fn an_approval_that_is_suspended_from_later_on_still_lapses_with_its_dossier() {
    let year = 365 * 86_400_000;
    let mut log = applied();
    log.approve("t");
    log.state_since(log.now + year, "t", v1::TenantState::Suspended);
    assert!(!is_unvetted(&mut log), "not yet");
    log.say(party("other", "Other", "US"));
    restated(&mut log, "other");
    assert!(is_unvetted(&mut log));
    // Whether the tenant is stated anew or one of its parties is, and whatever one officer says meanwhile.
    log.approve("t");
    log.state_since(log.now + year, "t", v1::TenantState::Suspended);
    log.decide("t", CEM);
    assert!(!is_unvetted(&mut log), "not yet");
    log.say(party("owner", "Owner", "CN"));
    assert!(is_unvetted(&mut log));
    // And officers may think better of it.
    log.approve("t");
    assert!(!is_unvetted(&mut log));
    log.tick(year);
    assert!(
        !is_unvetted(&mut log),
        "approved after the suspension was said"
    );
}

#[test]
fn what_is_stated_for_a_later_time_is_not_approved_before() {
    let mut log = applied();
    let tenant = v1::Tenant {
        id: "u".into(),
        customer: "firm".into(),
        end_customer: "firm".into(),
        ultimate_parent: "owner".into(),
        ..Default::default()
    };
    let from = log.now + 1_000_000;
    log.say_since(from, Body::Tenant(tenant));
    log.bind("c", "u", "szu2");
    log.approve("u");
    let question = |log: &Log, at| {
        let question = affiant_judge::asking::Question {
            tenant: "u".into(),
            class: affiant_judge::Class::A,
            site: String::new(),
        };
        let against = log.judge.ask(&question, at).against;
        against.iter().any(|it| it.rule == Rule::UseUnvetted)
    };
    assert!(question(&log, from - 1));
    assert!(!question(&log, from));
}

#[test]
fn an_expiry_of_what_nobody_approved_makes_no_use_milder() {
    let rules = |log: &Log| -> Vec<Rule> { log.findings().iter().map(|it| it.rule).collect() };
    let mut log = applied();
    log.state_since(0, "t", v1::TenantState::Expired);
    log.work(0);
    assert_eq!(rules(&log), [Rule::UseUnvetted]);
    // Nor of what was suspended.
    let mut log = applied();
    log.approve("t");
    log.state_since(log.now, "t", v1::TenantState::Suspended);
    log.state_since(0, "t", v1::TenantState::Expired);
    log.tick(1_000);
    log.work(0);
    assert_eq!(rules(&log), [Rule::UseUnvetted]);
    // What was approved does run out.
    let mut log = applied();
    log.approve("t");
    log.state_since(log.now, "t", v1::TenantState::Expired);
    log.tick(1_000);
    log.work(0);
    assert_eq!(rules(&log), [Rule::VettingExpired]);
}

#[test]
fn what_ties_one_key_of_a_person_ties_all_of_them() {
    let mut log = applied();
    // Another key of Ann's, and a third one that only a party joins to that.
    let (second, third) = ([8; 32], [9; 32]);
    log.officer(second, "ann");
    log.officer(third, "A. Lee");
    log.say(person("ann-lee", &[&hex(&ANN)]));
    log.say(edge("ann-lee", "firm", v1::EdgeKind::Owns));
    log.say(person("another-lee", &[&hex(&second), &hex(&third)]));
    for officer in [second, third] {
        log.decide("t", officer);
        assert!(is_unvetted(&mut log));
    }
    assert_eq!(self_approvals(&log).len(), 1);
    log.decide("t", BO);
    assert!(is_unvetted(&mut log), "he is one, and they are none");
    log.decide("t", CEM);
    assert!(!is_unvetted(&mut log));
}
