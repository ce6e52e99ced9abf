//! The shipped binary, run as an auditor runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod desk;
#[path = "../../report/tests/support/mod.rs"]
mod support;

use std::{collections::BTreeSet, fs};

use affiant_report::Scope;
use desk::{Desk, run, text};

#[test]
fn exit_codes_tell_what_may_be_concluded() {
    let desk = Desk::new(Scope::Tenant("acme".into()));
    let trust = desk.path("trust");
    assert_eq!(desk.verify(&["--trust", text(&trust)]).0, 0, "clean");
    assert_eq!(desk.verify(&[]).0, 3, "no trust");
    let findings = Desk::new(Scope::All);
    assert_eq!(
        findings
            .verify(&["--trust", text(&findings.path("trust"))])
            .0,
        1,
        "findings"
    );
    let evidence = desk.path("report/evidence.bin");
    let mut bytes = fs::read(&evidence).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&evidence, bytes).unwrap();
    assert_eq!(desk.verify(&["--trust", text(&trust)]).0, 2, "broken");
    assert_eq!(run(&["verify"]).0, 64, "no directory given");
    assert_eq!(desk.verify(&["--truts", "x"]).0, 64, "unknown flag");
    assert_eq!(
        desk.verify(&["--trust", text(&desk.path("report/report.json"))])
            .0,
        64,
        "no trust file"
    );
    assert_eq!(
        desk.verify(&["--since", text(&trust)]).0,
        64,
        "no checkpoint"
    );
    assert_eq!(
        desk.verify(&["--trust", text(&desk.path("nothing"))]).0,
        74,
        "missing trust file"
    );
    assert_eq!(
        run(&["verify", text(&desk.path("nowhere"))]).0,
        74,
        "missing directory"
    );
}

#[test]
fn the_json_verdict_has_exactly_its_six_keys() {
    let desk = Desk::new(Scope::All);
    let kept = desk.path("kept");
    fs::write(&kept, desk.world.checkpoint().note().to_string()).unwrap();
    let (code, out, _) = desk.verify(&[
        "--trust",
        text(&desk.path("trust")),
        "--since",
        text(&kept),
        "--json",
    ]);
    assert_eq!(code, 1);
    let verdict: serde_json::Value = serde_json::from_str(&out).unwrap();
    let keys: BTreeSet<&str> = verdict
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let due = [
        "anchor",
        "checks",
        "completeness",
        "findings",
        "integrity",
        "verdict",
    ];
    assert_eq!(keys, BTreeSet::from(due));
    assert_eq!(verdict["verdict"], "findings");
    assert_eq!(
        (&verdict["anchor"]["kind"], &verdict["anchor"]["size"]),
        (&"witnessed".into(), &desk.world.tree.size().into())
    );
    assert_eq!(verdict["anchor"]["kept_size"], desk.world.tree.size());
    for check in verdict["checks"].as_array().unwrap() {
        let keys: BTreeSet<&str> = check
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(keys, BTreeSet::from(["detail", "name", "ok"]));
        assert_eq!(check["ok"], true, "{check}");
    }
}

#[test]
fn a_person_reads_the_four_statements_apart() {
    let desk = Desk::new(Scope::All);
    let (_, out, errors) = desk.verify(&["--trust", text(&desk.path("trust"))]);
    assert_eq!(errors, "", "no bar where nobody looks on");
    for line in [
        "Anchor ",
        "Integrity ",
        "Completeness ",
        "Findings ",
        "Verdict ",
    ] {
        assert_eq!(
            out.lines().filter(|found| found.starts_with(line)).count(),
            1,
            "{line}\n{out}"
        );
    }
    assert!(!out.contains('\x1b'), "no colours in a file");
    assert!(out.contains("RESTRICTED_HQ"), "{out}");
}

#[test]
fn a_name_in_the_place_of_a_file_that_is_none_is_an_error_and_not_a_verdict() {
    let desk = Desk::new(Scope::All);
    fs::remove_file(desk.path("report/evidence.bin")).unwrap();
    fs::create_dir(desk.path("report/evidence.bin")).unwrap();
    assert_eq!(desk.verify(&["--trust", text(&desk.path("trust"))]).0, 74);
}
