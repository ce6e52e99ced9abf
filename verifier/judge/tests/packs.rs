//! A pack of the operator's own: two officers put it into force, for what is logged after that.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{
    Known, Rule,
    policy::{PackFiles, shipped_files},
};
use affiant_proto::v1;
use log::{ANN, BO, Log};

const MODELS: [&str; 1] = ["NVIDIA H100 80GB HBM3"];

/// The default pack without its rule on headquarters, as version 2 of one's own.
fn laxer() -> PackFiles {
    let shipped = shipped_files().unwrap();
    let files = shipped.iter().map(|(name, text)| {
        let text = match name {
            "pack.toml" => {
                let lines = text
                    .lines()
                    .map(|line| match line.split('=').next().map(str::trim) {
                        Some("name") => "name = \"ours\"",
                        Some("version") => "version = \"2\"",
                        _ => line,
                    });
                lines.collect::<Vec<_>>().join("\n")
            }
            "policies.cedar" => {
                let start = text.find("@id(\"restricted-headquarters\")").unwrap();
                let end = start + text.get(start..).unwrap().find("};").unwrap() + 2;
                let mut text = text.to_owned();
                text.replace_range(start..end, "");
                text
            }
            "examples.toml" => String::new(),
            _ => text.to_owned(),
        };
        (name.to_owned(), text.into_bytes())
    });
    PackFiles::new(files.collect::<Vec<_>>()).unwrap()
}

fn want(log: &mut Log, files: &PackFiles, officer: [u8; 32]) {
    let body = v1::PolicyPack {
        pack: "ours".into(),
        version: "2".into(),
        digest: files.digest().as_bytes().to_vec(),
        ..Default::default()
    };
    let index = log.next();
    log.judge.policy_pack(index, officer, &body);
}

fn tenant(log: &mut Log) {
    log.party("t", "Harbour Analytics", "CN");
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: "t".into(),
        end_customer: "t".into(),
        ultimate_parent: "t".into(),
        declared_use: "research".into(),
        ..Default::default()
    });
    log.bind("b", "t", "szu");
    log.approve("t");
}

#[test]
fn a_pack_judges_what_is_logged_after_two_officers_wanted_it_and_nothing_before() {
    let mut log = Log::new(&MODELS);
    tenant(&mut log);
    log.work(0);
    let files = laxer();
    log.judge.exhibit(files.to_bytes());
    want(&mut log, &files, ANN);
    want(&mut log, &files, ANN);
    log.work(0);
    let count = |log: &Log| {
        let found = log
            .findings()
            .into_iter()
            .find(|it| it.rule == Rule::RestrictedHq);
        found.map(|it| (it.evidence.count, it.known))
    };
    assert_eq!(
        count(&log),
        Some((2, Known::Then)),
        "one officer is not enough"
    );
    want(&mut log, &files, BO);
    log.work(0);
    log.work(0);
    assert_eq!(count(&log), Some((2, Known::Then)));
    assert_eq!(log.judge.pack().label().as_ref(), "ours@2");
    // What the registry learns later of the time before is still judged by the pack of that time.
    log.party("t", "Harbour Analytics", "CN");
    let later = log
        .findings()
        .into_iter()
        .filter(|it| it.rule == Rule::RestrictedHq);
    assert!(later.into_iter().all(|it| it.evidence.count == 2));
}

#[test]
fn a_pack_that_is_not_at_hand_or_is_another_is_not_judged() {
    let mut log = Log::new(&MODELS);
    let files = laxer();
    want(&mut log, &files, ANN);
    want(&mut log, &files, BO);
    assert_eq!(
        log.judge.figures().not_judged.get("policy-pack.v1"),
        Some(&2)
    );
    let mut other = files.to_bytes();
    other.truncate(other.len() - 1);
    log.judge.exhibit(other.clone());
    let body = v1::PolicyPack {
        pack: "ours".into(),
        version: "2".into(),
        digest: affiant_proto::digest(&other).as_bytes().to_vec(),
        ..Default::default()
    };
    let index = log.next();
    log.judge.policy_pack(index, ANN, &body);
    assert_eq!(
        log.judge.figures().not_judged.get("policy-pack.v1"),
        Some(&3)
    );
    assert_ne!(log.judge.pack().label().as_ref(), "ours@2");
}
