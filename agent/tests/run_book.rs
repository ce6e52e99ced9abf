//! Sealing and keeping, without devices and without a network.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use affiant_agent::{
    boot::Boot,
    clock::Clock,
    data::DataDir,
    meter::{Holder, Holding, Pace},
    recorder::{Book, Met, NotRejoined, Opening, Told, settle},
    recover::recover,
    sample::{Instant, Inventory, Reading, Sample},
    seal::{ADOPT_MS, Now},
    spool::{Cursor, Limits, Spool, look},
};
use affiant_proto::{
    Body, ChainState, Ed25519Signer, Envelope, Signer, Statement, Verified,
    statement::Place,
    usage::{Ended, check_interval, read_leaves, read_totals},
    v1::{self, Reason},
};
use prost::Message as _;

const LIMITS: Limits = Limits {
    max_bytes: 64 << 20,
    keep: Duration::from_secs(3_600),
    max_age: None,
    reserve: None,
};

/// What the book's clock tells.
static NOW_MS: AtomicU64 = AtomicU64::new(0);

fn now() -> Now {
    let clock = v1::ClockState::Synchronized.into();
    let header = v1::Time {
        unix_ms: 1_800_000_000_000,
        clock,
        max_error_ms: Some(1),
    };
    Now {
        header,
        boot_ms: NOW_MS.load(Ordering::Relaxed),
    }
}

fn signer() -> Arc<dyn Signer> {
    Arc::new(Ed25519Signer::from_seed(&[5; 32]).unwrap())
}

fn enrolment() -> Statement {
    let body = v1::Enrolment {
        genesis: vec![1; 32],
        host: "gpu-01".into(),
        record_key: signer().public_key().as_bytes().to_vec(),
        identity_key: vec![2; 32],
        token: vec![3; 32],
        ..v1::Enrolment::default()
    };
    Statement::seal(body.into(), Place::Opening, now().header, None, &*signer()).unwrap()
}

fn opened() -> ChainState {
    ChainState::open(enrolment()).unwrap().0
}

fn open(directory: &Path, limits: Limits, boot: Boot) -> Book {
    open_with(directory, limits, boot, &opened(), signer())
}

fn open_with(
    directory: &Path,
    limits: Limits,
    boot: Boot,
    opened: &ChainState,
    signer: Arc<dyn Signer>,
) -> Book {
    let mut spool = Spool::open(directory, limits).unwrap();
    Book::begin(&mut spool, &enrolment()).unwrap();
    let recovered = recover(&mut spool, opened).unwrap();
    let pace = Pace::new(1_000, 10_000).unwrap();
    Book::open(
        Opening {
            spool,
            recovered,
            boot,
            pace,
            seen: None,
            clock: Clock::of(now),
            data: DataDir::at(directory.parent().unwrap()),
        },
        signer,
    )
}

const FIRST: Boot = Boot {
    number: 1,
    same: false,
};
const SAME: Boot = Boot {
    number: 1,
    same: true,
};

fn inventory(devices: u32) -> Inventory {
    let device = |n| v1::Device {
        uuid: format!("GPU-{n}"),
        ..v1::Device::default()
    };
    Inventory {
        source: v1::SourceKind::Nvml,
        library: "/usr/lib/libnvidia-ml.so.1".into(),
        library_digest: [7; 32],
        driver_version: "580.1".into(),
        devices: (0..devices).map(device).collect(),
    }
}

fn tick(book: &mut Book, seconds: u64, devices: usize, job: Option<&str>) {
    let reading = || {
        Ok(Reading {
            utilization: Some(if job.is_some() { 90 } else { 0 }),
            ..Reading::default()
        })
    };
    let at = Instant {
        boot_ms: seconds * 1_000,
        wall_ms: 1_800_000_000_000 + seconds * 1_000,
        slept_ms: 0,
    };
    let sample = Sample {
        at,
        devices: (0..devices).map(|_| reading()).collect(),
    };
    let holder = job.map(|job| {
        let slurm_job = job.to_owned();
        let workload = Some(Arc::new(v1::Workload {
            slurm_job,
            ..v1::Workload::default()
        }));
        Holder {
            workload,
            memory: None,
            sm_percent: None,
        }
    });
    let holdings = vec![Holding::Known(holder.into_iter().collect()); devices];
    book.sample(&sample, &holdings).unwrap();
}

/// Everything that the book has, each record verified, its leaves checked.
fn records(book: &mut Book) -> Vec<(Verified, Vec<Vec<u8>>)> {
    let mut chain = opened();
    let mut out = Vec::new();
    let (mut devices, mut workloads) = (0, 0);
    let mut ended: Option<Ended> = None;
    let mut next = 1;
    while next <= book.head().0 {
        for (sequence, bytes) in book.read(next, 1 << 20).unwrap() {
            let envelope = Envelope::parse(&bytes).unwrap();
            let leaves = envelope.tree().unwrap().leaves().to_vec();
            let verified = chain.follow(envelope.into_parts().0).unwrap();
            match verified.body() {
                Body::Inventory(body) => devices = body.count,
                Body::Workloads(body) => workloads = body.count,
                Body::Usage(body) => {
                    let interval = check_interval(body).unwrap();
                    read_leaves(&leaves, devices, workloads, interval).unwrap();
                    if let Some(ended) = ended {
                        ended.abuts(body).unwrap();
                    }
                    ended = Some(Ended {
                        boot: body.boot,
                        end_ms: body.end_ms,
                    });
                }
                other => panic!("{other:?}"),
            }
            out.push((verified, leaves));
            next = sequence + 1;
        }
    }
    out
}

fn usages(book: &mut Book) -> Vec<(u64, u64, v1::Totals)> {
    let mut out = Vec::new();
    for (verified, leaves) in records(book) {
        if let Body::Usage(usage) = verified.body() {
            let totals = v1::Totals::decode(leaves[0].as_slice()).unwrap();
            out.push((usage.start_ms / 1_000, usage.end_ms / 1_000, totals));
        }
    }
    out
}

fn kinds(book: &mut Book) -> Vec<String> {
    records(book)
        .iter()
        .map(|(verified, _)| verified.statement().kind().name())
        .collect()
}

#[test]
fn devices_and_workloads_are_stated_before_the_first_usage_and_when_they_change() {
    let directory = tempfile::tempdir().unwrap();
    let mut book = open(&directory.path().join("spool"), LIMITS, FIRST);
    book.inventory(inventory(2)).unwrap();
    assert_eq!(kinds(&mut book), ["inventory.v1"], "at once");
    (0..=20).for_each(|second| tick(&mut book, second, 2, None));
    (21..=30).for_each(|second| tick(&mut book, second, 2, Some("1")));
    (31..=35).for_each(|second| tick(&mut book, second, 2, Some("1")));
    book.inventory(inventory(3)).unwrap();
    (36..=45).for_each(|second| tick(&mut book, second, 3, Some("1")));
    let due = [
        "inventory.v1",
        "workloads.v1",
        "usage.v1",
        "usage.v1",
        "workloads.v1",
        "usage.v1",
        "usage.v1",
        "inventory.v1",
        "usage.v1",
    ];
    assert_eq!(kinds(&mut book), due);
    book.close().unwrap();
    let spans: Vec<(u64, u64)> = usages(&mut book)
        .iter()
        .map(|(from, to, _)| (*from, *to))
        .collect();
    assert_eq!(spans, [(0, 10), (10, 20), (20, 30), (30, 35), (35, 45)]);
}

/// The records of a book that does not begin at the enrolment, from `first` on.
fn later(book: &mut Book, first: u64) -> Vec<(Statement, Option<Vec<Vec<u8>>>)> {
    let mut chain = opened();
    let mut out = Vec::new();
    let mut next = first;
    while next <= book.head().0 {
        for (sequence, bytes) in book.read(next, 1 << 20).unwrap() {
            let envelope = Envelope::parse(&bytes).unwrap();
            let leaves = envelope.tree().map(|tree| tree.leaves().to_vec());
            let statement = envelope.statement().clone();
            chain.skip_to(statement.clone()).unwrap();
            out.push((statement, leaves));
            next = sequence + 1;
        }
    }
    out
}

/// Boot, span, and first line of each usage.
fn measured(records: &[(Statement, Option<Vec<Vec<u8>>>)]) -> Vec<(u32, u64, u64, Vec<u8>)> {
    let usage = |(statement, leaves): &(Statement, Option<Vec<Vec<u8>>>)| {
        let Body::Usage(usage) = statement.body() else {
            return None;
        };
        let first = leaves.as_ref()?.first()?.clone();
        Some((
            usage.boot,
            usage.start_ms / 1_000,
            usage.end_ms / 1_000,
            first,
        ))
    };
    records.iter().filter_map(usage).collect()
}

#[test]
fn where_the_log_lost_what_is_no_longer_kept_a_gap_says_so_and_the_rest_is_sealed_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut book = open(&directory.path().join("a/spool"), LIMITS, FIRST);
    book.inventory(inventory(1)).unwrap();
    (0..=60).for_each(|second| tick(&mut book, second, 1, Some("1")));
    let all = later(&mut book, 1);
    let (ours, head) = book.head();
    // As if the segments before record 3, which is the first usage, had gone.
    let path = directory.path().join("b/spool");
    let mut kept = Spool::open(&path, LIMITS).unwrap();
    for (sequence, bytes) in book.read(1, 1 << 20).unwrap() {
        kept.append(sequence, &[bytes]).unwrap();
    }
    drop((kept, book));
    let mut book = open(&path, LIMITS, SAME);
    let told = |sequence, head| Told {
        head: (sequence, head),
        recent: Vec::new(),
        sent: 0,
    };
    let first = &all[0].0;
    assert_eq!(book.meet(&told(ours, head)).unwrap(), Met::Agreed);
    assert_eq!(book.meet(&told(1, first.digest())).unwrap(), Met::Agreed);
    // The enrolment is known from what follows it, and another one is another history.
    assert_eq!(book.meet(&told(0, opened().chain())).unwrap(), Met::Agreed);
    assert_eq!(book.meet(&told(0, head)).unwrap(), Met::Differs);
    // A spool from record 3 on does not know record 1.
    let path = directory.path().join("c/spool");
    let mut late = Spool::open(&path, LIMITS).unwrap();
    for (sequence, bytes) in book.read(1, 1 << 20).unwrap() {
        if sequence >= 3 {
            late.append(sequence, &[bytes]).unwrap();
        }
    }
    drop((late, book));
    let mut book = open(&path, LIMITS, SAME);
    let lost = told(1, first.digest());
    assert_eq!(book.meet(&lost).unwrap(), Met::Lacks);
    book.rejoin(&lost).unwrap();
    let records = later(&mut book, ours + 1);
    let Body::Gap(gap) = records[0].0.body() else {
        panic!("no gap")
    };
    assert_eq!((gap.first, gap.last, gap.lines), (2, ours, false));
    assert_eq!(gap.last_digest, head.as_bytes());
    assert_eq!(records[0].0.header().sequence(), ours + 1);
    // The tables that the lines point into are gone with the first records, so that these
    // measurements cannot be said again; nothing is made up in their place.
    assert!(measured(&records).is_empty());
    assert_eq!(book.meet(&told(ours, head)).unwrap(), Met::Agreed);
}

#[test]
fn what_was_sealed_after_the_parting_is_sealed_again_once_and_in_boots_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut book = open(&path, LIMITS, FIRST);
    book.inventory(inventory(1)).unwrap();
    (0..=20).for_each(|second| tick(&mut book, second, 1, Some("1")));
    let common = book.head();
    (21..=60).for_each(|second| tick(&mut book, second, 1, Some("1")));
    let ours = measured(&later(&mut book, 1));
    // The log has ten records after the common one that this host has never seen.
    let mut recent: Vec<_> = (0..9u8).map(|n| affiant_proto::digest(&[n])).collect();
    recent.push(common.1);
    let theirs = (common.0 + 10, affiant_proto::digest(b"theirs"));
    let told = Told {
        head: theirs,
        recent,
        sent: 0,
    };
    assert_eq!(book.meet(&told).unwrap(), Met::Differs);
    book.rejoin(&told).unwrap();
    (61..=70).for_each(|second| tick(&mut book, second, 1, Some("1")));
    let records = later(&mut book, theirs.0 + 1);
    let Body::ChainRestart(restart) = records[0].0.body() else {
        panic!("no restart")
    };
    assert_eq!(
        (restart.adopted_sequence, restart.adopted_head.as_slice()),
        (theirs.0, &theirs.1.as_bytes()[..])
    );
    let again = measured(&records);
    // 20 to 30 began where the common record ended: that time is the log's as well.
    let due: Vec<_> = ours[3..]
        .iter()
        .map(|(boot, from, to, line)| (boot + 1, *from, *to, line.clone()))
        .collect();
    assert_eq!(again[..due.len()], due);
    assert_eq!(again.len(), due.len() + 1, "and the measuring goes on");
    assert_eq!((again.last().unwrap().1, again.last().unwrap().2), (60, 70));
    assert!(matches!(
        book.rejoin(&Told {
            head: (500, theirs.1),
            ..told
        }),
        Err(NotRejoined::Again)
    ));
    // A start finds the new run, and nothing of the old one.
    drop(book);
    let mut book = open(
        &path,
        LIMITS,
        Boot {
            number: 2,
            same: true,
        },
    );
    assert_eq!(measured(&later(&mut book, theirs.0 + 1)), again);
}

#[test]
fn where_the_parting_cannot_be_told_what_may_have_been_sent_is_not_sealed_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut book = open(&path, LIMITS, FIRST);
    book.inventory(inventory(1)).unwrap();
    (0..=40).for_each(|second| tick(&mut book, second, 1, None));
    drop(book);
    let mut book = open(&path, LIMITS, SAME);
    book.inventory(inventory(1)).unwrap();
    (41..=80).for_each(|second| tick(&mut book, second, 1, None));
    let theirs = (10_000, affiant_proto::digest(b"theirs"));
    let told = Told {
        head: theirs,
        recent: Vec::new(),
        sent: 0,
    };
    book.rejoin(&told).unwrap();
    let again = measured(&later(&mut book, theirs.0 + 1));
    let spans: Vec<_> = again.iter().map(|(_, from, to, _)| (*from, *to)).collect();
    assert_eq!(
        spans,
        [(50, 60), (60, 70), (70, 80)],
        "only what this run sealed"
    );
}

#[test]
fn a_crash_between_the_two_spools_is_finished_or_undone() {
    for (spool, next) in [(true, false), (true, true), (false, true)] {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::at(directory.path());
        let make = |path: &Path, text: &str| {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join("mark"), text).unwrap();
        };
        if spool {
            make(&data.spool(), "old");
        }
        if next {
            make(&data.next_spool(), "new");
        }
        settle(&data).unwrap();
        let due = if spool { "old" } else { "new" };
        assert_eq!(
            std::fs::read_to_string(data.spool().join("mark")).unwrap(),
            due
        );
        assert!(!data.next_spool().exists());
    }
}

#[test]
fn a_restart_in_the_same_boot_continues_where_the_last_record_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut book = open(&path, LIMITS, FIRST);
    book.inventory(inventory(1)).unwrap();
    (0..=14).for_each(|second| tick(&mut book, second, 1, None));
    // Not closed: it crashed, and four seconds were never sealed.
    let head = book.head();
    drop(book);
    let mut book = open(&path, LIMITS, SAME);
    assert_eq!(book.head(), head);
    book.inventory(inventory(1)).unwrap();
    (100..=110).for_each(|second| tick(&mut book, second, 1, None));
    let usages = usages(&mut book);
    assert_eq!((usages[0].0, usages[0].1), (0, 10));
    assert_eq!((usages[1].0, usages[1].1), (10, 100));
    assert_eq!(usages[1].2.devices[0].not_observed_ms, 90_000);
    assert_eq!(usages[2].2.devices[0].idle_ms, 10_000);
}

#[test]
fn another_boot_begins_its_own_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut book = open(&path, LIMITS, FIRST);
    book.inventory(inventory(1)).unwrap();
    (500..=510).for_each(|second| tick(&mut book, second, 1, None));
    drop(book);
    let mut book = open(
        &path,
        LIMITS,
        Boot {
            number: 2,
            same: false,
        },
    );
    book.inventory(inventory(1)).unwrap();
    (5..=15).for_each(|second| tick(&mut book, second, 1, None));
    let spans: Vec<(u64, u64)> = usages(&mut book)
        .iter()
        .map(|(from, to, _)| (*from, *to))
        .collect();
    assert_eq!(spans, [(500, 510), (5, 15)]);
}

#[test]
fn while_the_spool_is_full_nothing_is_lost_but_sight_and_the_time_is_said_to_be_unseen() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut book = open(&path, LIMITS, FIRST);
    book.inventory(inventory(1)).unwrap();
    (0..=10).for_each(|second| tick(&mut book, second, 1, Some("1")));
    let head = book.head();
    drop(book);
    // Room for nothing more.
    let bytes = Spool::open(&path, LIMITS).unwrap().status().bytes;
    let mut book = open(
        &path,
        Limits {
            max_bytes: bytes,
            ..LIMITS
        },
        SAME,
    );
    book.inventory(inventory(1)).unwrap();
    (11..=60).for_each(|second| tick(&mut book, second, 1, Some("1")));
    assert_eq!(
        book.head(),
        head,
        "nothing is sealed, and nothing is dropped for it"
    );
    drop(book);
    // The operator gave room.
    let mut book = open(&path, LIMITS, SAME);
    book.inventory(inventory(1)).unwrap();
    (61..=71).for_each(|second| tick(&mut book, second, 1, Some("1")));
    let usages = usages(&mut book);
    let spans: Vec<(u64, u64)> = usages.iter().map(|(from, to, _)| (*from, *to)).collect();
    assert_eq!(spans, [(0, 10), (10, 61), (61, 71)]);
    assert_eq!(usages[1].2.devices[0].not_observed_ms, 51_000);
    assert_eq!(usages[2].2.devices[0].attributed_ms, 10_000);
}

/// What a chain of records under pressure must be, read as the verifier reads it.
#[derive(Default)]
struct Under {
    whole: u64,
    short: u64,
    /// Ranges whose lines, and whose records, the chain says are gone.
    lines: Vec<(u64, u64)>,
    dropped: Vec<(u64, u64)>,
    kept: Vec<u64>,
    usages: Vec<(u64, v1::Usage)>,
}

fn under_pressure(book: &mut Book) -> Under {
    let mut chain = opened();
    let mut under = Under::default();
    let (mut inventory, mut workloads, mut devices, mut held) = (0, 0, 0, 0);
    let mut ended: Option<Ended> = None;
    let mut shorts = Vec::new();
    let mut next = 1;
    while next <= book.head().0 {
        for (sequence, bytes) in book.read(next, 1 << 20).unwrap() {
            let envelope = Envelope::parse(&bytes).unwrap();
            let tree = envelope.tree().cloned();
            let (statement, leaves) = envelope.into_parts();
            let verified = match statement.body() {
                Body::Gap(gap) if !gap.lines => {
                    assert_eq!((gap.first, gap.last + 1), (chain.sequence() + 1, sequence));
                    (inventory, workloads, ended) = (0, 0, None);
                    chain.skip_to(statement).unwrap()
                }
                _ => chain.follow(statement).unwrap(),
            };
            match verified.body() {
                Body::Inventory(body) => (inventory, devices) = (sequence, body.count),
                Body::Workloads(body) => (workloads, held) = (sequence, body.count),
                Body::Gap(gap) if gap.lines => under.lines.push((gap.first, gap.last)),
                Body::Gap(gap) => under.dropped.push((gap.first, gap.last)),
                Body::Key(_) => {}
                Body::Usage(body) => {
                    assert_eq!((body.inventory, body.workloads), (inventory, workloads));
                    let interval = check_interval(body).unwrap();
                    if let Some(ended) = ended {
                        ended.abuts(body).unwrap();
                    }
                    ended = Some(Ended {
                        boot: body.boot,
                        end_ms: body.end_ms,
                    });
                    match tree {
                        Some(tree) => {
                            read_leaves(tree.leaves(), devices, held, interval).unwrap();
                            under.whole += 1;
                        }
                        None => {
                            let first = leaves.contents(body.usage_count).remove(0).unwrap();
                            read_totals(&first, devices, interval).unwrap();
                            shorts.push(sequence);
                        }
                    }
                    under.usages.push((sequence, body.clone()));
                }
                other => panic!("{other:?}"),
            }
            under.kept.push(sequence);
            next = sequence + 1;
        }
    }
    for short in &shorts {
        let said = |(first, last): &(u64, u64)| (first..=last).contains(&short);
        assert!(
            under.lines.iter().any(said),
            "nobody says that {short} has no lines"
        );
    }
    under.short = shorts.len() as u64;
    under
}

/// Room for some 250 records of 16 busy devices, in segments of 32 KiB.
const LITTLE: Limits = Limits {
    max_bytes: 256 << 10,
    ..LIMITS
};

fn work(book: &mut Book, seconds: std::ops::RangeInclusive<u64>) {
    for second in seconds {
        // A new job a minute, so that workloads are stated anew.
        let job = (second / 60).to_string();
        tick(book, second, 16, Some(&job));
    }
}

#[test]
fn without_room_lines_go_first_the_oldest_first_and_the_chain_says_which() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut book = open(&path, LITTLE, FIRST);
    book.inventory(inventory(16)).unwrap();
    work(&mut book, 0..=2_900);
    let under = under_pressure(&mut book);
    assert_eq!(under.dropped, []);
    assert_eq!(under.usages.len(), 290, "no record is lost");
    assert!(
        under.short > 20 && under.whole > 50,
        "{} {}",
        under.short,
        under.whole
    );
    assert_eq!(
        under.lines.first().map(|(first, _)| *first),
        Some(3),
        "the oldest first"
    );
    // After a restart the chain goes on, and what is short is not written anew.
    let said = under.lines.len();
    drop(book);
    let mut book = open(&path, LITTLE, SAME);
    book.inventory(inventory(16)).unwrap();
    work(&mut book, 2_901..=2_912);
    let under = under_pressure(&mut book);
    assert!(under.lines.len() <= said + 1, "{:?}", under.lines);
    assert_eq!(under.usages.last().unwrap().1.end_ms, 2_910_000);
}

#[test]
fn when_no_lines_are_left_the_newest_records_go_and_the_chain_goes_on_from_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut book = open(&path, LITTLE, FIRST);
    book.inventory(inventory(16)).unwrap();
    for days in 0..3 {
        work(&mut book, days * 4_000..=days * 4_000 + 3_999);
        let under = under_pressure(&mut book);
        let status = look(&path).unwrap();
        assert!(status.bytes <= LITTLE.max_bytes);
        assert_eq!(status.dropped, under.dropped);
        assert_eq!(under.kept.first(), Some(&1), "the oldest stay");
        let newest = &under.usages.last().unwrap().1;
        assert!(newest.end_ms + 10_000 >= days * 4_000_000 + 3_990_000);
        if days > 0 {
            assert_eq!(
                under.dropped.len(),
                1,
                "one gap in place of all that was dropped"
            );
        }
        drop(book);
        book = open(&path, LITTLE, SAME);
        book.inventory(inventory(16)).unwrap();
    }
    // The verifier is back, and takes all that there is: there is room again.
    let head = book.head();
    let cursor = Cursor {
        sequence: head.0,
        index: 7,
        checkpoint: "note".into(),
    };
    book.included(cursor, None).unwrap();
    work(&mut book, 12_000..=12_600);
    let status = look(&path).unwrap();
    assert_eq!(status.waiting(), book.head().0 - head.0);
    assert!(status.range.unwrap().0 > 1, "what the log has made room");
    let (_, bytes) = book.read(book.head().0, 1).unwrap().remove(0);
    assert!(Envelope::parse(&bytes).unwrap().tree().is_some());
}

/// The chain at a change of its key, and who signs from there on.
fn changed(book: &mut Book, data: &Path, sequence: u64) -> (ChainState, Arc<dyn Signer>) {
    let (_, bytes) = book.read(sequence, 1).unwrap().remove(0);
    let statement = Envelope::parse(&bytes).unwrap().into_parts().0;
    let mut chain = opened();
    chain.skip_to(statement).unwrap();
    let key = std::fs::read(DataDir::at(data).record_key()).unwrap();
    let signer = Ed25519Signer::from_pkcs8(&key).unwrap();
    assert_eq!(chain.key(), signer.public_key());
    (chain, Arc::new(signer))
}

#[test]
fn a_change_of_the_record_key_that_the_log_lacks_is_never_dropped() {
    // While lines go, and at four moments between two times that records go.
    for at in [2_400, 5_000, 5_050, 5_100, 5_150] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spool");
        let mut book = open(&path, LITTLE, FIRST);
        book.inventory(inventory(16)).unwrap();
        work(&mut book, 0..=at);
        let (key, _) = book.rotate().unwrap().unwrap();
        let mut now = at;
        for run in 0..2 {
            work(&mut book, now + 1..=now + 2_000);
            now += 2_000;
            // Each signature is held against the key of its place.
            let under = under_pressure(&mut book);
            assert!(under.kept.contains(&key), "{at}, {run}");
            let behind = |(first, _): &&(u64, u64)| *first > key;
            let behind = under.dropped.iter().filter(behind).count();
            assert_eq!(behind, 1, "{at}, {run}: {:?}", under.dropped);
            let newest = under.usages.last().unwrap().1.end_ms;
            assert!(
                newest + 10_000 >= now * 1_000,
                "{at}, {run}: until {newest}"
            );
            assert!(look(&path).unwrap().bytes <= LITTLE.max_bytes);
            let again = book.rotate().unwrap();
            assert!(again.is_err(), "one change waits for the log at most");
            let (chain, signer) = changed(&mut book, directory.path(), key);
            drop(book);
            book = open_with(&path, LITTLE, SAME, &chain, signer);
            book.inventory(inventory(16)).unwrap();
        }
    }
}

#[test]
fn where_the_log_lacks_what_is_no_longer_kept_and_a_change_of_the_key_the_chain_does_not_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut book = open(&directory.path().join("spool"), LIMITS, FIRST);
    book.inventory(inventory(1)).unwrap();
    (0..=30).for_each(|second| tick(&mut book, second, 1, Some("1")));
    let (key, _) = book.rotate().unwrap().unwrap();
    (31..=60).for_each(|second| tick(&mut book, second, 1, Some("1")));
    let all = book.read(1, 1 << 20).unwrap();
    let (chain, signer) = changed(&mut book, directory.path(), key);
    drop(book);
    for (log, goes_on) in [(1, false), (key - 1, false), (key, true), (key + 1, true)] {
        let late = tempfile::tempdir().unwrap();
        let path = late.path().join("spool");
        let mut kept = Spool::open(&path, LIMITS).unwrap();
        let digest =
            |(_, bytes): &(u64, Vec<u8>)| Envelope::parse(bytes).unwrap().statement().digest();
        let head = (log, digest(&all[usize::try_from(log).unwrap() - 1]));
        for (sequence, bytes) in all.iter().filter(|(sequence, _)| *sequence > log + 1) {
            kept.append(*sequence, std::slice::from_ref(bytes)).unwrap();
        }
        drop(kept);
        let mut book = open_with(&path, LIMITS, SAME, &chain, Arc::clone(&signer));
        let told = Told {
            head,
            recent: Vec::new(),
            sent: 0,
        };
        assert_eq!(book.meet(&told).unwrap(), Met::Lacks, "{log}");
        let before = book.head();
        match book.rejoin(&told) {
            Ok(()) => assert!(goes_on, "{log}"),
            Err(NotRejoined::Key(at)) => {
                assert_eq!((at, goes_on), (log, false));
                assert_eq!(book.head(), before);
            }
            Err(other) => panic!("{log}: {other}"),
        }
    }
}

#[test]
fn whatever_the_clocks_do_records_abut_and_none_runs_backwards() {
    for seed in 0..40_u64 {
        let mut random = seed;
        let mut below = |limit: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % limit
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spool");
        let mut book = open(&path, LIMITS, FIRST);
        book.inventory(inventory(2)).unwrap();
        let (mut boot_ms, mut wall_ms, mut slept_ms) = (5_000, 1_800_000_000_000_u64, 0);
        for _ in 0..150 {
            let passed = match below(30) {
                // Suspended: CLOCK_BOOTTIME leaps.
                0 => {
                    let asleep = 60_000 + below(5 * 3_600_000);
                    slept_ms += asleep;
                    asleep
                }
                1 => 0,
                _ => 900 + below(200),
            };
            boot_ms += passed;
            wall_ms = match below(30) {
                0 => wall_ms.saturating_sub(below(400 * 86_400_000)),
                1 => wall_ms + below(400 * 86_400_000),
                2 => below(10),
                _ => wall_ms + passed,
            };
            let sample = Sample {
                at: Instant {
                    boot_ms,
                    wall_ms,
                    slept_ms,
                },
                devices: (0..2).map(|_| Ok(Reading::default())).collect(),
            };
            book.sample(&sample, &[Holding::Unknown, Holding::Unknown])
                .unwrap();
            if below(40) == 0 {
                if below(2) == 0 {
                    book.close().unwrap();
                }
                drop(book);
                book = open(&path, LIMITS, SAME);
                book.inventory(inventory(2)).unwrap();
            }
        }
        book.close().unwrap();
        let usages = usages(&mut book);
        let (Some(first), Some(last)) = (usages.first(), usages.last()) else {
            panic!("seed {seed}: nothing was sealed");
        };
        let told: u64 = usages.iter().map(|(_, _, totals)| sum_ms(totals)).sum();
        assert!(
            (first.0 * 1_000..=boot_ms).contains(&(last.1 * 1_000)),
            "seed {seed}"
        );
        assert!(
            told / 1_000 + 1 >= last.1 - first.0,
            "seed {seed}: time is nowhere"
        );
    }
}

fn sum_ms(totals: &v1::Totals) -> u64 {
    let it = &totals.devices[0];
    it.attributed_ms + it.idle_ms + it.unattributed_ms + it.not_observed_ms
}

#[test]
fn a_device_that_hangs_is_said_to_be_unseen_and_its_record_comes_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let mut book = open(&directory.path().join("spool"), LIMITS, FIRST);
    book.inventory(inventory(1)).unwrap();
    for second in 0..=10 {
        let at = Instant {
            boot_ms: second * 1_000,
            wall_ms: second * 1_000,
            slept_ms: 0,
        };
        let sample = Sample {
            at,
            devices: vec![Err(Reason::DriverHung)],
        };
        book.sample(&sample, &[Holding::Unknown]).unwrap();
    }
    let usages = usages(&mut book);
    assert_eq!(usages[0].2.devices[0].not_observed_ms, 10_000);
}

#[test]
fn a_newer_checkpoint_stands_in_headers_within_a_minute_and_not_more_often() {
    let directory = tempfile::tempdir().unwrap();
    let mut book = open(&directory.path().join("spool"), LIMITS, FIRST);
    let seen = |size| v1::CheckpointRef {
        origin: "log/1".into(),
        size,
        root: vec![9; 32],
    };
    let cursor = |index| Cursor {
        sequence: 0,
        index,
        checkpoint: index.to_string(),
    };
    let embedded = |book: &mut Book, size| {
        book.included(cursor(size), Some(seen(size))).unwrap();
        book.inventory(inventory(1)).unwrap();
        let (last, _) = records(book).pop().unwrap();
        last.statement().header().checkpoint().unwrap().size
    };
    let begin = NOW_MS.fetch_add(10 * ADOPT_MS, Ordering::Relaxed) + 10 * ADOPT_MS;
    assert_eq!(embedded(&mut book, 5), 5, "the first at once");
    assert_eq!(embedded(&mut book, 6), 5);
    NOW_MS.store(begin + ADOPT_MS, Ordering::Relaxed);
    assert_eq!(embedded(&mut book, 7), 7);
}

#[test]
fn salts_and_roots_never_repeat() {
    let directory = tempfile::tempdir().unwrap();
    let mut book = open(&directory.path().join("spool"), LIMITS, FIRST);
    for _ in 0..3 {
        book.inventory(inventory(1)).unwrap();
    }
    let mut roots: Vec<Vec<u8>> = Vec::new();
    for (verified, _) in records(&mut book) {
        let Body::Inventory(body) = verified.body() else {
            panic!("another statement")
        };
        roots.push(body.root.clone());
    }
    roots.sort();
    roots.dedup();
    assert_eq!(roots.len(), 3);
}

#[test]
fn a_record_of_another_chain_in_the_spool_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool");
    let mut book = open(&path, LIMITS, FIRST);
    book.inventory(inventory(1)).unwrap();
    drop(book);
    let mut spool = Spool::open(&path, LIMITS).unwrap();
    let stranger = Ed25519Signer::from_seed(&[6; 32]).unwrap();
    let body = v1::Enrolment {
        record_key: stranger.public_key().as_bytes().to_vec(),
        ..v1::Enrolment::default()
    };
    let other =
        Statement::seal(body.into(), Place::Opening, now().header, None, &stranger).unwrap();
    let other = ChainState::open(other).unwrap().0;
    let refused = recover(&mut spool, &other).unwrap_err();
    assert!(
        refused.to_string().contains("not of this host's chain"),
        "{refused}"
    );
}
