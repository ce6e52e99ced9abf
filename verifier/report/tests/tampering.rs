//! Whoever changes a bundle, or the log behind it, is caught, and it is said by what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use affiant_proto::{
    Body, Statement,
    tlog::{Note, multi_proof},
};
use affiant_report::{
    Conclusion, Period, Scope, Verdict, consistency,
    evidence::{Entry, Reader, spell},
    files,
    reading::Fault,
    verify::{AnchorKind, verify},
};
use support::{Files, World, played};

fn detail<'a>(verdict: &'a Verdict, name: &str) -> &'a str {
    let failed = verdict
        .checks
        .iter()
        .find(|check| check.name == name && !check.ok);
    failed.map_or_else(
        || panic!("{name} did not fail: {:#?}", verdict.checks),
        |check| check.detail.as_str(),
    )
}

/// Takes the evidence apart, lets `change` work on its entries, and puts it together again with a
/// good multi-proof.
fn with_entries(files: &mut Files, world: &World, change: impl FnOnce(&mut Vec<Entry>)) {
    let mut reader = Reader::open(files[files::EVIDENCE].as_slice()).unwrap();
    let head = reader.head();
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        entries.push(entry);
    }
    change(&mut entries);
    let indices: Vec<u64> = entries.iter().map(|entry| entry.index).collect();
    let proof = multi_proof(&world.tree, &indices, head.size).unwrap();
    files.insert(
        files::EVIDENCE.into(),
        spell(head.size, head.root, &entries, &proof),
    );
}

fn is_usage(statement: &Statement) -> bool {
    matches!(statement.body(), Body::Usage(_))
}

/// The first record of which every line is shown.
fn record(entries: &mut [Entry]) -> &mut Entry {
    entries
        .iter_mut()
        .find(|entry| is_usage(&entry.statement) && entry.disclosure.shown.len() > 2)
        .unwrap()
}

#[test]
fn a_changed_byte_anywhere_in_any_file_is_never_clean() {
    let (mut world, period) = played();
    let clean = world.report(period, Scope::Tenant("acme".into()));
    let trust = world.trust();
    assert_eq!(
        verify(&clean, Some(&trust), None).unwrap().verdict,
        Conclusion::Clean
    );
    for name in files::ALL {
        let length = clean[name].len();
        // Every byte of a small file, and about 150 places of a large one, at an odd stride.
        for at in (0..length).step_by((length / 150) | 1) {
            let mut changed = clean.clone();
            changed.get_mut(name).unwrap()[at] ^= 1 << (at % 7);
            let verdict = verify(&changed, Some(&trust), None).unwrap().verdict;
            assert_ne!(verdict, Conclusion::Clean, "{name} byte {at}");
            assert_ne!(verdict, Conclusion::Findings, "{name} byte {at}");
        }
    }
}

#[test]
fn a_file_that_is_missing_cut_or_lengthened_breaks_the_bundle() {
    let (mut world, period) = played();
    let whole = world.report(period, Scope::Tenant("acme".into()));
    let trust = world.trust();
    for name in files::ALL {
        let mut missing = whole.clone();
        missing.remove(name);
        let verdict = verify(&missing, Some(&trust), None).unwrap();
        assert_eq!(verdict.verdict, Conclusion::Broken, "{name} missing");
        let mut cut = whole.clone();
        cut.get_mut(name).unwrap().pop();
        assert_eq!(
            verify(&cut, Some(&trust), None).unwrap().verdict,
            Conclusion::Broken,
            "{name} cut"
        );
        let mut longer = whole.clone();
        longer.get_mut(name).unwrap().push(b'\n');
        assert_eq!(
            verify(&longer, Some(&trust), None).unwrap().verdict,
            Conclusion::Broken,
            "{name} longer"
        );
    }
}

#[test]
fn a_withheld_line_shows_in_the_figures() {
    let (mut world, period) = played();
    let mut bundle = world.report(period, Scope::All);
    let trust = world.trust();
    let mut index = 0;
    with_entries(&mut bundle, &world, |entries| index = record(entries).index);
    // The operator knows the seed, so it can show any other subset with a good proof.
    let tree = world.log[usize::try_from(index).unwrap()]
        .tree()
        .unwrap()
        .clone();
    let all_but_one = (0..tree.count()).filter(|leaf| *leaf != 1).collect();
    with_entries(&mut bundle, &world, |entries| {
        record(entries).disclosure = tree.disclose(&all_but_one);
    });
    let verdict = verify(&bundle, Some(&trust), None).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Broken);
    let why = detail(&verdict, "figures");
    assert!(
        why.contains("1 lines are withheld where the report says 0"),
        "{why}"
    );
}

#[test]
fn a_line_taken_out_without_its_hash_does_not_fit_the_signed_root() {
    let (mut world, period) = played();
    let mut bundle = world.report(period, Scope::All);
    with_entries(&mut bundle, &world, |entries| {
        record(entries).disclosure.shown.remove(1);
    });
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Broken);
    assert!(detail(&verdict, "statements").contains("do not hash to the signed root"));
}

#[test]
fn two_lines_swapped_or_one_of_another_record_do_not_fit_the_signed_root() {
    let (mut world, period) = played();
    let whole = world.report(period, Scope::All);
    for swap in [0, 1] {
        let mut bundle = whole.clone();
        with_entries(&mut bundle, &world, |entries| {
            if swap == 0 {
                let shown = &mut record(entries).disclosure.shown;
                let kept = (shown[1].salt, shown[1].content.clone());
                (shown[1].salt, shown[1].content) = (shown[2].salt, shown[2].content.clone());
                (shown[2].salt, shown[2].content) = kept;
            } else {
                let other = entries
                    .iter()
                    .rfind(|entry| is_usage(&entry.statement) && entry.disclosure.shown.len() > 2);
                let line = other.unwrap().disclosure.shown[1].clone();
                record(entries).disclosure.shown[1] = line;
            }
        });
        let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
        assert_eq!(verdict.verdict, Conclusion::Broken);
        let why = detail(&verdict, "statements");
        assert!(
            why.contains("host gpu-a") && why.contains("do not hash to the signed root"),
            "{why}"
        );
    }
}

#[test]
fn a_record_left_out_in_the_middle_is_named() {
    let (mut world, period) = played();
    let mut bundle = world.report(period, Scope::All);
    let mut gone = 0;
    with_entries(&mut bundle, &world, |entries| {
        let place = entries
            .iter()
            .position(|entry| is_usage(&entry.statement) && entry.disclosure.shown.len() > 2);
        gone = entries.remove(place.unwrap()).index;
    });
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Broken);
    let why = detail(&verdict, "whole");
    assert!(
        why.contains(&format!("log entries {gone} to {gone}")),
        "{why}"
    );
}

/// The operator edits the report, and signs and logs its digest with the real keys.
fn issued_anew(world: &mut World, honest: &Files, edited: String) -> Files {
    let last = world.log.last().unwrap().statement().body().clone();
    let Body::ReportIssued(mut said) = last else {
        unreachable!()
    };
    said.report = affiant_proto::digest(edited.as_bytes()).as_bytes().to_vec();
    said.header = None;
    let size = said.size;
    let index = world.operator(said);
    let statement = world.log.last().unwrap().statement().clone();
    let mut forged = honest.clone();
    forged.insert(files::REPORT.into(), edited.into_bytes());
    forged.insert(files::SIGNATURE.into(), statement.as_bytes().to_vec());
    let signed = world.checkpoint();
    let (new, root) = (signed.checkpoint().size(), *signed.checkpoint().root());
    let mut reader = Reader::open(honest[files::EVIDENCE].as_slice()).unwrap();
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        entries.push(entry);
    }
    entries.pop();
    entries.push(Entry {
        index,
        statement,
        disclosure: affiant_proto::Disclosure::default(),
    });
    let indices: Vec<u64> = entries.iter().map(|entry| entry.index).collect();
    let proof = multi_proof(&world.tree, &indices, new).unwrap();
    forged.insert(files::EVIDENCE.into(), spell(new, root, &entries, &proof));
    forged.insert(
        files::CHECKPOINT.into(),
        support::cosigned(&signed).to_string().into_bytes(),
    );
    let earlier = consistency::prove(&world.tree, [size], new).unwrap();
    forged.insert(
        files::CONSISTENCY.into(),
        consistency::spell(&earlier).into_bytes(),
    );
    forged
}

#[test]
fn figures_that_were_edited_and_issued_anew_are_caught_by_computing_them_again() {
    let (mut world, period) = played();
    let honest = world.report(period, Scope::All);
    let text = String::from_utf8(honest[files::REPORT].clone()).unwrap();
    let edited = text.replacen("\"tenants_ms\": 170000", "\"tenants_ms\": 160000", 1);
    assert_ne!(text, edited);
    let forged = issued_anew(&mut world, &honest, edited);
    let verdict = verify(&forged, Some(&world.trust()), None).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Broken);
    let failed: Vec<&str> = verdict
        .checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| check.name)
        .collect();
    assert_eq!(failed, ["figures"]);
    assert!(
        detail(&verdict, "figures").contains("tenants_ms"),
        "{}",
        detail(&verdict, "figures")
    );
}

#[test]
fn who_signed_what_about_a_finding_is_computed_again_too() {
    let (mut world, period) = played();
    world.deal(period);
    let honest = world.report(period, Scope::All);
    let text = String::from_utf8(honest[files::REPORT].clone()).unwrap();
    for (said, forged, place) in [
        (
            "\"name\": \"Ada Novak\"",
            "\"name\": \"Ada Novac\"",
            ".handling.signed[0].name",
        ),
        (
            "\"state\": \"withdrawn\"",
            "\"state\": \"resolved\"",
            ".handling.state",
        ),
        (support::SECOND, "it is one", ".handling.reason"),
    ] {
        let edited = text.replacen(said, forged, 1);
        assert_ne!(text, edited);
        let forged = issued_anew(&mut world, &honest, edited);
        let verdict = verify(&forged, Some(&world.trust()), None).unwrap();
        assert_eq!(verdict.verdict, Conclusion::Broken);
        let why = detail(&verdict, "figures");
        assert!(why.contains(place), "{why}");
    }
}

#[test]
fn a_report_by_other_rules_is_judged_differently_and_not_broken() {
    let (mut world, period) = played();
    let honest = world.report(period, Scope::All);
    let text = String::from_utf8(honest[files::REPORT].clone()).unwrap();
    let ours = format!("\"version\": \"{}\"", affiant_judge::RULES_VERSION);
    let newer = text.replacen(&ours, "\"version\": \"999\"", 1);
    let newer = newer.replacen("\"interval_ms\"", "\"span_ms\"", 1);
    let other = issued_anew(&mut world, &honest, newer);
    let verdict = verify(&other, Some(&world.trust()), None).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Incomplete);
    assert!(detail(&verdict, "figures").contains("difference in judgement"));
    assert_eq!(verdict.findings.count, 2, "what it finds itself, it says");
}

/// An insider with every key but the hosts' takes one record out of the log and signs it anew.
fn rewritten(place: impl Fn(usize, &Statement) -> bool) -> (World, Period, Note) {
    let (mut world, period) = played();
    world.witness();
    let kept = support::checkpoint_of(&world.tree, support::ORIGIN, 2).into_note();
    for _ in 0..3 {
        world.tick(&[&[], &[]]);
    }
    let index = world
        .log
        .iter()
        .enumerate()
        .position(|(index, one)| place(index, one.statement()))
        .unwrap();
    let period = Period::new(period.from(), world.now).unwrap();
    (world.without(index), period, kept)
}

#[test]
fn an_insider_who_takes_a_record_out_and_signs_the_log_anew_leaves_a_hole_in_the_hosts_chain() {
    let (mut world, period, kept) = rewritten(|index, one| index > 60 && is_usage(one));
    let (bundle, faults) = world.report_anyway(period, Scope::All);
    assert!(
        matches!(&faults[..], [Fault::Missing { chain, .. }] if chain == "host gpu-a" || chain == "host gpu-b"),
        "{faults:?}"
    );
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Broken);
    assert!(
        detail(&verdict, "whole").contains("are missing"),
        "{}",
        detail(&verdict, "whole")
    );
    // The hosts had seen the log as it was.
    assert!(detail(&verdict, "views").contains("rewritten or forked"));
    let verdict = verify(&bundle, Some(&world.trust()), Some(&kept)).unwrap();
    assert!(
        detail(&verdict, "kept").contains("the log was rewritten"),
        "{}",
        detail(&verdict, "kept")
    );
}

#[test]
fn an_insider_who_takes_the_last_record_of_a_host_is_caught_by_what_the_reader_kept() {
    // No statement of the host follows, so its chain has no hole.
    let (mut world, _) = played();
    let index = world
        .log
        .iter()
        .rposition(|one| is_usage(one.statement()))
        .unwrap();
    let kept = support::checkpoint_of(&world.tree, support::ORIGIN, 2).into_note();
    world = world.without(index);
    for _ in 0..3 {
        world.clock();
    }
    let period = Period::new(support::T0, world.now).unwrap();
    let (bundle, faults) = world.report_anyway(period, Scope::All);
    assert_eq!(faults, []);
    let trust = world.trust().without_witnesses();
    let blind = verify(&bundle, Some(&trust), None).unwrap();
    assert_eq!(
        (blind.verdict, blind.anchor.kind),
        (Conclusion::Findings, AnchorKind::None)
    );
    assert!(
        blind.anchor.text.contains("written anew"),
        "the verdict says how little that is"
    );
    let verdict = verify(&bundle, Some(&trust), Some(&kept)).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Broken);
    assert!(detail(&verdict, "kept").contains("the log was rewritten"));
}

#[test]
fn evidence_tied_to_another_tree_is_refused() {
    let (mut world, period) = played();
    let mut bundle = world.report(period, Scope::All);
    let (mut other, _) = played();
    other.clock();
    let foreign = other.report(period, Scope::All);
    bundle.insert(files::EVIDENCE.into(), foreign[files::EVIDENCE].clone());
    let verdict = verify(&bundle, Some(&world.trust()), None).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Broken);
}

#[test]
fn a_checkpoint_of_a_fork_that_the_reader_kept_breaks_the_bundle() {
    let (mut world, period) = played();
    let (mut fork, _) = played();
    fork.party("only-here", &["Only Here"], "DE");
    world.clock();
    let kept = support::checkpoint_of(&fork.tree, support::ORIGIN, 2).into_note();
    let bundle = world.report(period, Scope::All);
    let verdict = verify(&bundle, Some(&world.trust()), Some(&kept)).unwrap();
    assert_eq!(verdict.verdict, Conclusion::Broken);
    let why = detail(&verdict, "kept");
    assert!(why.contains("the log was rewritten: at size"), "{why}");
}
