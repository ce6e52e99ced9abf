//! Holds: an exact or strong hit that nobody decided, and the days in which officers have to.
//!
//! The names are this test's own list's.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use std::sync::Arc;

use affiant_judge::{
    Class, Judge, Parameters, Rule,
    asking::Question,
    policy::{self, Pack, PackFiles},
};
use affiant_proto::{digest, v1};
use log::{ANN, BO, Log};

const DAY: u64 = 86_400_000;
/// What the shipped pack gives.
const DAYS: u64 = 5;

const LIST: &str = "name,country\nSichuan University,CN\nZhangjiang Laboratory,CN\n";

fn import(log: &mut Log, text: &str) {
    log.judge.exhibit(text.as_bytes().to_vec());
    let import = v1::ListImport {
        list: "el".into(),
        version: log.now.to_string(),
        rows: text.lines().count() as u64 - 1,
        digest: digest(text.as_bytes()).as_bytes().to_vec(),
        format: "operator".into(),
        effective_unix_ms: log.now,
        ..Default::default()
    };
    let index = log.next();
    log.judge.list_import(index, ANN, &import);
}

/// A tenant under the log's first workload, approved, and a list that came at the same time.
fn case_in(judge: Judge, name: &str) -> Log {
    let mut log = Log::with(judge, &["NVIDIA H100 80GB HBM3"]);
    log.party("t", name, "SG");
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: "t".into(),
        end_customer: "t".into(),
        ultimate_parent: "t".into(),
        declared_use: "research".into(),
        ..Default::default()
    });
    log.bind("t", "t", "szu");
    log.approve("t");
    import(&mut log, LIST);
    log
}

fn case(name: &str) -> Log {
    case_in(Judge::new(Parameters::default()), name)
}

/// Whether a use at an instant would meet an overdue hold.
fn is_overdue(log: &Log, at: u64) -> bool {
    let question = Question {
        tenant: "t".into(),
        class: Class::A,
        site: String::new(),
    };
    let answer = log.judge.ask(&question, at);
    answer.against.iter().any(|it| it.rule == Rule::HoldOverdue)
}

#[test]
fn officers_have_their_days_to_the_millisecond() {
    let mut log = case("Sichuan University");
    let due = log.now + DAYS * DAY;
    assert!(!is_overdue(&log, due - 1));
    assert!(is_overdue(&log, due));
    let holds = log.judge.holds("t", log.now);
    assert_eq!(holds.first().unwrap().due_unix_ms, Some(due));
    // The first use in which it is overdue is the first finding.
    log.tick(DAYS * DAY - 3 * log::INTERVAL);
    log.work(0);
    assert!(log.of(Rule::HoldOverdue).is_empty());
    assert_eq!(log.of(Rule::ListedParty).len(), 1);
    log.tick(4 * log::INTERVAL);
    log.work(0);
    let found = log.of(Rule::HoldOverdue);
    assert_eq!(found.len(), 1);
    let finding = found.first().unwrap();
    assert_eq!(finding.evidence.count, 1);
    assert_eq!(finding.policy.as_deref(), Some("hold-overdue"));
    let detail = finding.details.join("; ");
    assert!(
        detail.contains("Sichuan University") && detail.contains("not decided in 5 days"),
        "{detail}"
    );
}

#[test]
fn what_was_decided_in_time_is_no_hold() {
    for verdict in [v1::Verdict::Clear, v1::Verdict::Confirm] {
        let mut log = case("Sichuan University");
        let due = log.now + DAYS * DAY;
        log.tick(DAYS * DAY - 1);
        log.decide_hit(ANN, verdict);
        if verdict == v1::Verdict::Clear {
            assert!(is_overdue(&log, due), "one officer does not clear it");
            log.decide_hit(BO, verdict);
        }
        assert!(
            !is_overdue(&log, due) && !is_overdue(&log, due + DAY),
            "{verdict:?}"
        );
        assert!(log.judge.holds("t", due).is_empty());
    }
    let log = case("Zhangjiang Labs Group");
    let possible = log.judge.holds("t", log.now);
    assert!(possible.is_empty(), "{possible:?}");
}

#[test]
fn what_is_cleared_later_stays_a_finding_and_is_none_from_then_on() {
    let mut log = case("Sichuan University");
    log.tick(DAYS * DAY);
    log.work(0);
    let before = log.of(Rule::HoldOverdue);
    assert_eq!(before.len(), 1);
    log.decide_hit(ANN, v1::Verdict::Clear);
    log.decide_hit(BO, v1::Verdict::Clear);
    log.work(0);
    log.work(0);
    let after = log.of(Rule::HoldOverdue);
    let count = |found: &[affiant_judge::Finding]| found.first().map(|it| it.evidence.count);
    assert_eq!((count(&before), count(&after)), (Some(1), Some(1)));
    assert!(!is_overdue(&log, log.now + DAY));
}

#[test]
fn a_hit_keeps_its_clock_through_new_versions_of_list_and_party() {
    let mut log = case("Sichuan University");
    let due = log.now + DAYS * DAY;
    log.tick(2 * DAY);
    import(&mut log, &format!("{LIST}Yuxin Technology,CN\n"));
    log.party("t", "Sichuan University", "SG");
    log.say(log::party("t", "Sichuan University", "DE"));
    assert!(!is_overdue(&log, due - 1));
    assert!(is_overdue(&log, due), "the same hit");
    // Gone from the list and back on it, it is there anew; a name that comes later has its own days.
    import(&mut log, "name,country\nYuxin Technology,CN\n");
    assert!(!is_overdue(&log, due));
    log.tick(DAY);
    import(&mut log, LIST);
    let again = log.now + DAYS * DAY;
    assert!(!is_overdue(&log, again - 1));
    assert!(is_overdue(&log, again));
}

#[test]
fn a_party_that_comes_after_the_list_has_its_own_days() {
    let mut log = case("Acme");
    assert!(!is_overdue(&log, log.now + 30 * DAY));
    log.tick(10 * DAY);
    log.party("t", "Sichuan University", "SG");
    let due = log.now + DAYS * DAY;
    assert!(!is_overdue(&log, due - 1));
    assert!(is_overdue(&log, due));
}

#[test]
fn without_a_number_of_days_there_is_no_deadline() {
    let files = policy::shipped_files().unwrap();
    let files = files.iter().map(|(name, text)| {
        let text = text.replace("hit_days = 5\n", "");
        (name.to_owned(), text.into_bytes())
    });
    let pack = Pack::read(&PackFiles::new(files).unwrap()).unwrap();
    let judge = Judge::new(Parameters::default()).with_pack(Arc::new(pack));
    let log = case_in(judge, "Sichuan University");
    assert!(!is_overdue(&log, log.now + 3_650 * DAY));
    assert!(log.judge.holds("t", log.now).is_empty());
}

#[test]
fn a_party_that_is_found_by_its_number_has_its_own_days_too() {
    let mut log = case("Acme");
    import(
        &mut log,
        "name,identifiers\nSomebody Else,91440300MA5DXXXX1Y\n",
    );
    log.tick(30 * DAY);
    let v1::tenant_event::Body::Party(mut numbered) = log::party("t", "Acme", "SG") else {
        unreachable!()
    };
    numbered.identifiers.push(v1::Identifier {
        scheme: "uscc".into(),
        value: "91440300MA5DXXXX1Y".into(),
        ..Default::default()
    });
    // The party comes with its number; under its name it was there from the beginning.
    numbered.id = "n".into();
    log.say(v1::tenant_event::Body::Party(numbered));
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: "n".into(),
        end_customer: "n".into(),
        ultimate_parent: "n".into(),
        ..Default::default()
    });
    assert!(!log.judge.holds("t", log.now).is_empty());
    assert!(!is_overdue(&log, log.now));
    let due = log.now + DAYS * DAY;
    assert!(!is_overdue(&log, due - 1));
    assert!(is_overdue(&log, due));
}
