//! Each step of the write order fails in each way, and the log is what was answered.

use affiant_verifier::ledger::{AppendError, Fatal, Ledger, OpenError, Replayed};

use super::fixture::{
    Faults, House, Leaves, Step, WRITE_ORDER, When, assert_one_history, assert_order_was_kept,
    entries, entry,
};

const LEAVES: [Leaves; 3] = [Leaves::Nothing, Leaves::All, Leaves::Part];

/// What a run was told before it failed.
#[derive(Debug, Default)]
struct Told {
    /// Entries of which an append said Ok.
    appended: u64,
    /// Entries that the append which failed, if one did, would have added.
    attempted: u64,
    /// Size of the largest checkpoint that a close gave.
    included: u64,
}

/// Appends and closes until the fault strikes or the run is over.
fn run(house: &mut House, ledger: &mut Ledger, told: &mut Told) {
    for (group, closes) in [
        (3, false),
        (5, true),
        (300, true),
        (1, false),
        (2, true),
        (4, false),
    ] {
        let clock = house.now();
        told.attempted = group;
        match ledger.append(&entries(told.appended..told.appended + group), clock) {
            Ok(given) => assert_eq!(given, told.appended..told.appended + group),
            Err(AppendError::Fatal(_)) => return,
            Err(other) => panic!("{other}"),
        }
        told.appended += group;
        told.attempted = 0;
        if closes {
            match ledger.close_segment() {
                Ok(signed) => told.included = signed.checkpoint().size(),
                Err(_) => return,
            }
        }
    }
}

/// What was answered stands once and in order; what was not may stand whole at the end.
fn assert_nothing_lost_or_doubled(replayed: &[Replayed], told: &Told, case: &str) {
    let found = replayed.len() as u64;
    assert!(
        found == told.appended || found == told.appended + told.attempted,
        "{case}: {found} entries of {told:?}"
    );
    for (index, read) in (0..).zip(replayed) {
        assert_eq!((read.index, &read.entry), (index, &entry(index)), "{case}");
        assert!(
            read.included || index >= told.included,
            "{case}: {index} was included"
        );
    }
}

fn assert_recovers(house: &mut House, told: &Told, case: &str) {
    let (mut ledger, replayed) = house.open();
    assert_nothing_lost_or_doubled(&replayed, told, case);
    let included = replayed.iter().filter(|read| read.included).count() as u64;
    assert_eq!(
        included + ledger.pending() as u64,
        replayed.len() as u64,
        "{case}"
    );
    let closed = ledger.close_segment().unwrap();
    assert_one_history(house, &ledger, &closed);
    let next = ledger.next_index();
    house.append(&mut ledger, next..next + 2);
    let closed = ledger.close_segment().unwrap();
    assert_one_history(house, &ledger, &closed);
    drop(ledger);
    let (ledger, replayed) = house.open();
    assert_eq!(replayed.len() as u64, next + 2, "{case}");
    assert!(replayed.iter().all(|read| read.included), "{case}");
    assert_one_history(house, &ledger, &closed);
}

#[test]
fn a_fault_at_any_step_loses_and_doubles_nothing_that_was_answered() {
    for step in WRITE_ORDER {
        for leaves in LEAVES {
            // The first and a later time that the step comes.
            for calm in [false, true] {
                let case = format!("{step:?} leaves {leaves:?}, calm before: {calm}");
                let mut house = House::new();
                let mut ledger = house.create(2);
                let mut told = Told {
                    appended: 2,
                    included: 2,
                    ..Told::default()
                };
                if calm {
                    run(&mut house, &mut ledger, &mut told);
                }
                house.faults.arm(When::At(step), leaves);
                run(&mut house, &mut ledger, &mut told);
                assert!(house.faults.struck(), "{case}");
                house.faults.heal();
                let clock = house.now();
                let after = ledger.append(&entries(0..1), clock);
                assert!(
                    matches!(after, Err(AppendError::Fatal(Fatal::Failed(_)))),
                    "{case}: a failed ledger took an entry"
                );
                assert!(
                    matches!(ledger.close_segment(), Err(Fatal::Failed(_))),
                    "{case}"
                );
                drop(ledger);
                assert_order_was_kept(&house, &case);
                assert_recovers(&mut house, &told, &case);
            }
        }
    }
}

#[test]
fn a_fault_at_any_moment_and_then_one_in_the_recovery_lose_nothing() {
    // Every operation of the run, one after the other; the recovery's moves along with it.
    for moment in 0.. {
        let leaves = LEAVES[moment % 2];
        let case = format!("fault after {moment} operations, leaves {leaves:?}");
        let mut house = House::new();
        let mut ledger = house.create(2);
        let mut told = Told {
            appended: 2,
            included: 2,
            ..Told::default()
        };
        house.faults.arm(When::After(moment), leaves);
        run(&mut house, &mut ledger, &mut told);
        drop(ledger);
        if !house.faults.struck() {
            assert!(moment > 30, "the run has more operations than {moment}");
            return;
        }
        house.faults.heal();
        house
            .faults
            .arm(When::After(moment % 7), LEAVES[(moment / 7) % 2]);
        drop(house.try_open());
        assert_order_was_kept(&house, &case);
        house.faults.heal();
        assert_recovers(&mut house, &told, &case);
    }
}

#[test]
fn a_crash_while_a_ledger_is_made_leaves_one_that_opens_or_none() {
    for moment in 0.. {
        for leaves in [Leaves::Nothing, Leaves::All] {
            let house = House::new();
            house.faults.arm(When::After(moment), leaves);
            let origin = || "log.example/1".parse().unwrap();
            let made =
                Ledger::create_in(house.store(), origin(), house.key(), &entries(0..3), 1_000);
            if !house.faults.struck() {
                assert!(made.is_ok() && moment > 5);
                return;
            }
            assert!(made.is_err());
            house.faults.heal();
            let again =
                Ledger::create_in(house.store(), origin(), house.key(), &entries(0..3), 1_000);
            assert!(
                matches!(again, Err(OpenError::Exists(_))),
                "moment {moment}"
            );
            match house.try_open() {
                Ok((ledger, replay)) => {
                    let read: Vec<_> = replay.map(|read| read.unwrap().entry).collect();
                    assert_eq!(read, entries(0..3));
                    let newest = ledger.reader().signed_checkpoint();
                    assert_one_history(&house, &ledger, &newest);
                }
                Err(error) => assert!(matches!(error, OpenError::NoLedger(_)), "{error}"),
            }
        }
    }
}

#[test]
fn a_full_disk_is_refused_before_an_index_is_given_and_nothing_is_written() {
    let mut house = House::new();
    let mut ledger = house.create(2);
    let wal = std::fs::read(house.at("wal")).unwrap();
    house
        .faults
        .set_free(affiant_verifier::ledger::RESERVE_BYTES);
    let clock = house.now();
    let refused = ledger.append(&entries(2..4), clock).unwrap_err();
    assert!(matches!(refused, AppendError::Full { .. }), "{refused}");
    assert_eq!(std::fs::read(house.at("wal")).unwrap(), wal);
    assert_eq!(ledger.next_index(), 2);
    house.faults.set_free(u64::MAX);
    house.append(&mut ledger, 2..4);
    assert_eq!(ledger.close_segment().unwrap().checkpoint().size(), 4);
}

#[test]
fn an_append_of_any_length_is_one_write_and_one_sync() {
    let mut house = House::new();
    let mut ledger = house.create(1);
    let mut next = 1;
    for (count, group) in [1, 500, 3].into_iter().enumerate() {
        house.append(&mut ledger, next..next + group);
        next += group;
        assert_eq!(house.faults.appends_and_syncs(), (count + 1, count + 1));
    }
}

#[test]
fn a_store_that_ignores_create_only_puts_is_refused() {
    let mut house = House::new();
    drop(house.create(2));
    house.faults.ignore_create_only();
    let refused = house.try_open().unwrap_err();
    assert!(matches!(refused, OpenError::NotCreateOnly(_)), "{refused}");
}

#[test]
fn a_writer_that_was_overtaken_signs_nothing_more() {
    let mut house = House::new();
    let mut first = house.create(2);
    house.append(&mut first, 2..4);
    // Somebody deletes the held file, and with it the hold.
    std::fs::remove_file(house.at("writer.pid")).unwrap();
    let (mut second, replayed) = house.open();
    assert_eq!(replayed.len(), 4);
    let signed = house.faults.signed().len();
    let refused = first.close_segment().unwrap_err();
    assert!(matches!(refused, Fatal::Lock(_)), "{refused}");
    assert_eq!(house.faults.signed().len(), signed);
    std::fs::remove_file(house.segment("2-")).unwrap();
    let closed = second.close_segment().unwrap();
    assert_one_history(&house, &second, &closed);
}

#[test]
fn a_clock_that_stood_still_begins_no_segment() {
    let mut house = House::new();
    let mut ledger = house.create(2);
    let clock = ledger.clock();
    let refused = ledger.append(&entries(2..3), clock).unwrap_err();
    assert!(
        matches!(refused, AppendError::ClockStoodStill { .. }),
        "{refused}"
    );
    ledger.append(&entries(2..3), clock + 1).unwrap();
    // Within a segment only its first clock counts.
    ledger.append(&entries(3..4), clock).unwrap();
    ledger.close_segment().unwrap();
    drop(ledger);
    let (ledger, _) = house.open();
    assert_eq!(ledger.clock(), clock + 1);
}

#[test]
fn a_segment_takes_no_more_than_its_limits() {
    let mut house = House::new();
    let mut ledger = house.create(1);
    let most = affiant_verifier::ledger::MAX_SEGMENT_ENTRIES as u64;
    house.append(&mut ledger, 1..most);
    house.append(&mut ledger, most..most + 1);
    let clock = house.now();
    let refused = ledger
        .append(&entries(most + 1..most + 2), clock)
        .unwrap_err();
    assert!(matches!(refused, AppendError::SegmentFull(1)), "{refused}");
    let refused = ledger.append(&entries(0..most + 1), clock).unwrap_err();
    assert!(matches!(refused, AppendError::TooMuch { .. }), "{refused}");
    assert!(matches!(
        ledger.append(&[], clock),
        Err(AppendError::Nothing)
    ));
    ledger.close_segment().unwrap();
    drop(ledger);
    let (ledger, replayed) = house.open();
    assert_eq!(replayed.len() as u64, most + 1);
    assert_eq!(replayed[replayed.len() - 1].entry, entry(most));
    let newest = ledger.reader().signed_checkpoint();
    assert_one_history(&house, &ledger, &newest);
}

/// Keeps the fixture honest: a fault that is armed does strike, once, and heals.
#[test]
fn an_injected_fault_strikes_and_heals() {
    let faults = Faults::default();
    faults.arm(When::At(Step::Swap), Leaves::Nothing);
    assert!(!faults.struck());
    faults.heal();
    assert!(!faults.struck());
}
