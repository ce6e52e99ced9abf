//! What the meter promises, through its public face and with the checks that the verifier makes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use affiant_agent::{
    meter::{BadMeter, Holder, Holding, Interval, MAX_WORKLOADS_PER_DEVICE, Meter, Pace, Planned},
    sample::{Instant, Reading, Sample},
};
use affiant_proto::{
    usage::{MAX_INTERVAL_MS, read_leaves},
    v1::{self, LineKind, Reason},
};
use proptest::prelude::*;
use prost::Message as _;

const WALL: u64 = 1_790_000_000_000;

fn at(boot_ms: u64) -> Instant {
    Instant {
        boot_ms,
        wall_ms: WALL + boot_ms,
        slept_ms: 0,
    }
}

fn meter(devices: usize) -> Meter {
    Meter::new(devices, Pace::new(1_000, 10_000).unwrap(), None).unwrap()
}

fn reading(utilization: u8, energy_mj: u64) -> Reading {
    Reading {
        utilization: Some(utilization),
        memory_used: Some(7),
        energy_mj: Some(energy_mj),
        ..Reading::default()
    }
}

fn workload(name: &str) -> Arc<v1::Workload> {
    Arc::new(v1::Workload {
        unit: name.into(),
        ..v1::Workload::default()
    })
}

fn holder(name: &str) -> Holder {
    Holder {
        workload: Some(workload(name)),
        memory: Some(1 << 30),
        sm_percent: None,
    }
}

fn stranger() -> Holder {
    Holder {
        workload: None,
        memory: None,
        sm_percent: None,
    }
}

/// Pushes one sample of one device.
fn push(
    meter: &mut Meter,
    boot_ms: u64,
    device: Result<Reading, Reason>,
    holding: Holding,
) -> Vec<Interval> {
    let sample = Sample {
        at: at(boot_ms),
        devices: vec![device],
    };
    meter.push(&sample, &[holding]).unwrap().collect()
}

/// Pushes one sample of one idle device on a host that has slept for so long.
fn push_slept(meter: &mut Meter, boot_ms: u64, slept_ms: u64) -> Vec<Interval> {
    let sample = Sample {
        at: Instant {
            slept_ms,
            ..at(boot_ms)
        },
        devices: vec![Ok(reading(0, 0))],
    };
    let idle = [Holding::Known(vec![])];
    meter.push(&sample, &idle).unwrap().collect()
}

/// The lines that were not observed: reason and length.
fn silences(intervals: &[Interval]) -> Vec<(Reason, u64)> {
    let lines = intervals.iter().flat_map(Interval::lines);
    lines
        .filter(|line| line.kind() == LineKind::NotObserved)
        .map(|line| (line.reason(), line.time_ms))
        .collect()
}

/// One whole interval of one device, from eleven ticks; `tick` gives each its reading and holders.
fn interval(tick: impl Fn(u64) -> (Result<Reading, Reason>, Holding)) -> Interval {
    let mut meter = meter(1);
    let mut all = Vec::new();
    for n in 0..=10 {
        let (device, holding) = tick(n);
        all.extend(push(&mut meter, 5_000 + n * 1_000, device, holding));
    }
    assert_eq!(all.len(), 1);
    let interval = all.remove(0);
    admitted(&interval);
    interval
}

/// What the verifier would say of it.
fn admitted(interval: &Interval) {
    let leaves: Vec<Vec<u8>> = std::iter::once(interval.totals().encode_to_vec())
        .chain(interval.lines().iter().map(|line| line.encode_to_vec()))
        .collect();
    let devices = u32::try_from(interval.totals().devices.len()).unwrap();
    let workloads = u32::try_from(interval.workloads().len()).unwrap();
    read_leaves(&leaves, devices, workloads, interval.length_ms()).unwrap();
    assert!((1..=MAX_INTERVAL_MS).contains(&interval.length_ms()));
}

fn kinds(interval: &Interval) -> Vec<(LineKind, u64)> {
    let kind = |line: &v1::UsageLine| (LineKind::try_from(line.kind).unwrap(), line.time_ms);
    interval.lines().iter().map(kind).collect()
}

#[test]
fn a_device_that_nobody_holds_and_that_does_nothing_is_idle() {
    let interval = interval(|n| (Ok(reading(0, n * 70_000)), Holding::Known(vec![])));
    assert_eq!(kinds(&interval), [(LineKind::Idle, 10_000)]);
    let line = interval.lines()[0];
    assert_eq!(line.busy_ms, Some(0));
    assert_eq!(line.energy_mj, Some(700_000));
    assert_eq!(line.memory_peak_bytes, Some(7));
    assert_eq!((line.samples, line.missing), (10, 0));
}

#[test]
fn work_that_nobody_holds_is_unattributed_and_never_idle() {
    let interval = interval(|_| (Ok(reading(40, 0)), Holding::Known(vec![])));
    assert_eq!(kinds(&interval), [(LineKind::Unattributed, 10_000)]);
    assert_eq!(interval.lines()[0].busy_ms, Some(4_000));
}

#[test]
fn a_list_that_could_not_be_read_is_unattributed_even_at_rest() {
    let interval = interval(|_| (Ok(reading(0, 0)), Holding::Unknown));
    assert_eq!(kinds(&interval), [(LineKind::Unattributed, 10_000)]);
}

#[test]
fn utilization_that_is_missing_never_makes_a_device_idle() {
    let blind = Reading {
        utilization: None,
        ..reading(0, 0)
    };
    let interval = interval(|_| (Ok(blind.clone()), Holding::Known(vec![])));
    assert_eq!(kinds(&interval), [(LineKind::NotObserved, 10_000)]);
    assert_eq!(interval.lines()[0].reason(), Reason::DriverError);
    assert_eq!(interval.lines()[0].missing, 10);
}

#[test]
fn utilization_that_is_missing_leaves_busy_time_missing_and_the_holder_charged() {
    let interval = interval(|n| {
        let blind = Reading {
            utilization: (n != 4).then_some(100),
            ..reading(0, n)
        };
        (Ok(blind), Holding::Known(vec![holder("a.service")]))
    });
    let line = interval.lines()[0];
    assert_eq!(kinds(&interval), [(LineKind::Attributed, 10_000)]);
    assert_eq!(line.busy_ms, None);
    assert_eq!((line.samples, line.missing), (10, 1));
}

#[test]
fn a_reading_that_failed_is_not_observed_with_its_reason() {
    let interval = interval(|n| {
        let device = match n {
            3 | 4 => Err(Reason::DriverHung),
            7 => Err(Reason::DeviceLost),
            _ => Ok(reading(0, n * 1_000)),
        };
        (device, Holding::Known(vec![]))
    });
    assert_eq!(
        kinds(&interval),
        [
            (LineKind::Idle, 7_000),
            (LineKind::NotObserved, 2_000),
            (LineKind::NotObserved, 1_000)
        ]
    );
    assert_eq!(interval.lines()[1].reason(), Reason::DriverHung);
    assert_eq!(interval.lines()[1].missing, 2);
    // The counter went on meanwhile, and so nothing of its rise is lost.
    assert_eq!(interval.totals().devices[0].energy_mj, Some(10_000));
}

#[test]
fn a_lost_device_loses_no_other_devices_sample() {
    let mut meter = meter(2);
    let mut all = Vec::new();
    for n in 0..=10 {
        let sample = Sample {
            at: at(n * 1_000),
            devices: vec![Err(Reason::DeviceLost), Ok(reading(0, n))],
        };
        let holdings = [Holding::Unknown, Holding::Known(vec![])];
        all.extend(meter.push(&sample, &holdings).unwrap());
    }
    admitted(&all[0]);
    let [lost, well] = &all[0].totals().devices[..] else {
        panic!("two devices")
    };
    assert_eq!((lost.not_observed_ms, lost.energy_mj), (10_000, None));
    assert_eq!((well.idle_ms, well.energy_mj), (10_000, Some(10)));
}

#[test]
fn holders_share_time_and_energy_equally_where_sm_time_is_not_told() {
    let three = || vec![holder("a"), holder("b"), holder("c"), holder("c")];
    let interval = interval(|n| (Ok(reading(100, n * 1_000)), Holding::Known(three())));
    let lines = interval.lines();
    assert_eq!(
        lines.iter().map(|l| l.time_ms).collect::<Vec<_>>(),
        [3_340, 3_330, 3_330]
    );
    assert_eq!(
        lines.iter().filter_map(|l| l.energy_mj).sum::<u64>(),
        10_000
    );
    for line in lines {
        assert_eq!(line.allocated_ms, Some(10_000), "held whole, not divided");
        assert_eq!(line.busy_ms, Some(line.time_ms));
    }
    assert_eq!(lines[2].memory_peak_bytes, Some(2 << 30));
    assert_eq!(interval.workloads()[1].unit, "b");
}

#[test]
fn holders_share_by_sm_time_where_all_tell_it() {
    let with = |name, sm_percent| Holder {
        sm_percent: Some(sm_percent),
        ..holder(name)
    };
    let interval = interval(|_| {
        let holders = vec![with("a", 60), with("b", 20), with("c", 0)];
        (Ok(reading(80, 0)), Holding::Known(holders))
    });
    let times: Vec<u64> = interval.lines().iter().map(|l| l.time_ms).collect();
    assert_eq!(times, [7_500, 2_500, 0]);
    assert_eq!(interval.lines()[2].allocated_ms, Some(10_000));
}

#[test]
fn the_share_of_a_holder_that_could_not_be_resolved_is_unattributed() {
    let interval = interval(|_| {
        let holders = vec![holder("a"), stranger(), stranger()];
        (Ok(reading(100, 0)), Holding::Known(holders))
    });
    assert_eq!(
        kinds(&interval),
        [
            (LineKind::Attributed, 5_000),
            (LineKind::Unattributed, 5_000)
        ]
    );
}

#[test]
fn an_energy_counter_that_fell_is_missing_and_never_negative() {
    let interval = interval(|n| {
        let counter = if n < 5 { 1_000_000 + n } else { n };
        (Ok(reading(0, counter)), Holding::Known(vec![]))
    });
    assert_eq!(interval.lines()[0].energy_mj, None);
    assert_eq!(interval.totals().devices[0].energy_mj, None);
}

#[test]
fn an_energy_counter_that_leaps_absurdly_is_not_believed() {
    let interval = interval(|n| {
        let counter = if n < 5 { 0 } else { u64::MAX - 10 + n };
        (Ok(reading(0, counter)), Holding::Known(vec![]))
    });
    assert_eq!(interval.lines()[0].energy_mj, None);
}

#[test]
fn energy_of_a_counter_that_was_silent_at_the_end_is_not_carried_into_the_next_record() {
    let mut meter = meter(1);
    let mut all = Vec::new();
    for n in 0..=20 {
        let device = Reading {
            energy_mj: (n != 10).then_some(n * 1_000),
            ..reading(0, 0)
        };
        all.extend(push(
            &mut meter,
            n * 1_000,
            Ok(device),
            Holding::Known(vec![]),
        ));
    }
    assert_eq!(all[0].lines()[0].energy_mj, None);
    assert_eq!(
        all[1].lines()[0].energy_mj,
        None,
        "its first second is unknown"
    );
}

#[test]
fn energy_that_is_told_only_at_the_end_of_a_record_is_shared_by_power() {
    // As an H100 told it: 77 W idle, 697 W at work.
    let interval = interval(|n| {
        let at_work = n > 5;
        let device = Reading {
            power_mw: Some(if at_work { 697_000 } else { 77_000 }),
            energy_mj: [0, 10].contains(&n).then_some(n * 387_000),
            ..reading(if at_work { 99 } else { 0 }, 0)
        };
        let holders = if at_work { vec![holder("a")] } else { vec![] };
        (Ok(device), Holding::Known(holders))
    });
    let energy = |kind| {
        let mut lines = interval.lines().iter();
        lines.find(|line| line.kind() == kind).unwrap().energy_mj
    };
    assert_eq!(energy(LineKind::Attributed), Some(3_485_000));
    assert_eq!(energy(LineKind::Idle), Some(385_000));
}

#[test]
fn a_record_ends_with_the_first_sample_from_the_time_on_that_was_told() {
    let mut meter = meter(1);
    assert_eq!(meter.full_at_ms(), None);
    for start in [0, 10_000, 20_000] {
        for n in 0..10 {
            let now = start + n * 1_000;
            let ended = push(&mut meter, now, Ok(reading(0, 0)), Holding::Known(vec![]));
            assert_eq!(ended.len(), usize::from(n == 0 && start > 0), "at {now}");
            assert_eq!(meter.full_at_ms(), Some(start + 9_500));
        }
    }
}

#[test]
fn the_last_work_of_a_job_that_was_killed_is_the_jobs_and_no_later_work() {
    // Killed between the fifth second and the sixth; the driver tells of work for two more.
    let interval = interval(|n| {
        let (utilization, holders) = match n {
            0..=5 => (98, vec![holder("a")]),
            6 | 7 => (3, vec![]),
            _ => (0, vec![]),
        };
        (Ok(reading(utilization, 0)), Holding::Known(holders))
    });
    assert_eq!(
        kinds(&interval),
        [
            (LineKind::Attributed, 6_000),
            (LineKind::Idle, 3_000),
            (LineKind::Unattributed, 1_000)
        ]
    );
    assert_eq!(interval.lines()[0].allocated_ms, Some(6_000));
}

#[test]
fn pipes_that_worked_since_the_last_tick_make_no_idle_second_of_a_job_that_is_over() {
    let interval = interval(|n| {
        let (utilization, sm, holders) = match n {
            0..=4 => (99, 960, vec![holder("a")]),
            // The driver's own window was after the job's end, that of the pipes was not.
            5 => (0, 252, vec![]),
            _ => (0, 0, vec![]),
        };
        let device = Reading {
            sm_permille: Some(sm),
            ..reading(utilization, 0)
        };
        (Ok(device), Holding::Known(holders))
    });
    assert_eq!(
        kinds(&interval),
        [(LineKind::Attributed, 5_000), (LineKind::Idle, 5_000)]
    );
    assert_eq!(interval.lines()[1].sm_permille, Some(0));
}

#[test]
fn work_on_a_device_that_was_not_seen_since_its_holder_left_is_nobodys() {
    for unseen in [
        (Err(Reason::DriverHung), Holding::Known(vec![])),
        (Ok(reading(0, 0)), Holding::Unknown),
    ] {
        let interval = interval(|n| match n {
            0..=4 => (Ok(reading(99, 0)), Holding::Known(vec![holder("a")])),
            5 => unseen.clone(),
            _ => (Ok(reading(9, 0)), Holding::Known(vec![])),
        });
        let nobodys = kinds(&interval)
            .into_iter()
            .find(|(kind, _)| *kind == LineKind::Unattributed);
        assert!(nobodys.unwrap().1 >= 5_000, "{:?}", kinds(&interval));
    }
}

#[test]
fn a_host_that_slept_was_suspended_and_an_agent_that_was_not_let_run_was_stopped() {
    for (slept_ms, reason) in [
        (60_000, Reason::Suspended),
        (29_500, Reason::Suspended),
        (29_499, Reason::AgentStopped),
        (0, Reason::AgentStopped),
    ] {
        let mut meter = meter(1);
        // What was slept before the first sample is nobody's.
        push_slept(&mut meter, 0, 500_000);
        push_slept(&mut meter, 3_000, 500_000);
        let all = push_slept(&mut meter, 63_000, 500_000 + slept_ms);
        all.iter().for_each(admitted);
        assert_eq!(silences(&all), [(reason, 59_000)], "slept {slept_ms}");
    }
}

#[test]
fn what_was_lost_in_a_planned_pause_has_its_reason_and_what_lies_beside_it_has_not() {
    let planned = Planned {
        reason: Reason::DriverUpgrade,
        from_ms: 105_000,
        to_ms: 125_000,
    };
    let pace = Pace::new(1_000, 10_000).unwrap();
    let mut meter = Meter::new(1, pace, Some(at(100_000))).unwrap();
    meter.planned(Some(planned));
    let mut all = push(
        &mut meter,
        130_000,
        Ok(reading(0, 9)),
        Holding::Known(vec![]),
    );
    all.extend(meter.finish());
    all.iter().for_each(admitted);
    assert_eq!(
        silences(&all),
        [
            (Reason::AgentStopped, 10_000),
            (Reason::DriverUpgrade, 20_000)
        ]
    );
    // A running agent whose host slept through it all.
    let mut meter = Meter::new(1, pace, None).unwrap();
    meter.planned(Some(planned));
    push_slept(&mut meter, 104_000, 0);
    let all = push_slept(&mut meter, 131_000, 26_000);
    all.iter().for_each(admitted);
    assert_eq!(
        silences(&all),
        [(Reason::Suspended, 6_000), (Reason::DriverUpgrade, 20_000)]
    );
}

#[test]
fn a_planned_day_in_which_the_agent_was_off_is_said_in_pieces_that_end_where_it_does() {
    let hour = MAX_INTERVAL_MS;
    let planned = Planned {
        reason: Reason::Rma,
        from_ms: hour / 2,
        to_ms: 4 * hour,
    };
    let pace = Pace::new(1_000, 10_000).unwrap();
    let mut meter = Meter::new(1, pace, Some(at(0))).unwrap();
    meter.planned(Some(planned));
    let all = push(
        &mut meter,
        5 * hour,
        Ok(reading(0, 9)),
        Holding::Known(vec![]),
    );
    all.iter().for_each(admitted);
    assert_eq!(
        silences(&all),
        [
            (Reason::AgentStopped, hour / 2),
            (Reason::Rma, hour),
            (Reason::Rma, hour),
            (Reason::Rma, hour),
            (Reason::Rma, hour / 2),
            (Reason::AgentStopped, hour)
        ]
    );
    for (one, next) in all.iter().zip(&all[1..]) {
        assert_eq!(one.end(), next.start());
    }
}

#[test]
fn every_reason_of_a_source_stands_in_the_line_of_its_time() {
    let reasons = [
        Reason::DriverHung,
        Reason::DeviceLost,
        Reason::DriverError,
        Reason::ReaderDied,
        Reason::Permission,
        Reason::DriverUpgrade,
        Reason::Mig,
        Reason::Rma,
        Reason::Maintenance,
    ];
    for reason in reasons {
        let told = interval(|n| match n {
            3..6 => (Err(reason), Holding::Unknown),
            _ => (Ok(reading(0, 0)), Holding::Known(vec![])),
        });
        assert_eq!(silences(&[told]), [(reason, 3_000)]);
    }
}

#[test]
fn a_pause_of_the_host_is_not_observed_beyond_what_a_sample_stands_for() {
    let mut meter = meter(1);
    let idle = || Holding::Known(vec![]);
    assert!(push(&mut meter, 0, Ok(reading(0, 0)), idle()).is_empty());
    assert!(push(&mut meter, 3_000, Ok(reading(0, 0)), idle()).is_empty());
    let all = push_slept(&mut meter, 3_000 + 60_000, 60_000);
    admitted(&all[0]);
    assert_eq!(
        kinds(&all[0]),
        [(LineKind::Idle, 4_000), (LineKind::NotObserved, 59_000)]
    );
    assert_eq!(all[0].lines()[1].reason(), Reason::Suspended);
    assert_eq!(all[0].lines()[1].missing, 59);
}

#[test]
fn a_long_sleep_is_said_in_pieces_that_abut() {
    let mut meter = meter(1);
    let idle = || Holding::Known(vec![]);
    push(&mut meter, 0, Ok(reading(0, 0)), idle());
    push(&mut meter, 1_000, Ok(reading(0, 5)), idle());
    let long = 1_000 + 5 * MAX_INTERVAL_MS / 2;
    let mut all = push(&mut meter, long, Ok(reading(0, 900_000)), idle());
    assert_eq!(all.len(), 4, "what was open, and three pieces");
    all.extend(meter.finish());
    for (one, next) in all.iter().zip(&all[1..]) {
        assert_eq!(one.end(), next.start());
    }
    all.iter().for_each(admitted);
    assert_eq!(all[4].end(), at(long));
    assert_eq!(kinds(&all[4]), [(LineKind::Idle, 1_000)]);
    assert_eq!(
        all[4].lines()[0].energy_mj,
        None,
        "the rise was not in this second alone"
    );
    let asleep: u64 = all[1..4].iter().map(Interval::length_ms).sum();
    assert_eq!(asleep, long - 2_000);
}

#[test]
fn the_time_since_the_last_record_before_a_restart_is_agent_stopped() {
    let pace = Pace::new(1_000, 10_000).unwrap();
    let mut meter = Meter::new(1, pace, Some(at(100_000))).unwrap();
    assert!(
        push(
            &mut meter,
            102_500,
            Ok(reading(0, 9)),
            Holding::Known(vec![])
        )
        .is_empty()
    );
    let interval = meter.finish().unwrap();
    admitted(&interval);
    assert_eq!(interval.start(), at(100_000));
    assert_eq!(kinds(&interval), [(LineKind::NotObserved, 2_500)]);
    assert_eq!(interval.lines()[0].reason(), Reason::AgentStopped);
    assert_eq!(interval.lines()[0].energy_mj, None);

    let mut meter = Meter::new(1, pace, Some(at(100_000))).unwrap();
    let day = 24 * MAX_INTERVAL_MS;
    let all = push(
        &mut meter,
        100_000 + day,
        Ok(reading(0, 9)),
        Holding::Known(vec![]),
    );
    assert_eq!(all.len(), 24);
    assert!(all[0].workloads_changed() && !all[1].workloads_changed());
    all.iter().for_each(admitted);
    assert!(meter.finish().is_none());
}

#[test]
fn a_wall_clock_that_was_set_back_gives_no_interval_that_runs_backwards() {
    let mut meter = meter(1);
    push(&mut meter, 0, Ok(reading(0, 0)), Holding::Known(vec![]));
    let sample = Sample {
        at: Instant {
            boot_ms: 10_000,
            wall_ms: 5,
            slept_ms: 0,
        },
        devices: vec![Ok(reading(0, 0))],
    };
    let holdings = [Holding::Known(vec![])];
    let all: Vec<_> = meter.push(&sample, &holdings).unwrap().collect();
    assert!(all[0].end().wall_ms >= all[0].start().wall_ms);
}

#[test]
fn a_sample_that_does_not_advance_changes_nothing() {
    let mut meter = meter(1);
    let held = || Holding::Known(vec![holder("a")]);
    for (n, boot_ms) in [0, 1_000, 1_000, 500, 2_000].into_iter().enumerate() {
        push(&mut meter, boot_ms, Ok(reading(50, n as u64 * 100)), held());
    }
    let interval = meter.finish().unwrap();
    assert_eq!(interval.length_ms(), 2_000);
    assert_eq!(interval.lines()[0].samples, 2);
    assert_eq!(interval.lines()[0].energy_mj, Some(400));
}

#[test]
fn the_table_is_stated_first_and_when_it_changes_and_not_otherwise() {
    let mut meter = meter(1);
    let mut all = Vec::new();
    for n in 0..=40 {
        let name = if n <= 20 { "a" } else { "b" };
        let held = Holding::Known(vec![holder(name)]);
        all.extend(push(&mut meter, n * 1_000, Ok(reading(9, 0)), held));
    }
    let changed: Vec<bool> = all.iter().map(Interval::workloads_changed).collect();
    assert_eq!(changed, [true, false, true, false]);
    assert_eq!(all[3].lines()[0].workload, Some(1));
    assert_eq!(all[3].workloads()[1].unit, "b");
}

#[test]
fn a_crowd_of_workloads_stays_within_a_records_lines() {
    let interval = interval(|n| {
        let crowd = (0..40)
            .map(|i| holder(&format!("{}", n * 40 + i)))
            .collect();
        (Ok(reading(100, 0)), Holding::Known(crowd))
    });
    let attributed = kinds(&interval);
    assert_eq!(attributed.len(), MAX_WORKLOADS_PER_DEVICE + 1);
    assert!(attributed.last().unwrap().0 == LineKind::Unattributed);
}

#[test]
fn a_new_inventory_closes_the_interval_that_pointed_into_the_old_one() {
    let mut meter = meter(1);
    push(&mut meter, 0, Ok(reading(0, 0)), Holding::Known(vec![]));
    push(&mut meter, 4_000, Ok(reading(0, 0)), Holding::Known(vec![]));
    let closed = meter.set_devices(2).unwrap().unwrap();
    assert_eq!(closed.totals().devices.len(), 1);
    let one = Sample {
        at: at(5_000),
        devices: vec![Ok(reading(0, 0))],
    };
    assert!(matches!(
        meter.push(&one, &[Holding::Unknown]).map(drop),
        Err(BadMeter::Mismatch { due: 2, .. })
    ));
    assert!(meter.set_devices(65).is_err());
}

#[test]
fn a_pace_that_makes_no_sense_is_refused() {
    for (period, interval) in [(0, 10), (1_000, 999), (60_001, 70_000), (1, 3_600_001)] {
        assert!(Pace::new(period, interval).is_err());
    }
}

fn any_reading() -> impl Strategy<Value = Result<Reading, Reason>> {
    let figures = (
        proptest::option::weighted(0.9, 0..=110_u8),
        proptest::option::weighted(0.9, prop_oneof![8 => 0..2_000_000_u64, 1 => any::<u64>()]),
        proptest::option::weighted(0.5, 0..=1_100_u32),
        proptest::option::of(any::<u64>()),
    );
    let read = figures.prop_map(|(utilization, energy_mj, sm, memory_used)| {
        Ok(Reading {
            utilization,
            energy_mj,
            memory_used,
            sm_permille: sm,
            tensor_permille: sm.map(|v| v / 2),
            ..Reading::default()
        })
    });
    let failed = (0..=19_i32).prop_map(|n| Err(Reason::try_from(n).unwrap_or_default()));
    prop_oneof![5 => read, 1 => failed]
}

fn any_holding() -> impl Strategy<Value = Holding> {
    let holder = (
        proptest::option::weighted(0.8, 0..70_u32),
        proptest::option::of(any::<u64>()),
        proptest::option::weighted(0.7, 0..=100_u8),
    );
    let holder = holder.prop_map(|(name, memory, sm_percent)| Holder {
        workload: name.map(|n| workload(&n.to_string())),
        memory,
        sm_percent,
    });
    prop_oneof![
        1 => Just(Holding::Unknown),
        6 => proptest::collection::vec(holder, 0..6).prop_map(Holding::Known),
    ]
}

fn any_step() -> impl Strategy<Value = u64> {
    prop_oneof![
        12 => 900..1_100_u64,
        2 => 0..9_000_u64,
        1 => 0..4 * MAX_INTERVAL_MS,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn whatever_is_read_each_interval_is_admitted_and_all_time_is_accounted_for(
        ended in proptest::option::of(0..20_000_000_u64),
        first in 0..30_000_000_u64,
        ticks in proptest::collection::vec(
            (any_step(), [any_reading(), any_reading()], [any_holding(), any_holding()]),
            1..60,
        ),
    ) {
        let pace = Pace::new(1_000, 10_000).unwrap();
        let mut meter = Meter::new(2, pace, ended.map(at)).unwrap();
        let mut now = first;
        let mut all: Vec<Interval> = Vec::new();
        for (step, devices, holdings) in ticks {
            let sample = Sample { at: at(now), devices: devices.to_vec() };
            all.extend(meter.push(&sample, &holdings).unwrap());
            now += step;
        }
        all.extend(meter.finish());
        for interval in &all {
            admitted(interval);
        }
        for (one, next) in all.iter().zip(all.iter().skip(1)) {
            prop_assert_eq!(one.end(), next.start());
        }
        if let (Some(begin), Some(last)) = (all.first(), all.last()) {
            prop_assert!(begin.workloads_changed());
            prop_assert_eq!(begin.start().boot_ms, ended.unwrap_or(first));
            prop_assert!(last.end().boot_ms <= now);
        }
    }
}
