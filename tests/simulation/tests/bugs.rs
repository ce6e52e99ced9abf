//! The check finds what it is there to find: each deliberate bug breaks a promise, and the same
//! plan without it breaks none.
#![allow(missing_docs, clippy::unwrap_used)]

use affiant_simulation::{
    plan::{Event, Plan, Trouble},
    play::{Bug, play},
};

/// One host is cut off for a while, and its agent dies meanwhile with records not yet sent.
fn plan() -> Plan {
    let event = |from_ms, to_ms, trouble| Event {
        from_ms,
        to_ms,
        trouble,
    };
    Plan {
        hosts: 2,
        mended_ms: 60_000,
        events: vec![
            event(20_000, 50_000, Trouble::Partition { host: 0 }),
            event(42_000, 44_000, Trouble::AgentDies { host: 0 }),
        ],
    }
}

fn found(bug: Bug, by: &str) {
    let played = play(1, &plan(), Some(bug)).unwrap();
    println!("{bug:?}: {:#?}", played.broken);
    let named = played.broken.iter().any(|broken| broken.contains(by));
    assert!(
        named,
        "{bug:?} is not found by {by:?}: {:#?}",
        played.broken
    );
}

#[test]
fn without_a_bug_the_plan_breaks_no_promise() {
    let played = play(1, &plan(), None).unwrap();
    assert!(played.broken.is_empty(), "{:#?}", played.broken);
    assert!(played.summary.told > 4 && played.summary.records > 12);
    for rule in ["USE_UNATTRIBUTED", "USE_UNVETTED"] {
        assert!(played.summary.findings.contains_key(rule), "{rule}");
    }
}

#[test]
fn a_disk_that_forgets_what_it_said_it_had_synced_is_found() {
    found(Bug::LyingDisk, "is not in the log");
}

#[test]
fn a_spool_that_is_lost_with_records_not_yet_sent_is_found() {
    found(Bug::LostSpool, "is not in the log");
}

#[test]
fn a_log_that_is_set_back_is_found() {
    found(Bug::SetBack, "that the log does not extend");
}

#[test]
fn a_judge_that_misses_a_segment_is_found() {
    found(Bug::DeafJudge, "findings: ");
}

#[test]
fn a_receipt_that_never_comes_is_found() {
    found(Bug::NoReceipt, "not drained");
}

#[test]
fn a_receipt_for_another_index_is_found() {
    found(Bug::FalseReceipt, "and it is not");
}
