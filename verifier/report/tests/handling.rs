//! What officers did about findings, where a regulator reads: nothing is hidden by it, and it is derived
//! again like every figure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use affiant_judge::handling::{Handling, State};
use affiant_proto::v1;
use affiant_report::{Conclusion, Scope, Verdict, files, verify, words};
use support::{FIRST, Files, SECOND, World, broken};

fn report(files: &Files) -> serde_json::Value {
    serde_json::from_slice(&files[files::REPORT]).unwrap()
}

fn page(files: &Files) -> String {
    String::from_utf8(files[files::PAGE].clone()).unwrap()
}

fn verified(world: &World, files: &Files) -> Verdict {
    verify(files, Some(&world.trust()), None).unwrap()
}

/// The finding of this id, with all that the report says of it.
fn finding(files: &Files, id: &str) -> serde_json::Value {
    let report = report(files);
    let mut all = report["findings"].as_array().unwrap().iter();
    all.find(|one| one["id"] == id).unwrap().clone()
}

/// The part of the page that is about one finding.
fn shown(files: &Files, id: &str) -> String {
    let page = page(files);
    let mut parts = page.split("<div class=\"finding ");
    let part = parts.find(|part| part.contains(id)).unwrap();
    part.to_owned()
}

#[test]
fn a_withdrawn_finding_stays_with_both_who_signed_it_and_counts_as_it_did() {
    let (mut world, period) = broken();
    let before = world.report(period, Scope::All);
    let ids = world.deal(period);
    let files = world.report(period, Scope::All);
    let count = |files: &Files| report(files)["findings"].as_array().unwrap().len();
    assert_eq!(count(&files), count(&before));
    let handling = finding(&files, &ids[0])["handling"].clone();
    assert_eq!(handling["state"], "withdrawn");
    let signed = handling["signed"].as_array().unwrap();
    let said = |at: usize, key: &str| signed[at][key].as_str().unwrap().to_owned();
    assert_eq!(signed.len(), 2);
    assert_eq!(
        (said(0, "name"), said(0, "reason")),
        ("Ada Novak".into(), FIRST.into())
    );
    assert_eq!(
        (said(1, "name"), said(1, "reason")),
        ("Ben Okafor".into(), SECOND.into())
    );
    // What named the last of them names him still.
    assert_eq!(
        (&handling["officer"], &handling["reason"]),
        (&signed[1]["officer"], &SECOND.into())
    );
    assert_eq!(handling["index"], signed[1]["index"]);

    let verdict = verified(&world, &files);
    assert_eq!(verdict.verdict, Conclusion::Findings);
    let findings = &verdict.findings;
    assert_eq!(findings.count, count(&before));
    assert_eq!(
        (findings.withdrawn, findings.resolved, findings.open),
        (1, 1, findings.count - 2)
    );
    let due = format!("{} open, 1 resolved, 1 withdrawn", findings.open);
    assert!(findings.text.contains(&due), "{}", findings.text);
    assert!(
        findings.text.contains("count all the same"),
        "{}",
        findings.text
    );
    let quiet = verified(&world, &before).findings.text;
    assert!(!quiet.contains("officers"), "{quiet}");
}

#[test]
fn the_page_marks_each_finding_and_shows_who_signed_when_and_why() {
    let (mut world, period) = broken();
    let ids = world.deal(period);
    let files = world.report(period, Scope::All);
    let whole = page(&files);
    assert!(!whole.contains("<script") && !whole.contains('\u{1b}') && !whole.contains('\u{202e}'));
    assert!(whole.contains("1 resolved, 1 withdrawn"), "the tile");
    assert!(whole.contains("takes no finding away"));

    let withdrawn = shown(&files, &ids[0]);
    for part in [
        "<span class=\"mark settled\">withdrawn</span>",
        "Officer Ada Novak, 2024-08-20 ",
        "Officer Ben Okafor, 2024-08-20 ",
        "&lt;script&gt;alert(1)&lt;/script&gt; &quot;",
        SECOND,
        "two officers say that it should not have been raised",
    ] {
        assert!(withdrawn.contains(part), "{part}: {withdrawn}");
    }
    let resolved = shown(&files, &ids[1]);
    assert!(resolved.contains("<span class=\"mark settled\">resolved</span>"));
    assert!(resolved.contains("the owner was told"), "{resolved}");
    let open = shown(&files, &ids[2]);
    assert!(
        open.contains("<span class=\"mark stands\">open</span>"),
        "{open}"
    );
    assert!(open.contains(words::NOT_HANDLED), "{open}");
}

#[test]
fn half_a_withdrawal_and_one_that_was_overtaken_are_not_settled() {
    let (mut world, period) = broken();
    let ids = world.deal(period);
    world.act(0, &ids[2], v1::Verdict::Withdraw, "a drill");
    let files = world.report(period, Scope::All);
    let asked = shown(&files, &ids[2]);
    assert!(asked.contains("<span class=\"mark stands\">withdrawal asked for</span>"));
    assert!(asked.contains("It takes two"), "{asked}");

    let mut finding = verified(&world, &files).findings.items.remove(0);
    let handling = |state, overtaken| {
        Some(Handling {
            state,
            officer: "00".repeat(32),
            reason: "done".into(),
            index: 7,
            logged_unix_ms: 1,
            overtaken,
            signed: Vec::new(),
        })
    };
    for (state, settled) in [
        (State::Resolved, "resolved"),
        (State::Withdrawn, "withdrawn"),
    ] {
        finding.handling = handling(state, false);
        assert_eq!(words::standing(&finding), settled);
        assert!(words::is_settled(&finding));
        finding.handling = handling(state, true);
        assert_eq!(words::standing(&finding), format!("{settled}, open again"));
        assert!(!words::is_settled(&finding));
        assert_eq!(words::stand(&[finding.clone()]), "1 open");
    }
}
