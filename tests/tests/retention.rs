//! Lines are erased on disk as the log announced, and nothing else of the log is; crashes, backups
//! and exports bring none of them back.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod stored;
#[path = "../../verifier/report/tests/support/mod.rs"]
mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use affiant_audit::log::{Asked, Folder, audit};
use affiant_proto::{Body, Envelope, envelope::Leaves, v1};
use affiant_report::{Conclusion, Verdict};
use affiant_tests::Deployment;
use affiant_verifier::ledger::{Eraser, Ledger, LocalDisk, export};
use stored::{clock_after, written};
use support::{H100, World, signer};

const HOUR: u64 = 3_600_000;

/// Three hours of a host, and the erasure of the first two, announced.
fn announced() -> (World, v1::Erasure) {
    let mut world = World::new();
    world.clock();
    world.enrol("gpu-a", &[H100, H100], v1::SourceKind::Nvml);
    for _ in 0..3 {
        world.now = (world.now / HOUR + 1) * HOUR;
        for _ in 0..3 {
            world.tick(&[&[(0, "train", 6_000), (1, "serve", 10_000)]]);
        }
    }
    let erasure = world.due(world.now, &BTreeSet::new()).unwrap();
    world.clock();
    world.operator(erasure.clone());
    world.clock();
    (world, erasure)
}

fn open(dir: &Path) -> Ledger {
    Ledger::open(dir, Box::new(signer(2))).unwrap().0
}

fn erase(ledger: &Ledger, erasure: &v1::Erasure) -> affiant_verifier::ledger::Erased {
    let eraser = Eraser::new(ledger.reader(), Arc::new(LocalDisk));
    let range = (erasure.first_index, erasure.last_index);
    eraser.erase(&[range]).unwrap()
}

/// Log indices of usage records that still have lines.
fn with_lines(ledger: &Ledger) -> Vec<u64> {
    let size = ledger.reader().size();
    let mut found = Vec::new();
    for read in ledger.reader().entries(0..size) {
        let (index, entry) = read.unwrap();
        let envelope = Envelope::parse(entry.envelope()).unwrap();
        let usage = matches!(envelope.statement().body(), Body::Usage(_));
        if usage && matches!(envelope.leaves(), Leaves::All(_)) {
            found.push(index);
        }
    }
    found
}

fn audited(world: &World, dir: &Path) -> Verdict {
    let trust = world.trust();
    let asked = Asked {
        trust: Some(&trust),
        since: &[],
        threads: None,
        resume: None,
    };
    let folder = Folder::open(dir.to_owned()).unwrap();
    audit(&folder, &asked, &mut ()).unwrap()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(dir.join("segments")).unwrap();
    let mut found: Vec<_> = found.map(|file| file.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == "seg"));
    found.sort();
    found
}

/// Segments of some ten entries, each from a clock on.
fn ten(at: usize, last: Option<usize>, body: &Body) -> bool {
    clock_after(10, at, last, body)
}

#[test]
fn lines_are_erased_as_announced_and_the_log_stays_what_it_was() {
    let (world, erasure) = announced();
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("log");
    written(&world, &dir, ten);
    let before = audited(&world, &dir);
    let ledger = open(&dir);
    let checkpoint = ledger.reader().checkpoint();
    let had = with_lines(&ledger);
    let done = erase(&ledger, &erasure);
    assert_eq!(done.records, erasure.count);
    assert!(done.segments > 0, "{done:?}");
    let range = erasure.first_index..=erasure.last_index;
    let due: Vec<u64> = had
        .into_iter()
        .filter(|index| !range.contains(index))
        .collect();
    // The running log serves it so, and a second round finds nothing to do.
    assert_eq!(with_lines(&ledger), due);
    assert_eq!(erase(&ledger, &erasure), Default::default());
    assert_eq!(ledger.reader().checkpoint(), checkpoint);
    let verdict = audited(&world, &dir);
    assert_eq!(verdict.verdict, before.verdict, "{:#?}", verdict.checks);
    assert_eq!(
        verdict.completeness.lines_erased,
        verdict.completeness.lines_withheld
    );
    assert!(verdict.completeness.lines_erased >= erasure.count);
    drop(ledger);
    assert_eq!(with_lines(&open(&dir)), due);
}

#[test]
fn a_crash_between_the_new_segment_and_the_end_of_the_old_one_brings_no_line_back() {
    let (world, erasure) = announced();
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("log");
    written(&world, &dir, ten);
    let old = segments(&dir);
    let aside = temporary.path().join("aside");
    fs::create_dir(&aside).unwrap();
    for path in &old {
        fs::copy(path, aside.join(path.file_name().unwrap())).unwrap();
    }
    let ledger = open(&dir);
    erase(&ledger, &erasure);
    let due = with_lines(&ledger);
    drop(ledger);
    let new = segments(&dir);
    // As if none of the old ones had gone yet.
    for path in &old {
        fs::copy(aside.join(path.file_name().unwrap()), path).unwrap();
    }
    let verdict = audited(&world, &dir);
    assert!(
        verdict.completeness.lines_erased > 0,
        "{:#?}",
        verdict.checks
    );
    let ledger = open(&dir);
    assert_eq!(with_lines(&ledger), due);
    assert_eq!(segments(&dir), new);
    // What was rewritten is nowhere else, either.
    let swept = fs::read_dir(dir.join("swept")).unwrap().count();
    assert_eq!(swept, 0);
}

#[test]
fn a_segment_of_other_statements_is_never_deleted_as_if_it_was_rewritten() {
    let (world, _) = announced();
    let temporary = tempfile::tempdir().unwrap();
    let (dir, other) = (temporary.path().join("log"), temporary.path().join("other"));
    written(&world, &dir, ten);
    let mut forked = World::new();
    forked.clock();
    forked.enrol("gpu-b", &[H100], v1::SourceKind::Nvml);
    for _ in 0..4 {
        forked.tick(&[&[]]);
    }
    written(&forked, &other, ten);
    let strange = segments(&other)[0].clone();
    fs::copy(
        &strange,
        dir.join("segments").join(strange.file_name().unwrap()),
    )
    .unwrap();
    let swept = dir.join("swept").join(strange.file_name().unwrap());
    // Whichever of the two is taken for the log's, the other stays evidence, or nothing opens.
    match Ledger::open(&dir, Box::new(signer(2))) {
        Ok(_) => assert!(swept.exists()),
        Err(_) => assert!(
            dir.join("segments")
                .join(strange.file_name().unwrap())
                .exists()
        ),
    }
}

#[test]
fn an_export_made_before_loses_the_lines_with_the_next() {
    let (world, erasure) = announced();
    let temporary = tempfile::tempdir().unwrap();
    let (dir, to) = (
        temporary.path().join("log"),
        temporary.path().join("export"),
    );
    written(&world, &dir, ten);
    let quiet = |_, _| {};
    export(&dir, &to, true, quiet).unwrap();
    let before = segments(&to);
    let ledger = open(&dir);
    erase(&ledger, &erasure);
    export(&dir, &to, true, quiet).unwrap();
    let names = |of: Vec<PathBuf>| -> Vec<_> {
        of.iter()
            .map(|path| path.file_name().unwrap().to_owned())
            .collect()
    };
    assert_ne!(names(before), names(segments(&to)));
    assert_eq!(names(segments(&dir)), names(segments(&to)));
    let verdict = audited(&world, &to);
    assert_ne!(verdict.verdict, Conclusion::Broken, "{:#?}", verdict.checks);
}

#[test]
fn an_officer_places_a_hold_and_only_the_same_officer_releases_it() {
    let mut verifier = Deployment::new();
    let (alice, bob) = (verifier.key("alice"), verifier.key("bob"));
    let hold = |what: &'static str, key: &Path| {
        let key = key.to_str().unwrap().to_owned();
        let arguments = [
            "hold", what, "--first", "0", "--last", "9", "--reason", "inquiry",
        ];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).into();
        arguments.extend(["--key".to_owned(), key]);
        arguments
    };
    let run = |arguments: &[String]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        verifier.run(&arguments)
    };
    let said = run(&hold("place", &alice));
    assert!(said.status.success(), "{said:?}");
    let listed = verifier.json(&["hold", "list", "--json"]);
    assert_eq!(
        (&listed[0]["first_index"], &listed[0]["last_index"]),
        (&0.into(), &9.into())
    );
    let mut backwards = hold("place", &alice);
    backwards[3] = "10".to_owned();
    assert_eq!(run(&backwards).status.code(), Some(64));
    let refused = run(&hold("release", &bob));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(64), "{text}");
    assert!(text.contains("its chain does not hold"), "{text}");
    // The server still serves, and the officer's chain goes on.
    assert!(run(&hold("place", &bob)).status.success());
    assert!(run(&hold("release", &alice)).status.success());
    let listed = verifier.json(&["hold", "list", "--json"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    verifier.stop();
}
