//! Whole logs, audited from their files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod stored;
#[path = "../../report/tests/support/mod.rs"]
mod support;

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use affiant_audit::log::{Asked, Failure, Folder, Resume, Store, Unread, audit};
use affiant_proto::{tlog::Note, v1};
use affiant_report::{
    Conclusion, Trust, Verdict,
    segment::{Builder, Layout, Segment, SegmentName},
    verify::AnchorKind,
};
use stored::{Files, export, files, files_of};
use support::{H100, Use, World, checkpoint_of, played};

/// A log in which no rule is broken, witnessed, and a little longer since.
fn quiet() -> World {
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
    world.tick(uses);
    world.witness();
    world.tick(uses);
    world.clock();
    world
}

fn asked<'a>(trust: Option<&'a Trust>, since: &'a [Note]) -> Asked<'a> {
    Asked {
        trust,
        since,
        threads: NonZeroUsize::new(3),
        resume: None,
    }
}

fn verdict(files: &Files, trust: Option<&Trust>, since: &[Note]) -> Verdict {
    audit(files, &asked(trust, since), &mut ()).unwrap()
}

fn failed(verdict: &Verdict) -> Vec<String> {
    let failed = verdict.checks.iter().filter(|check| !check.ok);
    failed
        .map(|check| format!("{}: {}", check.name, check.detail))
        .collect()
}

#[test]
fn a_log_that_holds_is_clean_as_data_and_as_export_and_its_anchor_is_the_newest_witnessed_state() {
    let world = quiet();
    let (files, trust) = (files(&world), world.trust());
    let below: Files = files
        .iter()
        .map(|(path, bytes)| (format!("log/{path}"), bytes.clone()))
        .collect();
    for files in [&files, &export(&files), &below] {
        let verdict = verdict(files, Some(&trust), &[]);
        assert_eq!(failed(&verdict), Vec::<String>::new());
        assert_eq!(verdict.verdict, Conclusion::Clean);
        assert_eq!(verdict.anchor.kind, AnchorKind::Witnessed);
        let size = verdict.anchor.size.unwrap();
        assert!(size > 0 && size < world.tree.size(), "{size}");
    }
}

#[test]
fn without_trust_the_verdict_is_incomplete_and_says_what_to_compare() {
    let world = quiet();
    let verdict = verdict(&files(&world), None, &[]);
    assert_eq!(verdict.verdict, Conclusion::Incomplete);
    let failed = failed(&verdict).join("\n");
    assert!(failed.contains(&world.genesis().to_string()), "{failed}");
}

#[test]
fn the_findings_are_those_of_the_judge() {
    let (world, _) = played();
    let verdict = verdict(&files(&world), Some(&world.trust()), &[]);
    assert_eq!(
        verdict.verdict,
        Conclusion::Findings,
        "{:?}",
        failed(&verdict)
    );
    assert!(verdict.findings.count > 0);
}

#[test]
fn a_kept_checkpoint_anchors_the_log_and_one_of_another_history_breaks_it() {
    let mut world = quiet();
    let early = world.checkpoint().note().clone();
    world.clock();
    let (log, trust) = (files(&world), world.trust());
    let anchored = verdict(&log, Some(&trust), std::slice::from_ref(&early));
    assert_eq!(
        anchored.verdict,
        Conclusion::Clean,
        "{:?}",
        failed(&anchored)
    );
    assert!(anchored.anchor.kept_size.is_some());
    // The operator leaves a record out and signs everything anew with the real keys.
    let forged = quiet().without(20);
    let signed = checkpoint_of(&forged.tree, support::ORIGIN, 2);
    let forged = verdict(&files_of(&forged.log, &signed), Some(&trust), &[early]);
    assert_eq!(forged.verdict, Conclusion::Broken);
}

#[test]
fn a_log_without_its_public_tree_or_without_its_segments_is_broken_and_not_misuse() {
    let world = quiet();
    let (whole, trust) = (files(&world), world.trust());
    for before in ["", "log/"] {
        for gone in ["public/", "segments/"] {
            let left = whole.iter().filter(|(path, _)| !path.starts_with(gone));
            let left = left.map(|(path, bytes)| (format!("{before}{path}"), bytes.clone()));
            let verdict = verdict(&left.collect(), Some(&trust), &[]);
            assert_eq!(verdict.verdict, Conclusion::Broken, "{before}{gone}");
        }
    }
    // Where nothing is of a log, there is none to be judged.
    for other in [&["diary"][..], &["lock"], &["log/diary"]] {
        let other = other.iter().map(|path| ((*path).to_owned(), Vec::new()));
        let none = audit(&other.collect::<Files>(), &asked(None, &[]), &mut ());
        assert!(matches!(none, Err(Failure::NoLog)), "{none:?}");
    }
}

#[test]
fn a_link_in_the_place_of_a_folder_of_tiles_is_refused_and_a_file_that_is_being_written_is_not() {
    let world = quiet();
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("log");
    for (name, bytes) in files(&world) {
        let path = at.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let trust = world.trust();
    let verdict = || {
        let folder = Folder::open(at.clone()).unwrap();
        audit(&folder, &asked(Some(&trust), &[]), &mut ()).unwrap()
    };
    std::fs::write(at.join("public/tile/0/001.part"), "half").unwrap();
    assert_eq!(verdict().verdict, Conclusion::Clean);
    let (tiles, moved) = (at.join("public/tile/0"), dir.path().join("moved"));
    std::fs::rename(&tiles, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &tiles).unwrap();
    let linked = verdict();
    assert_eq!(linked.verdict, Conclusion::Broken);
    let failed = failed(&linked).join("\n");
    assert!(
        failed.contains("tile/0: neither a tile nor a folder"),
        "{failed}"
    );
    assert!(
        failed.contains("links among tiles are not followed"),
        "{failed}"
    );
    // One that leads back up ends the audit no later.
    std::fs::remove_file(&tiles).unwrap();
    std::os::unix::fs::symlink(&at, &tiles).unwrap();
    assert_eq!(verdict().verdict, Conclusion::Broken);
}

#[test]
fn a_checkpoint_over_other_or_more_entries_than_there_are_breaks_the_log() {
    let world = quiet();
    let strange = affiant_proto::tlog::leaf_hash(b"other");
    let mut longer = world.tree.clone();
    longer.push(strange);
    let leaves = world.log.iter().skip(1);
    let leaves =
        leaves.map(|one| affiant_proto::tlog::leaf_hash(one.statement().digest().as_bytes()));
    let other = leaves.chain([strange]).collect();
    for tree in [longer, other] {
        let signed = checkpoint_of(&tree, support::ORIGIN, 2);
        let found = verdict(&files_of(&world.log, &signed), Some(&world.trust()), &[]);
        let failed = failed(&found);
        assert!(
            failed.iter().any(|text| text.starts_with("checkpoint")),
            "{failed:?}"
        );
        assert_eq!(found.verdict, Conclusion::Broken);
    }
}

#[test]
fn a_host_that_saw_another_log_is_told() {
    let mut world = quiet();
    let mut seen = support::reference(&world.checkpoint());
    world.clock();
    seen.root[0] ^= 1;
    world.see(seen);
    world.tick(&[&[(0, "acme", 10_000)]]);
    let found = verdict(&files(&world), Some(&world.trust()), &[]);
    let failed = failed(&found).join("\n");
    assert_eq!(found.verdict, Conclusion::Broken);
    assert!(
        failed.starts_with("views: the log was rewritten or forked"),
        "{failed}"
    );
}

#[test]
fn a_log_that_was_back_dated_holds_a_cosignature_from_its_own_future() {
    let told = |ahead: u64, trust: &dyn Fn(Trust) -> Trust| {
        let mut world = quiet();
        world.witness_ahead(ahead);
        world.clock();
        let trust = trust(world.trust());
        verdict(&files(&world), Some(&trust), &[])
    };
    let clock = |verdict: &Verdict| {
        let mut checks = verdict.checks.iter();
        let check = checks.find(|check| check.name == "clock").unwrap();
        (check.ok, check.detail.clone())
    };
    let dated = told(3_600, &|trust| trust);
    assert_eq!(dated.verdict, Conclusion::Broken, "{:?}", failed(&dated));
    let (ok, detail) = clock(&dated);
    assert!(!ok && detail.contains("the log was back-dated"), "{detail}");
    // Clocks part by minutes, and nobody's time is held against a log whose reader names nobody.
    for fine in [
        told(240, &|trust| trust),
        told(3_600, &Trust::without_witnesses),
    ] {
        assert_eq!(fine.verdict, Conclusion::Clean, "{:?}", failed(&fine));
        let (ok, detail) = clock(&fine);
        assert!(ok && detail.contains("advances"), "{detail}");
    }
    // What a witness cosigned in time leaves little room, and the auditor is told how much.
    let (_, detail) = clock(&told(60, &|trust| trust));
    assert!(detail.contains("can be back-dated by"), "{detail}");
}

#[test]
fn an_audit_that_goes_on_gives_the_same_verdict_and_believes_its_notes_for_signatures_alone() {
    let world = quiet();
    let (files, trust) = (files(&world), world.trust());
    let dir = tempfile::tempdir().unwrap();
    let run = |files: &Files| {
        let resume = Resume::open(&dir.path().join("resume")).unwrap();
        let asked = Asked {
            resume: Some(&resume),
            ..asked(Some(&trust), &[])
        };
        let verdict = audit(files, &asked, &mut ()).unwrap();
        (verdict.verdict, serde_json::to_string(&verdict).unwrap())
    };
    let first = run(&files);
    assert_eq!(first.0, Conclusion::Clean);
    assert_eq!(run(&files), first);
    let noted = std::fs::read_to_string(dir.path().join("resume")).unwrap();
    let segments = files.keys().filter(|path| path.starts_with("segments/"));
    assert_eq!(noted.lines().count(), 1 + segments.count());
    for path in files.keys() {
        let mut changed = files.clone();
        *changed.get_mut(path).unwrap().last_mut().unwrap() ^= 1;
        assert_eq!(run(&changed).0, Conclusion::Broken, "{path}");
    }
    // Another log under the same names is not what was noted.
    let other = quiet().without(30);
    let signed = checkpoint_of(&other.tree, support::ORIGIN, 2);
    assert_eq!(run(&files_of(&other.log, &signed)).0, Conclusion::Broken);
}

#[test]
fn a_missing_segment_or_tile_is_named_with_what_was_in_it() {
    let world = quiet();
    let (files, trust) = (files(&world), world.trust());
    let mut missing = 0;
    for path in files.keys() {
        let mut less = files.clone();
        less.remove(path);
        let verdict = verdict(&less, Some(&trust), &[]);
        let failed = failed(&verdict).join("\n");
        let name = path
            .rsplit_once("-")
            .map_or(path.as_str(), |(range, _)| range);
        match path.as_str() {
            "lock" => assert_eq!(verdict.verdict, Conclusion::Incomplete, "{failed}"),
            _ => assert_eq!(verdict.verdict, Conclusion::Broken, "{path}: {failed}"),
        }
        if !path.starts_with("segments/") {
            let name = path.strip_prefix("public/").unwrap_or(name);
            assert!(failed.contains(name), "{path}: {failed}");
        }
        missing += 1;
    }
    assert!(missing >= 8, "{missing}");
}

/// A log of which a segment is rewritten right after the segments were named.
struct Rewritten {
    before: Files,
    after: Files,
    named: AtomicBool,
}

impl Store for Rewritten {
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Unread> {
        self.after.read(path, limit)
    }

    fn names(&self, folder: &str) -> Result<Option<Vec<String>>, Unread> {
        let named = folder == "segments/" && self.named.swap(true, Relaxed);
        let files = if named { &self.after } else { &self.before };
        files.names(folder)
    }
}

/// Puts another segment over the same entries in the place of one.
fn rewrite(files: &mut Files, old: &str) {
    let bytes = files.remove(old).unwrap();
    let name: SegmentName = old["segments/".len()..].parse().unwrap();
    let segment = Segment::read("old".into(), &name, bytes).unwrap();
    let mut builder = Builder::new(name.start(), segment.clock()).unwrap();
    for number in 0..segment.frames() {
        for entry in segment.frame(number).unwrap().1 {
            builder.push(&entry).unwrap();
        }
    }
    let (new, bytes) = builder.finish(segment.revision() + 1).unwrap();
    files.insert(format!("segments/{new}"), bytes);
}

#[test]
fn a_segment_that_the_lock_names_is_missed_though_another_stands_over_its_entries() {
    let world = quiet();
    let (mut files, trust) = (files(&world), world.trust());
    let end = |path: &String| {
        let name = path.strip_prefix("segments/")?;
        Some((name.parse::<SegmentName>().ok()?.end(), path.clone()))
    };
    let (_, newest) = files.keys().filter_map(end).max().unwrap();
    rewrite(&mut files, &newest);
    let verdict = verdict(&files, Some(&trust), &[]);
    assert_eq!(verdict.verdict, Conclusion::Broken);
    let failed = failed(&verdict).join("\n");
    assert!(failed.contains(&newest), "{failed}");
}

#[test]
fn a_segment_that_is_rewritten_while_the_log_is_read_breaks_nothing_and_asks_for_another_audit() {
    let world = quiet();
    let (before, trust) = (files(&world), world.trust());
    let mut after = before.clone();
    let old = before.keys().find(|path| path.starts_with("segments/0-"));
    rewrite(&mut after, old.unwrap());
    let asked = Asked {
        trust: Some(&trust),
        ..Asked::default()
    };
    let store = Rewritten {
        before,
        after,
        named: AtomicBool::new(false),
    };
    let failure = audit(&store, &asked, &mut ()).unwrap_err();
    assert!(matches!(failure, Failure::Rewritten(_)), "{failure}");
    let again = audit(&store, &asked, &mut ()).unwrap();
    assert_ne!(again.verdict, Conclusion::Broken, "{:#?}", again.checks);
}

/// A log whose segments are listed while they are joined: the first list has neither all of the old
/// ones nor the new one, the next has both.
struct Joining {
    files: Files,
    lists: Mutex<Vec<Vec<String>>>,
}

impl Store for Joining {
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Unread> {
        self.files.read(path, limit)
    }

    fn names(&self, folder: &str) -> Result<Option<Vec<String>>, Unread> {
        let mut lists = self.lists.lock().unwrap();
        match folder == "segments/" && !lists.is_empty() {
            true => Ok(Some(lists.remove(0))),
            false => self.files.names(folder),
        }
    }
}

#[test]
fn segments_that_are_joined_while_they_are_listed_are_listed_again() {
    let world = quiet();
    let (before, trust) = (files(&world), world.trust());
    let mut names: Vec<SegmentName> = before
        .keys()
        .filter_map(|path| path.strip_prefix("segments/")?.parse().ok())
        .collect();
    names.sort_unstable();
    assert!(names.len() > 2, "{names:?}");
    names.pop();
    let mut after = before.clone();
    let mut builder = Builder::laid_out(Layout::Filed, 0, 1).unwrap();
    for name in &names {
        let bytes = after.remove(&format!("segments/{name}")).unwrap();
        let segment = Segment::read("old".into(), name, bytes).unwrap();
        for number in 0..segment.frames() {
            for entry in segment.frame(number).unwrap().1 {
                builder.push(&entry).unwrap();
            }
        }
        builder.closed();
    }
    let (new, bytes) = builder.finish(1).unwrap();
    after.insert(format!("segments/{new}"), bytes);
    let list = |files: &Files| files.names("segments/").unwrap().unwrap();
    let mut torn = list(&before);
    torn.retain(|name| *name != names[1].to_string());
    let mut both = list(&before);
    both.push(new.to_string());
    let asked = Asked {
        trust: Some(&trust),
        ..Asked::default()
    };
    let due = audit(&after, &asked, &mut ()).unwrap();
    let mut files = before;
    files.extend(after);
    files.retain(|path, _| path != &format!("segments/{}", names[1]));
    let store = Joining {
        lists: Mutex::new(vec![torn, both, vec![new.to_string(), newest(&files)]]),
        files,
    };
    let said = audit(&store, &asked, &mut ()).unwrap();
    assert_eq!(said.verdict, due.verdict, "{:#?}", said.checks);
    assert!(failed(&said).is_empty(), "{:?}", failed(&said));
}

/// The segment that ends last.
fn newest(files: &Files) -> String {
    let names = files
        .keys()
        .filter_map(|path| path.strip_prefix("segments/"));
    let names = names.filter_map(|name| name.parse::<SegmentName>().ok());
    names.max_by_key(SegmentName::end).unwrap().to_string()
}

#[test]
fn an_export_whose_list_of_segments_is_another_is_broken() {
    let world = quiet();
    let whole = export(&files(&world));
    let index = whole["segments/index"].clone();
    type Change = fn(&mut Vec<u8>);
    let other: [(&str, Change); 4] = [
        ("a bit", |index| index[3] ^= 1),
        ("all of it twice", |index| index.extend(index.clone())),
        ("an empty line", |index| index.push(b'\n')),
        ("a cut end", |index| index.truncate(index.len() - 1)),
    ];
    for (what, change) in other {
        let (mut files, mut index) = (whole.clone(), index.clone());
        change(&mut index);
        files.insert("segments/index".to_owned(), index);
        let found = verdict(&files, Some(&world.trust()), &[]);
        assert_eq!(found.verdict, Conclusion::Broken, "{what}");
        let failed = failed(&found);
        assert!(failed[0].contains("segments/index"), "{what}: {failed:?}");
    }
    // The log that is served has gone on since its checkpoint was read.
    let mut files = whole.clone();
    let end = world.log.len() as u64;
    let next = format!("{end}-{}-{}.seg\n", end + 5, "ab".repeat(32));
    files
        .get_mut("segments/index")
        .unwrap()
        .extend(next.bytes());
    let found = verdict(&files, Some(&world.trust()), &[]);
    assert_eq!(found.verdict, Conclusion::Clean, "{:?}", failed(&found));
}

#[test]
fn a_directory_without_a_log_is_no_verdict() {
    let none = audit(&Files::new(), &asked(None, &[]), &mut ());
    assert!(matches!(none, Err(Failure::NoLog)));
}

#[test]
fn the_verdict_is_the_same_however_many_threads_verify() {
    let (world, _) = played();
    let (files, trust) = (files(&world), world.trust());
    let with = |threads| {
        let asked = Asked {
            threads: NonZeroUsize::new(threads),
            ..asked(Some(&trust), &[])
        };
        serde_json::to_string(&audit(&files, &asked, &mut ()).unwrap()).unwrap()
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(9));
}
