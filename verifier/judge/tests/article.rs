//! The case of August 2024 with its real names: a university on nobody's list had A100 and H100
//! time in an American cloud through an intermediary.
//!
//! Headquarters are as the press gave them. The tenants and the cloud are this test's.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use std::sync::Arc;

use affiant_judge::{
    Judge, Known, Parameters, Rule, Severity,
    policy::{self, Pack, PackFiles},
};
use affiant_proto::v1;
use log::{INTERVAL, Log, owns};

const MODELS: [&str; 2] = ["NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3"];

fn through_yunda(end_customer: &str) -> v1::Tenant {
    v1::Tenant {
        id: "t-yunda".into(),
        customer: "yunda".into(),
        intermediaries: vec!["yunda".into()],
        end_customer: end_customer.into(),
        ultimate_parent: "yunda".into(),
        declared_use: "artificial intelligence research".into(),
        ..Default::default()
    }
}

/// The intermediary's own headquarters are given as `hq`, so that each link is tried alone.
fn case(hq: &str, end_customer: &str) -> Log {
    let mut log = Log::new(&MODELS);
    log.party("szu", "Shenzhen University", "CN");
    log.party("yunda", "Yunda Technology", hq);
    log.tenant(through_yunda(end_customer));
    log.bind("b-szu", "t-yunda", "szu");
    log.approve("t-yunda");
    for _ in 0..6 {
        log.work(0);
    }
    log
}

#[test]
fn a_hidden_university_behind_an_intermediary_is_an_undeclared_end_customer() {
    // A parent whose seat is not known is not clear either.
    assert_eq!(
        case("unknown", "").rules(),
        [Rule::EndCustomerUndeclared, Rule::ParentUnknown]
    );
    assert_eq!(case("SG", "").rules(), [Rule::EndCustomerUndeclared]);
}

#[test]
fn a_declared_university_in_a_restricted_country_is_a_restricted_headquarters() {
    let log = case("SG", "szu");
    assert_eq!(log.rules(), [Rule::RestrictedHq]);
    let finding = log.of(Rule::RestrictedHq).pop().unwrap();
    assert_eq!(finding.tenant.as_deref(), Some("t-yunda"));
    assert!(
        finding
            .details
            .iter()
            .all(|detail| detail.contains("party szu")),
        "{:?}",
        finding.details
    );
}

#[test]
fn an_intermediary_in_a_restricted_country_is_enough() {
    assert_eq!(
        case("CN", "").rules(),
        [Rule::EndCustomerUndeclared, Rule::RestrictedHq]
    );
}

#[test]
fn an_owner_by_edge_in_a_restricted_country_is_enough() {
    let mut log = Log::new(&MODELS);
    log.party("tangshan", "Owner of the reseller", "CN");
    log.party("holding", "Holding", "SG");
    log.party("reseller", "Reseller", "SG");
    log.party("end", "End customer", "SG");
    log.say(owns("tangshan", "holding"));
    log.say(owns("holding", "reseller"));
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: "reseller".into(),
        end_customer: "end".into(),
        ultimate_parent: "holding".into(),
        ..Default::default()
    });
    log.bind("b", "t", "szu");
    log.approve("t");
    log.work(0);
    assert_eq!(log.rules(), [Rule::RestrictedHq]);
    let finding = log.of(Rule::RestrictedHq).pop().unwrap();
    assert!(
        finding
            .details
            .iter()
            .all(|detail| detail.contains("party tangshan is headquartered in CN"))
    );
}

#[test]
fn a_tenant_of_an_unrestricted_country_that_is_its_own_end_customer_has_no_finding() {
    let mut log = Log::new(&MODELS);
    log.party("clear", "Clear Research", "DE");
    log.tenant(v1::Tenant {
        id: "t-clear".into(),
        customer: "clear".into(),
        end_customer: "clear".into(),
        ultimate_parent: "clear".into(),
        ..Default::default()
    });
    log.bind("b", "t-clear", "clear");
    log.approve("t-clear");
    for _ in 0..6 {
        log.work(1);
    }
    assert_eq!(log.findings(), []);
}

#[test]
fn a_seat_that_is_learned_later_counts_each_record_once_whatever_models_it_used() {
    let mut log = Log::new(&MODELS);
    log.party("firm", "Firm", "SG");
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: "firm".into(),
        end_customer: "firm".into(),
        ultimate_parent: "firm".into(),
        ..Default::default()
    });
    log.bind("b", "t", "szu");
    log.approve("t");
    for _ in 0..6 {
        log.work(0);
    }
    assert_eq!(log.findings(), []);
    log.say_since(log::START, log::party("firm", "Firm", "CN"));
    let [finding] = log.of(Rule::RestrictedHq).try_into().unwrap();
    assert_eq!(finding.known, Known::Later);
    assert_eq!(finding.evidence.count, 6);
}

/// Hidden, then declared: the whole verdict as a regulator would read it, byte for byte.
///
/// When a rule changes on purpose, the text that the failed comparison prints is the new file.
#[test]
fn the_article_gives_the_verdict_that_is_on_file() {
    let mut log = case("SG", "");
    log.tenant(through_yunda("szu"));
    log.approve("t-yunda");
    for _ in 0..3 {
        log.work(0);
    }
    assert_eq!(log.now, log::START + 9 * INTERVAL);
    let verdict = serde_json::json!({
        "findings": log.judge.findings(),
        "tried": log.judge.tried(),
        "figures": log.judge.figures(),
    });
    let text = serde_json::to_string_pretty(&verdict).unwrap() + "\n";
    assert!(
        text == include_str!("golden/article.json"),
        "the verdict changed; it is now\n{text}"
    );
}

/// The default pack with other texts in the place of some of its own.
fn pack_with(edits: &[(&str, &str, &str)]) -> Arc<Pack> {
    let files = policy::shipped_files().unwrap();
    let files = files.iter().map(|(name, text)| {
        let mut text = text.to_owned();
        for (_, from, to) in edits.iter().filter(|(file, ..)| *file == name) {
            assert!(text.contains(from), "{name} has no {from:?}");
            text = text.replace(from, to);
        }
        (name.to_owned(), text.into_bytes())
    });
    Arc::new(Pack::read(&PackFiles::new(files).unwrap()).unwrap())
}

fn judged_by(pack: Arc<Pack>) -> Log {
    let judge = Judge::new(Parameters::default()).with_pack(pack);
    let mut log = Log::with(judge, &MODELS);
    log.party("szu", "Shenzhen University", "CN");
    log.party("yunda", "Yunda Technology", "SG");
    log.tenant(through_yunda("szu"));
    log.bind("b-szu", "t-yunda", "szu");
    log.approve("t-yunda");
    log.work(0);
    log
}

#[test]
fn the_same_log_is_judged_otherwise_by_another_country_set_and_by_its_pack_only() {
    let pack = pack_with(&[("countries.csv", "\nCN,", "\nXX,")]);
    assert_eq!(judged_by(pack).rules(), []);
    assert_eq!(judged_by(policy::shipped()).rules(), [Rule::RestrictedHq]);
}

#[test]
fn a_finding_names_the_policy_and_the_pack_that_it_is_by() {
    let pack = pack_with(&[("pack.toml", "2026-11-28\"\ntitle", "7-ours\"\ntitle")]);
    let findings = judged_by(pack).findings();
    let of = |rule| {
        findings
            .iter()
            .find(|finding| finding.rule == rule)
            .unwrap()
    };
    let finding = of(Rule::RestrictedHq);
    assert_eq!(finding.policy.as_deref(), Some("restricted-headquarters"));
    assert_eq!(finding.pack.as_deref(), Some("default@7-ours"));
    assert_eq!(finding.severity, Severity::Critical);
    assert!(!finding.shadow);
}

#[test]
fn a_policy_in_shadow_gives_a_finding_that_says_so_and_counts_for_nothing() {
    let shadow = pack_with(&[(
        "policies.cedar",
        "@since(\"2023-11-17\")\n@mode(\"enforce\")",
        "@since(\"2023-11-17\")\n@mode(\"shadow\")",
    )]);
    let log = judged_by(shadow);
    assert_eq!(log.rules(), []);
    let tried = log.judge.tried();
    assert!(tried.iter().all(|finding| finding.shadow));
    assert!(
        tried
            .iter()
            .any(|finding| finding.rule == Rule::RestrictedHq)
    );
}
