//! What an operator may meet, one row a case: what the ledger says, and that it goes on once the
//! cause is gone.

use std::{fs, path::PathBuf};

use affiant_verifier::ledger::{Fatal, Ledger, OpenError};

use super::fixture::{House, Step, assert_one_history};

const ENOSPC: i32 = 28;
const EROFS: i32 = 30;
const EACCES: i32 = 13;

/// Where it fails, what the operating system says, and what the ledger says of it.
const REFUSED: [(Step, i32, &str); 21] = [
    (Step::Append, ENOSPC, "appending to the write-ahead file"),
    (Step::Append, EROFS, "appending to the write-ahead file"),
    (Step::Append, EACCES, "appending to the write-ahead file"),
    (Step::Sync, ENOSPC, "syncing the write-ahead file"),
    (Step::Sync, EROFS, "syncing the write-ahead file"),
    (Step::Sync, EACCES, "syncing the write-ahead file"),
    (Step::Segment, ENOSPC, "putting the segment"),
    (Step::Segment, EROFS, "putting the segment"),
    (Step::Segment, EACCES, "putting the segment"),
    (Step::Swap, ENOSPC, "may or may not have been written"),
    (Step::Swap, EROFS, "may or may not have been written"),
    (Step::Swap, EACCES, "may or may not have been written"),
    (Step::Tiles, ENOSPC, "publishing tiles"),
    (Step::Tiles, EROFS, "publishing tiles"),
    (Step::Tiles, EACCES, "publishing tiles"),
    (Step::Checkpoint, ENOSPC, "publishing the checkpoint"),
    (Step::Checkpoint, EROFS, "publishing the checkpoint"),
    (Step::Checkpoint, EACCES, "publishing the checkpoint"),
    (Step::Reset, ENOSPC, "cutting the write-ahead file"),
    (Step::Reset, EROFS, "cutting the write-ahead file"),
    (Step::Reset, EACCES, "cutting the write-ahead file"),
];

/// Appends two entries and closes; gives the failure, and whether the append was answered.
fn one_segment(house: &mut House, ledger: &mut Ledger) -> (String, bool) {
    let clock = house.now();
    match ledger.append(&super::fixture::entries(4..6), clock) {
        Err(error) => (error.to_string(), false),
        Ok(_) => (ledger.close_segment().unwrap_err().to_string(), true),
    }
}

#[test]
fn a_full_or_read_only_or_closed_disk_stops_the_log_and_names_step_place_and_remedy() {
    for (step, errno, says) in REFUSED {
        let case = format!("{step:?} with error {errno}");
        let mut house = House::new();
        let mut ledger = house.create(2);
        house.append(&mut ledger, 2..4);
        let closed = ledger.close_segment().unwrap();
        house.faults.refuse(step, errno);
        let (said, answered) = one_segment(&mut house, &mut ledger);
        let cause = std::io::Error::from_raw_os_error(errno).to_string();
        let place = house.path().display().to_string();
        for due in [says, cause.as_str(), place.as_str(), "start again"] {
            assert!(said.contains(due), "{case}: {said}");
        }
        assert!(
            matches!(ledger.close_segment(), Err(Fatal::Failed(_))),
            "{case}: a failed ledger went on"
        );
        drop(ledger);
        // As long as it lasts, opening either refuses with place and cause or needs no such step.
        match house.try_open() {
            Ok((ledger, _)) => drop(ledger),
            Err(error) => {
                let said = error.to_string();
                assert!(
                    said.contains(&cause) && said.contains(&place),
                    "{case}: {said}"
                );
            }
        }
        house.faults.heal();
        let (mut ledger, replayed) = house.open();
        let least = if answered { 6 } else { 4 };
        assert!(
            (least..=6).contains(&replayed.len()),
            "{case}: {}",
            replayed.len()
        );
        assert!(
            replayed.len() as u64 >= closed.checkpoint().size(),
            "{case}"
        );
        let next = ledger.next_index();
        house.append(&mut ledger, next..next + 1);
        let closed = ledger.close_segment().unwrap();
        assert_one_history(&house, &ledger, &closed);
    }
}

/// A ledger of three segments, and what its directory held after the second.
fn turned_back() -> (House, Vec<(PathBuf, Vec<u8>)>) {
    let mut house = House::new();
    let mut ledger = house.create(3);
    house.append(&mut ledger, 3..10);
    ledger.close_segment().unwrap();
    let old = ["lock", "wal", "public/checkpoint"];
    let old = old.map(|name| (house.at(name), fs::read(house.at(name)).unwrap()));
    house.append(&mut ledger, 10..20);
    ledger.close_segment().unwrap();
    house.append(&mut ledger, 20..25);
    ledger.close_segment().unwrap();
    (house, old.to_vec())
}

#[test]
fn a_lock_that_was_turned_back_is_refused_by_whatever_is_ahead_of_it() {
    // Which of the old files are put back: lock, write-ahead file, published checkpoint.
    type Refusal = fn(&OpenError) -> bool;
    let rows: [(&str, &[usize], Refusal); 4] = [
        ("the lock alone", &[0], |e| {
            matches!(
                e,
                OpenError::Ahead {
                    published: 25,
                    locked: 10,
                    ..
                }
            )
        }),
        ("lock and write-ahead file", &[0, 1], |e| {
            matches!(
                e,
                OpenError::Ahead {
                    published: 25,
                    locked: 10,
                    ..
                }
            )
        }),
        ("lock and checkpoint", &[0, 2], |e| {
            matches!(e, OpenError::SegmentAhead { locked: 10, .. })
        }),
        ("all three", &[0, 1, 2], |e| {
            matches!(e, OpenError::SegmentAhead { locked: 10, .. })
        }),
    ];
    for (case, put_back, is_due) in rows {
        let (house, old) = turned_back();
        for number in put_back {
            let (path, bytes) = &old[*number];
            fs::write(path, bytes).unwrap();
        }
        let files = || fs::read_dir(house.at("segments")).unwrap().count();
        let (signed, segments) = (house.faults.signed().len(), files());
        let refused = house.try_open().map(|_| ()).unwrap_err();
        assert!(is_due(&refused), "{case}: {refused}");
        let said = refused.to_string();
        assert!(
            said.contains("lock is an old one") && said.contains("succession"),
            "{case}: {said}"
        );
        assert_eq!(house.faults.signed().len(), signed, "{case}: it signed");
        assert_eq!(files(), segments, "{case}: it moved evidence away");
    }
}

#[test]
fn a_lock_that_was_turned_back_by_one_segment_is_told_from_a_crash_before_the_swap() {
    // A crash: the segment is there, the lock does not name it, the write-ahead file holds it.
    let mut house = House::new();
    let mut ledger = house.create(3);
    house.append(&mut ledger, 3..10);
    let (lock, wal) = (house.at("lock"), house.at("wal"));
    let (old_lock, old_wal) = (fs::read(&lock).unwrap(), fs::read(&wal).unwrap());
    let old_checkpoint = fs::read(house.at("public/checkpoint")).unwrap();
    ledger.close_segment().unwrap();
    drop(ledger);
    let cut_wal = fs::read(&wal).unwrap();
    fs::write(&lock, &old_lock).unwrap();
    fs::write(house.at("public/checkpoint"), old_checkpoint).unwrap();
    let refused = house.try_open().map(|_| ()).unwrap_err();
    assert!(
        matches!(
            refused,
            OpenError::SegmentAhead {
                end: 10,
                locked: 3,
                ..
            }
        ),
        "{refused}"
    );
    assert!(cut_wal.len() < old_wal.len());
    fs::write(&wal, old_wal).unwrap();
    let (ledger, replayed) = house.open();
    assert_eq!((replayed.len(), ledger.pending()), (10, 7));
}
