//! One bit flipped in every stretch of every file of a log that a verifier wrote: the auditor sees each,
//! and says which file and which record is hit.
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

use std::num::NonZeroUsize;

use affiant_audit::log::{Asked, audit};
use affiant_proto::{Body, v1};
use affiant_report::{Conclusion, Verdict};
use stored::{Files, clock_after, files, written};
use support::{H100, Use, World};

/// Cases that are tried: bytes are skipped evenly in files so long that it would be more.
const CASES: usize = 4_000;

/// What lies in a log's directory and is no evidence: nothing that was INCLUDED rests on it.
const NOT_EVIDENCE: [(&str, &str); 2] = [
    (
        "writer.pid",
        "says which process writes; the operating system holds the lock on it",
    ),
    (
        "wal",
        "holds what was not INCLUDED yet; what was is in segments that the lock names",
    ),
];

/// A small deployment: registry, a host, records, a witnessed checkpoint.
fn world() -> World {
    let mut world = World::new();
    world.clock();
    world.party("acme", &["Acme Robotics Inc."], "US");
    world.tenant(v1::Tenant {
        id: "acme".into(),
        customer: "acme".into(),
        end_customer: "acme".into(),
        ultimate_parent: "acme".into(),
        ..v1::Tenant::default()
    });
    world.approve("acme");
    world.enrol("gpu-a", &[H100], v1::SourceKind::Nvml);
    let uses: &[&[Use<'_>]] = &[&[(0, "acme", 10_000)]];
    world.tick(uses);
    world.witness();
    world.tick(uses);
    world.clock();
    world
}

/// Segments of some ten entries, each from a clock on.
fn ten(at: usize, last: Option<usize>, body: &Body) -> bool {
    clock_after(10, at, last, body)
}

#[test]
fn a_bit_flipped_anywhere_in_a_log_is_seen_and_told_with_file_and_record() {
    let world = world();
    let dir = tempfile::tempdir().unwrap();
    written(&world, dir.path(), ten);
    let mut files = files(dir.path());
    let trust = world.trust();
    let judged = |files: &Files| -> Verdict {
        let asked = Asked {
            trust: Some(&trust),
            threads: NonZeroUsize::new(1),
            ..Asked::default()
        };
        audit(files, &asked, &mut ()).unwrap()
    };
    let whole = judged(&files);
    assert_eq!(whole.verdict, Conclusion::Clean, "{:#?}", whole.checks);

    // What is no evidence is not even read.
    for (path, why) in NOT_EVIDENCE {
        let mut bytes = files
            .remove(path)
            .unwrap_or_else(|| panic!("{path}: {why}"));
        bytes.push(0xff);
        let mut with = files.clone();
        with.insert(path.to_owned(), bytes);
        assert_eq!(judged(&with).verdict, Conclusion::Clean, "{path}");
    }
    let kinds = ["lock", "public/checkpoint", "public/tile/", "segments/"];
    for path in files.keys() {
        assert!(
            kinds.iter().any(|kind| path.starts_with(kind)),
            "{path} has no reason to be there"
        );
    }

    let bytes: usize = files.values().map(Vec::len).sum();
    let stride = bytes.div_ceil(CASES);
    let (mut cases, mut at_all) = (0, 0);
    for path in files.keys().cloned().collect::<Vec<_>>() {
        for at in 0..files[&path].len() {
            at_all += 1;
            // Heads and ends of files have most of what is not content.
            let edge = at < 96 || files[&path].len() - at <= 96;
            if !edge && at_all % stride != 0 {
                continue;
            }
            let bit = 1 << (at % 8);
            files.get_mut(&path).unwrap()[at] ^= bit;
            let found = judged(&files);
            files.get_mut(&path).unwrap()[at] ^= bit;
            cases += 1;
            let failed = found.checks.iter().filter(|check| !check.ok);
            let told: String = failed.map(|check| format!("{}\n", check.detail)).collect();
            assert_eq!(
                found.verdict,
                Conclusion::Broken,
                "byte {at} of {path}: {told}"
            );
            let name = path.strip_prefix("public/").unwrap_or(&path);
            assert!(told.contains(name), "byte {at} of {path} is told as {told}");
            let whole = ["lock", "checkpoint"].contains(&name);
            assert!(
                whole || told.contains("log ind"),
                "byte {at} of {path}: which record? {told}"
            );
        }
    }
    assert!(cases >= 2_000, "only {cases} cases of {bytes} bytes");
}
