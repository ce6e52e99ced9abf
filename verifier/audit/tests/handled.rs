//! Findings that officers acted on, and records and findings named in short, as an auditor sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod desk;
mod stored;
#[path = "../../report/tests/support/mod.rs"]
mod support;

use affiant_report::Scope;
use desk::{Desk, run, text};
use stored::files;
use support::{SECOND, broken};

/// A desk with a bundle of which two findings are dealt with, and the log; gives the findings' ids too.
fn dealt() -> (Desk, Vec<String>) {
    let (mut world, period) = broken();
    let ids = world.deal(period);
    let desk = Desk::of((world, period), Scope::All);
    desk::write(&desk.path("log"), &files(&desk.world));
    (desk, ids)
}

#[test]
fn a_verdict_lists_each_finding_with_how_it_stands_and_who_signed_that() {
    let (desk, ids) = dealt();
    let trust = desk.path("trust");
    let report = desk.path("report");
    let (code, out, _) = run(&["verify", text(&report), "--trust", text(&trust)]);
    assert_eq!(code, 1, "a withdrawn finding is one: {out}");
    let flat = out.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        &format!("withdrawn, finding {}", ids[0]),
        &format!("resolved, finding {}", ids[1]),
        &format!("open, finding {}", ids[2]),
        "signed by officer Ada Novak (chain ",
        "signed by officer Ben Okafor (chain ",
        &format!(": \"{SECOND}\""),
        ": \"the owner was told\"",
        "open, 1 resolved, 1 withdrawn (by officers of the operator; these count all the same)",
    ] {
        assert!(flat.contains(part), "{part}: {out}");
    }
    assert!(
        !out.contains('\u{1b}') && !out.contains('\u{202e}'),
        "{out}"
    );
    // The gravest stand first.
    let at = |word: &str| out.lines().position(|line| line.starts_with(word));
    let (high, low) = (at("  high"), at("  medium").or(at("  low")));
    assert!(
        high.is_some() && low.is_none_or(|low| high < Some(low)),
        "{out}"
    );
}

#[test]
fn a_finding_is_explained_by_its_first_digits_with_all_who_signed() {
    let (desk, ids) = dealt();
    let trust = desk.path("trust");
    for place in ["report", "log"] {
        let place = desk.path(place);
        let explain = |finding: &str, more: &[&str]| {
            let flags = ["explain", text(&place), finding, "--trust", text(&trust)];
            run(&[&flags, more].concat())
        };
        let (code, out, errors) = explain(&ids[0][..8], &[]);
        assert_eq!(code, 1, "{out}{errors}");
        for part in [
            ids[0].as_str(),
            "stands          withdrawn",
            "officer Ada Novak (chain ",
            "officer Ben Okafor (chain ",
            SECOND,
            "takes no finding away",
            "anchor ",
            "verdict         findings",
        ] {
            assert!(out.contains(part), "{part}: {out}");
        }
        assert!(
            !out.contains('\u{1b}') && !out.contains('\u{202e}'),
            "{out}"
        );
        let (_, out, _) = explain(&ids[2].to_uppercase(), &[]);
        assert!(
            out.contains("no officer has signed anything about it"),
            "{out}"
        );
        let (_, out, _) = explain(&ids[0][..9], &["--json"]);
        let said: serde_json::Value = serde_json::from_str(&out).unwrap();
        let signed = said["finding"]["handling"]["signed"].as_array().unwrap();
        assert_eq!(signed.len(), 2, "{out}");

        let (code, _, errors) = explain(&ids[0][..7], &[]);
        assert_eq!(code, 64);
        assert!(errors.contains("8 to 64 hexadecimal digits"), "{errors}");
        let (code, _, errors) = explain("00000000", &[]);
        assert_eq!(code, 64);
        assert!(errors.contains("no finding 00000000"), "{errors}");
    }
}

#[test]
fn an_explained_finding_that_is_tied_to_nothing_trusted_is_incomplete() {
    let (desk, ids) = dealt();
    for place in ["report", "log"] {
        let place = desk.path(place);
        let (code, out, _) = run(&["explain", text(&place), &ids[0]]);
        assert_eq!(code, 3, "{out}");
        assert!(out.contains("verdict         incomplete"), "{out}");
        assert!(out.contains("not told        trust"), "{out}");
    }
}

#[test]
fn a_record_is_named_by_index_digest_or_place_in_short() {
    let (desk, _) = dealt();
    let (log, trust) = (desk.path("log"), desk.path("trust"));
    let record = |which: &str| run(&["record", text(&log), which, "--trust", text(&trust)]);
    let statement = desk.world.log[9].statement();
    let digest = statement.digest().to_string();
    let chain = statement.header().chain().unwrap().to_string();
    let place = format!("{}:{}", &chain[..8], statement.header().sequence());
    // Digits 0 to 9 alone would be an index.
    let letter = digest.find(|c: char| c.is_ascii_lowercase()).unwrap() + 1;
    let (code, due, errors) = record("9");
    assert_eq!(code, 0, "{errors}");
    assert!(due.contains(&digest), "{due}");
    for which in [&digest[..letter.max(8)], &digest, &place] {
        assert_eq!(record(which), (0, due.clone(), String::new()), "{which}");
    }
    for (bad, why) in [
        ("ffffffff", "not in this log"),
        ("abcdef", "at least the first 8"),
        ("ffffffff:1", "not in this log"),
    ] {
        let (code, _, errors) = record(bad);
        assert_eq!(code, 64, "{bad}");
        assert!(errors.contains(why), "{bad}: {errors}");
    }
}

#[test]
fn a_record_that_is_held_against_nothing_trusted_is_incomplete_and_says_so() {
    let (desk, _) = dealt();
    let (log, trust) = (desk.path("log"), desk.path("trust"));
    let (code, out, _) = run(&["record", text(&log), "9"]);
    assert_eq!(code, 3);
    assert!(out.contains("nothing that you trust was given"), "{out}");
    let (code, out, _) = run(&["record", text(&log), "9", "--trust", text(&trust)]);
    assert_eq!(code, 0);
    assert!(out.contains("verdict         clean"), "{out}");
}
