//! Erased is told from withheld, and both from missing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod support;

use std::collections::BTreeSet;

use affiant_judge::{admission::Refusal, retention::Untrue};
use affiant_proto::{Body, Envelope, v1};
use affiant_report::{
    Conclusion, Scope, Verdict,
    verify::{Checks, WholeLog, verify},
};
use support::{H100, World, reference};

const HOUR: u64 = 3_600_000;

/// Some hours of two hosts, an hour's records close together, and the log index at which each of
/// the hours begins.
fn hours(count: usize) -> (World, Vec<u64>) {
    let mut world = World::new();
    world.enrol("gpu-a", &[H100, H100], v1::SourceKind::Nvml);
    world.enrol("gpu-b", &[H100], v1::SourceKind::Nvml);
    let mut begins = Vec::new();
    for _ in 0..count {
        world.now = (world.now / HOUR + 1) * HOUR;
        begins.push(world.log.len() as u64);
        for _ in 0..2 {
            world.tick(&[
                &[(0, "train", 6_000), (1, "serve", 10_000)],
                &[(0, "train", 9_000)],
            ]);
        }
    }
    world.clock();
    (world, begins)
}

/// What of the log is due: the hours that were over `before` hours ago.
fn due(world: &World, hours: u64) -> Option<v1::Erasure> {
    world.due(world.now - hours * HOUR, &BTreeSet::new())
}

/// Does what an erasure announced.
fn erase(log: &mut [Envelope], erasure: &v1::Erasure) {
    let range = erasure.first_index as usize..=erasure.last_index as usize;
    for one in &mut log[range] {
        *one = one.clone().without_lines();
    }
}

fn audit(world: &World) -> Verdict {
    let trust = world.trust();
    let mut entries = world.log.iter().cloned();
    let genesis = entries.next().unwrap();
    let mut log = WholeLog::open(genesis, Some(&trust), |_| None).unwrap();
    for entry in entries {
        log.take(entry, |_| {}).unwrap();
    }
    let mut checks = Checks::default();
    let note = world.checkpoint().note().to_string();
    log.conclude(&mut checks, Some(note.as_bytes()), &[], true);
    checks.conclude_log(true)
}

fn lines(verdict: &Verdict) -> &str {
    let check = verdict.checks.iter().find(|check| check.name == "lines");
    check.map_or("", |check| check.detail.as_str())
}

#[test]
fn what_was_announced_and_then_erased_leaves_a_log_that_holds() {
    let (mut world, begins) = hours(4);
    let whole = audit(&world);
    let erasure = due(&world, 2).unwrap();
    assert_eq!(erasure.first_index, begins[0]);
    // Each hour has two records of each host; every device's ten seconds stand in the sums.
    assert_eq!(erasure.count % 4, 0);
    let sums = erasure.sums.unwrap();
    let all = sums.attributed_ms + sums.idle_ms + sums.unattributed_ms + sums.not_observed_ms;
    assert_eq!(all, erasure.count / 2 * 3 * 10_000);
    world.operator(erasure.clone());
    let announced = audit(&world);
    assert_eq!(
        announced.integrity.text, whole.integrity.text,
        "announced, and still there"
    );
    erase(&mut world.log, &erasure);
    let verdict = audit(&world);
    assert_eq!(verdict.verdict, whole.verdict, "{:#?}", verdict.checks);
    // Lines without the totals line: five of both hosts at each of two times.
    assert!(verdict.completeness.lines_erased > 0);
    assert_eq!(
        verdict.completeness.lines_erased,
        verdict.completeness.lines_withheld
    );
    assert!(
        lines(&verdict).contains("1 erasures announced"),
        "{}",
        lines(&verdict)
    );
    // What is gone is not due again.
    assert_eq!(due(&world, 2), None);
}

#[test]
fn lines_that_are_gone_without_a_word_are_withheld_and_the_log_is_broken() {
    let (mut world, begins) = hours(3);
    let at = (begins[1]..begins[2])
        .find(|index| {
            matches!(
                world.log[*index as usize].statement().body(),
                Body::Usage(_)
            )
        })
        .unwrap() as usize;
    let kept = world.log[at].clone();
    world.log[at] = kept.clone().without_lines();
    let verdict = audit(&world);
    // Its host might yet say that it let them go.
    assert_eq!(
        verdict.verdict,
        Conclusion::Incomplete,
        "{:#?}",
        verdict.checks
    );
    assert!(
        lines(&verdict).contains("nothing says yet why"),
        "{}",
        lines(&verdict)
    );
    // Once it signed something after it saw them in the log, it would have.
    world.log[at] = kept.clone();
    let seen = reference(&world.checkpoint());
    world.see(seen);
    world.tick(&[&[], &[]]);
    assert!(lines(&audit(&world)).starts_with("no line is missing"));
    world.log[at] = kept.without_lines();
    let verdict = audit(&world);
    assert_eq!(verdict.verdict, Conclusion::Broken);
    let said = lines(&verdict);
    assert!(
        said.contains("host gpu-a") && said.contains(&format!("log index {at}")),
        "{said}"
    );
}

#[test]
fn what_is_held_is_in_no_erasure_and_gone_it_is_withheld() {
    let (mut world, begins) = hours(4);
    let hold = v1::Hold {
        first_index: begins[1] + 1,
        last_index: begins[1] + 1,
        reason: "inquiry 17".to_owned(),
        ..v1::Hold::default()
    };
    world.officer(0, hold.clone());
    let erasure = due(&world, 0).unwrap();
    let per_hour = erasure.count / 2;
    assert_eq!(
        (erasure.first_index, erasure.last_index + 1),
        (begins[0], begins[3])
    );
    assert_eq!(per_hour * 2, erasure.count, "of three hours, one is held");
    let more = v1::Erasure {
        count: per_hour * 3,
        ..erasure.clone()
    };
    world.operator(erasure.clone());
    erase(&mut world.log, &erasure);
    let seen = reference(&world.checkpoint());
    world.see(seen);
    world.tick(&[&[], &[]]);
    let verdict = audit(&world);
    assert_eq!(
        verdict.verdict,
        Conclusion::Broken,
        "the held hour went too"
    );
    // And an erasure that counts it is refused.
    let (mut world, _) = hours(4);
    world.officer(0, hold.clone());
    let untrue = Untrue::Count {
        due: per_hour * 2,
        got: per_hour * 3,
    };
    assert_eq!(world.refused(more), Refusal::Retention(untrue));
    // Only who placed it releases it.
    let (mut world, _) = hours(4);
    world.officer(0, hold.clone());
    let release = v1::Hold {
        released: true,
        ..hold
    };
    let foreign = {
        let (mut other, _) = hours(4);
        other.officer(0, release_of(&release, false));
        other.refused(release.clone())
    };
    assert_eq!(foreign, Refusal::Retention(Untrue::Release));
    world.officer(0, release);
    assert_eq!(due(&world, 0).map(|it| it.count), Some(per_hour * 3));
}

fn release_of(hold: &v1::Hold, released: bool) -> v1::Hold {
    v1::Hold {
        released,
        ..hold.clone()
    }
}

#[test]
fn an_erasure_that_the_log_before_it_does_not_make_is_refused() {
    type Change<'a> = (&'a str, &'a dyn Fn(&mut v1::Erasure), Untrue);
    let changes: [Change<'_>; 6] = [
        ("half an hour", &|it| it.last_index -= 1, Untrue::Range),
        ("from within", &|it| it.first_index += 1, Untrue::Range),
        (
            "backwards",
            &|it| std::mem::swap(&mut it.first_index, &mut it.last_index),
            Untrue::Range,
        ),
        (
            "to the end of time",
            &|it| it.last_index = u64::MAX,
            Untrue::Range,
        ),
        (
            "another sum",
            &|it| it.sums.as_mut().unwrap().idle_ms += 1,
            Untrue::Sums,
        ),
        ("no sum", &|it| it.sums = None, Untrue::Sums),
    ];
    for (name, change, untrue) in changes {
        let (world, _) = hours(3);
        let mut erasure = due(&world, 0).unwrap();
        change(&mut erasure);
        assert_eq!(world.refused(erasure), Refusal::Retention(untrue), "{name}");
    }
    let (mut world, _) = hours(3);
    let erasure = due(&world, 0).unwrap();
    world.operator(erasure.clone());
    assert_eq!(world.refused(erasure), Refusal::Retention(Untrue::Nothing));
}

#[test]
fn an_hour_that_evidence_lies_in_is_spared() {
    let (world, begins) = hours(4);
    let spared = BTreeSet::from([begins[1] + 3]);
    let erasure = world.due(world.now, &spared).unwrap();
    assert_eq!(
        (erasure.first_index, erasure.last_index + 1),
        (begins[0], begins[1])
    );
}

#[test]
fn a_report_of_a_time_that_was_erased_says_so_and_adds_up() {
    let (mut world, _) = hours(3);
    let from = world.now / HOUR * HOUR - 2 * HOUR;
    let period = affiant_report::Period::new(from, from + HOUR).unwrap();
    let erasure = due(&world, 0).unwrap();
    world.operator(erasure.clone());
    erase(&mut world.log, &erasure);
    world.clock();
    let bundle = world.report(period, Scope::All);
    let trust = world.trust();
    let verdict = verify(&bundle, Some(&trust), None).unwrap();
    assert_ne!(verdict.verdict, Conclusion::Broken, "{:#?}", verdict.checks);
    assert!(verdict.completeness.lines_erased > 0);
    assert_eq!(
        verdict.completeness.lines_erased,
        verdict.completeness.lines_withheld
    );
    assert!(
        verdict
            .completeness
            .text
            .contains("erased as the log announced")
    );
}
