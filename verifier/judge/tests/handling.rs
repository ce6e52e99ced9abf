//! What officers did about a finding: who signed it, why, and what two have to say alike. No act of
//! theirs takes a finding away.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod log;

use affiant_judge::{
    Finding, Rule,
    handling::{Handling, State},
};
use affiant_proto::v1::{self, Verdict};
use log::{ANN, BO, Log};

const CEM: [u8; 32] = [3; 32];

/// A tenant that used a device and was not approved, and two officers of different names.
fn used() -> Log {
    let mut log = Log::new(&["NVIDIA H100 80GB HBM3"]);
    for (chain, name) in [(ANN, "Ann"), (BO, "Bo")] {
        log.officer(chain, name);
    }
    log.party("t", "Acme", "DE");
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: "t".into(),
        end_customer: "t".into(),
        ultimate_parent: "t".into(),
        ..Default::default()
    });
    log.bind("b", "t", "szu");
    log.work(0);
    log
}

fn finding(log: &Log) -> Finding {
    log.of(Rule::UseUnvetted).remove(0)
}

/// An officer says what he does about the finding; gives the log index.
fn say(log: &mut Log, officer: [u8; 32], verdict: Verdict, reason: &str) -> u64 {
    let decision = v1::Decision {
        verdict: verdict.into(),
        effective_unix_ms: log.now,
        reason: reason.into(),
        finding: finding(log).id,
        ..Default::default()
    };
    let index = log.next();
    log.judge.decision(index, officer, &decision);
    index
}

fn handling(log: &Log) -> Handling {
    finding(log).handling.unwrap()
}

/// Who signed, at which log index, and why.
fn signed(log: &Log) -> Vec<(Option<String>, u64, String)> {
    let signed = handling(log).signed.into_iter();
    signed.map(|it| (it.name, it.index, it.reason)).collect()
}

fn row(name: &str, index: u64, reason: &str) -> (Option<String>, u64, String) {
    (Some(name.into()), index, reason.into())
}

#[test]
fn a_withdrawal_names_both_who_signed_it_and_the_finding_stays() {
    let mut log = used();
    let before = finding(&log);
    let first = say(&mut log, ANN, Verdict::Withdraw, "a test of ours");
    assert_eq!(handling(&log).state, State::WithdrawalAsked);
    assert_eq!(signed(&log), [row("Ann", first, "a test of ours")]);
    let second = say(&mut log, BO, Verdict::Withdraw, "so it was");
    let now = handling(&log);
    assert_eq!(now.state, State::Withdrawn);
    let both = [
        row("Ann", first, "a test of ours"),
        row("Bo", second, "so it was"),
    ];
    assert_eq!(signed(&log), both);
    // What named the last one names him still.
    assert_eq!((now.index, now.reason.as_str()), (second, "so it was"));
    assert_eq!(now.officer, now.signed[1].officer);
    let said = now.to_string();
    assert!(
        said.starts_with("withdrawn by Ann and Bo at log index"),
        "{said}"
    );
    let after = Finding {
        handling: None,
        ..finding(&log)
    };
    assert_eq!(after, before, "nothing else of it changed");
}

#[test]
fn an_officer_who_says_it_again_counts_once_by_what_he_said_last() {
    let mut log = used();
    say(&mut log, ANN, Verdict::Withdraw, "a test");
    let again = say(&mut log, ANN, Verdict::Withdraw, "a test of hall 2");
    assert_eq!(handling(&log).state, State::WithdrawalAsked);
    assert_eq!(signed(&log), [row("Ann", again, "a test of hall 2")]);
}

#[test]
fn two_chains_of_one_person_withdraw_nothing() {
    let mut log = used();
    log.officer(CEM, "ann");
    say(&mut log, ANN, Verdict::Withdraw, "a test");
    say(&mut log, CEM, Verdict::Withdraw, "a test");
    assert_eq!(handling(&log).state, State::WithdrawalAsked);
    assert_eq!(
        handling(&log).signed.len(),
        2,
        "both are named all the same"
    );
    say(&mut log, BO, Verdict::Withdraw, "it was");
    assert_eq!(handling(&log).state, State::Withdrawn);
}

#[test]
fn what_was_said_to_an_earlier_state_is_not_said_to_the_next() {
    let mut log = used();
    say(&mut log, ANN, Verdict::Withdraw, "a test");
    say(&mut log, BO, Verdict::Acknowledge, "no, look again");
    let asked = say(&mut log, BO, Verdict::Withdraw, "it was one");
    assert_eq!(handling(&log).state, State::WithdrawalAsked);
    assert_eq!(signed(&log), [row("Bo", asked, "it was one")]);
    let ann = say(&mut log, ANN, Verdict::Resolve, "paid");
    let bo = say(&mut log, BO, Verdict::Resolve, "and vetted");
    assert_eq!(handling(&log).state, State::Resolved);
    assert_eq!(
        signed(&log),
        [row("Ann", ann, "paid"), row("Bo", bo, "and vetted")]
    );
    assert!(handling(&log).is_settled());
}

#[test]
fn an_officer_whom_nobody_named_is_named_by_the_beginning_of_his_chain() {
    let mut log = used();
    say(&mut log, CEM, Verdict::Resolve, "paid");
    let now = handling(&log);
    assert_eq!(now.signed[0].name, None);
    assert_eq!(now.signed[0].called(), "03".repeat(8));
}

#[test]
fn nobodys_words_are_in_the_way_of_anothers() {
    let mut log = used();
    for _ in 0..200 {
        say(&mut log, ANN, Verdict::Acknowledge, "seen");
    }
    let last = say(&mut log, BO, Verdict::Resolve, "ended it");
    assert_eq!(handling(&log).state, State::Resolved);
    assert_eq!(signed(&log), [row("Bo", last, "ended it")]);
}

#[test]
fn what_two_withdrew_one_alone_does_not_take_back_and_new_evidence_opens_again() {
    let mut log = used();
    let ann = say(&mut log, ANN, Verdict::Withdraw, "a test of ours");
    let bo = say(&mut log, BO, Verdict::Withdraw, "so it was");
    for verdict in [Verdict::Resolve, Verdict::Acknowledge] {
        say(&mut log, CEM, verdict, "paid");
        let now = handling(&log);
        assert_eq!((now.state, now.index), (State::Withdrawn, bo));
        assert!(now.is_settled());
        let both = [
            row("Ann", ann, "a test of ours"),
            row("Bo", bo, "so it was"),
        ];
        assert_eq!(signed(&log), both);
    }
    // A third who says the same joins them, whatever was said between.
    let cem = say(&mut log, CEM, Verdict::Withdraw, "I see");
    assert_eq!(handling(&log).state, State::Withdrawn);
    assert_eq!(handling(&log).index, cem);
    assert_eq!(signed(&log).len(), 3);
    // It was used again: what was withdrawn did not cover that.
    log.work(0);
    assert!(handling(&log).overtaken && !handling(&log).is_settled());
    say(&mut log, BO, Verdict::Resolve, "stopped");
    assert_eq!(handling(&log).state, State::Resolved);
    assert!(handling(&log).is_settled());
}

#[test]
fn what_one_alone_asked_to_withdraw_another_may_resolve() {
    let mut log = used();
    say(&mut log, ANN, Verdict::Withdraw, "a test");
    say(&mut log, ANN, Verdict::Withdraw, "a test, really");
    say(&mut log, BO, Verdict::Resolve, "paid");
    assert_eq!(handling(&log).state, State::Resolved);
}
