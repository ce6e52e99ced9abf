//! Random appends, closes and crashes against a list in memory.

use affiant_verifier::ledger::{AppendError, Entry, Ledger};
use proptest::prelude::*;

use super::fixture::{House, Leaves, When, assert_one_history, entry};

#[derive(Clone, Debug)]
enum Act {
    Append(u64),
    Close,
    /// Shut and open again.
    Restart,
    /// Arm a fault that strikes after so many operations, in whatever comes then.
    Crash(usize, Leaves),
}

fn act() -> impl Strategy<Value = Act> {
    let leaves = prop_oneof![Just(Leaves::Nothing), Just(Leaves::All), Just(Leaves::Part)];
    prop_oneof![
        4 => (1_u64..40).prop_map(Act::Append),
        1 => (200_u64..300).prop_map(Act::Append),
        3 => Just(Act::Close),
        1 => Just(Act::Restart),
        2 => (0_usize..12, leaves).prop_map(|(after, leaves)| Act::Crash(after, leaves)),
    ]
}

/// What the log must hold: all that was answered, then perhaps one group that was not.
#[derive(Default)]
struct Model {
    answered: Vec<Entry>,
    unanswered: Vec<Entry>,
    included: usize,
    next_number: u64,
}

/// Opens until no fault strikes, and takes what is found as answered.
fn reopen(house: &House, model: &mut Model) -> Ledger {
    let opened = match house.try_open() {
        Ok(opened) => Some(opened),
        Err(_) => {
            assert!(
                house.faults.struck(),
                "only a fault keeps a ledger from opening"
            );
            None
        }
    };
    house.faults.heal();
    let (ledger, replay) = opened.unwrap_or_else(|| house.try_open().unwrap());
    let mut found = Vec::new();
    for (index, read) in (0..).zip(replay) {
        let read = read.unwrap();
        assert_eq!(read.index, index);
        assert!(read.included || found.len() >= model.included);
        found.push(read.entry);
    }
    let with = [model.answered.as_slice(), &model.unanswered].concat();
    assert!(
        found == model.answered || found == with,
        "lost, doubled or reordered"
    );
    model.answered = found;
    model.unanswered.clear();
    ledger
}

fn play(acts: Vec<Act>) {
    let mut house = House::new();
    let mut ledger = house.create(1);
    let mut model = Model {
        answered: vec![entry(0)],
        included: 1,
        next_number: 1,
        ..Model::default()
    };
    for act in acts {
        let failed = match act {
            Act::Append(count) => {
                let numbers = model.next_number..model.next_number + count;
                model.next_number += count;
                let group: Vec<_> = numbers.map(entry).collect();
                let clock = house.now();
                match ledger.append(&group, clock) {
                    Ok(given) => {
                        assert_eq!(given.start, model.answered.len() as u64);
                        model.answered.extend(group);
                        assert_eq!(given.end, model.answered.len() as u64);
                        false
                    }
                    Err(AppendError::Fatal(_)) => {
                        model.unanswered = group;
                        true
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            Act::Close => match ledger.close_segment() {
                Ok(signed) => {
                    model.included = model.answered.len();
                    assert_eq!(signed.checkpoint().size(), model.included as u64);
                    false
                }
                Err(_) => true,
            },
            Act::Restart => true,
            Act::Crash(after, leaves) => {
                house.faults.arm(When::After(after), leaves);
                false
            }
        };
        if failed {
            drop(ledger);
            if house.faults.struck() {
                house.faults.heal();
            }
            ledger = reopen(&house, &mut model);
        }
    }
    house.faults.heal();
    drop(ledger);
    let mut ledger = reopen(&house, &mut model);
    let closed = ledger.close_segment().unwrap();
    assert_one_history(&house, &ledger, &closed);
    let held: Vec<_> = ledger
        .reader()
        .entries(0..u64::MAX)
        .map(|read| read.unwrap().1)
        .collect();
    assert_eq!(held, model.answered);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_run_of_appends_closes_and_crashes_keeps_what_was_answered(
        acts in proptest::collection::vec(act(), 1..40)
    ) {
        play(acts);
    }
}
