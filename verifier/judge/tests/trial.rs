//! A trial: the same log under another pack, and what of its findings changes.
#![allow(missing_docs, clippy::unwrap_used)]

mod log;

use affiant_judge::{
    Judge, Parameters, Rule,
    policy::{Pack, PackFiles, shipped_files},
    trial::Difference,
};
use affiant_proto::v1;
use log::Log;

const MODELS: [&str; 1] = ["NVIDIA H100 80GB HBM3"];

/// The default pack with texts in the place of others.
fn pack(changes: &[(&str, &str)]) -> Pack {
    let files = shipped_files().unwrap();
    let files = files.iter().map(|(name, text)| {
        let text = match name {
            "examples.toml" => String::new(),
            _ => changes
                .iter()
                .fold(text.to_owned(), |text, (old, new)| text.replace(old, new)),
        };
        (name.to_owned(), text.into_bytes())
    });
    Pack::read(&PackFiles::new(files.collect::<Vec<_>>()).unwrap()).unwrap()
}

/// What a log finds, in shadow too, in which a restricted tenant through an undeclared chain works.
fn found(judge: Judge) -> Vec<affiant_judge::Finding> {
    let mut log = Log::with(judge, &MODELS);
    log.party("t", "Harbour Analytics", "CN");
    log.party("m", "Meridian Hosting", "SG");
    log.tenant(v1::Tenant {
        id: "t".into(),
        customer: "m".into(),
        intermediaries: vec!["m".into()],
        ultimate_parent: "t".into(),
        ..Default::default()
    });
    log.bind("b", "t", "szu");
    log.approve("t");
    log.work(0);
    log.work(0);
    [log.judge.findings(), log.judge.tried()].concat()
}

fn under(pack: Pack) -> Difference {
    let judge = || Judge::new(Parameters::default());
    Difference::between(found(judge()), found(judge().under(pack.into())))
}

#[test]
fn the_pack_that_was_in_force_changes_nothing() {
    let same = under(pack(&[]));
    assert!(same.is_none(), "{same:?}");
    assert!(same.same > 2);
}

#[test]
fn a_finding_that_another_pack_would_not_make_is_gone_and_one_that_it_alone_makes_is_new() {
    let file = "restricted = \"countries.csv\"";
    let files = shipped_files().unwrap();
    assert!(files.iter().any(|(_, text)| text.contains(file)));
    let elsewhere = under({
        let files = files
            .iter()
            .filter(|(name, _)| !name.ends_with("countries.csv"));
        let files = files.map(|(name, text)| {
            let text = match name {
                "examples.toml" => String::new(),
                _ => text.replace(file, "restricted = [\"DE\"]"),
            };
            (name.to_owned(), text.into_bytes())
        });
        Pack::read(&PackFiles::new(files.collect::<Vec<_>>()).unwrap()).unwrap()
    });
    let gone: Vec<_> = elsewhere.gone.iter().map(|it| it.rule).collect();
    assert_eq!(gone, [Rule::RestrictedHq]);
    assert!(elsewhere.new.is_empty() && elsewhere.changed.is_empty());
    let shallow = under(pack(&[
        ("max_intermediaries = 2", "max_intermediaries = 0"),
        (
            "BIS guidance of 13 May 2025, red flags; the number is the pack's own\")\n@status(\"in_force\")\n@since(\"2025-05-13\")",
            "red flags\")\n@status(\"in_force\")\n@since(\"2023-11-17\")",
        ),
    ]));
    let new: Vec<_> = shallow.new.iter().map(|it| it.rule).collect();
    assert_eq!(new, [Rule::ChainTooDeep]);
    assert!(shallow.gone.is_empty() && shallow.changed.is_empty());
}

#[test]
fn a_policy_under_another_name_or_another_mode_is_a_change_and_no_new_finding() {
    let renamed = under(pack(&[("restricted-headquarters", "headquarters-2")]));
    assert!(renamed.is_none(), "the same finding: {renamed:?}");
    let tried = under(pack(&[("@mode(\"enforce\")", "@mode(\"shadow\")")]));
    assert!(tried.gone.is_empty() && tried.new.is_empty(), "{tried:?}");
    assert!(!tried.changed.is_empty());
    for change in &tried.changed {
        assert!(!change.was.shadow && change.would_be.shadow);
        assert_eq!(change.was.rule, change.would_be.rule);
    }
}
