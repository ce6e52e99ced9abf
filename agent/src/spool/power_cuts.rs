//! Power cuts between any two steps of the spool, and in the middle of any.
#![allow(clippy::unwrap_used)]

use super::faults::Teller;
use crate::disk::power::{Fault, Random, TestDisk, directory, seeds};

/// Cuts of one life: the second and third strike what was made of the first.
const CUTS: usize = 3;

/// Actions between two cuts at the most.
const ACTIONS: usize = 120;

#[test]
fn after_a_power_cut_nothing_that_was_promised_is_lost_nothing_torn_is_taken_and_the_chain_goes_on()
{
    let (mut lines, mut records) = (false, false);
    for seed in seeds(300) {
        let mut random = Random(seed);
        let mut home = directory();
        let after = |random: &mut Random| usize::try_from(random.below(900)).unwrap();
        let mut disk = TestDisk::failing(after(&mut random), Fault::PowerCut);
        let mut teller = Teller::new(disk.clone(), &home.path().join("spool"));
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..CUTS {
                for _ in 0..ACTIONS {
                    if !teller.act(&mut random) {
                        break;
                    }
                }
                let left = directory();
                disk.left(&mut random, home.path(), left.path());
                let calm = TestDisk::default().knows(left.path());
                teller.restart(calm, &left.path().join("spool"));
                // What the restart did is done; the next cut strikes later.
                disk = TestDisk::failing(after(&mut random), Fault::PowerCut).knows(left.path());
                teller.move_to(disk.clone(), &left.path().join("spool"));
                home = left;
            }
        }));
        if let Err(panic) = told {
            eprintln!(
                "to see it again: AFFIANT_SEED={seed} cargo test -p affiant-agent --lib power_cuts"
            );
            std::panic::resume_unwind(panic);
        }
        lines |= teller.did.0;
        records |= teller.did.1;
    }
    assert!(lines && records, "the lives leave something out");
}
