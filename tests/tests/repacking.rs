//! A log that is repacked says what it said: to the auditor, to readers, in backups and exports, before
//! lines are erased and after.
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
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use affiant_audit::log::{Asked, Store, Unread, audit};
use affiant_proto::{Body, Envelope, envelope::Leaves, tlog::verify_inclusion, v1};
use affiant_report::{
    Conclusion, Verdict,
    segment::{Builder, Layout, Segment, SegmentName},
};
use affiant_verifier::ledger::{
    Entry, Erased, Eraser, Ledger, LocalDisk, Repacked, Repacker, export,
};
use stored::{Files, clock_after, files, written};
use support::{H100, World, signer};

const HOUR: u64 = 3_600_000;

/// Three hours of two hosts, the last one not over, and an erasure of what is in the first.
fn played() -> (World, v1::Erasure) {
    let mut world = World::new();
    world.clock();
    world.enrol("gpu-a", &[H100, H100], v1::SourceKind::Nvml);
    world.enrol("gpu-b", &[H100], v1::SourceKind::Nvml);
    let mut erased_before = 0;
    for hour in 0..3 {
        world.now = (world.now / HOUR + 1) * HOUR;
        for number in 0..12 {
            if number % 4 == 2 {
                world.witness();
            }
            world.tick(&[
                &[(0, "train", 6_000), (1, "serve", 10_000)],
                &[(0, "train", 9_000)],
            ]);
        }
        // Hours go once the next one has begun.
        if hour == 1 {
            erased_before = world.now;
        }
    }
    let erasure = world.due(erased_before, &BTreeSet::new()).unwrap();
    world.clock();
    world.operator(erasure.clone());
    world.clock();
    (world, erasure)
}

/// Some segments a minute; what was cosigned is the end of one.
fn short(at: usize, last: Option<usize>, body: &Body) -> bool {
    matches!(body, Body::Cosigned(_)) || clock_after(3, at, last, body)
}

fn open(dir: &Path) -> Ledger {
    Ledger::open(dir, Box::new(signer(2))).unwrap().0
}

fn repack(ledger: &Ledger) -> Repacked {
    let repacker = Repacker::new(ledger.reader(), Arc::new(LocalDisk));
    repacker.repack(&|| false).unwrap()
}

fn erase(ledger: &Ledger, erasure: &v1::Erasure) -> Erased {
    let eraser = Eraser::new(ledger.reader(), Arc::new(LocalDisk));
    let range = (erasure.first_index, erasure.last_index);
    eraser.erase(&[range]).unwrap()
}

fn entries(ledger: &Ledger) -> Vec<Vec<u8>> {
    let all = ledger.reader().entries(0..u64::MAX);
    all.map(|read| read.unwrap().1.into_envelope()).collect()
}

fn with_lines(ledger: &Ledger) -> usize {
    let entries = entries(ledger);
    let read = entries.iter().map(|entry| Envelope::parse(entry).unwrap());
    let full = |one: &Envelope| {
        matches!(one.statement().body(), Body::Usage(_)) && matches!(one.leaves(), Leaves::All(_))
    };
    read.filter(full).count()
}

fn judged(world: &World, files: &Files, threads: usize) -> Verdict {
    let trust = world.trust();
    let asked = Asked {
        trust: Some(&trust),
        threads: NonZeroUsize::new(threads),
        ..Asked::default()
    };
    audit(files, &asked, &mut ()).unwrap()
}

/// What the command prints, but for how many files the log lies in.
fn audited(world: &World, dir: &Path) -> String {
    let trust = dir.parent().unwrap().join("trust.toml");
    fs::write(&trust, world.trust().print().unwrap()).unwrap();
    let tool = affiant_tests::binary("affiant-audit");
    let said = Command::new(tool)
        .args(["log", "--json", "--trust"])
        .arg(&trust)
        .arg(dir)
        .output()
        .unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    let Some((before, after)) = text.split_once(" segments: each is what its name says") else {
        panic!("{text}");
    };
    let number = before.trim_end_matches(|digit: char| digit.is_ascii_digit());
    assert_ne!(number, before, "{text}");
    format!("{number}N{after}")
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(dir.join("segments")).unwrap();
    let mut found: Vec<_> = found.map(|file| file.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == "seg"));
    found.sort();
    found
}

fn names(dir: &Path) -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    segments(dir).iter().map(name).collect()
}

#[test]
fn the_auditor_says_the_same_of_a_log_before_and_after_it_was_repacked() {
    let (world, _) = played();
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("log");
    written(&world, &dir, short);
    let before = audited(&world, &dir);
    let ledger = open(&dir);
    let (held, said) = (entries(&ledger), ledger.reader().checkpoint());
    let done = repack(&ledger);
    assert!(done.made >= 2 && done.joined > 2 * done.made, "{done:?}");
    assert!(done.bytes_after < done.bytes_before * 2 / 3, "{done:?}");
    assert_eq!(audited(&world, &dir), before);
    // The running log gives every entry, and every proof by index, as it did.
    let reader = ledger.reader();
    let signed = reader.signed_checkpoint();
    for index in 0..reader.size() {
        let entry = reader.entry(index).unwrap().unwrap();
        assert_eq!(entry, held[index as usize]);
        let leaf = Entry::parse(entry).unwrap().leaf();
        let proof = reader.inclusion_proof(index, reader.size()).unwrap();
        let root = signed.checkpoint().root();
        verify_inclusion(&leaf, index, reader.size(), root, &proof).unwrap();
    }
    assert_eq!(reader.checkpoint(), said);
    drop(ledger);
    assert_eq!(entries(&open(&dir)), held);
    assert_eq!(audited(&world, &dir), before);
}

/// Counts how often tiles of the lowest level are read.
struct Counting<'a>(&'a Files, AtomicUsize);

impl Store for Counting<'_> {
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Unread> {
        if path.starts_with("public/tile/0/") {
            self.1.fetch_add(1, Relaxed);
        }
        self.0.read(path, limit)
    }

    fn names(&self, folder: &str) -> Result<Option<Vec<String>>, Unread> {
        self.0.names(folder)
    }
}

#[test]
fn where_segments_ended_that_were_joined_the_auditor_still_knows_the_state_of_the_log() {
    let (world, _) = played();
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("log");
    written(&world, &dir, short);
    let reads = |files: &Files| {
        let store = Counting(files, AtomicUsize::new(0));
        let trust = world.trust();
        let asked = Asked {
            trust: Some(&trust),
            ..Asked::default()
        };
        let verdict = audit(&store, &asked, &mut ()).unwrap();
        assert_ne!(verdict.verdict, Conclusion::Broken, "{:#?}", verdict.checks);
        store.1.into_inner()
    };
    let as_written = files(&dir);
    let before = reads(&as_written);
    repack(&open(&dir));
    assert_eq!(reads(&files(&dir)), before);
    // A state at which nobody knows that the log was closed is made from stored tiles.
    assert!(reads(&forgetful(as_written)) > before);
}

/// The log with all segments before the newest joined, and without where they ended.
fn forgetful(mut files: Files) -> Files {
    let name = |path: &String| path.strip_prefix("segments/")?.parse::<SegmentName>().ok();
    let mut names: Vec<_> = files.keys().filter_map(name).collect();
    names.sort_unstable();
    names.pop();
    let mut builder = Builder::laid_out(Layout::Filed, 0, 1).unwrap();
    for name in names {
        let bytes = files.remove(&format!("segments/{name}")).unwrap();
        let segment = Segment::read(PathBuf::new(), &name, bytes).unwrap();
        for number in 0..segment.frames() {
            let entries = segment.frame(number).unwrap().1;
            entries.iter().for_each(|it| builder.push(it).unwrap());
        }
    }
    let (name, bytes) = builder.finish(1).unwrap();
    files.insert(format!("segments/{name}"), bytes);
    files
}

#[test]
fn the_verdict_over_a_repacked_log_is_the_same_however_many_threads_verify() {
    let (world, _) = played();
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("log");
    written(&world, &dir, short);
    repack(&open(&dir));
    let files = files(&dir);
    let one = serde_json::to_string(&judged(&world, &files, 1)).unwrap();
    for threads in [2, 9] {
        let many = serde_json::to_string(&judged(&world, &files, threads)).unwrap();
        assert_eq!(one, many, "{threads} threads");
    }
}

#[test]
fn a_bit_flipped_anywhere_in_a_filed_segment_is_seen_and_told_with_file_and_record() {
    let (world, _) = played();
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("log");
    written(&world, &dir, short);
    repack(&open(&dir));
    let mut files = files(&dir);
    let filed = |(path, bytes): (&String, &Vec<u8>)| {
        let filed = path.starts_with("segments/") && bytes[..8] == *b"AFFSEG\x00\x02";
        filed.then(|| path.clone())
    };
    let path = files
        .iter()
        .filter_map(filed)
        .max_by_key(|path| files[path].len());
    let path = path.unwrap();
    assert_ne!(judged(&world, &files, 1).verdict, Conclusion::Broken);
    let length = files[&path].len();
    let (mut cases, step) = (0, length / 400 + 1);
    for at in (0..length).filter(|at| at % step == 0 || *at < 96 || length - at <= 96) {
        files.get_mut(&path).unwrap()[at] ^= 1 << (at % 8);
        let found = judged(&world, &files, 1);
        files.get_mut(&path).unwrap()[at] ^= 1 << (at % 8);
        let failed = found.checks.iter().filter(|check| !check.ok);
        let told: String = failed.map(|check| format!("{}\n", check.detail)).collect();
        assert_eq!(found.verdict, Conclusion::Broken, "byte {at}: {told}");
        assert!(
            told.contains(&path) && told.contains("log ind"),
            "byte {at}: {told}"
        );
        cases += 1;
    }
    assert!(cases > 300, "{cases}");
}

#[test]
fn lines_are_erased_from_a_repacked_log_and_a_log_without_them_is_repacked() {
    let (world, erasure) = played();
    let temporary = tempfile::tempdir().unwrap();
    let mut ends = Vec::new();
    for repacked_first in [true, false] {
        let dir = temporary.path().join(format!("log-{repacked_first}"));
        written(&world, &dir, short);
        let ledger = open(&dir);
        let had = with_lines(&ledger);
        if repacked_first {
            repack(&ledger);
        }
        let done = erase(&ledger, &erasure);
        assert_eq!(done.records, erasure.count);
        assert!(repack(&ledger).made > 0 || repacked_first);
        // Neither finds anything more to do.
        assert_eq!(erase(&ledger, &erasure), Erased::default());
        assert_eq!(repack(&ledger), Repacked::default());
        assert_eq!(with_lines(&ledger), had - erasure.count as usize);
        let left = entries(&ledger);
        drop(ledger);
        let ledger = open(&dir);
        assert_eq!(entries(&ledger), left);
        let filed = names(&dir);
        let verdict = judged(&world, &files(&dir), 2);
        assert_ne!(verdict.verdict, Conclusion::Broken, "{:#?}", verdict.checks);
        assert!(verdict.completeness.lines_erased >= erasure.count);
        ends.push((left, audited(&world, &dir), filed.len()));
    }
    assert_eq!(ends[0], ends[1]);
}

#[test]
fn a_crash_after_the_joined_segment_was_put_brings_back_neither_lines_nor_segments() {
    let (world, erasure) = played();
    let temporary = tempfile::tempdir().unwrap();
    let (dir, aside) = (temporary.path().join("log"), temporary.path().join("aside"));
    written(&world, &dir, short);
    fs::create_dir(&aside).unwrap();
    let keep = |from: &Path, to: &Path| {
        for path in segments(from) {
            let to = to.join("segments").join(path.file_name().unwrap());
            if !to.exists() {
                fs::copy(&path, to).unwrap();
            }
        }
    };
    fs::create_dir(aside.join("segments")).unwrap();
    keep(&dir, &aside);
    let ledger = open(&dir);
    erase(&ledger, &erasure);
    keep(&dir, &aside);
    repack(&ledger);
    let due = entries(&ledger);
    drop(ledger);
    let new = names(&dir);
    // As if none of the segments that ever were had gone.
    keep(&aside, &dir);
    assert!(names(&dir).len() > 2 * new.len());
    let verdict = judged(&world, &files(&dir), 1);
    assert_ne!(verdict.verdict, Conclusion::Broken, "{:#?}", verdict.checks);
    let ledger = open(&dir);
    assert_eq!(entries(&ledger), due);
    assert_eq!(names(&dir), new);
    assert_eq!(fs::read_dir(dir.join("swept")).unwrap().count(), 0);
}

#[test]
fn an_export_made_before_is_that_of_the_repacked_log_with_the_next() {
    let (world, _) = played();
    let temporary = tempfile::tempdir().unwrap();
    let (dir, to) = (
        temporary.path().join("log"),
        temporary.path().join("export"),
    );
    written(&world, &dir, short);
    export(&dir, &to, true, |_, _| {}).unwrap();
    let before = audited(&world, &to);
    repack(&open(&dir));
    export(&dir, &to, true, |_, _| {}).unwrap();
    assert_eq!(names(&to), names(&dir));
    assert_eq!(audited(&world, &to), before);
}
