//! What tenants say against figures and findings: listed where it is theirs, and nothing else changes.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{
    Rule,
    admission::{Refusal, open_objection},
    objections::{MAX_A_DAY, MAX_CHARS},
};
use affiant_proto::{Digest, Ed25519Signer, Signer as _, Statement, digest, statement::Place, v1};
use log::Log;

const DAY: u64 = 86_400_000;
const GENESIS: [u8; 32] = [7; 32];

fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[seed; 32]).unwrap()
}

fn key(seed: u8) -> Vec<u8> {
    signer(seed).public_key().as_bytes().to_vec()
}

fn says(text: &str) -> v1::Objection {
    v1::Objection {
        header: None,
        genesis: GENESIS.to_vec(),
        tenant: "t".into(),
        key: key(1),
        from_unix_ms: log::START,
        to_unix_ms: log::START + DAY,
        finding: String::new(),
        device_class: String::new(),
        text: text.into(),
    }
}

/// A tenant with these keys that used a device and was not approved.
fn with_keys(keys: Vec<Vec<u8>>) -> Log {
    let mut log = Log::new(&["NVIDIA H100 80GB HBM3"]);
    log.party("t", "Acme", "DE");
    log.tenant(tenant(keys));
    log.bind("b", "t", "szu");
    log.work(0);
    log
}

fn tenant(objection_keys: Vec<Vec<u8>>) -> v1::Tenant {
    v1::Tenant {
        id: "t".into(),
        customer: "t".into(),
        end_customer: "t".into(),
        ultimate_parent: "t".into(),
        objection_keys,
        ..Default::default()
    }
}

fn object(log: &mut Log, body: &v1::Objection) -> u64 {
    let index = log.next();
    let chain = *digest(&index.to_be_bytes()).as_bytes();
    log.judge.object(index, chain, body);
    index
}

fn listed(log: &Log) -> Vec<u64> {
    log.judge.objections().iter().map(|it| it.index).collect()
}

#[test]
fn an_objection_stands_beside_what_it_disputes_and_changes_none_of_it() {
    let mut log = with_keys(vec![key(2), key(1)]);
    let (findings, figures) = (log.findings(), log.judge.figures());
    let finding = log.of(Rule::UseUnvetted).remove(0);
    let mut against = says("our contract began on the 19th");
    against.finding = finding.id.clone();
    let index = object(&mut log, &against);
    let mut class = says("eight hours of it were another's");
    class.device_class = "3A090.a".into();
    object(&mut log, &class);
    assert_eq!((log.findings(), log.judge.figures()), (findings, figures));
    let all = log.judge.objections();
    assert_eq!(all.len(), 2);
    let first = all.first().unwrap();
    assert!(first.disputes(&finding) && !first.disputes_figures("t", "3A090.a"));
    assert_eq!(
        (first.index, first.text.as_str()),
        (index, "our contract began on the 19th")
    );
    let second = all.last().unwrap();
    assert!(second.disputes_figures("t", "3A090.a") && !second.disputes_figures("t", "3A090.b"));
    assert!(!second.disputes(&finding));
    assert!(second.touches(log::START, log::START) && !second.touches(log::START + DAY, u64::MAX));
}

#[test]
fn only_a_key_of_the_newest_entry_counts_and_only_the_first_four() {
    let mut log = with_keys(vec![key(2)]);
    object(&mut log, &says("not my key"));
    assert!(listed(&log).is_empty(), "another key");
    let noted = log
        .judge
        .figures()
        .notes
        .iter()
        .any(|note| note.contains("none of its objection keys"));
    assert!(noted);
    log.tenant(tenant(vec![key(1)]));
    let second = object(&mut log, &says("my key by now"));
    log.tenant(tenant(vec![key(2), key(3), key(4), key(5), key(1)]));
    object(&mut log, &says("my key is the fifth"));
    let mut unknown = says("nobody knows me");
    unknown.tenant = "u".into();
    object(&mut log, &unknown);
    assert_eq!(listed(&log), [second], "what was listed stays");
}

#[test]
fn a_tenant_has_ten_a_day_and_no_more() {
    let mut log = with_keys(vec![key(1)]);
    for n in 0..MAX_A_DAY {
        object(&mut log, &says(&n.to_string()));
    }
    object(&mut log, &says("one too many"));
    assert_eq!(listed(&log).len(), MAX_A_DAY);
    log.tick(DAY - 1);
    object(&mut log, &says("a millisecond too early"));
    assert_eq!(listed(&log).len(), MAX_A_DAY);
    log.tick(1);
    object(&mut log, &says("the next day"));
    assert_eq!(listed(&log).len(), MAX_A_DAY + 1);
}

fn sealed(body: v1::Objection, signed_by: u8) -> Statement {
    let time = v1::Time {
        unix_ms: log::START,
        clock: v1::ClockState::Unknown.into(),
        max_error_ms: None,
    };
    Statement::seal(body.into(), Place::Opening, time, None, &signer(signed_by)).unwrap()
}

fn refusal(body: v1::Objection, signed_by: u8) -> &'static str {
    let opened = open_objection(sealed(body, signed_by), Digest::new(GENESIS));
    opened.map_or_else(|refused: Refusal| refused.code(), |_| "taken")
}

#[test]
fn an_objection_is_of_this_log_signed_by_its_key_and_says_one_thing() {
    assert_eq!(refusal(says("fine"), 1), "taken");
    assert_eq!(refusal(says(&"界".repeat(MAX_CHARS)), 1), "taken");
    assert_eq!(refusal(says("by another"), 2), "signature");
    let mut other = says("elsewhere");
    other.genesis = vec![8; 32];
    assert_eq!(refusal(other, 1), "deployment");
    let wrong: [fn(&mut v1::Objection); 7] = [
        |it| it.tenant.clear(),
        |it| it.to_unix_ms = it.from_unix_ms,
        |it| it.text.clear(),
        |it| it.text = "x".repeat(MAX_CHARS + 1),
        |it| it.finding = "3f2a".into(),
        |it| {
            it.finding = "ab".repeat(16);
            it.device_class = "3A090.a".into();
        },
        |it| it.device_class = "x".repeat(65),
    ];
    for spoil in wrong {
        let mut body = says("text");
        spoil(&mut body);
        assert_eq!(refusal(body.clone(), 1), "objection", "{body:?}");
    }
}
