//! Schedules of trouble, by seed: loss, partition, delay, crashes and wrong clocks.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::sync::{Mutex, PoisonError};

use affiant_simulation::{
    plan::Plan,
    play::play,
    seeds::{self, SEEDS, number},
};

/// `AFFIANT_SEED=n` plays one seed and prints its trace; `AFFIANT_SEEDS=n` plays so many.
#[test]
fn whatever_goes_wrong_no_promise_is_broken() {
    if let Some(seed) = number("AFFIANT_SEED") {
        let played = play(seed, &Plan::of(seed), None).unwrap();
        println!("{}\n{:#?}", played.trace, played.summary);
        assert!(played.broken.is_empty(), "{:#?}", played.broken);
        return;
    }
    let records = Mutex::new(0);
    let count = number("AFFIANT_SEEDS").unwrap_or(SEEDS);
    let failed = seeds::below(count, |_, played| {
        *records.lock().unwrap_or_else(PoisonError::into_inner) += played.summary.records;
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    // A run in which nothing is recorded would keep every promise.
    let records = records.into_inner().unwrap();
    assert!(records > count * 20, "{records} records in {count} runs");
}

/// Two of three runs, for there is one chance that no seed reaches: where two branches of a
/// `select!` inside tokio's or tonic's own code are ready at once, tokio draws which goes first.
/// Some one run in a hundred meets such a tie.
#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..8 {
        let plan = Plan::of(seed);
        let run = || play(seed, &plan, None).unwrap();
        let (first, second) = (run(), run());
        if first.digest == second.digest {
            continue;
        }
        let third = run();
        if ![first.digest, second.digest].contains(&third.digest) {
            let lines = first.trace.lines().zip(second.trace.lines());
            let apart: Vec<_> = lines.filter(|(one, other)| one != other).take(4).collect();
            panic!("seed {seed} gave three runs; two of them part here: {apart:#?}");
        }
    }
}
