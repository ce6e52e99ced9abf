//! What the recorded source promises.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::{fs, path::Path, sync::Arc, time::Duration};

use affiant_agent::{
    meter::{Holder, Holding, Interval, Meter, Pace},
    sample::{Event, Instant, Inventory, Processes, Reading, Sample},
    source::{
        GpuSource as _,
        recorded::{
            Fault, MAX_TRACE_BYTES, OpenError, Origin, RecordedSource, TraceWriter, WriteError,
        },
    },
    workload::{Attribution, NameSources, Resolver},
};
use affiant_proto::v1::{self, LineKind, Reason};

#[allow(dead_code)]
#[path = "../examples/generate_trace.rs"]
mod generate_trace;

fn clock() -> Instant {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NOW: AtomicU64 = AtomicU64::new(5_000);
    let boot_ms = NOW.fetch_add(1_000, Ordering::Relaxed);
    Instant {
        boot_ms,
        wall_ms: boot_ms,
        slept_ms: 0,
    }
}

fn inventory() -> Inventory {
    let device = |n: u8| v1::Device {
        uuid: format!("GPU-{n}"),
        model: "NVIDIA L4".into(),
        coverage: v1::Coverage::Full.into(),
        ..v1::Device::default()
    };
    Inventory {
        source: v1::SourceKind::Nvml,
        library: "/usr/lib/libnvidia-ml.so.1".into(),
        library_digest: [7; 32],
        driver_version: "570.1".into(),
        devices: vec![device(0), device(1)],
    }
}

fn held(name: &str) -> Holding {
    let workload = v1::Workload {
        platform: v1::Platform::Slurm.into(),
        slurm_job: name.into(),
        uid: Some(7),
        ..v1::Workload::default()
    };
    let known = Holder {
        workload: Some(Arc::new(workload)),
        memory: Some(9),
        sm_percent: None,
    };
    let stranger = Holder {
        workload: None,
        memory: None,
        sm_percent: Some(3),
    };
    Holding::Known(vec![known, stranger])
}

/// Three ticks of two devices, with everything that a tick can say.
fn ticks() -> Vec<(Sample, [Holding; 2])> {
    let sample = |devices: [Result<Reading, Reason>; 2]| Sample {
        at: clock(),
        devices: devices.to_vec(),
    };
    let reading = |energy_mj| {
        Ok(Reading {
            utilization: Some(40),
            memory_used: Some(1 << 33),
            power_mw: Some(50_000),
            energy_mj: Some(energy_mj),
            sm_permille: Some(333),
            tensor_permille: Some(44),
            processes: Processes::Unchanged,
        })
    };
    let blind = Ok(Reading::default());
    vec![
        (
            sample([reading(100), blind.clone()]),
            [held("1"), Holding::Unknown],
        ),
        (
            sample([reading(150), Err(Reason::DriverHung)]),
            [held("1"), Holding::Unknown],
        ),
        (
            sample([reading(200), blind]),
            [held("2"), Holding::Known(vec![])],
        ),
    ]
}

fn write_trace(path: &Path) {
    let file = fs::File::create(path).unwrap();
    let note = "three ticks";
    let mut writer =
        TraceWriter::new(file, &inventory(), Origin::Recorded, "2026-11-23", note, 10).unwrap();
    for (sample, holdings) in ticks() {
        writer.tick(&sample, &holdings).unwrap();
    }
    writer.finish().unwrap();
}

async fn sample(source: &mut RecordedSource) -> Sample {
    match source.next().await {
        Event::Sample(sample) => sample,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_was_recorded_is_what_is_played() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.jsonl");
    write_trace(&path);
    let mut source = RecordedSource::open(&path, false, clock).unwrap();
    assert_eq!(source.header().origin, Origin::Recorded);
    let Event::Inventory(played) = source.next().await else {
        panic!("the inventory comes first")
    };
    assert_eq!(played.devices, inventory().devices);
    assert_eq!(played.driver_version, "570.1");
    assert_eq!(
        played.source,
        v1::SourceKind::Recorded,
        "never passes for a driver"
    );
    assert!(Path::new(&played.library).is_absolute());
    let digest = ring::digest::digest(&ring::digest::SHA256, &fs::read(&path).unwrap());
    assert_eq!(played.library_digest.as_slice(), digest.as_ref());

    let resolver = Resolver::new(folder.path(), folder.path().join("passwd"));
    let mut attribution = Attribution::new(resolver, NameSources::default());
    for (recorded, holdings) in ticks() {
        let played = sample(&mut source).await;
        let bare = |sample: &Sample| -> Vec<_> {
            let strip = |r: &Result<Reading, Reason>| {
                r.clone().map(|r| Reading {
                    processes: Processes::Unchanged,
                    ..r
                })
            };
            sample.devices.iter().map(strip).collect()
        };
        assert_eq!(bare(&played), bare(&recorded));
        assert_eq!(attribution.holdings(&played).await, holdings);
    }
    assert_eq!(source.next().await, Event::End);
}

#[tokio::test]
async fn a_list_that_did_not_change_is_not_said_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.jsonl");
    write_trace(&path);
    let mut source = RecordedSource::open(&path, false, clock).unwrap();
    source.next().await;
    let mut lists = Vec::new();
    for _ in 0..3 {
        let sample = sample(&mut source).await;
        let processes = sample.devices[0].as_ref().unwrap().processes.clone();
        lists.push(matches!(processes, Processes::Read(_)));
    }
    assert_eq!(lists, [true, false, true]);
}

#[tokio::test]
async fn played_round_and_round_the_energy_keeps_rising() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.jsonl");
    write_trace(&path);
    let mut source = RecordedSource::open(&path, true, clock).unwrap();
    source.next().await;
    let mut energy = Vec::new();
    for _ in 0..9 {
        energy.push(
            sample(&mut source).await.devices[0]
                .as_ref()
                .unwrap()
                .energy_mj,
        );
    }
    let due: Vec<_> = (0..9).map(|n| Some(100 + 50 * n)).collect();
    assert_eq!(energy, due);
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_no_tick() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.jsonl");
    write_trace(&path);
    let mut source = RecordedSource::open(&path, false, clock).unwrap();
    source.next().await;
    let first = sample(&mut source).await;
    // The next tick is 10 ms away: this gives up at once.
    let none = tokio::time::timeout(Duration::ZERO, source.next()).await;
    assert!(none.is_err());
    let second = sample(&mut source).await;
    let energy = |s: &Sample| s.devices[0].as_ref().unwrap().energy_mj;
    assert_eq!((energy(&first), energy(&second)), (Some(100), Some(150)));
}

#[tokio::test]
async fn a_closed_source_says_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.jsonl");
    write_trace(&path);
    let mut source = RecordedSource::open(&path, true, clock).unwrap();
    source.close().await;
    let none = tokio::time::timeout(Duration::from_millis(50), source.next()).await;
    assert!(none.is_err());
}

#[test]
fn a_file_that_is_no_trace_is_refused_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.jsonl");
    let open = || RecordedSource::open(&path, false, clock);
    assert!(matches!(open(), Err(OpenError::Read { .. })));
    fs::write(&path, "{}\n").unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("t.jsonl, line 1"), "{error}");
    let file = fs::File::create(&path).unwrap();
    file.set_len(MAX_TRACE_BYTES + 1).unwrap();
    assert!(matches!(open(), Err(OpenError::Read { .. })));
}

#[test]
fn a_trace_that_could_not_be_read_back_is_not_written() {
    let mut crowd = inventory();
    crowd.devices.truncate(0);
    let made = TraceWriter::new(Vec::new(), &crowd, Origin::Recorded, "", "", 1_000);
    assert!(matches!(
        made,
        Err(WriteError::Fault(Fault::Range {
            field: "devices",
            ..
        }))
    ));
    let mut writer =
        TraceWriter::new(Vec::new(), &inventory(), Origin::Recorded, "", "", 1_000).unwrap();
    let (mut sample, holdings) = ticks().remove(0);
    sample.devices.pop();
    let refused = writer.tick(&sample, &holdings);
    assert!(matches!(
        refused,
        Err(WriteError::Fault(Fault::Devices { got: 1, due: 2 }))
    ));
}

#[test]
fn a_recording_ends_at_the_longest_trace() {
    let mut writer = TraceWriter::new(
        std::io::sink(),
        &inventory(),
        Origin::Recorded,
        "",
        "",
        1_000,
    )
    .unwrap();
    let (sample, holdings) = ticks().remove(0);
    let full = (0..200_000)
        .map(|_| writer.tick(&sample, &holdings))
        .find(Result::is_err);
    assert!(matches!(full, Some(Err(WriteError::Full))));
}

#[test]
fn the_demos_traces_are_what_their_generator_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/demo/traces");
    for (name, fresh) in generate_trace::traces().unwrap() {
        let kept = fs::read(folder.join(name)).unwrap();
        assert!(
            kept == fresh,
            "{name} is stale: run the example generate_trace anew"
        );
        assert!(kept.len() < 100_000);
    }
}

/// Meters a trace of the demo at the agent's own pace, with what `hide` leaves of each tick; all
/// time of it must be told.
async fn metered(file: &str, origin: Origin, hide: impl Fn(u64, &mut Reading)) -> Vec<Interval> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/demo/traces");
    // Fast: only the period differs from what the demo plays.
    let text = fs::read_to_string(folder.join(file)).unwrap();
    let fast = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        fast.path(),
        text.replace("\"period_ms\":1000", "\"period_ms\":10"),
    )
    .unwrap();
    let mut source = RecordedSource::open(fast.path(), false, clock).unwrap();
    assert_eq!(source.header().origin, origin);
    let Event::Inventory(inventory) = source.next().await else {
        panic!("the inventory comes first")
    };
    let pace = Pace::new(1_000, 10_000).unwrap();
    let mut meter = Meter::new(inventory.devices.len(), pace, None).unwrap();
    let resolver = Resolver::new("/nowhere", "/nowhere");
    let mut attribution = Attribution::new(resolver, NameSources::default());
    let mut now = 0;
    let mut all: Vec<Interval> = Vec::new();
    while let Event::Sample(mut sample) = source.next().await {
        sample.at.boot_ms = now;
        for reading in sample.devices.iter_mut().flatten() {
            hide(now / 1_000, reading);
        }
        now += 1_000;
        let holdings = attribution.holdings(&sample).await;
        all.extend(meter.push(&sample, &holdings).unwrap());
    }
    for total in all.iter().flat_map(|interval| &interval.totals().devices) {
        assert_eq!((total.unattributed_ms, total.not_observed_ms), (0, 0));
        assert!(total.energy_mj.is_some_and(|mj| mj > 0));
    }
    all
}

#[tokio::test]
async fn the_demos_traces_are_metered_whole_and_name_whom_the_demo_names() {
    let mut names = Vec::new();
    for (file, _) in generate_trace::traces().unwrap() {
        for interval in metered(file, Origin::Generated, |_, _| {}).await {
            for place in interval.lines().iter().filter_map(|line| line.workload) {
                let who = &interval.workloads()[place as usize];
                names.extend([&who.namespace, &who.slurm_account, &who.unit].map(String::clone));
            }
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(
        names,
        [
            "",
            "meridian-hosting",
            "northwind",
            "quickfire",
            "run-u77.service"
        ]
    );
}

/// Time and energy of a kind in some intervals of one device.
fn sums(all: &[Interval], kind: LineKind) -> (u64, u64) {
    let lines = all.iter().flat_map(Interval::lines);
    lines
        .filter(|line| line.kind() == kind)
        .fold((0, 0), |(ms, mj), line| {
            (ms + line.time_ms, mj + line.energy_mj.unwrap())
        })
}

#[tokio::test]
async fn what_a_real_h100_told_is_metered_to_the_second_and_the_millijoule() {
    let all = metered("captured.jsonl", Origin::Recorded, |_, _| {}).await;
    assert_eq!(all.len(), 7);
    let (worked_ms, worked_mj) = sums(&all, LineKind::Attributed);
    let (idle_ms, idle_mj) = sums(&all, LineKind::Idle);
    // The job was listed for 36 s; one tick later the driver still told of its last work.
    assert_eq!((worked_ms, idle_ms), (37_000, 33_000));
    // The counter at the first tick, and 70 s later.
    assert_eq!(worked_mj + idle_mj, 27_228_157);
    assert!(worked_mj > 9 * idle_mj);
    let pipes = all.iter().flat_map(Interval::lines);
    let most = pipes.filter_map(|line| line.tensor_permille).max();
    assert!(most.is_some_and(|permille| (900..=1_000).contains(&permille)));
}

#[tokio::test]
async fn a_counter_that_tells_once_a_record_gives_each_line_what_one_that_tells_each_second_does() {
    let each = metered("captured.jsonl", Origin::Recorded, |_, _| {}).await;
    let once = metered("captured.jsonl", Origin::Recorded, |tick, reading| {
        reading.energy_mj = reading.energy_mj.filter(|_| tick.is_multiple_of(10));
    });
    let once = once.await;
    for (each, once) in each.iter().zip(&once) {
        assert_eq!(each.totals(), once.totals());
        for (each, once) in each.lines().iter().zip(once.lines()) {
            let (each, once) = (each.energy_mj.unwrap(), once.energy_mj.unwrap());
            // Within a percent: power is told as a mean over a second, not quite this one.
            assert!(each.abs_diff(once) * 100 <= each, "{each} and {once} mJ");
        }
    }
}

#[tokio::test]
async fn a_paused_trace_plays_on_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.jsonl");
    write_trace(&path);
    let mut source = RecordedSource::open(&path, true, clock).unwrap();
    let Event::Inventory(inventory) = source.next().await else {
        panic!("the inventory comes first")
    };
    source.pause(Reason::Maintenance).await.unwrap();
    let missing = vec![Err(Reason::Maintenance); inventory.devices.len()];
    for _ in 0..3 {
        assert_eq!(sample(&mut source).await.devices, missing);
    }
    source.resume();
    assert_ne!(sample(&mut source).await.devices, missing);
}
