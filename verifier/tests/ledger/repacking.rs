//! The segments of hours that are over are joined, whatever fails meanwhile.

use std::{fs, sync::Arc};

use affiant_report::segment::{Layout, Segment};
use affiant_verifier::{
    ledger::{Ledger, LocalDisk, NotRepacked, RESERVE_BYTES, Repacked, Repacker, SegmentName},
    repacking,
};
use tokio_util::sync::CancellationToken;

use super::fixture::{Faults, House, Leaves, When, assert_one_history, entries, entry};

const HOUR: u64 = 3_600_000;

/// Entries of a segment, and segments of an hour.
const ENTRIES: u64 = 40;
const SEGMENTS: u64 = 4;

/// In memory where there is one: what is durable is not what these tests are about.
fn house() -> House {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let faults = Faults::default();
    House::on(dir.unwrap(), Arc::new(faults.clone()), faults)
}

/// Three hours that are over, and the newest segment in one that is not.
fn written() -> (House, Ledger) {
    let mut house = house();
    house.clock = HOUR;
    let mut ledger = house.create(ENTRIES);
    for hour in 1..=3 {
        for number in 0..SEGMENTS {
            // The first segment of all was made above.
            if (hour, number) != (1, 0) {
                house.clock = hour * HOUR + number * 1_000;
                more(&mut house, &mut ledger);
            }
        }
    }
    house.clock = 4 * HOUR;
    more(&mut house, &mut ledger);
    (house, ledger)
}

fn more(house: &mut House, ledger: &mut Ledger) {
    let next = ledger.next_index();
    house.append(ledger, next..next + ENTRIES);
    ledger.close_segment().unwrap();
}

fn repacker(house: &House, ledger: &Ledger) -> Repacker {
    Repacker::new(ledger.reader(), Arc::new(house.faults.clone()))
}

fn never() -> bool {
    false
}

fn names(house: &House) -> Vec<SegmentName> {
    let found = fs::read_dir(house.at("segments")).unwrap();
    let found = found.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = found.filter_map(|name| name.parse().ok()).collect();
    names.sort_unstable();
    names
}

/// One filed segment for each hour that is over, and the newest as it was.
fn assert_repacked(house: &House) {
    let hour = SEGMENTS * ENTRIES;
    let names = names(house);
    let spans: Vec<_> = names.iter().map(|it| (it.start(), it.end())).collect();
    let due = [
        (0, hour),
        (hour, 2 * hour),
        (2 * hour, 3 * hour),
        (3 * hour, 3 * hour + ENTRIES),
    ];
    assert_eq!(spans, due);
    for (at, name) in names.iter().enumerate() {
        let segment = Segment::open(&house.at("segments"), name).unwrap();
        let layout = if at < 3 {
            Layout::Filed
        } else {
            Layout::Logged
        };
        assert_eq!(segment.layout(), layout, "{name}");
        assert_eq!(segment.revision(), u64::from(at < 3), "{name}");
    }
}

fn assert_whole(house: &House, ledger: &Ledger) {
    assert_one_history(house, ledger, &ledger.reader().signed_checkpoint());
    let size = ledger.reader().size();
    let read = ledger.reader().entries(0..size).map(|read| read.unwrap().1);
    assert!(read.eq(entries(0..size)));
}

#[test]
fn hours_that_are_over_become_one_segment_each_and_the_log_is_what_it_was() {
    let (house, ledger) = written();
    let reader = ledger.reader();
    let repacker = repacker(&house, &ledger);
    let before = reader.checkpoint();
    let done = repacker.repack(&never).unwrap();
    assert_eq!((done.joined, done.made), (3 * SEGMENTS, 3));
    assert!(done.bytes_after < done.bytes_before, "{done:?}");
    assert_repacked(&house);
    assert_eq!(reader.segments(), names(&house));
    assert_eq!(reader.checkpoint(), before);
    assert_whole(&house, &ledger);
    // Single entries from here and there, and from one segment again and again.
    for index in [0, 470, 3, 250, 251, 252, 479, 1, 519] {
        let read = reader.entry(index).unwrap().unwrap();
        assert_eq!(read, entry(index).envelope());
    }
    assert_eq!(repacker.repack(&never).unwrap(), Repacked::default());
    drop(ledger);
    let (ledger, replayed) = house.open();
    let read: Vec<_> = replayed.into_iter().map(|read| read.entry).collect();
    assert_eq!(read, entries(0..reader.size()));
    assert_whole(&house, &ledger);
}

#[test]
fn an_hour_is_repacked_once_the_log_itself_is_in_the_next_one() {
    let mut house = house();
    house.clock = HOUR;
    let mut ledger = house.create(ENTRIES);
    more(&mut house, &mut ledger);
    more(&mut house, &mut ledger);
    let repacker = repacker(&house, &ledger);
    assert_eq!(repacker.repack(&never).unwrap(), Repacked::default());
    house.clock = 2 * HOUR;
    more(&mut house, &mut ledger);
    let done = repacker.repack(&never).unwrap();
    assert_eq!((done.joined, done.made), (3, 1));
    // The writer goes on as before.
    more(&mut house, &mut ledger);
    house.clock = 3 * HOUR;
    more(&mut house, &mut ledger);
    let done = repacker.repack(&never).unwrap();
    assert_eq!((done.joined, done.made), (2, 1));
    assert_whole(&house, &ledger);
}

#[test]
fn a_fault_at_any_moment_of_repacking_leaves_a_log_that_opens_and_is_repacked_then() {
    for leaves in [Leaves::Nothing, Leaves::All] {
        for moment in 0.. {
            let case = format!("fault after {moment} operations, leaves {leaves:?}");
            let (house, ledger) = written();
            let size = ledger.reader().size();
            house.faults.arm(When::After(moment), leaves);
            let said = repacker(&house, &ledger).repack(&never);
            if !house.faults.struck() {
                assert!(said.is_ok() && moment > 15, "{case}");
                break;
            }
            assert!(matches!(said, Err(NotRepacked::Io { .. })), "{case}");
            house.faults.heal();
            // The running log is read on, before anybody starts it again.
            assert_whole(&house, &ledger);
            drop(ledger);
            let (ledger, replayed) = house.open();
            assert_eq!(replayed.len() as u64, size, "{case}");
            assert_whole(&house, &ledger);
            assert_eq!(
                fs::read_dir(house.at("swept")).unwrap().count(),
                0,
                "{case}"
            );
            repacker(&house, &ledger).repack(&never).unwrap();
            assert_repacked(&house);
            assert_whole(&house, &ledger);
        }
    }
}

#[test]
fn a_process_that_goes_on_after_a_fault_repacks_what_is_left() {
    for moment in 0..18 {
        let (house, ledger) = written();
        let repacker = repacker(&house, &ledger);
        house.faults.arm(When::After(moment), Leaves::Nothing);
        let _ = repacker.repack(&never);
        house.faults.heal();
        repacker.repack(&never).unwrap();
        assert_whole(&house, &ledger);
        drop(ledger);
        // What could not be removed goes when the log is opened.
        let (ledger, _) = house.open();
        assert_repacked(&house);
        assert_whole(&house, &ledger);
    }
}

#[test]
fn whoever_stops_it_finds_whole_hours_repacked_and_the_others_as_they_were() {
    let all = 3 * SEGMENTS * 2 + 8;
    for steps in 0..all {
        let (house, ledger) = written();
        let left = std::cell::Cell::new(steps);
        let stop = || {
            let stopped = left.get() == 0;
            left.set(left.get().saturating_sub(1));
            stopped
        };
        let repacker = repacker(&house, &ledger);
        let done = repacker.repack(&stop).unwrap();
        assert_eq!(done.joined, done.made * SEGMENTS, "{steps}");
        assert_whole(&house, &ledger);
        repacker.repack(&never).unwrap();
        assert_repacked(&house);
    }
}

#[test]
fn a_disk_that_is_nearly_full_is_not_filled_by_repacking() {
    let (house, ledger) = written();
    let before = names(&house);
    house.faults.set_free(RESERVE_BYTES);
    let repacker = repacker(&house, &ledger);
    let refused = repacker.repack(&never).unwrap_err();
    assert!(matches!(refused, NotRepacked::Full { .. }), "{refused}");
    assert_eq!(names(&house), before);
    house.faults.set_free(u64::MAX);
    repacker.repack(&never).unwrap();
    assert_repacked(&house);
}

#[test]
fn a_damaged_segment_is_not_repacked_away() {
    let (house, ledger) = written();
    let before = names(&house);
    let path = house.at("segments").join(before[2].to_string());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let repacker = Repacker::new(ledger.reader(), Arc::new(LocalDisk));
    let refused = repacker.repack(&never).unwrap_err();
    assert!(matches!(refused, NotRepacked::Segment(_)), "{refused}");
    assert_eq!(names(&house), before);
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_segment_that_does_not_get_smaller_stays_as_it_is() {
    let mut house = house();
    house.clock = HOUR;
    let mut ledger = house.create(1);
    house.clock = 2 * HOUR;
    more(&mut house, &mut ledger);
    let before = names(&house);
    let repacker = repacker(&house, &ledger);
    assert_eq!(repacker.repack(&never).unwrap(), Repacked::default());
    assert_eq!(names(&house), before);
}

#[tokio::test]
async fn the_hourly_round_repacks_and_one_that_is_stopped_leaves_all_as_it_was() {
    let (house, ledger) = written();
    let before = names(&house);
    let repacker = Arc::new(repacker(&house, &ledger));
    let stop = CancellationToken::new();
    stop.cancel();
    repacking::round(&repacker, &stop).await;
    assert_eq!(names(&house), before);
    repacking::round(&repacker, &CancellationToken::new()).await;
    assert_repacked(&house);
}
