//! Many seeds on all cores; which ones is for the environment to say.

use std::{
    env,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use crate::{
    plan::Plan,
    play::{Played, play},
};

/// Seeds that are played unless `AFFIANT_SEEDS` says how many: some 60 s on two cores.
pub const SEEDS: u64 = 250;

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// Plays one seed; says how to play it again when a promise broke.
pub fn one(seed: u64) -> Result<Played, String> {
    let again = format!(
        "AFFIANT_SEED={seed} cargo test -p affiant-simulation --test schedules -- --nocapture"
    );
    let played = play(seed, &Plan::of(seed), None)
        .map_err(|error| format!("seed {seed}: {error}\n  again: {again}"))?;
    if played.broken.is_empty() {
        return Ok(played);
    }
    let broken = played.broken.join("\n  ");
    Err(format!("seed {seed}:\n  {broken}\n  again: {again}"))
}

/// Plays the seeds below `count`; gives those that failed, with why, and hands on all others.
pub fn below(count: u64, take: impl Fn(u64, Played) + Sync) -> Vec<String> {
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= count {
                        return;
                    }
                    match one(seed) {
                        Ok(played) => take(seed, played),
                        Err(why) => failed
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(why),
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}
