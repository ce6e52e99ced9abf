//! A pack of the operator's own: two officers put it into force, for what is logged after that.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod log;

use affiant_judge::{
    Judge, Known, PackLine, Parameters, Rule, Stands,
    policy::{Pack, PackFiles, shipped_files},
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
    want_version(log, "2", files, officer);
}

fn want_version(log: &mut Log, version: &str, files: &PackFiles, officer: [u8; 32]) {
    let body = v1::PolicyPack {
        pack: "ours".into(),
        version: version.into(),
        digest: files.digest().as_bytes().to_vec(),
        ..Default::default()
    };
    let index = log.next();
    log.judge.policy_pack(index, officer, &body);
}

fn tenant(log: &mut Log) {
    stated(log, "t", "CN", "szu");
    log.approve("t");
}

/// A tenant that is its own customer and parent, with a binding; nobody approved it.
fn stated(log: &mut Log, id: &str, headquarters: &str, namespace: &str) {
    log.party(id, "Harbour Analytics", headquarters);
    log.tenant(v1::Tenant {
        id: id.into(),
        customer: id.into(),
        end_customer: id.into(),
        ultimate_parent: id.into(),
        declared_use: "research".into(),
        ..Default::default()
    });
    log.bind(&format!("binding of {id}"), id, namespace);
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

/// The laxer pack, which tries in shadow what tenants do on whom nobody decided.
fn patient() -> PackFiles {
    let files = laxer();
    let files = files.iter().map(|(name, text)| {
        let text = text.replace("undecided = \"enforce\"", "undecided = \"shadow\"");
        (name.to_owned(), text.into_bytes())
    });
    PackFiles::new(files.collect::<Vec<_>>()).unwrap()
}

#[test]
fn use_before_anybody_decided_is_tried_where_the_pack_says_so_and_counts_after_any_decision() {
    let mut log = Log::new(&MODELS);
    stated(&mut log, "t", "DE", "szu");
    let files = patient();
    log.judge.exhibit(files.to_bytes());
    want(&mut log, &files, ANN);
    want(&mut log, &files, BO);
    let (from, applied) = (log.now, v1::TenantState::Applied);
    log.state_since(from, "t", applied);
    log.work(0);
    assert_eq!(log.rules(), []);
    let tried = log.judge.tried();
    let tried = tried
        .iter()
        .find(|it| it.rule == Rule::UseUnvetted)
        .unwrap();
    assert_eq!(tried.pack.as_deref(), Some("ours@2"));
    // Stray use is nobody's application.
    log.work(2);
    assert_eq!(log.rules(), [Rule::UseUnattributed]);
    // Suspended and taken up again, it is no more one on whom nobody decided.
    for state in [v1::TenantState::Suspended, v1::TenantState::Applied] {
        let now = log.now;
        log.state_since(now, "t", state);
        log.work(0);
        assert_eq!(log.rules(), [Rule::UseUnvetted, Rule::UseUnattributed]);
    }
}

#[test]
fn a_suspension_that_reaches_back_makes_what_was_tried_a_finding() {
    let mut log = Log::new(&MODELS);
    tenant(&mut log);
    let files = patient();
    log.judge.exhibit(files.to_bytes());
    want(&mut log, &files, ANN);
    want(&mut log, &files, BO);
    stated(&mut log, "u", "DE", "clear");
    let from = log.now;
    log.work(1);
    assert_eq!(log.rules(), []);
    log.state_since(from, "u", v1::TenantState::Suspended);
    let found = log.of(Rule::UseUnvetted);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].known, found[0].shadow), (Known::Later, false));
}

#[test]
fn a_record_that_was_under_way_when_officers_approved_is_still_tried() {
    let mut log = Log::new(&MODELS);
    let files = patient();
    log.judge.exhibit(files.to_bytes());
    want(&mut log, &files, ANN);
    want(&mut log, &files, BO);
    stated(&mut log, "t", "DE", "szu");
    log.work(0);
    // The record of the next interval comes half an interval late, and meanwhile it is approved.
    log.tick(log::INTERVAL * 3 / 2);
    log.approve("t");
    log.now -= log::INTERVAL * 3 / 2;
    log.work(0);
    assert_eq!(log.rules(), []);
}

/// The laxer pack with a device table of its own, in which the first row is another device than in the
/// shipped one, and with a policy on processing performance.
fn with_table() -> PackFiles {
    let files = laxer();
    let files = files.iter().map(|(name, text)| {
        let policy = "@id(\"large\")\n@severity(\"low\")\n@citation(\"none\")\n@status(\"in_force\")\n\
                      @since(\"2023-11-17\")\n@mode(\"enforce\")\n@says(\"It is large.\")\n\
                      forbid (principal, action == Action::\"use\", resource)\n\
                      when { resource has tpp && resource.tpp > 10000 };\n";
        let text = match name {
            "policies.cedar" => format!("{text}\n{policy}"),
            _ => text.to_owned(),
        };
        (name.to_owned(), text.into_bytes())
    });
    let table = "pci_device_id,names,class,tpp,pd,mem_bw,source,as_of\n\
                 ,H200,3A090.a,15832,,,R a book,2026-11-22\n";
    let table = ("devices.csv".to_owned(), table.as_bytes().to_vec());
    PackFiles::new(files.chain([table]).collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_device_that_was_inventoried_by_one_table_keeps_its_row_when_a_pack_brings_another() {
    // The first row of the shipped table: 4,992.
    let mut log = Log::new(&["NVIDIA A100-SXM4-80GB"]);
    stated(&mut log, "t", "DE", "szu");
    log.approve("t");
    let files = with_table();
    log.judge.exhibit(files.to_bytes());
    want(&mut log, &files, ANN);
    want(&mut log, &files, BO);
    assert_eq!(log.judge.pack().label().as_ref(), "ours@2");
    log.work(0);
    let large = |log: &Log| {
        log.of(Rule::Policy)
            .iter()
            .any(|it| it.policy.as_deref() == Some("large"))
    };
    assert!(!large(&log), "an A100 is none of the new table's first row");
    let pack = Pack::read(&files).unwrap();
    let judge = Judge::new(Parameters::default()).with_pack(pack.into());
    let mut log = Log::with(judge, &["NVIDIA H200"]);
    stated(&mut log, "t", "DE", "szu");
    log.approve("t");
    log.work(0);
    assert!(large(&log), "an H200 is");
}

/// The pack with a table as version 3, its policy on large devices otherwise as told.
fn third(severity: &str, mode: &str) -> PackFiles {
    let files = with_table();
    let files = files.iter().map(|(name, text)| {
        let text = match name {
            "pack.toml" => text.replace("version = \"2\"", "version = \"3\""),
            "policies.cedar" => {
                let (before, large) = text.split_once("@id(\"large\")").unwrap();
                let large = large
                    .replace("\"low\"", &format!("{severity:?}"))
                    .replace("\"enforce\"", &format!("{mode:?}"));
                format!("{before}@id(\"large\"){large}")
            }
            _ => text.to_owned(),
        };
        (name.to_owned(), text.into_bytes())
    });
    PackFiles::new(files.collect::<Vec<_>>()).unwrap()
}

#[test]
fn what_breaks_a_policy_is_one_finding_over_versions_of_its_pack_and_another_when_it_is_only_tried()
{
    for (severity, mode, is_one) in [("high", "enforce", true), ("low", "shadow", false)] {
        let pack = Pack::read(&with_table()).unwrap();
        let judge = Judge::new(Parameters::default()).with_pack(pack.into());
        let mut log = Log::with(judge, &["NVIDIA H200"]);
        stated(&mut log, "t", "DE", "szu");
        log.approve("t");
        log.work(0);
        let large = |log: &Log| {
            let mut all = log.findings();
            all.extend(log.judge.tried());
            all.retain(|it| it.policy.as_deref() == Some("large"));
            all
        };
        let before = large(&log).pop().unwrap();
        assert_eq!(before.pack.as_deref(), Some("ours@2"));
        let files = third(severity, mode);
        log.judge.exhibit(files.to_bytes());
        want_version(&mut log, "3", &files, ANN);
        want_version(&mut log, "3", &files, BO);
        log.work(0);
        let after = large(&log);
        let of_new = |it: &&affiant_judge::Finding| it.pack.as_deref() == Some("ours@3");
        let new = after.iter().find(of_new).unwrap();
        assert_eq!(after.len(), if is_one { 1 } else { 2 });
        assert_eq!(new.id == before.id, is_one);
        assert_eq!(new.evidence.count, if is_one { 2 } else { 1 });
        assert_eq!(
            new.severity.as_str(),
            severity,
            "as the graver of the two says"
        );
        assert_eq!(new.shadow, !is_one);
    }
}

#[test]
fn a_pack_is_shown_with_those_who_signed_it_and_one_that_waits_stands_behind_it() {
    let mut log = Log::new(&MODELS);
    let files = laxer();
    log.judge.exhibit(files.to_bytes());
    let told = |log: &Log| {
        let lines = log.judge.pack_lines().into_iter();
        let line = |it: PackLine| (it.pack, it.stands, it.from_index, it.signed.len());
        lines.map(line).collect::<Vec<_>>()
    };
    let default = || "default".to_owned();
    assert_eq!(told(&log), [(default(), Stands::InForce, Some(0), 0)]);
    want(&mut log, &files, ANN);
    let ours = || "ours".to_owned();
    assert_eq!(
        told(&log),
        [
            (default(), Stands::InForce, Some(0), 0),
            (ours(), Stands::Waiting, None, 1)
        ]
    );
    want(&mut log, &files, BO);
    let lines = log.judge.pack_lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (lines[0].stands, lines[1].stands),
        (Stands::InForce, Stands::Before)
    );
    assert_eq!(lines[0].digest, files.digest().to_string());
    let last = lines[0].signed.last().unwrap();
    assert_eq!(lines[0].from_index, Some(last.index + 1));
    assert_eq!(lines[0].signed.len(), 2);
    assert!(lines[0].in_shadow > 0 && lines[0].enforced > 0);
}

#[test]
fn packs_that_one_officer_wants_are_in_nobodys_way() {
    let mut log = Log::new(&MODELS);
    tenant(&mut log);
    let numbered = |number: usize| {
        let files = laxer();
        let files = files.iter().map(|(name, text)| {
            let text = text.replace("version = \"2\"", &format!("version = \"junk-{number}\""));
            (name.to_owned(), text.into_bytes())
        });
        PackFiles::new(files.collect::<Vec<_>>()).unwrap()
    };
    for number in 0..20 {
        let files = numbered(number);
        log.judge.exhibit(files.to_bytes());
        want_version(&mut log, &format!("junk-{number}"), &files, ANN);
    }
    let waiting = log.judge.pack_lines().len() - 1;
    assert!(waiting < 20, "{waiting}");
    let files = laxer();
    log.judge.exhibit(files.to_bytes());
    want(&mut log, &files, BO);
    want(&mut log, &files, ANN);
    let in_force = log.judge.pack_lines().remove(0);
    assert_eq!(
        (in_force.pack.as_str(), in_force.version.as_str()),
        ("ours", "2")
    );
}

#[test]
fn a_finding_stays_as_grave_as_the_gravest_version_of_its_policy() {
    let pack = Pack::read(&third("high", "enforce")).unwrap();
    let judge = Judge::new(Parameters::default()).with_pack(pack.into());
    let mut log = Log::with(judge, &["NVIDIA H200"]);
    stated(&mut log, "t", "DE", "szu");
    log.approve("t");
    log.work(0);
    let files = with_table();
    log.judge.exhibit(files.to_bytes());
    want(&mut log, &files, ANN);
    want(&mut log, &files, BO);
    log.work(0);
    let all = log.findings();
    let large = all
        .iter()
        .find(|it| it.policy.as_deref() == Some("large"))
        .unwrap();
    assert_eq!(large.pack.as_deref(), Some("ours@2"));
    assert_eq!(large.evidence.count, 2);
    assert_eq!(large.severity.as_str(), "high");
}
